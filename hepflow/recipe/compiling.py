"""From texts with ``{{ }}`` to templates and expressions: the quick kinds here, the rest by Jinja.

Most texts hold only dotted names, literals and ranges. They need no Jinja, whose import alone costs
more than a small run. Both ways mean the same (a test compares them).
"""

from __future__ import annotations

import re
from typing import Final

from hepflow.model.workflow import Expression
from hepflow.recipe.expressions import Literal, Lookup, Mixed, RangeOf
from hepflow.recipe.faults import Faults, Path
from hepflow.recipe.scope import FUNCTIONS, OUTPUT, PORT, Scope
from hepflow.recipe.spelling import SPELLINGS, ShellLexer, location_of
from hepflow.recipe.templates import (
    Constant,
    Slot,
    Slots,
    TextTemplate,
    is_template,
    reporter,
    split_slots,
)

_WHOLE: Final = re.compile(r"\s*\{\{\s*([^{}%#]*?)\s*\}\}\s*")
_INT: Final = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_STRING: Final = re.compile(r"""'([^'\\\n{}]*)'|"([^"\\\n{}]*)\"""")
_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_RANGE: Final = re.compile(r"range\(\s*([\w.]+(?:\s*,\s*[\w.]+){0,2})\s*\)", re.ASCII)


def compile_text(text: str, mode: str, scope: Scope, faults: Faults, path: Path) -> TextTemplate:
    """A template ready to render. Faults are noted; what comes back then is of no use.

    Args:
        mode: ``shell``, ``python``, ``json`` (literals of other languages) or ``text`` (unquoted).
    """
    if not is_template(text):
        return Constant(text)
    split = split_slots(text)
    if split is None:
        from hepflow.recipe.jinja import compile_jinja_text

        return compile_jinja_text(text, mode, scope, faults, path)
    pieces, last = split
    lexer = ShellLexer() if mode == "shell" else None
    slots: list[Slot] = []
    ports: dict[str, None] = {}
    resources = False
    report = reporter(faults, path)
    before = ""
    for literal, chain in pieces:
        spelling = mode
        if lexer is not None:
            lexer.feed(literal)
            spelling = mode + lexer.quote
            lexer.value()
        if chain[0] in FUNCTIONS and chain[0] not in scope.variables:
            report(
                "HF204",
                chain[0],
                f"'{chain[0]}' is a function, not a value",
                f"call it: {chain[0]}(...)",
            )
            continue
        access = scope.resolve(chain, report)
        if access is None:
            continue
        if access.kind == PORT:
            ports[access.name] = None
        resources = resources or access.kind not in (PORT, OUTPUT)
        before += literal
        if access.kind == OUTPUT and access.name in scope.paths and not access.attributes:
            before += SPELLINGS[spelling](scope.paths[access.name], location_of)
            continue
        slots.append(Slot(before, *access, SPELLINGS[spelling]))
        before = ""
    if not slots:
        return Constant(before + last)
    return Slots(text, tuple(slots), before + last, tuple(ports), resources)


def compile_value(text: str, scope: Scope, faults: Faults, path: Path) -> Expression:
    """An expression ready to evaluate. Faults are noted; what comes back is then of no use."""
    if not is_template(text):
        return Literal(text)
    whole = _WHOLE.fullmatch(text)
    if whole is not None and "\r" not in text:
        found = _simple(whole[1], scope, faults, path)
        if found is not None:
            return found
    elif split_slots(text) is not None:
        template = compile_text(text, "text", scope, faults, path)
        return Literal(template.text) if isinstance(template, Constant) else Mixed(template)
    from hepflow.recipe.jinja import compile_jinja_value

    return compile_jinja_value(text, scope, faults, path)


def _simple(inner: str, scope: Scope, faults: Faults, path: Path) -> Expression | None:
    """What needs no Jinja: a name, a literal, a range of such; else ``None``."""
    if _INT.fullmatch(inner):
        return Literal(int(inner))
    string = _STRING.fullmatch(inner)
    if string is not None:
        return Literal(string[1] if string[1] is not None else string[2])
    if _DOTTED.fullmatch(inner):
        return _lookup(inner, scope, faults, path)
    ranged = _RANGE.fullmatch(inner)
    if ranged is None or "range" in scope.variables:
        return None
    arguments: list[Literal | Lookup] = []
    for part in ranged[1].split(","):
        argument = _simple(part.strip(), scope, faults, path)
        if not isinstance(argument, (Literal, Lookup)):
            return None
        arguments.append(argument)
    names = dict.fromkeys(name for argument in arguments for name in argument.names)
    return RangeOf(tuple(arguments), tuple(names))


def _lookup(dotted: str, scope: Scope, faults: Faults, path: Path) -> Expression | None:
    if split_slots("{{" + dotted + "}}") is None:
        return None
    chain = tuple(dotted.split("."))
    report = reporter(faults, path)
    if chain[0] in FUNCTIONS and chain[0] not in scope.variables:
        report(
            "HF204",
            chain[0],
            f"'{chain[0]}' is a function, not a value",
            f"call it: {chain[0]}(...)",
        )
        return Literal(None)
    access = scope.resolve(chain, report)
    if access is None:
        return Literal(None)
    if access.kind != PORT:
        return None
    return Lookup(access.name, access.attributes)
