"""An order carried out where nothing of the head's can be seen: files come and go by signed links.

A job is a JSON file: ``{"order": text, "here": word, "bring": [[path, link, packed, digest], ...],
"outputs": link, "result": link}``. In the order a word stands for the folder of the job, which is put in its
place, and back into what is told. What the tasks leave, in ``out`` and ``kept``, goes out as one tar file;
what they tell, as ``{"outputs": bool, "results": {number: text}}``, goes last, and alone completes them. A
link is ``[url, headers]``.

Plain standard library for Python 3.6. Must never know whose the links are.
"""

import json
import os
import tarfile
import time

from hepflow.capsule import orders
from hepflow.capsule.digests import digest_directory, digest_file
from hepflow.capsule.placing import CHUNK, copy, remove
from hepflow.capsule.running import Capsule

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    from typing import Any, Callable

PATIENCE_S = 60.0
"""Seconds of silence after which a request is given up."""

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Between two tries of a request that may yet succeed."""


class Unreached(Exception):
    """A file could not be brought or left; the text says which and why."""


def carry_out(path: str, program: "list[str]") -> None:
    """Carry out a job in the folder of its file.

    Args:
        path: the job's file.
        program: what starts the capsule again.

    Raises:
        Unreached: its files cannot be had, or what it leaves cannot be left anywhere.
    """
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    here = os.path.dirname(os.path.abspath(path))
    os.chdir(here)
    for name, link, packed, digest in job["bring"]:
        _bring(f"{here}/{name}", link, packed, digest)
    order = f"{here}/order.json"
    with open(order, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(job["order"].replace(job["here"], here))
    for name in ("out", "kept", "results"):
        os.makedirs(f"{here}/{name}", exist_ok=True)
    asked = orders.read(order)
    Capsule(asked, order, program).run()
    left = [name for name in ("out", "kept") if os.listdir(f"{here}/{name}")]
    if left:
        _settle(f"{here}/out")
        _pack(f"{here}/outputs.tar", here, left)
        _send(job["outputs"], f"{here}/outputs.tar")
    results = {}
    for entry in asked.entries:
        with open(asked.path(entry), encoding="utf-8", errors="surrogateescape") as file:
            results[str(entry.number)] = file.read().replace(here, job["here"])
    with open(f"{here}/result.json", "w", encoding="utf-8") as file:
        json.dump({"outputs": bool(left), "results": results}, file)
    _send(job["result"], f"{here}/result.json")
    os.chdir("/")
    remove(here)


def _bring(path: str, link: "list[Any]", packed: bool, digest: str) -> None:
    """Fetch a file, or a folder that comes as a tar file, and see that it is what it should be."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    _again(link[0], lambda: _fetch(link, path + ".part"))
    if packed:
        os.makedirs(path, exist_ok=True)
        with tarfile.open(path + ".part") as archive:
            archive.extractall(path)
        os.unlink(path + ".part")
    else:
        os.rename(path + ".part", path)
    if digest:
        found = digest_directory(path).digest if packed else digest_file(path)
        if found != digest:
            raise Unreached(
                f"{os.path.basename(path)} is not what it was (SHA-256 {found}, expected {digest})"
            )


def _fetch(link: "list[Any]", path: str) -> None:
    from urllib.request import Request, urlopen

    request = Request(link[0], headers=link[1])
    with urlopen(request, timeout=PATIENCE_S) as answer, open(path, "wb") as file:
        block = answer.read(CHUNK)
        while block:
            file.write(block)
            block = answer.read(CHUNK)


def _settle(folder: str) -> None:
    """Put copies in the place of links to what will not be there when it is home."""
    for above, folders, names in os.walk(folder):
        for name in folders + names:
            path = f"{above}/{name}"
            if not os.path.islink(path) or not os.path.exists(path):
                continue
            target = os.path.realpath(path)
            if not f"{target}/".startswith(f"{folder}/"):
                os.unlink(path)
                copy(target, path)


def _pack(path: str, above: str, names: "list[str]") -> None:
    with tarfile.open(path, "w") as archive:
        for name in names:
            archive.add(f"{above}/{name}", name)


def _send(link: "list[Any]", path: str) -> None:
    _again(link[0], lambda: _put(link, path))


def _put(link: "list[Any]", path: str) -> None:
    from urllib.request import Request, urlopen

    with open(path, "rb") as file:
        headers = dict(link[1])
        headers["Content-Length"] = str(os.fstat(file.fileno()).st_size)
        headers.setdefault("Content-Type", "application/octet-stream")
        with urlopen(Request(link[0], file, headers, method="PUT"), timeout=PATIENCE_S):
            pass


def _again(url: str, what: "Callable[[], None]") -> None:
    """Do something with a link, again after a pause where that may help."""
    for pause in (*PAUSES_S, 0.0):
        try:
            return what()
        except OSError as error:
            code = getattr(error, "code", 500)  # of HTTP; what has none may pass
            if not pause or 400 <= code < 500:
                # The rest of the link is its signature, which is nobody's business.
                raise Unreached(f"{url.partition('?')[0]}: {error}") from None
        time.sleep(pause)
    return None
