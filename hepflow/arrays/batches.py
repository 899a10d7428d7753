"""What was asked for in one go, as a folder that outlives the head.

    attempts.json   the intent, written first: the array's name, and which attempts are in which element
    results/N       the result of an attempt by its number here, whose presence alone completes it

Owns that folder. Must never know what a service says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hepflow.model.task import Attempt


class Part(NamedTuple):
    """One attempt of a batch, as far as its result must know it.

    Args:
        attempt: its id.
        folder: where what it leaves belongs; empty for nowhere.
        kept: where its checkpoint belongs; empty for nowhere.
    """

    attempt: str
    folder: str
    kept: str


@dataclass(slots=True, eq=False)
class Batch:
    """Attempts that one array runs.

    Args:
        folder: all its files.
        name: of its array.
        elements: the attempts of each element, by number.
        parts: the attempts, by number.
        places: location here -> path at the job, of what travelled.
        job: the service's name for the array; empty until it has said it.
        queue: the queue it went to.
    """

    folder: Path
    name: str
    elements: list[list[int]]
    parts: list[Part]
    places: Mapping[str, str] = field(default_factory=dict)
    job: str = ""
    queue: str = ""
    open: dict[str, int] = field(default_factory=dict)
    """Attempts without an end, by id -> number."""
    begun: dict[str, str] = field(default_factory=dict)
    """Those that run or ran -> where."""
    read: set[str] = field(default_factory=set)
    """Files of results that have been read."""

    def __post_init__(self) -> None:
        self.open = {part.attempt: number for number, part in enumerate(self.parts)}
        self._element_of = {
            number: element for element, numbers in enumerate(self.elements) for number in numbers
        }

    _element_of: dict[int, int] = field(default_factory=dict)

    def element(self, attempt: str) -> int:
        """Which of the elements an attempt is in."""
        return self._element_of[self.open[attempt]]

    def open_in(self) -> dict[int, list[str]]:
        """The attempts without an end, by element."""
        found: dict[int, list[str]] = {}
        for attempt in self.open:
            found.setdefault(self.element(attempt), []).append(attempt)
        return found

    def handle(self, attempt: str) -> str:
        """What finds an attempt again."""
        return f"{self.job or self.name}[{self.element(attempt)}]"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def keep(self) -> None:
        """Write down what will be asked for.

        Raises:
            OSError: it cannot be written.
        """
        said: dict[str, Any] = {
            "name": self.name,
            "elements": self.elements,
            "parts": self.parts,
            "places": dict(self.places),
        }
        unfinished = self.folder / "attempts.json.tmp"
        unfinished.write_text(json.dumps(said), encoding="utf-8")
        unfinished.replace(self.folder / "attempts.json")


def new_batch(
    folder: Path, name: str, elements: Sequence[Sequence[Attempt]], places: Mapping[str, str]
) -> Batch:
    """A batch of attempts that are numbered in their order."""
    parts: list[Part] = []
    numbers: list[list[int]] = []
    for element in elements:
        numbers.append(list(range(len(parts), len(parts) + len(element))))
        parts += [Part(one.id, one.folder, one.checkpoint) for one in element]
    return Batch(folder, name, numbers, parts, places)


def batches_in(folder: Path) -> Iterator[Batch]:
    """What earlier heads asked for, the oldest first."""
    for path in sorted(folder.glob("*/attempts.json"), key=lambda path: int(path.parent.name)):
        said = json.loads(path.read_text(encoding="utf-8"))
        parts = [Part(*part) for part in said["parts"]]
        yield Batch(path.parent, said["name"], said["elements"], parts, said["places"])
