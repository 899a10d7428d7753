"""Results going out: a run's outputs under their own names, where a person looks for them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
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
        return _Publisher(folder).publish(outputs)
    except OSError as error:
        raise StoreError.of(
            "HF508", f"the results cannot be written: {error.strerror}", where=str(folder),
            why=f"{error.filename or folder}",
            fix="make the folder writable or name another with --publish; then 'hepflow resume'",
        ) from error  # fmt: skip


class _Publisher:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._earlier = _placed_before(folder)
        self._placed: set[Path] = {folder / LISTING}

    def publish(self, outputs: Values) -> dict[str, Value]:
        published = {port: self._value(value, port, self._folder) for port, value in outputs.items()}
        for stale in self._earlier - self._placed:
            _remove(stale)
        text = json.dumps({port: to_json(value) for port, value in published.items()}, indent=2)
        fresh = self._folder / f".{LISTING}.new"
        fresh.write_text(text + "\n", encoding="utf-8")
        fresh.replace(self._folder / LISTING)
        return published

    def _value(self, value: Value, port: str, folder: Path, name: str = "") -> Value:
        if isinstance(value, (File, Directory)):
            return value if "://" in value.location else self._place(value, port, folder, name)
        if isinstance(value, Mapping):
            return {key: self._value(item, f"{port}-{key}", folder) for key, item in value.items()}
        if isinstance(value, (list, tuple)) and any(True for _ in files_in(value)):
            return self._array(value, folder / port)
        return value

    def _array(self, values: Sequence[Value], folder: Path) -> Value:
        folder.mkdir(parents=True, exist_ok=True)
        names = [item.name if isinstance(item, (File, Directory)) else "" for item in values]
        distinct = len(set(names)) == len(names)
        return [
            self._value(item, str(index), folder, name if distinct else f"{index}-{name}")
            for index, (item, name) in enumerate(zip(values, names, strict=True))
        ]

    def _place(self, value: File | Directory, port: str, folder: Path, name: str) -> Value:
        target = folder / (name or value.name)
        count = 0
        while target in self._placed:
            target = folder / (f"{port}-{value.name}" if not count else f"{port}-{count}-{value.name}")
            count += 1
        self._placed.add(target)
        if isinstance(value, Directory):
            self._place_directory(Path(value.location), target)
            return replace(value, location=str(target), basename="")
        self._place_file(value.location, target)
        secondary = tuple(self._value(item, port, folder) for item in value.secondary)
        return replace(value, location=str(target), basename="", secondary=secondary)  # type: ignore[arg-type]

    def _place_file(self, source: str, target: Path) -> None:
        self._refuse_foreign(target)
        fresh = target.with_name(f".{target.name}.new")
        fresh.unlink(missing_ok=True)
        _link_or_copy(source, str(fresh))
        fresh.replace(target)

    def _place_directory(self, source: Path, target: Path) -> None:
        self._refuse_foreign(target)
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy)

    def _refuse_foreign(self, target: Path) -> None:
        if target not in self._earlier and os.path.lexists(target):
            raise StoreError.of(
                "HF509", f"{target} is in the way: hepflow did not write it",
                fix="move it away or name another folder with --publish; then 'hepflow resume'",
            )  # fmt: skip


def _placed_before(folder: Path) -> set[Path]:
    """What the last run placed here, by its own listing."""
    try:
        listing = from_json(json.loads((folder / LISTING).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return set()
    found = {Path(item.location) for item in files_in(listing)}
    return {path for path in found if path.is_relative_to(folder)}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
