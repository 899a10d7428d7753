"""Outputs as the store keeps them: compact JSON, files with what is needed to check them cheaply.

A file below the store's folder is written with its path relative to it, so that a project can be
moved. Beside each stands its stamp (size in bytes, mtime in ns, inode) from when it was digested:
while ``stat`` says the same, nobody has to read the content again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias, cast

from hepflow.model.values import Directory, File, Value, Values

Stamp: TypeAlias = tuple[int, int, int]


class Expected(NamedTuple):
    """A file that must still be as it was."""

    path: str
    stamp: Stamp
    digest: str


_SAFE = {str, int, float, bool, type(None)}


def encode(outputs: Values, stamps: Mapping[str, Stamp], root: str) -> str:
    """Outputs as text.

    Args:
        outputs: by port.
        stamps: absolute path -> stamp, for every file that was digested.
        root: the store's folder, with a trailing slash.
    """
    return json.dumps(
        {port: _encoded(value, stamps, root) for port, value in outputs.items()},
        separators=(",", ":"),
    )


def _encoded(value: Value, stamps: Mapping[str, Stamp], root: str) -> object:
    if type(value) in _SAFE:
        return value
    if isinstance(value, File):
        entry: dict[str, object] = {
            "f": value.location.removeprefix(root), "d": value.digest, "s": value.size,
        }  # fmt: skip
        if value.location in stamps:
            entry["t"] = stamps[value.location]
        if value.basename:
            entry["b"] = value.basename
        if value.secondary:
            entry["x"] = [_encoded(item, stamps, root) for item in value.secondary]
        return {"\0": entry}
    if isinstance(value, Directory):
        below = value.location.rstrip("/") + "/"
        inside = {
            path.removeprefix(below): stamp
            for path, stamp in stamps.items()
            if path.startswith(below)
        }
        entry = {
            "p": value.location.removeprefix(root),
            "d": value.digest,
            "s": value.size,
            "t": inside,
        }
        if value.basename:
            entry["b"] = value.basename
        return {"\0": entry}
    if isinstance(value, Mapping):
        return {key: _encoded(item, stamps, root) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_encoded(item, stamps, root) for item in value]
    raise TypeError(f"{type(value).__name__} cannot be stored")


def decode(text: str, root: str, expected: list[Expected] | None = None) -> dict[str, Value]:
    """The inverse of :func:`encode`; appends to ``expected`` every file that must be checked."""
    data = json.loads(text)
    return {port: _decoded(value, root, expected) for port, value in data.items()}


def _decoded(data: object, root: str, expected: list[Expected] | None) -> Value:
    if type(data) is dict:
        entry = data.get("\0")
        if entry is None:
            return {key: _decoded(item, root, expected) for key, item in data.items()}
        return _file(entry, root, expected) if "f" in entry else _directory(entry, root, expected)
    if type(data) is list:
        return [_decoded(item, root, expected) for item in data]
    return data  # type: ignore[return-value]


def _absolute(path: str, root: str) -> str:
    return path if path.startswith("/") or "://" in path else root + path


def _file(entry: Mapping[str, object], root: str, expected: list[Expected] | None) -> File:
    location = _absolute(str(entry["f"]), root)
    digest = str(entry["d"])
    if expected is not None and "t" in entry:
        size, mtime, inode = cast(Stamp, entry["t"])
        expected.append(Expected(location, (size, mtime, inode), digest))
    extra = entry.get("x")
    secondary = (
        tuple(_decoded(item, root, expected) for item in extra) if isinstance(extra, list) else ()
    )
    return File(location, digest, entry["s"], str(entry.get("b", "")), secondary)  # type: ignore[arg-type]


def _directory(
    entry: Mapping[str, object], root: str, expected: list[Expected] | None
) -> Directory:
    location = _absolute(str(entry["p"]), root)
    inside = entry.get("t")
    if expected is not None and isinstance(inside, dict):
        for name, (size, mtime, inode) in inside.items():
            # A file inside has no digest of its own here: a changed stamp means a changed directory.
            expected.append(Expected(f"{location}/{name}", (size, mtime, inode), ""))
    return Directory(location, str(entry["d"]), entry["s"], str(entry.get("b", "")))  # type: ignore[arg-type]
