"""Results going out: a run's outputs under their own names, where a person looks for them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from hepflow.model.errors import StoreError
from hepflow.model.values import Directory, File, Value, Values, files_in, from_json, to_json

LISTING: Final = "outputs.json"


def publish(outputs: Values, folder: Path) -> dict[str, Value]:
    """Places a run's output files in a folder, and ``outputs.json`` beside them.

    A file keeps its own name when it is the only one that has it, else its port's name leads; an
    array of files becomes a folder named after the port. Files are hard links where the file system
    allows, else copies; each appears whole or not at all. What an earlier run placed here is
    replaced; what somebody else did is not touched.

    Returns the outputs with their new locations.

    Raises:
        StoreError: the folder cannot be written, or a file of somebody else's is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _Publisher(str(folder)).publish(outputs)
    except OSError as error:
        raise StoreError.of(
            "HF508", f"the results cannot be written: {error.strerror}", where=str(folder),
            why=f"{error.filename or folder}",
            fix="make the folder writable or name another with --publish; then 'hepflow resume'",
        ) from error  # fmt: skip


class _Publisher:
    """Paths are plain strings here: a run may publish 100,000 files, and a Path costs 10 us."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._earlier = _placed_before(folder)
        self._placed: set[str] = {f"{folder}/{LISTING}"}

    def publish(self, outputs: Values) -> dict[str, Value]:
        published = {
            port: self._value(value, port, self._folder) for port, value in outputs.items()
        }
        for stale in self._earlier - self._placed:
            _remove(stale)
        fresh = f"{self._folder}/.{LISTING}.new"
        with open(fresh, "w", encoding="utf-8") as file:
            file.writelines(_listing(published))
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
        os.makedirs(folder, exist_ok=True)
        names = [item.name if isinstance(item, (File, Directory)) else "" for item in values]
        distinct = len(set(names)) == len(names)
        return [
            self._value(item, str(index), folder, name if distinct else f"{index}-{name}")
            for index, (item, name) in enumerate(zip(values, names, strict=True))
        ]

    def _place(self, value: File | Directory, port: str, folder: str, name: str) -> Value:
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
            self._place_directory(value.location, target)
            return Directory(target, value.digest, value.size)
        self._place_file(value.location, target)
        if not value.secondary:
            return File(target, value.digest, value.size)
        secondary = tuple(self._value(item, port, folder) for item in value.secondary)
        return replace(value, location=target, basename="", secondary=secondary)  # type: ignore[arg-type]

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

    def _place_directory(self, source: str, target: str) -> None:
        if target in self._earlier:
            _remove(target)
        self._refuse_foreign(target)
        shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy)

    def _refuse_foreign(self, target: str) -> None:
        if os.path.lexists(target):
            raise StoreError.of(
                "HF509", f"{target} is in the way: hepflow did not write it",
                fix="move it away or name another folder with --publish; then 'hepflow resume'",
            )  # fmt: skip


def _listing(published: Values) -> Iterator[str]:
    """The outputs as JSON, a line each and a line an element: the fast encoder knows no indent."""
    lead = "{\n"
    for port, value in published.items():
        yield f"{lead}  {json.dumps(port)}: "
        if isinstance(value, list):
            yield "[\n    " + ",\n    ".join(json.dumps(to_json(item)) for item in value) + "\n  ]"
        else:
            yield json.dumps(to_json(value))
        lead = ",\n"
    yield "\n}\n" if published else "{}\n"


def _placed_before(folder: str) -> set[str]:
    """What the last run placed here, by its own listing."""
    try:
        with open(f"{folder}/{LISTING}", encoding="utf-8") as file:
            listing = from_json(json.load(file))
    except (OSError, ValueError):
        return set()
    return {item.location for item in files_in(listing) if item.location.startswith(f"{folder}/")}


def _is_same(source: str, target: str) -> bool:
    try:
        return os.path.samestat(os.lstat(target), os.stat(source))
    except OSError:
        return False


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
