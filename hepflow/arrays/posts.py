"""How orders and files get to the elements of an array, and results back: what every way has in common,
and the way through a file system that head and elements share.

Must never know a service.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from hepflow.arrays.batches import Batch
from hepflow.model.events import ExecutorEvent, Started
from hepflow.model.site import Site
from hepflow.model.task import Attempt, uncontained
from hepflow.wire.bundle import START, write_capsule
from hepflow.wire.orders import Orders
from hepflow.wire.spelling import decode_lines, encode, finished


class Sent(NamedTuple):
    """What elements run to come by their orders: a script for ``sh``, and what only they may see."""

    script: str
    secret: dict[str, str]


class Parcel(Protocol):
    """The orders of one batch while they are gathered."""

    @property
    def places(self) -> Mapping[str, str]:
        """Location here -> path at the job, of what travels."""
        ...

    def add(self, attempt: Attempt, number: int) -> None:
        """One more.

        Raises:
            TypeError, ValueError, OSError, RecursionError: it cannot be sent; a sentence.
        """
        ...


class Post(Protocol):
    """A way there and back. ``send``, ``news``, ``clear`` and ``close`` take their time, and raise ``Fault``."""

    @property
    def beats(self) -> bool:
        """Whether attempts themselves tell that they run."""
        ...

    def parcel(self, folder: Path) -> Parcel:
        """Begin a batch that has this folder."""
        ...

    def send(self, batch: Batch, parcel: Parcel, limit_s: float, index: str) -> Sent:
        """Have a parcel there before its array is submitted."""
        ...

    def news(self, batch: Batch) -> list[ExecutorEvent]:
        """What attempts have told since the last time."""
        ...

    def unwanted(self, batch: Batch, attempt: str) -> None:
        """Have an attempt ended, or not begun, where its capsule can learn of it."""
        ...

    def clear(self, batch: Batch) -> None:
        """Leave nothing of a batch there, all of whose results are home."""
        ...

    def close(self) -> None:
        """Leave nothing at all."""
        ...


class SharedPost:
    """Through a folder that the elements see at the same path.

    Args:
        folder: the executor's own.
        site: where elements run.
        python: the interpreter there.
        grace_s: seconds a task that must end may take.
    """

    beats: Final = True

    def __init__(self, folder: Path, site: Site, python: str, grace_s: float) -> None:
        self._folder = folder
        self._site = site
        self._python = python
        self._orders = Orders(site, python, grace_s=grace_s)

    def parcel(self, folder: Path) -> SharedParcel:
        """Begin a batch."""
        return SharedParcel(self._orders)

    def send(self, batch: Batch, parcel: Parcel, limit_s: float, index: str) -> Sent:
        """Write the orders down."""
        assert isinstance(parcel, SharedParcel)
        capsule = self._folder / "capsule.pyz"
        if not capsule.exists():
            write_capsule(capsule)
        batch.results.mkdir(parents=True)
        for element, numbers in enumerate(batch.elements):
            entries = [parcel.entries[number] for number in numbers]
            text = self._orders.text(entries, str(batch.results), limit_s)
            path = batch.folder / f"{element}.json"
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return self.sent(batch.folder, index)

    def sent(self, folder: Path, index: str) -> Sent:
        """What elements run whose orders are in a folder."""
        words = (self._python, "-I", "-S", "-c", START, str(self._folder / "capsule.pyz"))
        line = f"exec {shlex.join(words)} {shlex.quote(str(folder))}/{index}.json"
        return Sent(script(self._site, line), {})

    def news(self, batch: Batch) -> list[ExecutorEvent]:
        """One look into the folder of results."""
        return list(told(batch))

    def unwanted(self, batch: Batch, attempt: str) -> None:
        """A file that the capsule looks for."""
        (batch.results / f"{batch.open[attempt]}.cancel").touch()

    def clear(self, batch: Batch) -> None:
        """Nothing: results are kept until the run is over."""

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


class SharedParcel:
    """Orders as they are."""

    def __init__(self, orders: Orders) -> None:
        self.places: Mapping[str, str] = {}
        self.entries: dict[int, str] = {}
        self._orders = orders

    def add(self, attempt: Attempt, number: int) -> None:
        """Spell one."""
        # The service itself starts the image.
        bare = attempt._replace(task=uncontained(attempt.task))
        self.entries[number] = encode(self._orders.entry(bare, number))


def script(site: Site, line: str) -> str:
    """What an element runs: the site's own lines before ours."""
    return "\n".join([*site.setup, line])


def told(batch: Batch) -> Iterator[ExecutorEvent]:
    """What is new in a batch's folder of results, and is whole."""
    attempts = {str(number): attempt for attempt, number in batch.open.items()}
    try:
        names = [name for name in os.listdir(batch.results) if name not in batch.read]
    except FileNotFoundError:
        return
    for name in sorted(names):
        number, _, kind = name.partition(".")
        attempt = attempts.get(number)
        if attempt is None or kind not in ("", "beat"):
            continue
        content = (batch.results / name).read_bytes()
        if not content.endswith(b"\n"):
            continue  # it is being written
        batch.read.add(name)
        lines = decode_lines(content)
        if kind:
            where, log = lines[0]
            batch.begun[attempt] = where
            yield Started(attempt, f"{where} {batch.handle(attempt)}", log)
        else:
            message, host = lines
            yield finished(message, f"{host} {batch.handle(attempt)}")
