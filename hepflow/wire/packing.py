"""A run's tasks as orders for the capsule, with their files, in a folder that needs no hepflow to run.

What exporters of runs share: whichever system runs the nodes, each is ``python3 capsule.pyz`` with the order of
its number. Must never know which system that is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from hepflow.model.protocols import Done
from hepflow.model.site import Site
from hepflow.model.task import Attempt, Call, Output, Task
from hepflow.model.values import File, Value, Values, files_in, to_json
from hepflow.wire.bundle import write_capsule
from hepflow.wire.orders import Orders
from hepflow.wire.spelling import encode
from hepflow.wire.travel import HERE, Luggage, Piece

CAPSULE: Final = "capsule.pyz"
ORDERS: Final = "orders"
OUTPUTS: Final = "outputs.json"
"""The outputs of the workflow, by where they will be."""


class Package:
    """The folder of a run that another system is to run again, while it is filled.

    Args:
        folder: an empty one. brought: the folder in it for files that come from outside.
        target: the name of that system, which is to start the images that tasks run in.
    """

    def __init__(self, folder: Path, target: str, brought: str = "") -> None:
        self._folder = folder
        self._orders = Orders(Site(target, executor=""), "python3")
        self._luggage = Luggage(partial(lay_out, folder / brought))
        self._made: dict[str, str] = {}
        """Location of what a task left -> its path at whoever reads it."""

    def fill(self, tasks: Sequence[Done], outputs: Values) -> Iterator[tuple[int, Done, list[str]]]:
        """Each task with its number and the folders that it needs (``oN`` of task N, ``iN`` from outside).

        Raises:
            ValueError: a task's command or files cannot be written down; a sentence.
        """
        (self._folder / ORDERS).mkdir()
        write_capsule(self._folder / CAPSULE)
        for number, done in enumerate(tasks):
            yield number, done, self._order(number, done)
            self._made.update(_left(number, done, self._luggage.places))
        said = {port: self._placed(value) for port, value in outputs.items()}
        text = json.dumps(said, indent=2, ensure_ascii=False)
        (self._folder / OUTPUTS).write_text(text + "\n", encoding="utf-8")

    def _order(self, number: int, done: Done) -> list[str]:
        """Write the order of one task; returns the folders that it needs."""
        task = done.task
        for file in _named(task):
            place = self._place_made(file.location)
            if place:
                self._luggage.places[file.location] = place
        attempt = Attempt(f"{done.name}#1", task, f"/{number}")
        there, needs = self._luggage.pack(attempt, f"o{number}")
        entry = self._luggage.rewritten(encode(self._orders.entry(there, number)), needs)
        order = self._orders.text([entry], f"{HERE}/results")
        path = self._folder / ORDERS / f"{number}.json"
        path.write_text(order, encoding="utf-8", errors="surrogateescape")
        return needs

    def _place_made(self, location: str) -> str:
        """Where a file of another task will be, also one in a directory of its; empty for none."""
        above = location
        while above not in self._made:
            shorter = os.path.dirname(above)
            if shorter == above:
                return ""
            above = shorter
        return self._made[above] + location[len(above) :]

    def _placed(self, value: Value) -> object:
        """A value of the outputs, with files as they will be in the package."""
        if isinstance(value, list | tuple):
            return [self._placed(item) for item in value]
        if isinstance(value, Mapping):
            return {key: self._placed(item) for key, item in value.items()}
        said: Any = to_json(value)
        if isinstance(said, dict) and "location" in said:
            place = self._place_made(
                value.location if isinstance(value, File) else said["location"]
            )
            said["location"] = place.removeprefix(f"{HERE}/") or said["location"]
        return said


def _named(task: Task) -> Iterator[Any]:
    """Every file that a task reads."""
    command = task.command
    values: list[Value] = [*(item.what for item in task.stage), *task.inputs.values()]
    if isinstance(command, Call):
        values += [*command.arguments.values(), *command.offered.values()]
    return (file for value in values for file in files_in(value) if file.location)


def _left(number: int, done: Done, places: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What a task left: location, and path at whoever reads it."""
    for output in done.task.outputs:
        if not output.path or output.port not in done.outputs:
            continue
        for file in files_in(done.outputs[output.port]):
            if file.location and file.location not in places:
                yield file.location, f"{HERE}/o{number}/{_inner(output, file.location, done.name)}"


def _inner(output: Output, location: str, name: str) -> str:
    """The path of an output in its task's folder."""
    if not output.many:
        return output.path
    above, _, pattern = output.path.rpartition("/")
    if re.search(r"[*?\[]", above) or "**" in pattern:
        raise ValueError(f"{name}: where '{output.path}' was found cannot be told from its name")
    return os.path.join(above, os.path.basename(location.rstrip("/")))


def lay_out(above: Path, piece: Piece, name: str = "") -> None:
    """Put a file or a directory into a folder of its own, without a copy where that is possible.

    Args:
        name: what it is called there; by default what it is called here.
    """
    folder = above / piece.name
    folder.mkdir(parents=True)
    target = folder / (name or os.path.basename(piece.location.rstrip("/")))
    if piece.files:
        for path in piece.files:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            _link(f"{piece.location}/{path}", str(target / path))
    elif os.path.isdir(piece.location):
        shutil.copytree(piece.location, target, copy_function=_link)
    else:
        _link(piece.location, str(target))


def _link(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system
        shutil.copy2(source, target)
