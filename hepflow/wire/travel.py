"""Tasks that travel with their files, and results that come back from where nobody knows the folders.

In an order that travels a word stands for the folder of the job, which the job replaces when it starts
and puts back into its result. Owns that word. Must never know what carries the files.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from hepflow.model.task import INPUTS, Attempt, Call, Outcome, Staged
from hepflow.model.values import Directory, File, files_in

HERE: Final = "/@hepflow/here"
"""The folder of a job, before anybody knows where that is."""

BROUGHT: Final = re.compile(rf"{HERE}/(i\d+)")
"""What a result names of the folders that came with the job."""

PART_OF_NAME: Final = r"(?![A-Za-z0-9_.-])"
"""What must not follow a path, or it is another one's beginning."""


class Piece(NamedTuple):
    """A file or a folder that travels.

    Args:
        location: where it is.
        name: of a folder at the job that holds nothing else.
        digest: of its content; empty where that is not known.
        files: those of the folder that travel, by relative path; empty for all.
    """

    location: str
    name: str
    digest: str = ""
    files: tuple[str, ...] = ()


class Luggage:
    """The files that travel with the jobs of one batch, each once.

    Args:
        take: called for each; ``ValueError`` if it cannot be taken.
    """

    def __init__(self, take: Callable[[Piece], None]) -> None:
        self._take = take
        self.places: dict[str, str] = {}
        """Location here -> path at the job."""

    def pack(self, attempt: Attempt, out: str = "out", kept: str = "") -> tuple[Attempt, list[str]]:
        """An attempt as it is at the job, and the names of what it needs beside it.

        Args:
            out: the folder at the job for what it leaves.
            kept: the folder at the job for its checkpoint; empty where none can come back.

        Raises:
            ValueError: it cannot travel; a sentence.
        """
        needed: list[str] = []
        stage = []
        for item in attempt.task.stage:
            moved = self._moved(item.what, needed)
            if item.path.startswith("/") and not item.path.startswith(INPUTS):
                continue  # named by its own path, which is replaced wherever it stands
            stage.append(Staged(moved, item.path, item.writable))
        command, named = attempt.task.command, list(attempt.task.inputs.values())
        if isinstance(command, Call):
            named += [*command.arguments.values(), *command.offered.values()]
        stdin = attempt.task.stdin
        if stdin.startswith("/") and os.path.exists(stdin):
            named.append(File(stdin))
        for file in (file for value in named for file in files_in(value) if file.location):
            self._moved(file, needed)
        if isinstance(command, Call):
            for folder in command.path:
                needed.append(self._taken(folder, "", modules_in(folder)).split("/")[3])
        keeps = attempt.task.checkpoint if kept else ()
        task = replace(
            attempt.task, stage=tuple(stage), container=None, checkpoint=keeps, inputs={}
        )
        there = attempt._replace(
            task=task,
            folder=f"{HERE}/{out}" if attempt.folder else "",
            checkpoint=f"{HERE}/{kept}" if keeps and attempt.checkpoint else "",
        )
        return there, list(dict.fromkeys(needed))

    def _moved(self, what: File | Directory, needed: list[str]) -> File | Directory:
        if isinstance(what, Directory) and not what.location:
            inner = tuple(self._moved(item, needed) for item in what.listing or ())
            return replace(what, listing=inner)
        if not what.location or "://" in what.location:
            return what
        place = self._taken(what.location, what.digest)
        needed.append(place.split("/")[3])
        return replace(what, location=place)

    def _taken(self, location: str, digest: str, files: tuple[str, ...] = ()) -> str:
        """The path at the job of something that travels."""
        if location not in self.places:
            name = f"i{len(self.places)}"
            if not os.path.exists(location):
                raise ValueError(f"{location} is to travel with the task, but is not there")
            self._take(Piece(location, name, digest, files))
            self.places[location] = f"{HERE}/{name}/{os.path.basename(location.rstrip('/'))}"
        return self.places[location]

    def rewritten(self, text: str, needed: Collection[str]) -> str:
        """An order with the paths of what it needs replaced by those at the job."""
        return replaced(text, _of(self.places, needed))


def modules_in(folder: str) -> tuple[str, ...]:
    """The modules and packages in a folder, and what lies in these: a recipe's own folder has more."""
    found = []
    with os.scandir(folder) as entries:
        there = sorted(entries, key=lambda entry: entry.name)
    for entry in there:
        if entry.is_file() and entry.name.endswith(".py"):
            found.append(entry.name)
        elif entry.is_dir() and entry.name.isidentifier() and _has_modules(entry.path):
            for above, folders, names in os.walk(entry.path):
                folders[:] = [name for name in folders if name[0] != "." and name != "__pycache__"]
                found += [os.path.relpath(f"{above}/{name}", folder) for name in names]
    return tuple(found)


def _has_modules(folder: str) -> bool:
    return any(name.endswith(".py") for name in os.listdir(folder))


def replaced(text: str, places: Mapping[str, str]) -> str:
    """A JSON text with paths replaced, also inside longer texts; the longest first."""
    if not places:
        return text
    spelt = {json.dumps(old)[1:-1]: json.dumps(new)[1:-1] for old, new in places.items()}
    for old, new in places.items():
        spelt[json.dumps(old, ensure_ascii=False)[1:-1]] = json.dumps(new, ensure_ascii=False)[1:-1]
    either = "|".join(re.escape(old) for old in sorted(spelt, key=len, reverse=True))
    return re.sub(f"({either}){PART_OF_NAME}", lambda found: spelt[found[1]], text)


def _of(places: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Those places that are in one of some folders at the job: a batch may have thousands."""
    if not names:
        return {}
    return {old: new for old, new in places.items() if new.split("/")[3] in names}


# --- back home ------------------------------------------------------------------------------------


def unpack(
    home: Path, result: str, folder: str, places: Mapping[str, str], out: str = "out"
) -> str:
    """Put what came back where it belongs; returns the result with the paths that hold here.

    Args:
        home: the folder that it was brought to.
        folder: the attempt's own; empty if it has none.
        places: as ``Luggage`` has them.
        out: what that folder was called at the job.
    """
    if folder:
        move_into(home / out, folder)
    named = set(BROUGHT.findall(result))
    back = {place: location for location, place in _of(places, named).items()}
    if folder:
        back[f"{HERE}/{out}"] = folder
    return replaced(result, back)


def move_into(came: Path, folder: str) -> None:
    """Put a folder that came back where it belongs, instead of what is there; nothing if none came."""
    if not came.is_dir():
        return
    if os.path.lexists(folder):
        shutil.rmtree(folder)
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    shutil.move(came, folder)


def restamped(outcome: Outcome) -> Outcome:
    """An outcome with the stamps of the files as they are here."""
    stamps = {}
    for path in outcome.stamps:
        try:
            facts = os.stat(path)
        except OSError:
            continue
        stamps[path] = (facts.st_size, facts.st_mtime_ns, facts.st_ino)
    return replace(outcome, stamps=stamps)
