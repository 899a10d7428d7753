"""Texts with ``{{ }}`` in them: parsed once, rendered for every invocation.

Most templates hold only dotted names. These are read and rendered here, without Jinja, whose import
alone costs more than a small run; ``jinja.py`` does the rest by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from hepflow.model.values import Directory, File, Value, Values
from hepflow.recipe.faults import Faults, Path
from hepflow.recipe.scope import OUTPUT, PORT, Chain, Report
from hepflow.recipe.spelling import PathOf, Spelling

_SLOT: Final = re.compile(r"\{\{[ \t\n]*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)[ \t\n]*\}\}", re.ASCII)
_KEYWORDS: Final = frozenset({
    "true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else",
    "self", "super", "caller", "loop", "recursive", "import", "include",
})  # fmt: skip
_ALONE: Final = frozenset({"inputs", "outputs", "resources"})

Piece: TypeAlias = tuple[str, Chain]
"""A text and the dotted name that follows it."""


class Frame(NamedTuple):
    """What one rendering has at hand.

    Args:
        outputs: output port -> file name in the task's folder.
        texts: filled with files to write beside the task, (name, content).
    """

    values: Values
    outputs: Mapping[str, str]
    resources: Mapping[str, Value]
    path_of: PathOf
    texts: list[tuple[str, str]]


class TextTemplate(Protocol):
    """A text that depends on values."""

    @property
    def text(self) -> str:
        """The template as written."""
        ...

    @property
    def ports(self) -> tuple[str, ...]:
        """The ports it reads."""
        ...

    @property
    def resources(self) -> bool:
        """Whether it reads what the task asks of the machine."""
        ...

    def render(self, frame: Frame) -> str:
        """The text for one invocation.

        Raises:
            ValueError: with a sentence that says what went wrong.
        """
        ...


def is_template(text: str) -> bool:
    """Whether a text holds anything to fill in."""
    return "{{" in text or "{%" in text


def split_slots(text: str) -> tuple[list[Piece], str] | None:
    """The pieces and the end of a template whose slots are dotted names; ``None`` for others."""
    parts = _SLOT.split(text)
    last = parts[-1]
    if "{{" in last or "{%" in last or "\r" in text:
        return None
    pieces: list[Piece] = []
    for position in range(0, len(parts) - 1, 2):
        literal = parts[position]
        if literal and (literal[-1] == "{" or "{{" in literal or "{%" in literal):
            return None
        chain = tuple(parts[position + 1].split("."))
        root = chain[0]
        if root in _KEYWORDS or (len(chain) == 1 and root in _ALONE):
            return None
        pieces.append((literal, chain))
    return pieces, last


def attribute(value: Value, name: str) -> Value:
    """What ``value.name`` means for data: a key of a record, or something known of a file.

    Raises:
        ValueError: it has no such part.
    """
    if isinstance(value, Mapping) and name in value:
        return value[name]
    if isinstance(value, (File, Directory)) and name in FILE_PARTS:
        return file_part(value, name)
    if isinstance(value, Mapping):
        raise ValueError(
            f"a record without '{name}' (it has {', '.join(map(str, value)) or 'nothing'})"
        )
    raise ValueError(f"{'null' if value is None else type(value).__name__} has no '{name}'")


FILE_PARTS: Final = ("path", "location", "basename", "stem", "suffix", "dirname", "size", "digest")


def file_part(file: File | Directory, name: str, path: str = "") -> Value:
    """A part of a file's name, its size in bytes, or its digest; ``path`` where it lies here."""
    whole = path or file.location
    if name in ("path", "location"):
        return whole if name == "path" else file.location
    if name == "basename":
        return file.name
    if name == "stem":
        return stem_of(file.name)
    if name == "suffix":
        return suffix_of(file.name)
    if name == "dirname":
        return whole.rstrip("/").rpartition("/")[0]
    return file.size if name == "size" else file.digest


def stem_of(path: str) -> str:
    """The last part of a path without its extension."""
    name = path.rstrip("/").rpartition("/")[2]
    head, dot, _ = name.rpartition(".")
    return head if dot and head else name


def suffix_of(path: str) -> str:
    """The extension of a path with its dot; empty if it has none."""
    name = path.rstrip("/").rpartition("/")[2]
    head, dot, end = name.rpartition(".")
    return dot + end if dot and head else ""


@dataclass(frozen=True, slots=True)
class Constant:
    """A text without anything to fill in."""

    text: str
    ports: tuple[str, ...] = ()
    resources: bool = False

    def render(self, frame: Frame) -> str:
        return self.text


class Slot(NamedTuple):
    """One value to fill in, and the text before it."""

    literal: str
    kind: int
    name: str
    attributes: Chain
    spell: Spelling


@dataclass(frozen=True, slots=True)
class Slots:
    """A text with dotted names to fill in."""

    text: str
    slots: tuple[Slot, ...]
    last: str
    ports: tuple[str, ...]
    resources: bool

    def render(self, frame: Frame) -> str:
        values = frame.values
        path_of = frame.path_of
        parts: list[str] = []
        try:
            for literal, kind, name, attributes, spell in self.slots:
                parts.append(literal)
                if kind == PORT:
                    value = values[name]
                else:
                    value = frame.outputs[name] if kind == OUTPUT else frame.resources[name]
                for attribute_name in attributes:
                    value = (
                        path_of(value)
                        if attribute_name == "path" and isinstance(value, (File, Directory))
                        else attribute(value, attribute_name)
                    )
                parts.append(spell(value, path_of))
        except ValueError as error:
            raise ValueError(f"'{name}': {error}") from None
        parts.append(self.last)
        return "".join(parts)


def reporter(faults: Faults, path: Path) -> Report:
    """Notes a fault of a name at its place inside a text."""

    def report(code: str, name: str, what: str, fix: str) -> None:
        faults.add(code, path, what, fix=fix, needle=name)

    return report
