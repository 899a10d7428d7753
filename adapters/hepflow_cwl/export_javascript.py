"""Expressions and texts of a recipe as JavaScript that gives the very same values.

What has no exact counterpart is refused; nothing is ever translated nearly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from hepflow.model.portable import (
    Asked,
    Attribute,
    Call,
    Expr,
    Formula,
    Input,
    Item,
    Kind,
    ListOf,
    Literal,
    Local,
    Operation,
    OutputPath,
    Piece,
    Pieces,
    RecordOf,
    Repeat,
    Slice,
    Slot,
    Spelling,
    Text,
)
from hepflow.model.types import ANY

from .export_code import Js, Refused, chosen, list_of, literal, member, plain, quoted, record_of
from .export_functions import call
from .export_types import BOOLEAN, FLOAT, INT, STRING, array, join, required

_LOOP: Final = {
    **dict.fromkeys(("index", "index0", "revindex", "revindex0", "length"), INT),
    **dict.fromkeys(("first", "last"), BOOLEAN),
}
_SPELLERS: Final = {
    Spelling.WORD: "word", Spelling.IN_DOUBLE: "inDouble", Spelling.IN_SINGLE: "inSingle",
    Spelling.IN_ANSI: "inAnsi", Spelling.PYTHON: "python", Spelling.JSON: "json",
    Spelling.TEXT: "text", Spelling.ARGUMENTS: "ended",
}  # fmt: skip
_OF_INTS: Final = {
    "+": "add", "-": "subtract", "*": "multiply", "//": "floordiv", "%": "modulo", "**": "power",
}  # fmt: skip
_OF_FLOATS: Final = {"//": "quotient", "%": "remainder"}
_TAKEN: Final = frozenset(
    "break case catch class const continue debugger default delete do else enum export extends false"
    " finally for function if implements import in inputs instanceof interface let new null package"
    " private protected public return runtime self static super switch this throw true try typeof var"
    " void while with yield hep loop arguments eval".split()
)
_PLAINLY: Final = "write it more plainly, or compute it in a step of its own"


@dataclass(frozen=True, slots=True)
class Names:
    """What names mean at one place of the document.

    Args:
        ports: the value of each port; those of a round's outputs as ``outputs.NAME``.
        outputs: the path of each output.
        asked: what the task asks for.
        locals: variables of the texts around.
        paths: files are at hand, under a path.
        listing: given the code of an array's lines, the name of the file they will be in.
    """

    ports: Mapping[str, Js]
    outputs: Mapping[str, Js] = field(default_factory=dict)
    asked: Mapping[str, Js] = field(default_factory=dict)
    locals: Mapping[str, Js] = field(default_factory=dict)
    paths: bool = False
    listing: Callable[[str], str] | None = None


def formula(expression: Formula, names: Names) -> Js:
    """An expression.

    Raises:
        Refused: it has no exact counterpart.
    """
    try:
        return _Translator(names).value(expression.value)
    except Refused as error:
        raise Refused(str(error), error.fix, error.place or expression.place) from None


def text(template: Text, names: Names) -> tuple[str, list[Refused]]:
    """A text with values filled in: the code of a string, and all in it that has no counterpart."""
    translator = _Translator(names)
    return translator.pieces(template.pieces), translator.refused


class _Translator:
    """One translation; the names do not change but in the body of a repetition."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.refused: list[Refused] = []

    # --- texts ------------------------------------------------------------------------------------

    def pieces(self, pieces: Pieces) -> str:
        return " + ".join([self._piece(piece) for piece in pieces]) or '""'

    def _piece(self, piece: Piece) -> str:
        if isinstance(piece, str):
            # A line of the text a line of the document.
            lines = [quoted(line) for line in piece.splitlines(keepends=True)]
            return " +\n  ".join(lines)
        try:
            if isinstance(piece, Slot):
                return self._slot(piece)
            if isinstance(piece, Repeat):
                return self._repeat(piece)
            test = self.value(piece.test).truth
            then, otherwise = self.pieces(piece.then), self.pieces(piece.otherwise)
            return f"({test} ? {then} : {otherwise})"
        except Refused as error:
            self.refused.append(Refused(str(error), error.fix, error.place or piece.place))
            return '""'

    def _slot(self, slot: Slot) -> str:
        value = slot.value
        if isinstance(value, Call) and value.kind is Kind.FILTER and value.name in ("raw", "quote"):
            code = self._spelled(self.value(value.arguments[0]), "text")
            return f"hep.quoted({code})" if value.name == "quote" else code
        return self._spelled(self.value(value), _SPELLERS[slot.spelling])

    def _spelled(self, value: Js, speller: str) -> str:
        if not self._names.paths and _is_file(value):
            what = "the path of a file as text, where files are not at hand yet"
            raise Refused(what, "take its basename, stem or suffix, or use it in the command")
        return (
            value.code
            if speller == "text" and value.is_text
            else f"hep.{speller}({value.spellable})"
        )

    def _repeat(self, piece: Repeat) -> str:
        over = self.value(piece.over)
        name = piece.variable + ("_" if piece.variable in _TAKEN else "")
        inner = {
            **self._names.locals,
            piece.variable: Js(name, plain(over.type), over.sound),
            "loop": Js("loop", required(ANY)),
        }
        inside = _Translator(replace(self._names, locals=inner))
        body = inside.pieces(piece.body)
        self.refused += inside.refused
        return f"hep.each({over.code}, function ({name}, loop) {{ return {body}; }})"

    # --- values -----------------------------------------------------------------------------------

    def value(self, node: Expr) -> Js:
        if isinstance(node, Literal):
            return literal(node.value)
        if isinstance(node, Input):
            return self._names.ports[node.port]
        if isinstance(node, OutputPath):
            return self._names.outputs[node.port]
        if isinstance(node, Asked):
            return self._names.asked[node.resource]
        if isinstance(node, Local):
            return self._names.locals[node.name]
        if isinstance(node, Attribute):
            return self._attribute(node)
        if isinstance(node, Item):
            return self._item(node)
        if isinstance(node, Slice):
            return self._slice(node)
        if isinstance(node, Operation):
            return self._operation(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, ListOf):
            return list_of([self.value(item) for item in node.items])
        if isinstance(node, RecordOf):
            return record_of([(_key(key), self.value(value)) for key, value in node.items])
        inside = _Translator(self._names)
        code = inside.pieces(node.pieces)
        for error in inside.refused:
            raise error
        return Js(f"({code})", STRING)

    def _attribute(self, node: Attribute) -> Js:
        if node.of == Input("outputs") and f"outputs.{node.name}" in self._names.ports:
            return self._names.ports[f"outputs.{node.name}"]
        if node.of == Local("loop"):
            if node.name not in _LOOP:
                raise Refused(f"'loop.{node.name}' cannot be exported", _PLAINLY)
            return Js(f"loop.{node.name}", _LOOP[node.name], True)
        of = self.value(node.of)
        if of.kind not in ("File", "Directory"):
            return Js(f"hep.attribute({of.code}, {quoted(node.name)})", ANY)
        if node.name == "basename":
            return Js(member(of.code, "basename"), STRING)
        if node.name in ("stem", "suffix"):
            return Js(f"hep.{node.name}({of.code})", STRING)
        if node.name in ("path", "dirname") and self._names.paths:
            code = member(of.code, "path") if node.name == "path" else f"hep.dirname({of.code})"
            return Js(code, STRING)
        fix = "use basename, stem or suffix; path and dirname in commands and scripts"
        raise Refused(f"'{node.name}' of a file cannot be exported here", fix)

    def _item(self, node: Item) -> Js:
        if isinstance(node.key, Literal) and isinstance(node.key.value, str):
            return self._attribute(Attribute(node.of, node.key.value))
        of, key = self.value(node.of), self.value(node.key)
        found = of.type.items or (STRING if of.is_text else ANY)
        return Js(f"hep.item({of.code}, {key.code})", found, of.sound)

    def _slice(self, node: Slice) -> Js:
        of = self.value(node.of)
        parts = [
            "null" if part is None else self.value(part).code
            for part in (node.start, node.stop, node.step)
        ]
        found = array(plain(of.type)) if of.type.items else STRING if of.is_text else ANY
        return Js(f"hep.slice({of.code}, {', '.join(parts)})", found, of.sound)

    def _call(self, node: Call) -> Js:
        if node.kind is Kind.FILTER and node.name in ("raw", "quote"):
            raise Refused(
                f"'{node.name}' within an expression", "let it be the last filter of '{{ }}'"
            )
        arguments = [self.value(part) for part in node.arguments]
        named = {name: self.value(part) for name, part in node.named.items()}
        if node.kind is Kind.FILTER and node.name == "listing":
            if self._names.listing is None or "loop" in self._names.locals:
                raise Refused(
                    "'listing' here", "use it in a command or script, outside of '{% for %}'"
                )
            self._check_text(arguments)
            name = self._names.listing(f"hep.listing({arguments[0].spellable})")
            return Js(quoted(name), STRING)
        if node.name in ("str", "string", "json", "tojson", "join", "format", "dirname"):
            self._check_text(arguments)
        return call(node.kind, node.name, arguments, named)

    def _check_text(self, values: list[Js]) -> None:
        for value in values:
            if not self._names.paths and _is_file(value):
                self._spelled(value, "text")

    # --- operators --------------------------------------------------------------------------------

    def _operation(self, node: Operation) -> Js:
        word = node.operator
        values = [self.value(part) for part in node.operands]
        if word == "if":
            return chosen(values[0].truth, values[1], values[2])
        if word == "not":
            return Js(f"(!{values[0].truth})", BOOLEAN)
        if word in ("neg", "pos"):
            return _signed(word, values[0])
        one, other = values
        if word in ("and", "or"):
            return _connected(word, one, other)
        if word == "~":
            self._check_text(values)
            codes = (v.code if v.is_text else f"hep.str({v.spellable})" for v in values)
            return Js(f"({' + '.join(codes)})", STRING)
        if word in ("in", "not in"):
            return Js(f"{'!' * (word != 'in')}hep.contains({one.code}, {other.code})", BOOLEAN)
        if word in ("==", "!="):
            return _equated(word, one, other)
        if word in ("<", "<=", ">", ">="):
            if one.is_number and other.is_number:
                return Js(f"({one.number} {word} {other.number})", BOOLEAN)
            return Js(f"(hep.order({one.code}, {other.code}) {word} 0)", BOOLEAN)
        return _computed(word, one, other)


def _is_file(value: Js) -> bool:
    found = value.type
    while found.items is not None:
        found = found.items
    return found.name in ("File", "Directory")


def _key(key: Expr) -> str:
    if isinstance(key, Literal) and isinstance(key.value, str):
        return quoted(key.value)
    raise Refused("a record whose key is computed", "write its keys as texts")


def _signed(word: str, value: Js) -> Js:
    if not value.is_number:
        raise Refused("a sign before what is not known to be an int or a float", _PLAINLY)
    if word == "pos":
        return value
    whole = value.kind == "int"  # of which there is no negative zero
    return Js(f"(0 - {value.whole})" if whole else f"(-{value.code})", value.type, whole)


def _connected(word: str, one: Js, other: Js) -> Js:
    """``and`` and ``or``, which in Python give one of their operands."""
    if one.kind == other.kind == "boolean":
        return Js(f"({one.code} {'&&' if word == 'and' else '||'} {other.code})", BOOLEAN)
    first, second = (other, one) if word == "and" else (one, other)
    return chosen(one.truth, first, second)


def _equated(word: str, one: Js, other: Js) -> Js:
    for value in (one, other):
        if _is_file(value):
            raise Refused(
                "a comparison of files", "compare their basenames, or in a step of its own"
            )
    alike = (one.is_number and other.is_number) or (one.is_text and other.is_text)
    if alike or one.kind == other.kind == "boolean" or "null" in (one.code, other.code):
        return Js(f"({one.number} {word}= {other.number})", BOOLEAN)
    return Js(f"{'!' * (word == '!=')}hep.equal({one.code}, {other.code})", BOOLEAN)


def _computed(word: str, one: Js, other: Js) -> Js:
    """Arithmetic: of ints exact or refused, of floats as JavaScript does it, else found out at run time."""
    if one.is_text or other.is_text or one.type.items or other.type.items:
        return _put_together(word, one, other)
    whole = one.kind == other.kind == "int"
    numeric = one.is_number and other.is_number
    if word == "/":
        codes = (v.number if v.is_number else f"hep.number({v.code})" for v in (one, other))
        return Js(f"hep.divide({', '.join(codes)})", FLOAT)
    if word == "**" and not whole:
        raise Refused("a power of what are not ints", "compute it in a step of its own")
    if numeric and not whole:
        if word in _OF_FLOATS:
            return Js(f"hep.{_OF_FLOATS[word]}({one.number}, {other.number})", FLOAT)
        return Js(f"({one.number} {word} {other.number})", FLOAT)
    return Js(f"hep.{_OF_INTS[word]}({one.code}, {other.code})", INT if whole else ANY, whole)


def _put_together(word: str, one: Js, other: Js) -> Js:
    """Operators on texts and arrays."""
    if word == "%" and one.is_text:
        return call(Kind.FILTER, "format", (one, other), {})
    if word == "+" and one.is_text and other.is_text:
        return Js(f"({one.code} + {other.code})", STRING)
    if word == "+" and one.type.items and other.type.items:
        found = array(join(one.type.items, other.type.items))
        return Js(f"{one.code}.concat({other.code})", found, one.sound and other.sound)
    if word == "*" and "int" in (one.kind, other.kind):
        items = other if one.kind == "int" else one
        found = STRING if items.is_text else array(items.type.items or ANY)
        return Js(f"hep.multiply({one.code}, {other.code})", found, items.sound)
    raise Refused(f"'{word}' of {one.type} and {other.type}", _PLAINLY)
