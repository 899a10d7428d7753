"""What a program reads: the API's records as JSON, fields and properties under their own names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Final

import click

from hepflow.model.types import Type
from hepflow.model.values import Directory, File, Unknown, to_json

READABLE: Final = 200_000
_PLAIN: Final = (str, int, float, bool)
_known: Final[dict[type, tuple[str, ...]]] = {}


def emit(record: object) -> None:
    """Prints a record as JSON, indented unless it is too long for anybody to read."""
    data = plain(record)
    text = json.dumps(data, ensure_ascii=False)
    if len(text) < READABLE:
        text = json.dumps(data, indent=2, ensure_ascii=False)
    click.echo(text)


def plain(record: object) -> object:
    """A record as plain data: states by their word, files as CWL spells them, paths as text."""
    if record is None or isinstance(record, _PLAIN):
        return record
    if isinstance(record, tuple) and hasattr(record, "_fields"):
        return {name: plain(getattr(record, name)) for name in _names(type(record))}
    if isinstance(record, (list, tuple, range, set, frozenset)):
        return [plain(item) for item in record]
    if isinstance(record, Mapping):
        return {str(key): plain(item) for key, item in record.items()}
    if isinstance(record, (File, Directory, Unknown)):
        return to_json(record)
    if isinstance(record, Enum):
        return record.value if isinstance(record.value, str) else record.name.lower()
    if is_dataclass(record) and not isinstance(record, Type):
        return {name: plain(getattr(record, name)) for name in _names(type(record))}
    return str(record)


def _names(kind: type) -> tuple[str, ...]:
    """A record type's fields and properties; looked up once, for there may be 100,000 records."""
    if kind not in _known:
        properties = (name for name, item in vars(kind).items() if isinstance(item, property))
        own = [item.name for item in fields(kind)] if is_dataclass(kind) else kind._fields  # type: ignore[attr-defined]
        _known[kind] = (*own, *properties)
    return _known[kind]
