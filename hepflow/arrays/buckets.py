"""The way through an object store, for elements that see no file of ours and need no key.

All that elements do there they do by signed links, each good for one object and a while: the table of a
batch's jobs is read by one that only the elements get, and has the others. An element reads
its own line of the table, and then its own job, so a batch is one object whatever its size.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from hepflow import plugins
from hepflow.arrays.batches import Batch
from hepflow.arrays.posts import Parcel, Sent, script, told
from hepflow.arrays.service import Fault
from hepflow.model.events import ExecutorEvent, Finished
from hepflow.model.site import Site, Staging
from hepflow.model.task import Attempt
from hepflow.wire.bundle import capsule_bytes
from hepflow.wire.orders import Orders
from hepflow.wire.spelling import encode
from hepflow.wire.travel import HERE, Luggage, Piece, move_into, restamped, unpack

LINK: Final = "HEPFLOW_LINK"
"""The variable that has the link to the table."""

AT_ONCE: Final = 16
"""Objects that are read or written at a time."""

LINE: Final = 32
"""Bytes of a line of the table: where a job begins, and its length."""

BOOT: Final = f"""\
import json,os,sys,tempfile,time
from urllib.request import Request,urlopen
def get(url,headers):
    for pause in (1,2,4,8,16,0):
        try:
            return urlopen(Request(url,headers=headers),timeout=60).read()
        except OSError as error:
            if not pause or 400<=getattr(error,"code",500)<500:
                sys.exit("its order cannot be fetched: %s"%error)
            time.sleep(pause)
def part(start,size):
    return get(link,dict(head,Range="bytes=%d-%d"%(start,start+size-1)))
link,head=json.loads(os.environ.pop("{LINK}"))
job=part(*map(int,part({LINE}*int(sys.argv[1]),{LINE}).split()))
above=os.path.expandvars(sys.argv[2]) or tempfile.gettempdir()
os.makedirs(above,exist_ok=True)
os.chdir(tempfile.mkdtemp(prefix="hepflow-",dir=above))
open("job.json","wb").write(job)
open("capsule.pyz","wb").write(get(*json.loads(job.decode())["capsule"]))
os.execv(sys.executable,[sys.executable,"-I","-S","capsule.pyz","afar","job.json"])
"""
"""What an element runs first, with its number and the site's scratch folder: any Python from 3.6 on."""


class Link(NamedTuple):
    """What reads or writes one object without a key: a URL, and headers that must go with it."""

    url: str
    headers: dict[str, str]


class Bucket(Protocol):
    """A part of an object store. Its methods take their time, and raise ``Fault``.

    Its class is called with what follows ``scheme://`` in its address, and the site's settings.
    """

    def put(self, key: str, body: bytes | Path) -> None:
        """Write an object."""
        ...

    def fetch(self, key: str, path: Path) -> None:
        """Read an object into a file."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """The names of objects that begin so."""
        ...

    def remove(self, prefix: str) -> None:
        """Delete the objects whose names begin so."""
        ...

    def link(self, key: str, *, write: bool = False) -> Link:
        """A signed link that reads or writes an object; made here, nobody is asked."""
        ...


def open_bucket(address: str, settings: Mapping[str, object]) -> Bucket:
    """The bucket at an address such as ``s3://name/prefix``.

    Raises:
        UnavailableError: nobody here knows that kind, or its library is not installed.
    """
    scheme, _, rest = address.partition("://")
    bucket: Bucket = plugins.load(plugins.BUCKETS, scheme)(rest, settings)
    return bucket


class BucketPost:
    """Through a bucket.

    Args:
        bucket: the store.
        folder: the executor's own.
        site: where elements run.
        python: the interpreter there.
        grace_s: seconds a task that must end may take.
        tag: begins the names of all objects.
    """

    beats: Final = False

    def __init__(
        self, bucket: Bucket, folder: Path, site: Site, python: str, grace_s: float, tag: str
    ) -> None:
        self._bucket = bucket
        self._folder = folder
        self._site = site
        self._python = python
        # Once there, files are an element's own: nothing of them is anywhere else.
        self._orders = Orders(replace(site, staging=Staging.SHARED), python, grace_s=grace_s)
        self._tag = tag
        self._there: set[str] = set()

    def parcel(self, folder: Path) -> BucketParcel:
        """Begin a batch."""
        return BucketParcel(self._orders)

    def send(self, batch: Batch, parcel: Parcel, limit_s: float, index: str) -> Sent:
        """Upload what travels and is not there yet, and the table."""
        assert isinstance(parcel, BucketParcel)
        batch.results.mkdir(parents=True)
        capsule = f"{self._tag}/capsule.pyz"
        if capsule not in self._there:
            self._bucket.put(capsule, capsule_bytes())
            self._there.add(capsule)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            uploaded = threads.map(self._uploaded, parcel.pieces)
            links = dict(zip((piece.name for piece in parcel.pieces), uploaded, strict=True))
        packed = {piece.name: os.path.isdir(piece.location) for piece in parcel.pieces}
        jobs = []
        for element, numbers in enumerate(batch.elements):
            needed = dict.fromkeys(name for number in numbers for name in parcel.needs[number])
            entries = [parcel.entries[number] for number in numbers]
            job = {
                "capsule": self._bucket.link(capsule),
                "here": HERE,
                "order": self._orders.text(entries, f"{HERE}/results", limit_s),
                "bring": [
                    [parcel.paths[name], links[name], packed[name], parcel.digests[name]]
                    for name in needed
                ],
                "outputs": self._bucket.link(self._key(batch, f"out/{element}"), write=True),
                "result": self._bucket.link(self._key(batch, f"results/{element}"), write=True),
            }
            jobs.append(json.dumps(job).encode())
        table = self._key(batch, "table")
        self._bucket.put(table, _table(jobs))
        return self.sent_by(self._site, self._python, index, self._bucket.link(table))

    @staticmethod
    def sent_by(site: Site, python: str, index: str, table: Link) -> Sent:
        """What elements run that have this link."""
        words = (python, "-I", "-S", "-c", BOOT)
        line = f"exec {shlex.join(words)} {index} {shlex.quote(site.scratch)}"
        return Sent(script(site, line), {LINK: json.dumps(table)})

    def news(self, batch: Batch) -> list[ExecutorEvent]:
        """Bring home what there is to bring, and read it there."""
        prefix = self._key(batch, "results/")
        there = [int(key.removeprefix(prefix)) for key in self._bucket.keys(prefix)]
        here = {name for name in os.listdir(batch.results) if name.isdigit()}
        new = [n for n in there if any(str(part) not in here for part in batch.elements[n])]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(partial(self._bring_home, batch), new))
        return [
            event._replace(outcome=restamped(event.outcome))
            if isinstance(event, Finished)
            else event
            for event in told(batch)
        ]

    def unwanted(self, batch: Batch, attempt: str) -> None:
        """Nothing: the service has to tell it."""

    def clear(self, batch: Batch) -> None:
        """Delete the batch's objects; inputs may be others' as well."""
        self._bucket.remove(self._key(batch, ""))

    def close(self) -> None:
        """Delete all objects, and the folder."""
        self._bucket.remove(f"{self._tag}/")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _key(self, batch: Batch, name: str) -> str:
        return f"{self._tag}/{batch.folder.name}/{name}"

    def _uploaded(self, piece: Piece) -> Link:
        key = f"{self._tag}/files/{_identity(piece)}"
        if key not in self._there:
            if os.path.isdir(piece.location):
                with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
                    _pack(piece, Path(scratch) / "tar")
                    self._bucket.put(key, Path(scratch) / "tar")
            else:
                self._bucket.put(key, Path(piece.location))
            self._there.add(key)
        return self._bucket.link(key)

    def _bring_home(self, batch: Batch, element: int) -> None:
        """Put what an element left where it belongs, its results last."""
        home = batch.folder / f"home-{element}"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        self._bucket.fetch(self._key(batch, f"results/{element}"), home / "result.json")
        said: dict[str, Any] = json.loads((home / "result.json").read_bytes())
        if said["outputs"]:
            self._bucket.fetch(self._key(batch, f"out/{element}"), home / "out.tar")
            try:
                with tarfile.open(home / "out.tar") as archive:
                    if hasattr(tarfile, "tar_filter"):  # not in Debian 12's Python 3.11.2
                        archive.extraction_filter = tarfile.tar_filter
                    archive.extractall(home)
            except tarfile.TarError as error:
                raise Fault(f"what {batch.name}[{element}] left is no good: {error}") from None
        for number, text in said["results"].items():
            part = batch.parts[int(number)]
            if part.kept:
                move_into(home / "kept" / number, part.kept)
            text = unpack(home, text, part.folder, batch.places, f"out/{number}")
            unfinished = batch.results / f"{number}.tmp"
            unfinished.write_text(text, encoding="utf-8", errors="surrogateescape")
            unfinished.replace(batch.results / number)
        shutil.rmtree(home)


class BucketParcel:
    """Orders of tasks that travel, and what travels with them."""

    def __init__(self, orders: Orders) -> None:
        self.entries: dict[int, str] = {}
        self.needs: dict[int, list[str]] = {}
        self.pieces: list[Piece] = []
        self.paths: dict[str, str] = {}
        self.digests: dict[str, str] = {}
        self._orders = orders
        self._luggage = Luggage(self._take)

    @property
    def places(self) -> Mapping[str, str]:
        return self._luggage.places

    def add(self, attempt: Attempt, number: int) -> None:
        """Pack one."""
        there, needs = self._luggage.pack(attempt, f"out/{number}", f"kept/{number}")
        entry = encode(self._orders.entry(there, number))
        if there.checkpoint and os.path.isdir(attempt.checkpoint):
            # What an earlier attempt saved goes where this one looks for it.
            kept = Piece(attempt.checkpoint, f"kept/{number}")
            self.pieces.append(kept)
            self.paths[kept.name], self.digests[kept.name] = kept.name, ""
            needs = [*needs, kept.name]
        self.entries[number] = self._luggage.rewritten(entry, needs)
        self.needs[number] = needs

    def _take(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.paths[piece.name] = f"{piece.name}/{os.path.basename(piece.location.rstrip('/'))}"
        self.digests[piece.name] = piece.digest


def _table(jobs: list[bytes]) -> bytes:
    """The jobs of a batch with a line for each in front that says where it is."""
    start = LINE * len(jobs)
    lines = []
    for job in jobs:
        lines.append(f"{start} {len(job)}".ljust(LINE - 1) + "\n")
        start += len(job)
    return "".join(lines).encode() + b"".join(jobs)


def _files(piece: Piece) -> Iterator[tuple[str, str]]:
    """The files of a folder that travel: path within it, and path; links that lead nowhere do not."""
    if piece.files:
        yield from ((inner, f"{piece.location}/{inner}") for inner in piece.files)
        return
    for above, folders, names in os.walk(piece.location):
        linked = [name for name in folders if os.path.islink(f"{above}/{name}")]
        for name in sorted([*names, *linked]):
            if os.path.exists(f"{above}/{name}"):
                yield os.path.relpath(f"{above}/{name}", piece.location), f"{above}/{name}"
        if not folders and not names:
            yield os.path.relpath(above, piece.location), above


def _identity(piece: Piece) -> str:
    """What tells a piece from every other, without reading it where its digest is not known."""
    kind = "folder" if os.path.isdir(piece.location) else "file"
    if piece.digest:
        return f"{kind}-{piece.digest}"
    files = _files(piece) if kind == "folder" else iter([("", piece.location)])
    facts = [(inner, os.stat(path)) for inner, path in files]
    listed = [(inner, facts.st_size, facts.st_mtime_ns) for inner, facts in facts]
    text = json.dumps([piece.location, listed])
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()}"


def _pack(piece: Piece, path: Path) -> None:
    """A folder as a tar file, with what links lead to in their place."""
    with tarfile.open(path, "w", dereference=True) as archive:
        for inner, file in _files(piece):
            archive.add(file, inner)
