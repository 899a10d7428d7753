"""Functions, filters, tests and methods of the native language that have an exact counterpart.

A table of small rules: each takes the arguments' code and gives the call's. What is not here is
refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from hepflow.model.portable import Kind
from hepflow.model.types import ANY, Type

from .export_code import Js, Refused, list_of, plain
from .export_types import BOOLEAN, FLOAT, INT, STRING, array, numbers, required

Rule: TypeAlias = Callable[..., Js]
"""Takes the positional arguments, the subject first, and named ones by their names."""

_ELSEWHERE: Final = "compute it in a step of its own"
_ZERO: Final = Js("0", INT, True)
_ZERO_FLOAT: Final = Js("0", FLOAT)
_NOTHING: Final = Js('""', STRING)


def call(kind: Kind, name: str, arguments: Sequence[Js], named: Mapping[str, Js]) -> Js:
    """The code of a call.

    Raises:
        Refused: there is no exact counterpart, or not with these arguments.
    """
    rule = RULES[kind].get(name)
    if rule is None:
        known = ", ".join(sorted(RULES[kind]))
        raise Refused(
            f"the {kind.value} '{name}' cannot be exported",
            f"{_ELSEWHERE}; {kind.value}s that can be exported: {known}",
        )
    try:
        return rule(*arguments, **named)
    except TypeError:
        what = f"the {kind.value} '{name}' cannot be exported with these arguments"
        raise Refused(what, _ELSEWHERE) from None


# --- numbers --------------------------------------------------------------------------------------


def _numeric(name: str, *values: Js) -> None:
    for value in values:
        if not value.is_number:
            raise Refused(f"'{name}' of what is not known to be an int or a float", _ELSEWHERE)


def _range(*bounds: Js) -> Js:
    if not 1 <= len(bounds) <= 3:
        raise TypeError
    return Js(f"hep.range({', '.join(bound.code for bound in bounds)})", array(INT), True)


def _length(value: Js) -> Js:
    if value.kind in ("File", "Directory"):
        raise Refused("the length of a file's path", _ELSEWHERE)
    return Js(f"hep.length({value.code})", INT, True)


def _extreme(sign: int, *values: Js) -> Js:
    items = list_of(list(values)) if len(values) > 1 else values[0]
    found = items.type.items or ANY
    return Js(f"hep.best({items.code}, {sign})", found, items.sound)


def _extreme_filter(sign: int, value: Js) -> Js:
    if numbers(value.type) not in ("int", "float"):
        raise Refused("'min' and 'max' as filters of what are not numbers", "use them as functions")
    return _extreme(sign, value)


def _sum(value: Js) -> Js:
    if numbers(value.type) != "int":
        fix = f"{_ELSEWHERE}: Python 3.12 adds floats up otherwise than 3.11 and JavaScript do"
        raise Refused("'sum' of what are not known to be ints", fix)
    return Js(f"hep.sum({value.code})", INT, True)


def _abs(value: Js) -> Js:
    _numeric("abs", value)
    return Js(f"Math.abs({value.number})", value.type, True)


def _round(value: Js, ndigits: Js | None = None) -> Js:
    _numeric("round", value)
    if value.kind == "int":
        if ndigits is not None and not ndigits.code.isdigit():
            raise TypeError
        return value
    if ndigits is None:
        return Js(f"hep.integer(hep.round({value.code}, 0))", INT, True)
    return Js(f"hep.round({value.code}, {ndigits.whole})", FLOAT)


def _round_filter(value: Js, precision: Js | None = None) -> Js:
    return _round(value, precision or _ZERO)


def _int(value: Js) -> Js:
    return Js(f"hep.truncated({value.code})", INT, True)


def _float(value: Js) -> Js:
    return Js(f"hep.decimal({value.code})", FLOAT)


def _int_filter(value: Js, default: Js = _ZERO) -> Js:
    if default.kind != "int":
        raise TypeError
    return Js(f"hep.truncated({value.code}, {default.whole})", INT, True)


def _float_filter(value: Js, default: Js = _ZERO_FLOAT) -> Js:
    if default.kind != "float":
        raise TypeError
    return Js(f"hep.decimal({value.code}, {default.code})", FLOAT)


# --- arrays ---------------------------------------------------------------------------------------


def _flag(value: Js | None) -> bool:
    """An argument that must be written out: true or false."""
    if value is not None and value.code not in ("true", "false"):
        raise TypeError
    return value is not None and value.code == "true"


def _sorted(value: Js, *, reverse: Js | None = None) -> Js:
    code = f"hep.sorted({value.code}{', true' if _flag(reverse) else ''})"
    return Js(code, array(plain(value.type)), value.sound)


def _sort_filter(value: Js, reverse: Js | None = None, case_sensitive: Js | None = None) -> Js:
    backwards = "true" if _flag(reverse) else "false"
    key = "" if _flag(case_sensitive) else ", hep.lowered"
    code = f"hep.sorted({value.code}, {backwards}{key})"
    return Js(code, array(plain(value.type)), value.sound)


def _unique(value: Js) -> Js:
    return Js(f"hep.unique({value.code})", array(plain(value.type)), value.sound)


def _reverse(value: Js) -> Js:
    if value.is_text:
        return Js(f'hep.points({value.code}).reverse().join("")', STRING)
    return Js(f"hep.items({value.code}).slice().reverse()", array(plain(value.type)), value.sound)


def _list(value: Js) -> Js:
    return Js(f"hep.items({value.code})", array(plain(value.type)), value.sound)


def _element(position: int, value: Js) -> Js:
    return Js(f"hep.item({value.code}, {position})", plain(value.type), value.sound)


# --- texts ----------------------------------------------------------------------------------------


def _str(value: Js) -> Js:
    return Js(f"hep.str({value.spellable})", STRING)


def _json(value: Js) -> Js:
    return Js(f"hep.json({value.spellable})", STRING)


def _join(value: Js, d: Js = _NOTHING) -> Js:
    return Js(f"hep.items({value.spellable}).map(hep.str).join({d.text})", STRING)


def _join_method(value: Js, items: Js) -> Js:
    return Js(f"hep.items({items.code}).map(hep.string).join({value.text})", STRING)


def _on_text(pattern: str, result: Type = STRING) -> Rule:
    """A rule whose subject and arguments are all texts; the pattern says where each goes."""

    def rule(*values: Js) -> Js:
        if len(values) != pattern.count("{"):
            raise TypeError
        return Js(pattern.format(*(value.text for value in values)), result)

    return rule


def _split(value: Js, sep: Js | None = None) -> Js:
    if sep is None:
        return Js(f"hep.words({value.text})", array(STRING))
    if sep.code == '""':
        raise TypeError
    return Js(f"{value.text}.split({sep.text})", array(STRING))


def _format(pattern: Js, *values: Js) -> Js:
    if not pattern.is_text:
        raise Refused("'%' of what may be a text", "write the format out")
    return Js(
        f"hep.format({pattern.code}, [{', '.join(value.spellable for value in values)}])", STRING
    )


def _of_path(function: str) -> Rule:
    """A rule for a part of a path, or of each in an array."""

    def rule(value: Js) -> Js:
        found = STRING
        if value.type.items is not None:
            found = array(STRING)
        elif required(value.type).name == "any":
            found = ANY
        return Js(f"hep.{function}({value.code})", found)

    return rule


# --- tests ----------------------------------------------------------------------------------------


def _test(pattern: str) -> Rule:
    def rule(value: Js, *others: Js) -> Js:
        if len(others) + 1 != pattern.count("{"):
            raise TypeError
        codes = [value.number, *(other.number for other in others)]
        return Js(f"({pattern.format(*codes)})", BOOLEAN)

    return rule


def _extremes(rule: Callable[..., Js]) -> dict[str, Rule]:
    return {
        "min": lambda *values: rule(-1, *values),
        "max": lambda *values: rule(1, *values),
    }


RULES: Final[Mapping[Kind, Mapping[str, Rule]]] = {
    Kind.FUNCTION: {
        "range": _range, "len": _length, "sum": _sum, "abs": _abs, "round": _round, "int": _int,
        "float": _float, "str": _str, "sorted": _sorted, **_extremes(_extreme),
    },
    Kind.FILTER: {
        "length": _length, "count": _length, "sum": _sum, "abs": _abs, "round": _round_filter,
        "int": _int_filter, "float": _float_filter, "string": _str, "json": _json, "tojson": _json,
        "sort": _sort_filter, "unique": _unique, "reverse": _reverse, "list": _list,
        "first": lambda value: _element(0, value), "last": lambda value: _element(-1, value),
        "join": _join, "format": _format, "upper": _on_text("{}.toUpperCase()"),
        "lower": _on_text("{}.toLowerCase()"), "trim": _on_text("hep.strip({})"),
        "replace": _on_text("hep.replace({}, {}, {})"), "basename": _of_path("basename"),
        "stem": _of_path("stem"), "suffix": _of_path("suffix"), "dirname": _of_path("dirname"),
        **_extremes(_extreme_filter),
    },
    Kind.TEST: {
        "none": _test("{} === null"), "odd": _test("hep.modulo({}, 2) === 1"),
        "even": _test("hep.modulo({}, 2) === 0"),
        "divisibleby": _test("hep.modulo({}, {}) === 0"),
        "string": _test('typeof {} === "string"'), "true": _test("{} === true"),
        "false": _test("{} === false"),
    },
    Kind.METHOD: {
        "upper": _on_text("{}.toUpperCase()"), "lower": _on_text("{}.toLowerCase()"),
        "strip": _on_text("hep.strip({})"), "replace": _on_text("hep.replace({}, {}, {})"),
        "split": _split, "join": _join_method,
        "startswith": _on_text("({}.indexOf({}) === 0)", BOOLEAN),
        "endswith": _on_text("hep.endsWith({}, {})", BOOLEAN),
    },
}  # fmt: skip
