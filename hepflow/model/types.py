"""Types of ports: what a value may be, in CWL's words and short forms (``File[]``, ``int?``)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from hepflow.model.values import UNKNOWN, Directory, File, Value, from_json

NAMES: Final = ("any", "null", "boolean", "int", "float", "string", "File", "Directory", "record")
_ALIASES: Final = {
    "bool": "boolean", "integer": "int", "long": "int", "double": "float", "number": "float",
    "str": "string", "file": "File", "directory": "Directory", "dir": "Directory", "Any": "any",
    "object": "record", "dict": "record",
}  # fmt: skip
_SPELLING: Final = re.compile(r"([A-Za-z]+)((?:\[\])*)(\??)")


@dataclass(frozen=True, slots=True)
class Type:
    """The type of one port.

    Args:
        name: one of ``NAMES``, ``array`` or ``enum``.
        items: the element type of an array.
        symbols: the words of an enum.
        optional: whether ``null`` is allowed as well.
    """

    name: str = "any"
    items: Type | None = None
    symbols: tuple[str, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        mark = "?" if self.optional else ""
        if self.name == "array":
            return f"{self.items}[]{mark}"
        if self.name == "enum":
            return f"one of {', '.join(self.symbols)}{mark}"
        return self.name + mark


ANY: Final = Type()


def parse_type(text: str) -> Type:
    """Reads a short form: a name, any number of ``[]``, an optional ``?``.

    Raises:
        ValueError: with a sentence that says what is wrong and names the nearest right word.
    """
    match = _SPELLING.fullmatch(text.strip())
    name = _ALIASES.get(match[1], match[1]) if match else ""
    if match is None or name not in NAMES:
        near = get_close_matches(name or text, [*NAMES, *_ALIASES], n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(NAMES)}"
        raise ValueError(f"'{text}' is not a type{hint}")
    found = Type(name)
    for _ in range(len(match[2]) // 2):
        found = Type("array", items=found)
    return Type(found.name, found.items, found.symbols, True) if match[3] else found


def type_of(value: Value) -> Type:
    """The type a default value implies (the short form ``n: 500`` gives ``int``)."""
    if isinstance(value, bool):
        return Type("boolean")
    if isinstance(value, int):
        return Type("int")
    if isinstance(value, float):
        return Type("float")
    if isinstance(value, str):
        return Type("string")
    if isinstance(value, File):
        return Type("File")
    if isinstance(value, Directory):
        return Type("Directory")
    if isinstance(value, (list, tuple, range)):
        kinds = {type_of(item) for item in value}
        return Type("array", items=kinds.pop() if len(kinds) == 1 else ANY)
    if isinstance(value, Mapping):
        return Type("record")
    return ANY


def mismatch(value: Value, expected: Type) -> str:
    """Why a value is not of a type, as the end of a sentence; empty when it is."""
    if value is UNKNOWN or expected.name == "any" or (value is None and expected.optional):
        return ""
    name = expected.name
    if name == "array":
        if not isinstance(value, (list, tuple, range)):
            return f"takes {expected}, gets {type_of(value)}"
        assert expected.items is not None
        for position, item in enumerate(value):
            reason = mismatch(item, expected.items)
            if reason:
                return f"item {position} {reason}"
        return ""
    if name == "enum":
        if value in expected.symbols:
            return ""
        near = get_close_matches(str(value), expected.symbols, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        return f"takes {expected}, gets {value!r}{hint}"
    found = type_of(value).name if value is not None else "null"
    if found == name or (name == "float" and found == "int"):
        return ""
    return f"takes {expected}, gets {found}" + (f" {value!r}" if found != "null" else "")


def read_text(text: str, expected: Type) -> Value:
    """A value from a command line's ``name=text``, read as the port's type asks.

    Numbers, booleans, arrays and records are JSON (an array also as ``a,b,c``); files are paths.

    Raises:
        ValueError: with a sentence that says what was expected.
    """
    name = expected.name
    if name in ("string", "enum"):
        return text
    if expected.optional and text in ("", "null"):
        return None
    if name == "File":
        return File(text)
    if name == "Directory":
        return Directory(text)
    if name == "array":
        assert expected.items is not None
        if not text.lstrip().startswith("["):
            return [read_text(part, expected.items) for part in text.split(",")] if text else []
    try:
        value = from_json(json.loads(text))
    except json.JSONDecodeError:
        if name == "any":
            return text
        raise ValueError(f"takes {expected}, gets {text!r}") from None
    return as_type(value, expected)


def as_type(value: Value, expected: Type) -> Value:
    """A value adjusted to a type where nothing is lost: a path string where a file is asked for,
    an integer where a float is; anything else unchanged (``mismatch`` then tells)."""
    name = expected.name
    if isinstance(value, str) and name == "File":
        return File(value)
    if isinstance(value, str) and name == "Directory":
        return Directory(value)
    if name == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if name == "array" and isinstance(value, (list, tuple)) and expected.items is not None:
        return [as_type(item, expected.items) for item in value]
    return value
