"""Outputs as the store keeps them: compact JSON, files with what is needed to check them cheaply.

A file below the store's folder is written with its path relative to it, so that a project can be
moved. Beside each stands its stamp (size in bytes, mtime in ns, inode) from when it was digested:
while ``stat`` says the same, nobody has to read the content again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from hepflow.model.values import Directory, File, Value, Values

Stamp: TypeAlias = tuple[int, int, int]


class Expected(NamedTuple):
    """A file that must still be as it was."""

    path: str
    stamp: Stamp
    digest: str


# json.dumps would make an encoder anew at each call with separators of one's own.
_to_text = json.JSONEncoder(separators=(",", ":")).encode

_RARE = {"x", "m", "c"}
"""Keys that few files have: secondary files, format, contents."""

_SAFE = {str, int, float, bool, type(None)}


def encode(outputs: Values, stamps: Mapping[str, Stamp], root: str) -> str:
    """Outputs as text.

    Args:
        outputs: by port.
        stamps: absolute path -> stamp, for every file that was digested.
        root: the store's folder, with a trailing slash.
    """
    return _to_text({port: _encoded(value, stamps, root) for port, value in outputs.items()})


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
        if value.format:
            entry["m"] = value.format
        if value.contents is not None:
            entry["c"] = value.contents
        return {"\0": entry}
    if isinstance(value, Directory):
        below = value.location.rstrip("/") + "/"
        inside = {
            path.removeprefix(below): stamp
            for path, stamp in stamps.items()
            if path.startswith(below) and value.listing is None
        }
        entry = {
            "p": value.location.removeprefix(root),
            "d": value.digest,
            "s": value.size,
            "t": inside,
        }
        if value.basename:
            entry["b"] = value.basename
        if value.listing is not None:
            entry["l"] = [_encoded(item, stamps, root) for item in value.listing]
        return {"\0": entry}
    if isinstance(value, Mapping):
        return {_escaped(key): _encoded(item, stamps, root) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_encoded(item, stamps, root) for item in value]
    raise TypeError(f"{type(value).__name__} cannot be stored")


def _escaped(key: str) -> str:
    """A key of somebody's data, kept apart from the mark that a file is written under."""
    return "\0" + key if key.startswith("\0") else key


def decode(text: str, root: str) -> dict[str, Value]:
    """The inverse of :func:`encode`."""
    return revive(json.loads(text), root, [])


def parse_all(texts: Sequence[str]) -> list[Mapping[str, object]]:
    """Many encoded outputs as JSON data: one call of the parser costs half of many."""
    parsed: list[Mapping[str, object]] = json.loads(f"[{','.join(texts)}]")
    return parsed


def revive(data: Mapping[str, object], root: str, expected: list[Expected]) -> dict[str, Value]:
    """Outputs from their JSON data; appends to ``expected`` every file that must be checked."""
    return {
        port: value if type(value) in _SAFE else _revived(value, root, expected)  # type: ignore[misc]
        for port, value in data.items()
    }


def _revived(data: object, root: str, expected: list[Expected]) -> Value:
    if type(data) is dict:
        entry = data.get("\0")
        if entry is None:
            return {
                key.removeprefix("\0"): _revived(item, root, expected) for key, item in data.items()
            }
        return _file(entry, root, expected) if "f" in entry else _directory(entry, root, expected)
    if type(data) is list:
        return [_revived(item, root, expected) for item in data]
    return data  # type: ignore[return-value]


def _absolute(path: str, root: str) -> str:
    """A location; one of nowhere stays empty."""
    return path if path.startswith("/") or "://" in path or not path else root + path


def _file(entry: Mapping[str, Any], root: str, expected: list[Expected]) -> File:
    location = _absolute(entry["f"], root)
    digest = entry["d"]
    stamp = entry.get("t")
    if stamp is not None:
        expected.append(Expected(location, tuple(stamp), digest))
    size, name = entry["s"], entry.get("b", "")
    if entry.keys().isdisjoint(_RARE):
        return File(location, digest, size, name)
    secondary = tuple(_revived(item, root, expected) for item in entry.get("x", ()))
    return File(location, digest, size, name, secondary, entry.get("m", ""), entry.get("c"))  # type: ignore[arg-type]


def _directory(entry: Mapping[str, Any], root: str, expected: list[Expected]) -> Directory:
    location = _absolute(entry["p"], root)
    for name, stamp in entry["t"].items():
        # A file inside has no digest of its own here: a changed stamp means a changed directory.
        expected.append(Expected(f"{location}/{name}", tuple(stamp), ""))
    listing = entry.get("l")
    if listing is not None:
        listing = tuple(_revived(item, root, expected) for item in listing)
    return Directory(location, entry["d"], entry["s"], entry.get("b", ""), listing)
