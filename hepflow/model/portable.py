"""A native recipe in a neutral form, for whoever writes it down in another language.

Engine and executors never see this: it says what a step *means*, where a ``Tool`` says what is to be
run. Commands are pieces of text and slots, slots hold small expression trees, outputs have names.
The recipe's own language gives it (``hepflow.recipe.portable``), exporters read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from hepflow.model.errors import Place
from hepflow.model.task import Read, Resources
from hepflow.model.types import ANY, Type
from hepflow.model.values import Directory, File, Value
from hepflow.model.workflow import Merge, Pick, Port, Ref, Retry, Scatter

# --- expressions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that depends on nothing."""

    value: Value


@dataclass(frozen=True, slots=True)
class Input:
    """The value of a port of the step."""

    port: str


@dataclass(frozen=True, slots=True)
class OutputPath:
    """The name of an output's file, relative to the task's folder."""

    port: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What the task asks of the machine: a field of ``Resources``, without a needless fraction."""

    resource: str


@dataclass(frozen=True, slots=True)
class Local:
    """A variable of a ``Repeat`` around; ``loop`` is what Jinja calls so (``index``, ``first``)."""

    name: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """A key of a record, or something known of a file."""

    of: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """An element by position (from the end when negative), or by key."""

    of: Expr
    key: Expr


@dataclass(frozen=True, slots=True)
class Slice:
    """Some elements, as Python slices."""

    of: Expr
    start: Expr | None
    stop: Expr | None
    step: Expr | None


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with Python's meaning, by Python's spelling.

    Of one operand: ``neg``, ``pos``, ``not``. Of two: ``+ - * / // % **``, ``~`` (texts joined),
    ``== != < <= > >=``, ``in``, ``not in``, ``and``, ``or``. Of three: ``if`` (test, then, else).
    """

    operator: str
    operands: tuple[Expr, ...]


class Kind(Enum):
    """What kind of thing a ``Call`` calls; the same name may mean different things."""

    FUNCTION = "function"
    FILTER = "filter"
    TEST = "test"
    METHOD = "method"


@dataclass(frozen=True, slots=True)
class Call:
    """A function, filter, test or method of the native language; the subject comes first."""

    kind: Kind
    name: str
    arguments: tuple[Expr, ...]
    named: Mapping[str, Expr] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array written out."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class RecordOf:
    """A record written out."""

    items: tuple[tuple[Expr, Expr], ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with values filled in, as a value."""

    pieces: Pieces


Expr: TypeAlias = (
    Literal | Input | OutputPath | Asked | Local | Attribute | Item | Slice | Operation | Call
    | ListOf | RecordOf | Filled
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression as it stands in a recipe.

    Args:
        names: the ports it reads.
        text: as written.
    """

    value: Expr
    names: tuple[str, ...]
    text: str
    place: Place


# --- texts ----------------------------------------------------------------------------------------


class Spelling(Enum):
    """How a value is written where it stands."""

    WORD = "a shell word, an array as several"
    IN_DOUBLE = 'inside "..." of a shell'
    IN_SINGLE = "inside '...' of a shell"
    IN_ANSI = "inside $'...' of a shell"
    PYTHON = "a Python literal"
    JSON = "JSON on one line"
    TEXT = "as it is"
    ARGUMENTS = "an argument of a program, an array as several"


@dataclass(frozen=True, slots=True)
class Slot:
    """A value to fill in."""

    value: Expr
    spelling: Spelling
    place: Place


@dataclass(frozen=True, slots=True)
class Repeat:
    """Pieces once for each element of an array, which goes by the name ``variable``."""

    variable: str
    over: Expr
    body: Pieces
    place: Place


@dataclass(frozen=True, slots=True)
class Choice:
    """Pieces if a condition holds, else others."""

    test: Expr
    then: Pieces
    otherwise: Pieces
    place: Place


Piece: TypeAlias = str | Slot | Repeat | Choice
Pieces: TypeAlias = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A text with values filled in.

    Args:
        names: the ports it reads.
    """

    pieces: Pieces
    names: tuple[str, ...]
    place: Place

    @property
    def constant(self) -> str | None:
        """The text itself where nothing is filled in."""
        if all(isinstance(piece, str) for piece in self.pieces):
            return "".join(str(piece) for piece in self.pieces)
        return None


# --- what a step does -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """A shell text, for ``bash -e -o pipefail``."""

    text: Text


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its arguments, without a shell."""

    words: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A text for an interpreter, written into the task's folder as ``file``."""

    text: Text
    interpreter: tuple[str, ...]
    file: str


@dataclass(frozen=True, slots=True)
class Function:
    """A Python function, ``package.module:name``.

    Args:
        arguments: ports passed by name; files as paths.
        offered: ports passed, as are the names of output files, where it has such a parameter.
        modules: files and packages beside the recipe that it needs; the others are installed.
    """

    name: str
    arguments: tuple[str, ...]
    offered: tuple[str, ...]
    modules: tuple[File | Directory, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """An output: a file by its path, or (without one) what a function returns.

    Args:
        many: ``path`` is a glob pattern, all that match are taken, sorted by name.
        type: what is declared, else what follows from the rest.
    """

    port: str
    path: Text | None = None
    many: bool = False
    directory: bool = False
    read: Read = Read.FILE
    optional: bool = False
    type: Type = ANY
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class Work:
    """What a step does, in full.

    Args:
        resources: what is asked for, as far as it is the same for all invocations.
        computed: fields of ``Resources`` computed for each; amounts of memory and times may be
            numbers (MiB, seconds) or texts such as ``2 GB``, ``30 min``.
        container: the image; ``None`` for none.
    """

    does: Command | Program | Script | Function
    products: tuple[Product, ...]
    resources: Resources = Resources()
    computed: tuple[tuple[str, Formula], ...] = ()
    env: tuple[tuple[str, Text], ...] = ()
    container: Text | None = None


# --- the graph ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Feed:
    """What feeds a port, as in ``Binding``."""

    sources: tuple[Ref, ...] = ()
    merge: Merge | None = None
    pick: Pick | None = None
    default: Value = None
    formula: Formula | None = None
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class Rounds:
    """A loop, as in ``Loop``."""

    condition: Formula
    carry: Mapping[str, Formula]
    keep_all: bool
    limit: int


@dataclass(frozen=True, slots=True)
class Node:
    """A step, as in ``Step``; what it runs is described rather than ready to run."""

    name: str
    run: Work | Graph
    inputs: Mapping[str, Feed]
    outputs: tuple[Port, ...]
    scatter: tuple[str, ...]
    method: Scatter
    when: Formula | None
    loop: Rounds | None
    retry: Retry
    cache: bool
    limit: int
    doc: str
    place: Place


@dataclass(frozen=True, slots=True)
class Graph:
    """A workflow, as in ``Workflow``."""

    name: str
    inputs: Sequence[Port]
    nodes: Sequence[Node]
    outputs: Mapping[str, Feed]
    doc: str = ""
