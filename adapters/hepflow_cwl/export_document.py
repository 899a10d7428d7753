"""What one export gathers while it goes through a recipe: faults, files, features, helper code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from hepflow.model.errors import Place, Problem
from hepflow.model.portable import Formula, Text
from hepflow.model.types import ANY
from hepflow.model.values import Directory, File, Value

from .export_code import Js, Refused, quoted
from .export_javascript import Names, formula, text

Mapped: TypeAlias = dict[str, object]
"""A mapping of a CWL document."""

LIBRARY: Final = Path(__file__).parent / "export_library.js"
_PIECE: Final = re.compile(r"^hep\.(\w+) = ", re.MULTILINE)
_USED: Final = re.compile(r"\bhep\.(\w+)")


@dataclass(slots=True)
class Document:
    """One export under way.

    Args:
        locate: the reference under which the document names a file.
        problems: what cannot be exported, all of it.
        features: requirements that the document as a whole must declare.
    """

    locate: Callable[[File | Directory], str]
    problems: list[Problem] = field(default_factory=list)
    features: set[str] = field(default_factory=set)

    def refuse(self, error: Refused, place: Place) -> None:
        """Note what cannot be exported; the place is where the fault's own is not known."""
        self.problems.append(Problem(error.place or place, "HF132", str(error), fix=error.fix))

    def formula(self, found: Formula, names: Names) -> Js:
        """An expression; null after noting why there is none."""
        try:
            return formula(found, names)
        except Refused as error:
            self.refuse(error, found.place)
            return Js("null", ANY)

    def text(self, found: Text, names: Names) -> str:
        """The code of a text with values filled in; an empty one after noting why there is none."""
        code, refused = text(found, names)
        for error in refused:
            self.refuse(error, found.place)
        return code

    def string(self, found: Text, names: Names) -> str:
        """A text as the document writes it: plain where it is constant."""
        constant = found.constant
        return expression(self.text(found, names)) if constant is None else plain_text(constant)

    def value(self, value: Value) -> object:
        """A constant as the document writes it, its files under their references."""
        if isinstance(value, File | Directory):
            kind = "Directory" if isinstance(value, Directory) else "File"
            return {"class": kind, "location": self.locate(value)}
        if isinstance(value, Mapping):
            return {str(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple | range):
            return [self.value(item) for item in value]
        return value


def expression(code: str) -> str:
    """A piece of JavaScript where CWL expects a value."""
    code = _without_parentheses(code)
    return f"${{\n  return {code};\n}}" if "\n" in code else f"$({code})"


def plain_text(constant: str) -> str:
    """A text that CWL must take as it is."""
    if "$(" in constant or "${" in constant:
        return expression(" +\n  ".join(map(quoted, constant.splitlines(keepends=True))))
    return constant


def _without_parentheses(code: str) -> str:
    """The same without parentheses around all of it."""
    if not code.startswith("(") or not code.endswith(")"):
        return code
    depth, quote = 0, False
    position = 0
    while position < len(code) - 1:
        character = code[position]
        if quote:
            position += character == "\\"
            quote = character != '"'
        elif character == '"':
            quote = True
        else:
            depth += (character == "(") - (character == ")")
            if not depth:
                return code
        position += 1
    return code[1:-1]


def library(document: object) -> list[str]:
    """The pieces of helper code that the expressions of a document use, and what these need."""
    pieces: dict[str, str] = {}
    for piece in LIBRARY.read_text(encoding="utf-8").split("\n\n"):
        name = _PIECE.search(piece)
        if name is not None:
            pieces[name[1]] = piece.strip() + "\n"
    needed: dict[str, None] = {}
    waiting = sorted({name for code in _strings(document) for name in _USED.findall(code)})
    while waiting:
        name = waiting.pop()
        if name not in needed and name in pieces:
            needed[name] = None
            waiting += _USED.findall(pieces[name])
    found = [piece for name, piece in pieces.items() if name in needed]
    return ["var hep = {};\n", *found] if found else []


def _strings(data: object) -> list[str]:
    if isinstance(data, str):
        return [data] if "$(" in data or "${" in data else []
    if isinstance(data, dict):
        return [code for item in data.values() for code in _strings(item)]
    if isinstance(data, list):
        return [code for item in data for code in _strings(item)]
    return []
