"""Results going out: a run's outputs under their own names, where a person looks for them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from hepflow.model.errors import StoreError
from hepflow.model.values import Directory, File, Value, Values, files_in, to_json

LISTING: Final = "outputs.json"

MANY: Final = 1000
"""Files from which on the listing is written for speed rather than for the eye."""

_LOCATION: Final = re.compile(r'"location": ("(?:[^"\\]|\\.)*")')
"""A file in a listing, with characters that JSON escapes."""


def publish(outputs: Values, folder: Path) -> dict[str, Value]:
    """Places a run's output files in a folder, and ``outputs.json`` beside them.

    A file keeps its own name when it is the only one that has it, else its port's name leads; an
    array of files becomes a folder named after the port. What lies in a directory that an earlier
    output is, is published there and not once more. Files are hard links where the file system
    allows, else copies; each appears whole or not at all. What an earlier run placed here is
    replaced; what somebody else did is not touched.

    Returns the outputs with their new locations.

    Raises:
        StoreError: the folder cannot be written, or a file of somebody else's is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            return _Publisher(str(folder)).publish(outputs)
    except OSError as error:
        raise StoreError.of(
            "HF508", f"the results cannot be written: {error.strerror}", where=str(folder),
            why=f"{error.filename or folder}",
            fix="make the folder writable or name another with --publish; then 'hepflow resume'",
        ) from error  # fmt: skip


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Lets one process at a time publish into a folder: another would take what this one has just
    placed, and not yet listed, for somebody else's."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks: as well as it can be there
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class _Publisher:
    """Paths are plain strings here: a run may publish 100,000 files, and a Path costs 10 us."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._earlier = _placed_before(folder)
        self._placed: set[str] = {f"{folder}/{LISTING}"}
        self._directories: dict[str, str] = {}

    def publish(self, outputs: Values) -> dict[str, Value]:
        published = {
            port: self._value(value, port, self._folder) for port, value in outputs.items()
        }
        for stale in self._earlier - self._placed:
            _remove(stale)
        fresh = f"{self._folder}/.{LISTING}.new"
        with open(fresh, "w", encoding="utf-8") as file:
            file.write(_listing(published, len(self._placed)))
        os.replace(fresh, f"{self._folder}/{LISTING}")
        return published

    def _value(self, value: Value, port: str, folder: str, name: str = "") -> Value:
        if isinstance(value, (File, Directory)):
            return value if "://" in value.location else self._place(value, port, folder, name)
        if isinstance(value, Mapping):
            return {key: self._value(item, f"{port}-{key}", folder) for key, item in value.items()}
        if isinstance(value, (list, tuple)) and any(True for _ in files_in(value)):
            return self._array(value, f"{folder}/{port}")
        return value

    def _array(self, values: Sequence[Value], folder: str) -> Value:
        if all(self._in_directory(file) for file in files_in(values)):
            return [self._value(item, str(index), folder) for index, item in enumerate(values)]
        os.makedirs(folder, exist_ok=True)
        names = [item.name if isinstance(item, (File, Directory)) else "" for item in values]
        distinct = len(set(names)) == len(names)
        there, device = _inodes(folder), os.stat(folder).st_dev
        placed: list[Value] = []
        for index, (item, own) in enumerate(zip(values, names, strict=True)):
            name = own if distinct else f"{index}-{own}"
            target = f"{folder}/{name}"
            if (
                type(item) is File
                and item.contents is None
                and not item.secondary
                and target in self._earlier
            ):
                # The usual case of a run that had nothing to do: the very file is there already.
                facts = os.stat(item.location)
                if there.get(name) == facts.st_ino and device == facts.st_dev:
                    self._placed.add(target)
                    placed.append(File(target, item.digest, item.size, "", (), item.format))
                    continue
            placed.append(self._value(item, str(index), folder, name))
        return placed

    def _place(self, value: File | Directory, port: str, folder: str, name: str) -> Value:
        there = self._in_directory(value)
        if there:
            self._placed.add(there)
            return replace(value, location=there, basename="")
        target = f"{folder}/{name or value.name}"
        count = 0
        while target in self._placed:
            target = (
                f"{folder}/{port}-{value.name}"
                if not count
                else f"{folder}/{port}-{count}-{value.name}"
            )
            count += 1
        self._placed.add(target)
        if isinstance(value, Directory):
            if value.listing is None:
                self._place_directory(value.location, target)
                self._directories[value.location.rstrip("/")] = target
            else:
                self._make_directory(value.listing, port, target)
            return Directory(target, value.digest, value.size)
        if value.contents is None:
            self._place_file(value.location, target)
        else:
            self._write(value.contents, target)
        secondary = tuple(self._value(item, port, folder) for item in value.secondary)
        return File(target, value.digest, value.size, "", secondary, value.format)  # type: ignore[arg-type]

    def _in_directory(self, value: File | Directory) -> str:
        """Where something is as part of a directory that was placed; empty where it is not."""
        if not self._directories or (isinstance(value, File) and value.secondary):
            return ""
        location = value.location.rstrip("/")
        head = location.rpartition("/")[0]
        while head and head not in self._directories:
            head = head.rpartition("/")[0]
        return f"{self._directories[head]}{location[len(head) :]}" if head else ""

    def _place_file(self, source: str, target: str) -> None:
        if target in self._earlier:
            if _is_same(source, target):
                return
        else:
            self._refuse_foreign(target)
        head, _, tail = target.rpartition("/")
        fresh = f"{head}/.{tail}.new"
        _unlink(fresh)
        _link_or_copy(source, fresh)
        os.replace(fresh, target)

    def _write(self, text: str, target: str) -> None:
        if target not in self._earlier:
            self._refuse_foreign(target)
        head, _, tail = target.rpartition("/")
        fresh = f"{head}/.{tail}.new"
        with open(fresh, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(fresh, target)

    def _make_directory(self, listing: Sequence[File | Directory], port: str, target: str) -> None:
        """A directory that stands nowhere yet, from what it is to hold."""
        if target in self._earlier:
            _remove(target)
        self._refuse_foreign(target)
        os.makedirs(target)
        for item in listing:
            self._value(item, port, target, item.name)

    def _place_directory(self, source: str, target: str) -> None:
        if target in self._earlier:
            if _is_same_tree(source, target):
                return
            _remove(target)
        self._refuse_foreign(target)
        shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy)

    def _refuse_foreign(self, target: str) -> None:
        if os.path.lexists(target):
            raise StoreError.of(
                "HF509", f"{target} is in the way: hepflow did not write it",
                fix="move it away or name another folder with --publish; then 'hepflow resume'",
            )  # fmt: skip


def _listing(published: Values, files: int) -> str:
    """The outputs as JSON, for people; when there are many, as the fast encoder can: it knows no
    indent, but any separator."""
    if files < MANY:
        return json.dumps(to_json(published), indent=2) + "\n"
    return json.dumps(to_json(published), separators=(",\n  ", ": ")) + "\n"


def _placed_before(folder: str) -> set[str]:
    """What the last run placed here, by its own listing."""
    try:
        with open(f"{folder}/{LISTING}", encoding="utf-8") as file:
            text = file.read()
    except (OSError, ValueError):
        return set()
    # Reading just the locations takes a tenth of the time of reading all.
    spelled = {part.partition('"')[0] for part in text.split(f'"location": "{folder}/')[1:]}
    if "\\" in text:
        spelled = set(json.loads(f"[{','.join(_LOCATION.findall(text))}]"))
        return {location for location in spelled if location.startswith(f"{folder}/")}
    return {f"{folder}/{name}" for name in spelled}


def _inodes(folder: str) -> dict[str, int]:
    """What lies in a folder, by name; one call of the system for many files."""
    with os.scandir(folder) as entries:
        return {entry.name: entry.inode() for entry in entries}


def _is_same(source: str, target: str) -> bool:
    try:
        here, there = os.lstat(target), os.stat(source)
        return here.st_ino == there.st_ino and here.st_dev == there.st_dev
    except OSError:
        return False


def _is_same_tree(source: str, target: str) -> bool:
    """Whether a directory holds the very files of another, and nothing else."""
    try:
        with os.scandir(source) as here, os.scandir(target) as there:
            ours, theirs = ({entry.name: entry for entry in found} for found in (here, there))
    except OSError:
        return False
    if ours.keys() != theirs.keys():
        return False
    for name, entry in ours.items():
        other = theirs[name]
        if entry.is_dir(follow_symlinks=False):
            if not _is_same_tree(entry.path, other.path):
                return False
        elif entry.is_symlink() or not _is_same(entry.path, other.path):
            return False  # links are few, and made anew in no time
    return True


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        _unlink(path)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
