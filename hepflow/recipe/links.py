"""What feeds a port: a link, several links, an expression, or a constant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, NamedTuple

from hepflow.model.types import ANY, Type, type_of
from hepflow.model.values import Value, Values
from hepflow.model.workflow import Binding, Expression, Merge, Pick, Ref
from hepflow.recipe.compiling import compile_value
from hepflow.recipe.context import Context, kind_of
from hepflow.recipe.expressions import Literal
from hepflow.recipe.faults import Path, suggestion
from hepflow.recipe.inputs import read_type
from hepflow.recipe.scope import Scope, Surroundings
from hepflow.recipe.templates import is_template

KEYS: Final = ("from", "merge", "pick", "default", "value", "type", "doc", "symbols", "enum")
MERGES: Final = {
    "nested": Merge.NESTED, "flattened": Merge.FLATTENED, "flat": Merge.FLATTENED,
    "merge_nested": Merge.NESTED, "merge_flattened": Merge.FLATTENED,
}  # fmt: skip
PICKS: Final = {member.value: member for member in Pick}
_LINK: Final = re.compile(r"([A-Za-z_][\w-]*)\.([A-Za-z_][\w-]*)((?:\.[A-Za-z_][\w-]*)*)", re.ASCII)
MOST_GUESSES: Final = 200
"""Texts with a dot that are compared with all step names; a bulk recipe must not pay for more."""


class Feed(NamedTuple):
    """A binding, with what is known of the value it gives.

    Args:
        type: of the whole value; ``ANY`` when it cannot be known.
        declared: the type the recipe demands here, if it does.
    """

    binding: Binding
    type: Type = ANY
    declared: Type | None = None


class Inside(NamedTuple):
    """An expression somewhere inside a constant."""

    expression: Expression


@dataclass(frozen=True, slots=True)
class Compound:
    """A list or record with expressions somewhere inside."""

    data: object
    names: Collection[str]

    def evaluate(self, values: Values) -> Value:
        return _filled(self.data, values)


def _filled(data: object, values: Values) -> Value:
    if isinstance(data, list):
        return [_filled(item, values) for item in data]
    if isinstance(data, dict):
        return {key: _filled(item, values) for key, item in data.items()}
    if isinstance(data, Inside):
        return data.expression.evaluate(values)
    return data  # type: ignore[return-value]


class Links:
    """Reads what feeds ports of one workflow."""

    def __init__(self, context: Context, around: Surroundings) -> None:
        self._context = context
        self._around = around
        self._guesses: dict[str, str] = {}

    def link(self, text: str, path: Path) -> Ref | None:
        """The source a text names; ``None`` when it is a plain text. Faults of links are noted."""
        match = _LINK.fullmatch(text)
        if match is None:
            return None
        owner, port, more = match.groups()
        if owner == "inputs":
            known: Mapping[str, object] = self._around.inputs
            step, what, code = "", f"no input '{port}'", "HF201"
        elif owner in self._around.steps:
            known = self._around.steps[owner].outputs
            step, what, code = owner, f"step '{owner}' has no output '{port}'", "HF202"
        else:
            self._guess(owner, text, path)
            return None
        faults = self._context.faults
        if port not in known:
            fix = suggestion(port, known, "known") or f"declare it under 'outputs' of '{owner}'"
            faults.add(code, path, what, fix=fix, needle=text)
        elif more:
            fix = f'write "{{{{ {text} }}}}"'
            faults.add("HF206", path, f"'{text}' is not a link but a part of one", fix=fix)
        return Ref(step, port)

    def _guess(self, owner: str, text: str, path: Path) -> None:
        """A text that is nearly a link is taken for a misspelt one."""
        if owner not in self._guesses:
            if len(self._guesses) >= MOST_GUESSES:
                return
            names = ["inputs", *self._around.steps]
            near = get_close_matches(owner, names, n=1, cutoff=0.8)
            self._guesses[owner] = near[0] if near else ""
        near_name = self._guesses[owner]
        if near_name:
            rest = text.partition(".")[2]
            fix = f"did you mean '{near_name}.{rest}'? (for a plain text write {{value: {text}}})"
            self._context.faults.add("HF204", path, f"there is no step '{owner}'", fix=fix)

    def type_of(self, ref: Ref) -> Type:
        """The type of a source."""
        if not ref.step:
            return self._around.inputs.get(ref.port, ANY)
        shape = self._around.steps[ref.step]
        return shape.type_of(ref.port) if ref.port in shape.outputs else ANY

    def feed(self, value: object, scope: Scope, path: Path) -> Feed:
        """What a port is fed with, as written in its short or long form."""
        if isinstance(value, str):
            return self._text(value, scope, path)
        if isinstance(value, list):
            return self._list(value, scope, path)
        if isinstance(value, dict):
            if "from" in value or ("value" in value and all(key in KEYS for key in value)):
                return self._long(value, scope, path)
            return self._constant(value, scope, path)
        constant: Value = value  # type: ignore[assignment]
        return Feed(Binding(default=constant), type_of(constant))

    def _text(self, text: str, scope: Scope, path: Path) -> Feed:
        if is_template(text):
            expression = compile_value(text, scope, self._context.faults, path)
            if isinstance(expression, Literal):
                return Feed(Binding(default=expression.value))
            return Feed(Binding(expression=expression))
        ref = self.link(text, path)
        if ref is not None:
            return Feed(Binding((ref,)), self.type_of(ref))
        return Feed(Binding(default=text), Type("string"))

    def _list(self, items: list[object], scope: Scope, path: Path) -> Feed:
        refs = [
            self.link(item, (*path, n)) if isinstance(item, str) else None
            for n, item in enumerate(items)
        ]
        found = [ref for ref in refs if ref is not None]
        if not found:
            return self._constant(items, scope, path)
        if len(found) < len(items):
            position = next(n for n, ref in enumerate(refs) if ref is None)
            item = items[position]
            if not (isinstance(item, str) and _LINK.fullmatch(item)):
                fix = 'write one expression: "{{ [step.port, 5] }}"'
                what = f"a list of links holds {kind_of(item)}"
                self._context.faults.add("HF206", (*path, position), what, fix=fix)
        return Feed(Binding(tuple(found), Merge.NESTED), self._merged(found, Merge.NESTED))

    def _merged(self, refs: list[Ref], merge: Merge | None) -> Type:
        types = {self.type_of(ref) for ref in refs}
        if merge is None and len(refs) == 1:
            return types.pop()
        one = types.pop() if len(types) == 1 else ANY
        if merge is Merge.FLATTENED and one.name == "array":
            return one
        return Type("array", items=one)

    def _constant(self, data: object, scope: Scope, path: Path) -> Feed:
        inside: list[Expression] = []
        compiled = self._compiled(data, scope, path, inside)
        if inside:
            names = dict.fromkeys(name for expression in inside for name in expression.names)
            return Feed(Binding(expression=Compound(compiled, tuple(names))))
        constant = _filled(compiled, {})
        return Feed(Binding(default=constant), type_of(constant))

    def _compiled(self, data: object, scope: Scope, path: Path, inside: list[Expression]) -> object:
        """The data with its templates compiled; those whose value is not known yet are noted."""
        if isinstance(data, list):
            return [
                self._compiled(item, scope, (*path, position), inside)
                for position, item in enumerate(data)
            ]
        if isinstance(data, dict):
            return {
                key: self._compiled(item, scope, (*path, key), inside) for key, item in data.items()
            }
        if not isinstance(data, str) or not is_template(data):
            return data
        expression = compile_value(data, scope, self._context.faults, path)
        if isinstance(expression, Literal):
            return expression.value
        inside.append(expression)
        return Inside(expression)

    def _long(self, form: dict[str, object], scope: Scope, path: Path) -> Feed:
        context = self._context
        context.unknown_keys(form, KEYS, path, "a port's long form")
        declared = read_type(context, form, path, "the port")
        if "from" not in form:
            value = form["value"]
            if declared is not None and declared.name != "any":
                value = context.constant(value, declared, (*path, "value"), "the port")
                return Feed(Binding(default=value), declared, declared)
            constant: Value = value  # type: ignore[assignment]
            return Feed(Binding(default=constant), type_of(constant), declared)
        merge = MERGES.get(self._word(form, "merge", MERGES, path))
        pick = PICKS.get(self._word(form, "pick", PICKS, path))
        written = form["from"]
        default: Value = form.get("default")  # type: ignore[assignment]
        if isinstance(written, str) and is_template(written):
            feed = self._text(written, scope, (*path, "from"))
            if merge is not None or pick is not None:
                key = "merge" if merge is not None else "pick"
                context.faults.add(
                    "HF206", (*path, key), f"'{key}' works on links, not on an expression", key=True
                )
            return Feed(feed.binding, feed.type, declared)
        refs = self._refs(written, path)
        if isinstance(written, list) and merge is None and pick is None:
            merge = Merge.NESTED
        found = self._merged(refs, merge) if refs and pick is None else ANY
        return Feed(Binding(tuple(refs), merge, pick, default), found, declared)

    def _refs(self, written: object, path: Path) -> list[Ref]:
        items = written if isinstance(written, list) else [written]
        refs: list[Ref] = []
        for position, item in enumerate(items):
            where = (*path, "from", position) if isinstance(written, list) else (*path, "from")
            ref = self.link(item, where) if isinstance(item, str) else None
            if ref is not None:
                refs.append(ref)
            elif not (
                isinstance(item, str)
                and _LINK.fullmatch(item)
                and self._guesses.get(item.split(".")[0])
            ):
                near = suggestion(str(item), ["inputs", *self._around.steps])
                fix = "name a source: step.output or inputs.name" + (
                    f"; {near}" if "did" in near else ""
                )
                self._context.faults.add(
                    "HF206", where, f"'from' takes links, gets {kind_of(item)}", fix=fix
                )
        return refs

    def _word(self, form: dict[str, object], key: str, words: Iterable[str], path: Path) -> str:
        """One of the known words; empty if it is not given, or after noting that it is none."""
        if key not in form:
            return ""
        word = form[key]
        if isinstance(word, str) and word in words:
            return word
        fix = suggestion(str(word), words, "words")
        self._context.faults.add(
            "HF113", (*path, key), f"'{key}' does not take {kind_of(word)}", fix=fix
        )
        return ""


def accepts(target: Type, source: Type) -> bool:
    """Whether a value of one type may be one of another; what cannot be known may."""
    if target.name == "any" or source.name == "any":
        return True
    if source.name == "null":
        return target.optional
    if target.name == "array" and source.name == "array":
        assert target.items is not None
        assert source.items is not None
        return accepts(target.items, source.items)
    if target.name == source.name:
        return True
    return (target.name, source.name) in {("float", "int"), ("enum", "string"), ("string", "enum")}
