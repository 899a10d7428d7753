"""Values that travel between steps: JSON-like data plus ``File`` and ``Directory``.

The data model is CWL's (CWL v1.2, section 2.2 "Data concepts"), the richest one in use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class File:
    """One file.

    Args:
        location: an absolute path, or a URI for what is not on this file system.
        digest: SHA-256 of the content, 64 hexadecimal digits; empty while nobody has read it.
        size: bytes; -1 while unknown.
        basename: the name a program sees; the last component of ``location`` when empty.
        secondary: files that travel with this one (an index beside its data).
        format: the identifier of its format, as an ontology writes it; empty when nobody said.
        contents: the whole text of a *literal*, a file that stands nowhere yet (its ``location`` is
            empty); ``None`` for every other file.
    """

    location: str
    digest: str = ""
    size: int = -1
    basename: str = ""
    secondary: tuple[File | Directory, ...] = ()
    format: str = ""
    contents: str | None = None

    @property
    def name(self) -> str:
        return self.basename or self.location.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory; ``digest`` covers the relative names and contents of all files below it.

    Args:
        listing: what a *literal* holds, a directory that stands nowhere yet (its ``location`` is
            empty): each entry under its ``name``. ``None`` for every other directory.
    """

    location: str
    digest: str = ""
    size: int = -1
    basename: str = ""
    listing: tuple[File | Directory, ...] | None = None

    @property
    def name(self) -> str:
        return self.basename or self.location.rstrip("/").rsplit("/", 1)[-1]


class Unknown:
    """The one placeholder for a value that planning cannot know because nothing was executed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()

Value: TypeAlias = (
    "bool | int | float | str | File | Directory | Unknown"
    " | Sequence[Value] | Mapping[str, Value] | None"
)
Values: TypeAlias = Mapping[str, Value]

LONG_ARRAY: Final = 64
"""Arrays longer than this appear in a fingerprint by the digest of their content only."""


def canonical(value: Value, shorten: Callable[[str], str] | None = None) -> str:
    """The one spelling of a value that enters a fingerprint: equal content, equal text.

    Files appear by digest and name, never by location, so that moving a project changes nothing.

    Args:
        value: what to spell.
        shorten: replaces the text of an array longer than ``LONG_ARRAY`` (by its digest).

    Raises:
        TypeError: the value is not of the data model (a bug of a language, not of a user).
    """
    kind = type(value)
    if kind is str:
        return encode_basestring_ascii(value)  # type: ignore[arg-type]
    if kind is int or kind is float:
        return repr(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if isinstance(value, File):
        if value.contents is not None:
            text = f"text:{encode_basestring_ascii(value.contents)}"
        else:
            text = f"file:{value.digest}"
        text += f":{encode_basestring_ascii(value.name)}"
        if value.format:
            text += f":{encode_basestring_ascii(value.format)}"
        if value.secondary:
            text += "+" + canonical(list(value.secondary))
        return text
    if isinstance(value, Directory):
        name = encode_basestring_ascii(value.name)
        if value.listing is not None:
            return f"listing:{name}{canonical(list(value.listing))}"
        return f"dir:{value.digest}:{name}"
    if isinstance(value, Mapping):
        items = sorted(value.items())
        return (
            "{" + ",".join(f"{encode_basestring_ascii(k)}:{canonical(v)}" for k, v in items) + "}"
        )
    if isinstance(value, (list, tuple, range)):
        text = "[" + ",".join([canonical(item) for item in value]) + "]"
        return shorten(text) if shorten is not None and len(value) > LONG_ARRAY else text
    raise TypeError(f"{kind.__name__} is not a value hepflow can pass between steps")


def is_unknown(value: Value) -> bool:
    """Whether a value is, or holds anywhere inside, the placeholder of planning."""
    if value is UNKNOWN:
        return True
    if isinstance(value, (list, tuple)):
        return any(is_unknown(item) for item in value)
    if isinstance(value, Mapping):
        return any(is_unknown(item) for item in value.values())
    return False


def files_in(value: Value) -> Iterator[File | Directory]:
    """Every file and directory a value holds, in order, secondary files after their own and what a
    literal directory lists after it."""
    if isinstance(value, File):
        yield value
        for other in value.secondary:
            yield from files_in(other)
    elif isinstance(value, Directory):
        yield value
        for other in value.listing or ():
            yield from files_in(other)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from files_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from files_in(item)


def to_json(value: Value) -> object:
    """A value as plain JSON data, files as CWL spells them (``class``, ``location``, ``checksum``)."""
    if isinstance(value, File):
        entry: dict[str, object] = {"class": "File"}
        if value.location:
            entry["location"] = value.location
        entry["basename"] = value.name
        if value.contents is not None:
            entry["contents"] = value.contents
        if value.format:
            entry["format"] = value.format
        if value.size >= 0:
            entry["size"] = value.size
        if value.digest:
            entry["checksum"] = f"sha256${value.digest}"
        if value.secondary:
            entry["secondaryFiles"] = [to_json(item) for item in value.secondary]
        return entry
    if isinstance(value, Directory):
        entry = {"class": "Directory"}
        if value.location:
            entry["location"] = value.location
        entry["basename"] = value.name
        if value.listing is not None:
            entry["listing"] = [to_json(item) for item in value.listing]
        if value.digest:
            entry["checksum"] = f"sha256${value.digest}"
        return entry
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [to_json(item) for item in value]
    if value is UNKNOWN:
        return {"class": "Unknown"}
    return value


def _entries(data: Sequence[object]) -> tuple[File | Directory, ...]:
    return tuple(from_json(item) for item in data)  # type: ignore[misc]


def from_json(data: object) -> Value:
    """The inverse of :func:`to_json`; plain data passes through unchanged."""
    if isinstance(data, dict):
        kind = data.get("class")
        if kind == "File" or kind == "Directory":
            location = data.get("location") or data.get("path") or ""
            digest = str(data.get("checksum", ""))
            digest = digest.removeprefix("sha256$") if digest.startswith("sha256$") else ""
            basename = data.get("basename", "")
            basename = "" if location.rstrip("/").rsplit("/", 1)[-1] == basename else basename
            size = data.get("size", -1)
            if kind == "Directory":
                listing = None if location else _entries(data.get("listing", ()))
                return Directory(location, digest, size, basename, listing)
            secondary = _entries(data.get("secondaryFiles", ()))
            contents = None if location else data.get("contents")
            return File(
                location, digest, size, basename, secondary, data.get("format", ""), contents
            )
        return {key: from_json(item) for key, item in data.items()}
    if isinstance(data, list):
        return [from_json(item) for item in data]
    return data  # type: ignore[return-value]
