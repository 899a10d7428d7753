"""The outputs of a run as a CWL runner hands them over: files in one folder, and the output object.

Owns the rules of the output folder (CWL leaves them to the runner; these are the reference
runner's) and the JSON that goes to standard output. Knows values and files, no process.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hepflow.model.errors import StoreError
from hepflow.model.values import Directory, File, Value, Values
from hepflow_cwl.values import to_uri


class Delivery(Enum):
    """What happens to a run's output files when it has succeeded."""

    LINK = "move"
    """They appear in the output folder as hard links where the file system allows, else as copies."""
    COPY = "copy"
    """They are copied there."""
    LEAVE = "leave"
    """They stay where the tasks left them."""


def deliver(outputs: Values, folder: str, store: str, how: Delivery) -> dict[str, Value]:
    """Places output files in a folder, each under its own name.

    Secondary files stand beside their file. Of two files with one name the second is called
    ``name_2``; one file in two outputs is there once. Files that an earlier run left there are
    replaced, directories are merged. Literals are written. No link leads out of the folder.

    Args:
        folder: made when it is not there.
        store: only what lies below it is hard linked; of others' files there are copies.

    Returns the outputs with their new locations.

    Raises:
        StoreError: the folder cannot be written.
    """
    if how is Delivery.LEAVE:
        return dict(outputs)
    place = os.path.realpath(folder)
    placer = _Placer(f"{os.path.realpath(store)}/" if how is Delivery.LINK else "")
    try:
        os.makedirs(place, exist_ok=True)
        return {port: placer.value(value, place) for port, value in outputs.items()}
    except OSError as error:
        raise StoreError.of(
            "HF508", f"the outputs cannot be written: {error.strerror}", where=folder,
            why=f"{error.filename or folder}",
            fix="make the folder writable or name another with --outdir",
        ) from error  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Placer:
    """What was placed so far.

    Args:
        linked: the beginning of the paths that may be linked; empty for none.
        targets: source -> where it was placed; a literal's source is its identity.
        taken: the paths in the output folder that this run has used.
    """

    linked: str
    targets: dict[str | int, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def value(self, value: Value, folder: str) -> Value:
        if isinstance(value, File):
            return self._file(value, folder)
        if isinstance(value, Directory):
            return self._directory(value, folder)
        if isinstance(value, Mapping):
            return {key: self.value(item, folder) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, folder) for item in value]
        return value

    def _file(self, file: File, folder: str) -> File:
        if "://" in file.location:
            return file
        target, new = self._target(file, folder)
        if new and file.contents is not None:
            _write(file.contents, target)
        elif new:
            self._place(file.location, target)
        secondary = tuple(self.value(item, folder) for item in file.secondary)
        return File(target, file.digest, file.size, "", secondary, file.format)  # type: ignore[arg-type]

    def _directory(self, directory: Directory, folder: str) -> Directory:
        if "://" in directory.location:
            return directory
        target, new = self._target(directory, folder)
        if new and directory.listing is None:
            self._tree(directory.location, target)
        elif new:
            os.makedirs(target, exist_ok=True)
            for item in directory.listing or ():
                self.value(item, target)
        return Directory(target, directory.digest, directory.size)

    def _target(self, entry: File | Directory, folder: str) -> tuple[str, bool]:
        """Where an entry goes, and whether it is not there yet."""
        source = os.path.realpath(entry.location) if entry.location else id(entry)
        if source in self.targets:
            return self.targets[source], False
        target, number = f"{folder}/{entry.name}", 1
        while target in self.taken:
            number += 1
            target = f"{folder}/{entry.name}_{number}"
        self.taken.add(target)
        self.targets[source] = target
        return target, True

    def _tree(self, source: str, target: str) -> None:
        os.makedirs(target, exist_ok=True)
        with os.scandir(source) as entries:
            for entry in entries:
                if entry.is_dir():
                    self._tree(entry.path, f"{target}/{entry.name}")
                else:
                    self._place(entry.path, f"{target}/{entry.name}")

    def _place(self, source: str, target: str) -> None:
        """One file; beside its name first, so that whoever reads the old one is not disturbed."""
        origin = os.path.realpath(source)
        if origin == target:
            return
        fresh = _fresh(target)
        try:
            if not self.linked or not origin.startswith(self.linked):
                raise PermissionError
            os.link(origin, fresh)
        except OSError:
            shutil.copy2(origin, fresh)
        os.replace(fresh, target)
        if os.path.lexists(fresh):  # both were the same file already: then a rename does nothing
            os.unlink(fresh)


def _fresh(target: str) -> str:
    folder, _, name = target.rpartition("/")
    fresh = f"{folder}/.{name}.new"
    if os.path.lexists(fresh):
        os.unlink(fresh)
    return fresh


def _write(text: str, target: str) -> None:
    fresh = _fresh(target)
    with open(fresh, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(fresh, target)


def output_object(outputs: Values, *, checksums: bool = True) -> dict[str, Any]:
    """The outputs as the JSON object that a CWL runner prints (CWL v1.2, "Executing CWL documents").

    Args:
        outputs: with the locations they were delivered to.
        checksums: compute the SHA-1 of every file.
    """
    return {port: _plain(value, checksums) for port, value in outputs.items()}


def _plain(value: Value, checksums: bool) -> Any:
    if isinstance(value, File):
        return _plain_file(value, checksums)
    if isinstance(value, Directory):
        return _plain_directory(value, checksums)
    if isinstance(value, Mapping):
        return {key: _plain(item, checksums) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(item, checksums) for item in value]
    return value


def _plain_file(file: File, checksums: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"class": "File", **_place_of(file)}
    if file.contents is not None:
        entry["contents"] = file.contents
    elif "://" not in file.location:
        entry["size"] = os.stat(file.location).st_size
        if checksums:
            entry["checksum"] = f"sha1${_sha1(file.location)}"
    if file.format:
        entry["format"] = file.format
    if file.secondary:
        entry["secondaryFiles"] = [_plain(item, checksums) for item in file.secondary]
    return entry


def _plain_directory(directory: Directory, checksums: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"class": "Directory", **_place_of(directory)}
    if directory.listing is not None:
        entry["listing"] = [_plain(item, checksums) for item in directory.listing]
    elif "://" not in directory.location:
        entry["listing"] = [_plain(item, checksums) for item in _entries(directory.location)]
    return entry


def _place_of(entry: File | Directory) -> dict[str, str]:
    found = {"location": to_uri(entry.location)} if entry.location else {}
    found["basename"] = entry.name
    if entry.location.startswith("/"):
        found["path"] = entry.location
    return found


def _entries(folder: str) -> list[File | Directory]:
    with os.scandir(folder) as entries:
        return [
            Directory(entry.path) if entry.is_dir() else File(entry.path)
            for entry in sorted(entries, key=lambda entry: entry.name)
        ]


def _sha1(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
