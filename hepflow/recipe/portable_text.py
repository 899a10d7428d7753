"""Templates and expressions of the native language as neutral trees.

Works on what compiling left: each form of template and expression has its reading here. What Jinja
offers beyond expressions, `if`, `for` and `set` is not described but refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from jinja2 import nodes

from hepflow.model.errors import Place
from hepflow.model.portable import (
    Asked,
    Attribute,
    Call,
    Choice,
    Expr,
    Filled,
    Formula,
    Input,
    Item,
    Kind,
    ListOf,
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
from hepflow.model.portable import Literal as Given
from hepflow.model.workflow import Expression
from hepflow.recipe.expressions import Literal, Lookup, Mixed, RangeOf
from hepflow.recipe.jinja import JinjaMixed, JinjaText, JinjaValue, Names, environment
from hepflow.recipe.links import Compound, Inside
from hepflow.recipe.scope import FUNCTIONS, OUTPUT, PORT
from hepflow.recipe.spelling import SPELLINGS, ShellLexer
from hepflow.recipe.templates import Constant, Slots, TextTemplate, split_slots

At = Callable[[str, int], Place]
"""The place of a word inside a text, looked for from a line on (from 0)."""

_SPELLINGS: Final = {
    "shell": Spelling.WORD, 'shell"': Spelling.IN_DOUBLE, "shell'": Spelling.IN_SINGLE,
    "shell$'": Spelling.IN_ANSI, "python": Spelling.PYTHON, "json": Spelling.JSON,
    "text": Spelling.TEXT, "words": Spelling.ARGUMENTS,
}  # fmt: skip
_OF_FUNCTION: Final = {spell: _SPELLINGS[mode] for mode, spell in SPELLINGS.items()}
_BINARY: Final[Mapping[type[nodes.Node], str]] = {
    nodes.Add: "+", nodes.Sub: "-", nodes.Mul: "*", nodes.Div: "/", nodes.FloorDiv: "//",
    nodes.Pow: "**", nodes.And: "and", nodes.Or: "or",
}  # fmt: skip
_UNARY: Final[Mapping[type[nodes.Node], str]] = {
    nodes.Neg: "neg", nodes.Pos: "pos", nodes.Not: "not",
}  # fmt: skip
_COMPARISONS: Final = {
    "eq": "==", "ne": "!=", "lt": "<", "lteq": "<=", "gt": ">", "gteq": ">=",
    "in": "in", "notin": "not in",
}  # fmt: skip
_BLOCKS: Final = {
    "Macro": "{% macro %}", "CallBlock": "{% call %}", "FilterBlock": "{% filter %}",
    "With": "{% with %}", "AssignBlock": "{% set %} with a block", "Include": "{% include %}",
    "Import": "{% import %}", "FromImport": "{% from %}", "Extends": "{% extends %}",
    "Block": "{% block %}", "ScopedEvalContextModifier": "{% autoescape %}",
}  # fmt: skip


class Indescribable(ValueError):
    """A piece of a template that has no neutral form: what, the word at fault, its line, a remedy."""

    def __init__(self, what: str, needle: str, line: int, fix: str) -> None:
        super().__init__(what)
        self.needle = needle
        self.line = line
        self.fix = fix


def formula(expression: Expression, text: str, at: At) -> Formula:
    """An expression of a recipe as a tree.

    Args:
        text: as written.

    Raises:
        Indescribable: it uses more of Jinja than expressions, `if`, `for` and `set`.
        TypeError: it is not of the native language.
    """
    return Formula(_tree(expression, at), tuple(expression.names), text, at("", 0))


def text_of(template: TextTemplate, at: At) -> Text:
    """A template of a recipe as pieces.

    Raises:
        Indescribable: as :func:`formula`.
        TypeError: it is not of the native language.
    """
    return Text(_pieces(template, at), template.ports, at("", 0))


def _tree(expression: object, at: At) -> Expr:
    if isinstance(expression, Literal):
        return Given(expression.value)
    if isinstance(expression, Lookup):
        return _parts(Input(expression.port), expression.attributes)
    if isinstance(expression, RangeOf):
        arguments = tuple(_tree(argument, at) for argument in expression.arguments)
        return Call(Kind.FUNCTION, "range", arguments)
    if isinstance(expression, Mixed):
        return Filled(_pieces(expression.template, at))
    if isinstance(expression, JinjaMixed):
        return Filled(_pieces(expression.template, at))
    if isinstance(expression, JinjaValue):
        body = environment().parse("{{" + expression.text + "}}").body[0]
        assert isinstance(body, nodes.Output)
        return _Reader(expression.read, at).expression(body.nodes[0], {})
    if isinstance(expression, Compound):
        return _compound(expression.data, at)
    raise TypeError(f"{type(expression).__name__} is not an expression of the native language")


def _compound(data: object, at: At) -> Expr:
    if isinstance(data, list):
        return ListOf(tuple(_compound(item, at) for item in data))
    if isinstance(data, dict):
        return RecordOf(tuple((Given(key), _compound(item, at)) for key, item in data.items()))
    if isinstance(data, Inside):
        return _tree(data.expression, at)
    return Given(data)  # type: ignore[arg-type]


def _parts(value: Expr, attributes: Iterable[str]) -> Expr:
    for name in attributes:
        value = Attribute(value, name)
    return value


def _access(kind: int, name: str) -> Expr:
    if kind == PORT:
        return Input(name)
    return OutputPath(name) if kind == OUTPUT else Asked(name)


def _pieces(template: TextTemplate, at: At) -> Pieces:
    if isinstance(template, Constant):
        return (template.text,) if template.text else ()
    if isinstance(template, Slots):
        return _slots(template, at)
    if isinstance(template, JinjaText):
        return _Reader(template.names, at).text(template)
    raise TypeError(f"{type(template).__name__} is not a template of the native language")


def _slots(template: Slots, at: At) -> Pieces:
    split = split_slots(template.text)
    assert split is not None
    written = iter(split[0])
    found: list[Piece] = []
    line = 0
    for slot in template.slots:
        if slot.literal:
            found.append(slot.literal)
        # Names of output files were filled in when the template was read: their slots are gone.
        last = (slot.name.rpartition(".")[2], *slot.attributes)
        for literal, chain in written:
            line += literal.count("\n")
            if chain[-len(last) :] == last:
                break
        value = _parts(_access(slot.kind, slot.name), slot.attributes)
        found.append(Slot(value, _OF_FUNCTION[slot.spell], at(".".join(chain), line)))
    return (*found, template.last) if template.last else tuple(found)


# --- Jinja ----------------------------------------------------------------------------------------

Locals = Mapping[str, Expr]


class _Text(NamedTuple):
    """What is known along one text: how its slots are spelled."""

    mode: str
    lexer: ShellLexer

    def spelling(self) -> Spelling:
        mode = self.mode + self.lexer.quote if self.mode == "shell" else self.mode
        self.lexer.value()
        return _SPELLINGS[mode]


class _Reader:
    """Turns Jinja's nodes into ours."""

    def __init__(self, names: Names, at: At) -> None:
        self._at = at
        self._known = {(row.root, row.member): _access(row.kind, row.name) for row in names.rows}

    # --- texts ------------------------------------------------------------------------------------

    def text(self, template: JinjaText) -> Pieces:
        tree = environment().parse(template.text)
        return self._body(tree.body, _Text(template.mode, ShellLexer()), {})

    def _body(self, body: Sequence[nodes.Node], text: _Text, known: Locals) -> Pieces:
        found: list[Piece] = []
        inner = dict(known)
        for node in body:
            if isinstance(node, nodes.Output):
                found += [self._output(part, text, inner) for part in node.nodes]
            elif isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
                # Nothing here has a side effect, so a name may stand for what it was set to.
                inner[node.target.name] = self.expression(node.node, inner)
            elif isinstance(node, nodes.If):
                found.append(self._choice(node, text, inner))
            elif isinstance(node, nodes.For):
                found.append(self._repeat(node, text, inner))
            else:
                self._refuse(node, _BLOCKS.get(type(node).__name__, type(node).__name__))
        return tuple(found)

    def _output(self, node: nodes.Node, text: _Text, known: Locals) -> Piece:
        if isinstance(node, nodes.TemplateData):
            text.lexer.feed(node.data)
            return node.data
        spelling = text.spelling()
        return Slot(self.expression(node, known), spelling, self._place(node))

    def _choice(self, node: nodes.If, text: _Text, known: Locals) -> Choice:
        test = self.expression(node.test, known)
        then = self._body(node.body, text, known)
        otherwise: Pieces = ()
        if node.elif_:
            first, *rest = node.elif_
            following = nodes.If(first.test, first.body, rest, node.else_, lineno=first.lineno)
            otherwise = (self._choice(following, text, known),)
        elif node.else_:
            otherwise = self._body(node.else_, text, known)
        return Choice(test, then, otherwise, self._place(node))

    def _repeat(self, node: nodes.For, text: _Text, known: Locals) -> Repeat:
        if not isinstance(node.target, nodes.Name) or node.recursive or node.test or node.else_:
            self._refuse(node, "a '{% for %}' with more than 'x in y'")
        assert isinstance(node.target, nodes.Name)
        over = self._elements(node.iter, known)
        name = node.target.name
        inner = {**known, name: Local(name), "loop": Local("loop")}
        return Repeat(name, over, self._body(node.body, text, inner), self._place(node))

    # --- expressions ------------------------------------------------------------------------------

    def expression(self, node: nodes.Node, known: Locals) -> Expr:
        def read(child: nodes.Node) -> Expr:
            return self.expression(child, known)

        if isinstance(node, nodes.Mod):
            return self._modulo(node, known)
        if type(node) in _BINARY:
            return Operation(_BINARY[type(node)], (read(node.left), read(node.right)))  # type: ignore[attr-defined]
        if type(node) in _UNARY:
            return Operation(_UNARY[type(node)], (read(node.node),))  # type: ignore[attr-defined]
        if isinstance(node, nodes.Const):
            return Given(node.value)
        if isinstance(node, nodes.Name):
            return self._name(node, known)
        if isinstance(node, nodes.Getattr | nodes.Getitem):
            return self._part(node, known)
        if isinstance(node, nodes.Compare):
            others = [
                (op.op, self._elements(op.expr, known) if "in" in op.op else read(op.expr))
                for op in node.ops
            ]
            return _compared(read(node.expr), others)
        if isinstance(node, nodes.CondExpr):
            if node.expr2 is None:
                self._refuse(node, "an 'if' without 'else'")
            assert node.expr2 is not None
            return Operation("if", (read(node.test), read(node.expr1), read(node.expr2)))
        if isinstance(node, nodes.Concat):
            first, *rest = [read(part) for part in node.nodes]
            for part in rest:
                first = Operation("~", (first, part))
            return first
        if isinstance(node, nodes.List):
            return ListOf(tuple(map(read, node.items)))
        if isinstance(node, nodes.Dict):
            return RecordOf(tuple((read(pair.key), read(pair.value)) for pair in node.items))
        if isinstance(node, nodes.Call | nodes.Filter | nodes.Test):
            return self._call(node, known)
        return self._refuse(node, type(node).__name__)

    def _modulo(self, node: nodes.Mod, known: Locals) -> Expr:
        """A remainder, or a format with its values: as many as a tuple holds, else one."""
        left = self.expression(node.left, known)
        if isinstance(node.right, nodes.Tuple):
            values = (self.expression(item, known) for item in node.right.items)
            return Call(Kind.FILTER, "format", (left, *values))
        return Operation("%", (left, self.expression(node.right, known)))

    def _elements(self, node: nodes.Node, known: Locals) -> Expr:
        """An expression where a tuple may stand for its elements."""
        if isinstance(node, nodes.Tuple):
            return ListOf(tuple(self.expression(item, known) for item in node.items))
        return self.expression(node, known)

    def _name(self, node: nodes.Name, known: Locals) -> Expr:
        if node.name in known:
            return known[node.name]
        found = self._known.get((node.name, ""))
        if found is not None:
            return found
        members = {
            member: value for (root, member), value in self._known.items() if root == node.name
        }
        if node.name in FUNCTIONS:
            self._refuse(node, f"'{node.name}' without a call", node.name)
        if not members:
            return Given(None)  # it stands where Jinja knows beforehand that nothing is evaluated
        return RecordOf(tuple((Given(name), value) for name, value in members.items()))

    def _part(self, node: nodes.Getattr | nodes.Getitem, known: Locals) -> Expr:
        key: object = None
        if isinstance(node, nodes.Getattr):
            key = node.attr
        elif isinstance(node.arg, nodes.Const):
            key = node.arg.value
        if isinstance(node.node, nodes.Name) and node.node.name not in known:
            found = self._known.get((node.node.name, str(key))) if isinstance(key, str) else None
            if found is not None:
                return found
        of = self.expression(node.node, known)
        if isinstance(node, nodes.Getattr):
            return Attribute(of, node.attr)
        if isinstance(node.arg, nodes.Slice):
            start, stop, step = (
                None if part is None else self.expression(part, known)
                for part in (node.arg.start, node.arg.stop, node.arg.step)
            )
            return Slice(of, start, stop, step)
        return Item(of, self.expression(node.arg, known))

    def _call(self, node: nodes.Call | nodes.Filter | nodes.Test, known: Locals) -> Expr:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._refuse(node, "a call with '*' or '**'")
        arguments = [self.expression(part, known) for part in node.args]
        named = {str(word.key): self.expression(word.value, known) for word in node.kwargs or ()}
        if not isinstance(node, nodes.Call):
            kind = Kind.FILTER if isinstance(node, nodes.Filter) else Kind.TEST
            if node.node is None:
                self._refuse(node, "{% filter %}")
            assert node.node is not None
            subject = self.expression(node.node, known)
            return Call(kind, node.name, (subject, *arguments), named)
        target = node.node
        if isinstance(target, nodes.Getattr):
            subject = self.expression(target.node, known)
            return Call(Kind.METHOD, target.attr, (subject, *arguments), named)
        if isinstance(target, nodes.Name) and target.name not in known:
            return Call(Kind.FUNCTION, target.name, tuple(arguments), named)
        return self._refuse(node, "a call of something computed")

    def _place(self, node: nodes.Node) -> Place:
        """Where a piece stands: at the first name in it."""
        for found in (node, *node.find_all((nodes.Getattr, nodes.Name))):
            if isinstance(found, nodes.Getattr) and isinstance(found.node, nodes.Name):
                return self._at(f"{found.node.name}.{found.attr}", node.lineno - 1)
            if isinstance(found, nodes.Name):
                return self._at(found.name, node.lineno - 1)
        return self._at("", node.lineno - 1)

    def _refuse(self, node: nodes.Node, what: str, needle: str = "") -> Expr:
        fix = "compute it in a step of its own, or write it more plainly"
        raise Indescribable(f"cannot export {what}", needle, node.lineno - 1, fix)


def _compared(first: Expr, others: list[tuple[str, Expr]]) -> Expr:
    """``a < b < c`` is ``a < b and b < c``."""
    found: Expr | None = None
    for word, other in others:
        one = Operation(_COMPARISONS[word], (first, other))
        found = one if found is None else Operation("and", (found, one))
        first = other
    assert found is not None
    return found
