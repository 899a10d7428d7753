"""A piece of JavaScript with what is known of its value, and the refusal of what cannot be one."""

from __future__ import annotations

import json
import math
import re
from typing import Final, NamedTuple

from hepflow.model.errors import Place
from hepflow.model.types import Type
from hepflow.model.values import Directory, File, Value

from .export_types import BOOLEAN, FLOAT, INT, STRING, join, numbers, of_value, required

LARGEST_WHOLE: Final = 2**53 - 1
"""Beyond it JavaScript's numbers are no longer every whole number."""

SAY_TYPE: Final = "say its type where it is made, such as 'type: float', 'int' or 'float[]'"
_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class Refused(ValueError):
    """What cannot be written in the other language faithfully: what, what to do, and where."""

    def __init__(self, what: str, fix: str, place: Place | None = None) -> None:
        super().__init__(what)
        self.fix = fix
        self.place = place


class Js(NamedTuple):
    """A JavaScript expression.

    Args:
        code: as it stands inside others, in parentheses where need be.
        type: of its value.
        sound: whole numbers in it are known to be exact.
        spelt: code for the same value with every float marked, so that it is spelled as one; empty
            where it follows from the type, or (numbers of unknown kind) cannot be had.
    """

    code: str
    type: Type
    sound: bool = False
    spelt: str = ""

    @property
    def kind(self) -> str:
        """``int``, ``float``, ``string`` and so on, where it cannot be null; else empty."""
        return "" if self.type.optional else self.type.name

    @property
    def whole(self) -> str:
        """Code of a whole number that is exact or fails."""
        return self.code if self.sound else f"hep.integer({self.code})"

    @property
    def number(self) -> str:
        """Code for a place where numbers are compared or computed with."""
        return self.whole if self.kind == "int" else self.code

    @property
    def is_number(self) -> bool:
        return self.kind in ("int", "float")

    @property
    def is_text(self) -> bool:
        return self.kind in ("string", "enum")

    @property
    def truth(self) -> str:
        """Code for whether Python takes it for true."""
        if self.kind == "boolean":
            return self.code
        if self.is_number:
            return f"({self.code} !== 0)"
        if self.is_text:
            return f'({self.code} !== "")'
        return f"hep.truth({self.code})"

    @property
    def text(self) -> str:
        """Code of a text, where it must be one."""
        return self.code if self.is_text else f"hep.string({self.code})"

    @property
    def spellable(self) -> str:
        """Code for the value where it becomes part of a text.

        Raises:
            Refused: it may hold numbers, and nobody knows whether ints or floats.
        """
        if self.spelt:
            return self.spelt
        kind = numbers(self.type)
        if kind == "unknown":
            raise Refused("a number may come here, and whether int or float is not known", SAY_TYPE)
        return f"hep.float({self.code})" if kind == "float" else self.code

    @property
    def result(self) -> str:
        """Code for the value where it leaves JavaScript: what JSON cannot hold fails."""
        kind = numbers(self.type)
        if kind == "none" or (kind == "int" and self.sound):
            return self.code
        if self.kind == "int":
            return self.whole
        return f"hep.finite({self.code})" if kind == "float" else f"hep.exact({self.code})"


def quoted(text: str) -> str:
    """A text as a JavaScript literal."""
    return json.dumps(text)


def member(of: str, name: str) -> str:
    """Code for a property of an object."""
    return f"{of}.{name}" if _NAME.fullmatch(name) else f"{of}[{quoted(name)}]"


def literal(value: Value) -> Js:
    """A constant.

    Raises:
        Refused: JavaScript cannot hold it, or it is a file.
    """
    if isinstance(value, str):
        return Js(quoted(str(value)), STRING)
    if value is None or isinstance(value, bool):
        return Js(json.dumps(value), BOOLEAN if value is not None else of_value(None))
    if isinstance(value, int):
        if abs(value) > LARGEST_WHOLE:
            raise Refused(f"{value} is too large for JavaScript", "use a text instead")
        return Js(str(value) if value >= 0 else f"({value})", INT, True)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused(f"{value} is no number in JSON", "use a finite number")
        return Js(repr(value) if value >= 0 else f"({value!r})", FLOAT)
    if isinstance(value, list | tuple | range):
        return list_of([literal(item) for item in value])
    if isinstance(value, dict):
        return record_of([(quoted(str(key)), literal(item)) for key, item in value.items()])
    if isinstance(value, File | Directory):
        raise Refused("a file inside an expression", "give it to the step as an input")
    raise Refused(f"a {type(value).__name__} as a constant", "use plain data")


def list_of(items: list[Js]) -> Js:
    """An array written out."""
    found = of_value([])
    for position, item in enumerate(items):
        inner = join(found.items, item.type) if position and found.items else item.type
        found = Type("array", items=inner)
    code = f"[{', '.join(item.code for item in items)}]"
    return Js(code, found, all(item.sound for item in items), _together("[", items, "]"))


def record_of(items: list[tuple[str, Js]]) -> Js:
    """A record written out; its keys are code."""
    code = ", ".join(f"{key}: {value.code}" for key, value in items)
    values = [value for _, value in items]
    marked = _together("", values, "")
    spelt = ", ".join(f"{key}: {value.spellable}" for key, value in items) if marked else ""
    return Js(
        f"({{{code}}})",
        Type("record"),
        all(v.sound for v in values),
        f"({{{spelt}}})" * bool(spelt),
    )


def chosen(test: str, one: Js, other: Js) -> Js:
    """One of two values."""
    spelt = ""
    if _together("", [one, other], ""):
        spelt = f"({test} ? {one.spellable} : {other.spellable})"
    code = f"({test} ? {one.code} : {other.code})"
    return Js(code, join(one.type, other.type), one.sound and other.sound, spelt)


def _together(start: str, items: list[Js], end: str) -> str:
    """The marked code of several values, if each can be marked."""
    try:
        return start + ", ".join(item.spellable for item in items) + end
    except Refused:
        return ""


def plain(found: Type) -> Type:
    """The type of an element of an array, or of whatever else can be gone through."""
    if found.items is not None:
        return found.items
    return STRING if required(found).name in ("string", "enum", "record") else Type()
