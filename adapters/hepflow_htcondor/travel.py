"""Tasks that travel with their files, and results that come back from where nobody knows the folders.

In an order that travels a word stands for the folder of the job, which the job replaces when it starts
and puts back into its result. Owns that word. Must never know HTCondor's answers.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from hepflow.model.task import INPUTS, Attempt, Call, Outcome, Staged
from hepflow.model.values import Directory, File

HERE: Final = "/@hepflow/here"
"""The folder of a job, before anybody knows where that is."""

PART_OF_NAME: Final = r"(?![A-Za-z0-9_.-])"
"""What must not follow a path, or it is another one's beginning."""


class Luggage:
    """The files that travel with the jobs of one batch, each once.

    Args:
        folder: where they are laid out, one folder for each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.places: dict[str, str] = {}
        """Location here -> path at the job."""

    def pack(self, attempt: Attempt) -> tuple[Attempt, list[str]]:
        """An attempt as it is at the job, and the names of what it needs beside it.

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
        command = attempt.task.command
        if isinstance(command, Call):
            for folder in command.path:
                self._moved(Directory(folder), needed)
        task = replace(attempt.task, stage=tuple(stage), container=None, checkpoint=())
        folder = f"{HERE}/out" if attempt.folder else ""
        return attempt._replace(task=task, folder=folder, checkpoint=""), list(
            dict.fromkeys(needed)
        )

    def _moved(self, what: File | Directory, needed: list[str]) -> File | Directory:
        if isinstance(what, Directory) and not what.location:
            inner = tuple(self._moved(item, needed) for item in what.listing or ())
            return replace(what, listing=inner)
        if not what.location or "://" in what.location:
            return what
        place = self.places.get(what.location)
        if place is None:
            name = f"i{len(self.places)}"
            place = f"{HERE}/{name}/{os.path.basename(what.location.rstrip('/'))}"
            _lay_out(what.location, self._folder / name)
            self.places[what.location] = place
        needed.append(place.split("/")[3])
        return replace(what, location=place)

    def rewritten(self, text: str) -> str:
        """An order with the paths of what travels replaced by those at the job."""
        return _replaced(text, self.places)


def _lay_out(location: str, folder: Path) -> None:
    """Put a file or a directory into a folder of its own, without a copy where that is possible."""
    if not os.path.exists(location):
        raise ValueError(f"{location} is to travel with the task, but is not there")
    folder.mkdir(parents=True)
    target = folder / os.path.basename(location.rstrip("/"))
    if os.path.isdir(location):
        shutil.copytree(location, target, copy_function=_link)
    else:
        _link(location, str(target))


def _link(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _replaced(text: str, places: Mapping[str, str]) -> str:
    """A JSON text with paths replaced, also inside longer texts; the longest first."""
    if not places:
        return text
    spelt = {json.dumps(old)[1:-1]: json.dumps(new)[1:-1] for old, new in places.items()}
    for old, new in places.items():
        spelt[json.dumps(old, ensure_ascii=False)[1:-1]] = json.dumps(new, ensure_ascii=False)[1:-1]
    either = "|".join(re.escape(old) for old in sorted(spelt, key=len, reverse=True))
    return re.sub(f"({either}){PART_OF_NAME}", lambda found: spelt[found[1]], text)


# --- back home ------------------------------------------------------------------------------------


def unpack(home: Path, result: str, folder: str, places: Mapping[str, str]) -> str:
    """Put what came back where it belongs; returns the result with the paths that hold here.

    Args:
        home: the folder that HTCondor brought it to.
        folder: the attempt's own; empty if it has none.
        places: as ``Luggage`` has them.
    """
    came = home / "out"
    if folder and came.is_dir():
        if os.path.lexists(folder):
            shutil.rmtree(folder)
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        shutil.move(came, folder)
    back = {place: location for location, place in places.items()}
    if folder:
        back[f"{HERE}/out"] = folder
    return _replaced(result, back)


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
