"""Model values as CWL objects, and back.

In the model a file stands at a plain absolute path; in CWL at a percent-encoded ``file://`` URI
(CWL v1.2, CommandLineTool, section "File"). Owns that difference and nothing else: it touches no
file. What it makes is plain dicts and lists, which the library may change as it likes; digests do
not travel through CWL objects (its ``checksum`` is a SHA-1) and are put back by location.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from decimal import Decimal
from itertools import count
from os.path import splitext
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from hepflow.model.values import Directory, File, Value

CWL: TypeAlias = Any
"""A CWL object: JSON data, in which files and directories are dicts with a ``class``."""

Known: TypeAlias = MutableMapping[str, File | Directory]
"""Files and directories by the ``location`` that stands for them in CWL objects."""

LITERAL: Final = "_:"
"""How the ``location`` of what stands nowhere begins: the library tells files by it."""

_SCHEME: Final = "file://"
_serial: Final = count()


def to_uri(location: str) -> str:
    """The URI of a plain path; what is a URI already stays as it is."""
    return _SCHEME + quote(location) if location.startswith("/") else location


def to_path(uri: str) -> str:
    """The plain path a ``file://`` URI stands for; any other location stays as it is."""
    return unquote(urlsplit(uri).path) if uri.startswith(_SCHEME) else uri


def to_cwl(value: Value, known: Known | None = None) -> CWL:
    """A model value as a CWL object of its own: nothing in it is shared with the value.

    Args:
        value: any value of the model that holds no ``UNKNOWN``.
        known: where to note which file each location stands for.
    """
    kind = type(value)
    if value is None or kind is str or kind is int or kind is float or kind is bool:
        return value
    if isinstance(value, File):
        return _file(value, known)
    if isinstance(value, Directory):
        return _directory(value, known)
    if isinstance(value, Mapping):
        return {key: to_cwl(item, known) for key, item in value.items()}
    assert isinstance(value, list | tuple | range)
    return [to_cwl(item, known) for item in value]


def _file(file: File, known: Known | None) -> dict[str, CWL]:
    name = file.name
    root, extension = splitext(name)
    entry: dict[str, CWL] = {"class": "File", "basename": name}
    entry["nameroot"], entry["nameext"] = root, extension
    if file.contents is None:
        location = to_uri(file.location)
        if file.size >= 0:
            entry["size"] = file.size
    else:
        location = f"{LITERAL}{next(_serial)}"
        entry["contents"] = file.contents
        entry["size"] = len(file.contents)
        entry["basename"] = name or location[len(LITERAL) :]
    entry["location"] = location
    if file.format:
        entry["format"] = file.format
    if file.secondary:
        entry["secondaryFiles"] = [to_cwl(item, known) for item in file.secondary]
    if known is not None:
        known[location] = file
    return entry


def _directory(directory: Directory, known: Known | None) -> dict[str, CWL]:
    entry: dict[str, CWL] = {"class": "Directory", "basename": directory.name}
    if directory.listing is None:
        location = to_uri(directory.location.rstrip("/"))
    else:
        location = f"{LITERAL}{next(_serial)}"
        entry["listing"] = [to_cwl(item, known) for item in directory.listing]
    entry["location"] = location
    if known is not None:
        known[location] = directory
    return entry


def from_cwl(data: CWL, known: Mapping[str, File | Directory] | None = None) -> Value:
    """A CWL object as a model value: the inverse of :func:`to_cwl`.

    Args:
        data: JSON data; scalars and containers of the YAML library become plain ones.
        known: files whose digest (and size) is taken over where the location is the same.

    Raises:
        ValueError: a File or Directory says neither where it stands nor what it holds.
    """
    kind = type(data)
    if data is None or kind is str or kind is int or kind is float or kind is bool:
        return data  # type: ignore[no-any-return]
    if isinstance(data, Mapping):
        what = data.get("class")
        if what == "File":
            return _model_file(data, known or {})
        if what == "Directory":
            return _model_directory(data, known or {})
        return {str(key): from_cwl(item, known) for key, item in data.items()}
    if isinstance(data, list | tuple):
        return [from_cwl(item, known) for item in data]
    if kind.__name__ == "ScalarBoolean":  # the YAML library's, which is no bool
        return bool(data)
    if kind.__name__ == "ScalarFloat" and data._exp and data.is_integer():
        # A whole number written with an exponent is passed to tools without a fraction.
        return int(Decimal(repr(float(data))))
    for plain in (int, float, str):
        if isinstance(data, plain):
            return plain(data)
    raise ValueError(f"{kind.__name__} is not a value a CWL document can hold")


def _entries(
    data: Mapping[str, CWL], field: str, known: Mapping[str, File | Directory]
) -> tuple[File | Directory, ...]:
    return tuple(from_cwl(item, known) for item in data.get(field) or ())  # type: ignore[misc]


def _located(data: Mapping[str, CWL]) -> tuple[str, str]:
    """The location as CWL and as the model spell it; empty for a literal."""
    uri = str(data.get("location") or data.get("path") or "")
    return (uri, "") if uri.startswith(LITERAL) else (uri, to_path(uri))


def _model_file(data: Mapping[str, CWL], known: Mapping[str, File | Directory]) -> File:
    uri, location = _located(data)
    basename = str(data.get("basename") or "")
    if basename == location.rsplit("/", 1)[-1]:
        basename = ""
    contents = None if location else data.get("contents")
    if not location and contents is None:
        raise ValueError(f"a File has neither 'location' nor 'contents': {dict(data)!r}")
    found = known.get(uri)
    digest = found.digest if found is not None else ""
    size = int(data.get("size", -1)) if location else -1
    if found is not None and size < 0:
        size = found.size
    return File(
        location,
        digest,
        size,
        basename,
        _entries(data, "secondaryFiles", known),
        str(data.get("format") or ""),
        None if contents is None else str(contents),
    )


def _model_directory(data: Mapping[str, CWL], known: Mapping[str, File | Directory]) -> Directory:
    uri, location = _located(data)
    basename = str(data.get("basename") or "")
    if location:
        location = location.rstrip("/") or "/"
        if basename == location.rsplit("/", 1)[-1]:
            basename = ""
        found = known.get(uri.rstrip("/"))
        digest, size = (found.digest, found.size) if found is not None else ("", -1)
        return Directory(location, digest, size, basename)
    if "listing" not in data:
        raise ValueError(f"a Directory has neither 'location' nor 'listing': {dict(data)!r}")
    return Directory("", "", -1, basename, _entries(data, "listing", known))
