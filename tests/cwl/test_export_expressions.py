"""What an expression gives in a recipe it gives in exported JavaScript, or it is refused.

The recipe's own evaluation is the judge; the JavaScript runs in an engine in this process.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

quickjs = pytest.importorskip("quickjs", reason="needs quickjs-ng")

from hepflow.model.errors import Place  # noqa: E402
from hepflow.model.types import Type  # noqa: E402
from hepflow.model.values import Value  # noqa: E402
from hepflow.model.workflow import Expression  # noqa: E402
from hepflow.recipe import portable_text  # noqa: E402
from hepflow.recipe.compiling import compile_text, compile_value  # noqa: E402
from hepflow.recipe.faults import Faults  # noqa: E402
from hepflow.recipe.scope import Scope, Surroundings  # noqa: E402
from hepflow.recipe.templates import Frame  # noqa: E402
from hepflow_cwl.export_code import Js  # noqa: E402
from hepflow_cwl.export_javascript import Names, formula, text  # noqa: E402
from hepflow_cwl.export_types import of_value  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = (ROOT / "adapters/hepflow_cwl/export_library.js").read_text(encoding="utf-8")

VALUES: dict[str, Value] = {
    "i": 7, "j": -3, "n": 0, "big": 2**53 - 1, "x": 2.0, "y": -0.125, "z": 1e16, "s": "it's $HOME",
    "t": "a,b c", "u": "Käse 😀", "e": "", "b": True, "ints": [3, 1, 2], "floats": [0.5, 2.0, -1.0],
    "words": ["b b", "a", "B"], "empty": [], "nil": None,
}  # fmt: skip

ALLOWED = (
    "can hold exactly", "cannot be handed on", "became infinite", "cannot be rounded",
    "not a number here", "nothing to replace", "exponent",
)  # fmt: skip
"""What the JavaScript may refuse though Python goes on."""


class _NoPlaces:
    def at(self, path: object, *, key: bool = False, needle: str = "", line: int = 0) -> Place:
        return Place()


def scope() -> Scope:
    types = {name: of_value(value) for name, value in VALUES.items()}
    return Scope(Surroundings(types, {}), variables=tuple(VALUES))


def ports() -> dict[str, Js]:
    return {name: Js(f"inputs.{name}", of_value(value)) for name, value in VALUES.items()}


@cache
def engine() -> Any:
    """An engine that has the library and the values."""
    found = quickjs.Context()
    found.eval(LIBRARY)
    found.eval(f"var inputs = {json.dumps(VALUES)};")
    return found


def in_javascript(code: str) -> object:
    """The value of an expression; a RuntimeError with the engine's sentence when it fails."""
    try:
        found = engine().eval(f"JSON.stringify([{code}])")
    except quickjs.JSException as error:
        raise RuntimeError(str(error)) from None
    return json.loads(found)[0]


def may_fail(error: RuntimeError, what: str) -> None:
    """A failure where Python goes on must be one of those that are better than a wrong value."""
    assert any(word in str(error) for word in ALLOWED), f"{what}: {error}"


def compiled(source: str) -> Expression:
    faults = Faults(_NoPlaces)
    found = compile_value("{{ " + source + " }}", scope(), faults, ())
    assert not faults.problems, faults.problems
    return found


def names_in(source: str) -> set[str]:
    """The values an expression mentions. Jinja knows beforehand that some are never read, and then
    nobody can say what they are."""
    bare = re.sub(r"'[^']*'|\"(?:\\.|[^\"])*\"", "", source)
    return {word for word in re.findall(r"(?<![\w.])[a-z]+", bare) if word in VALUES}


def translated(source: str) -> Js:
    expression = compiled(source)
    described = portable_text.formula(expression, source, lambda _needle, _line: Place())
    return formula(described, Names(ports(), paths=True))


def as_python(value: object, known: Type) -> object:
    """A value from JSON with the numbers its type promises."""
    if known.items is not None and isinstance(value, list):
        return [as_python(item, known.items) for item in value]
    if known.name == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def listed(value: object) -> object:
    return [*map(listed, value)] if isinstance(value, list | tuple | range) else value


def agrees(source: str) -> None:
    """Holds the two evaluations of one expression against each other."""
    found = translated(source)
    try:
        expected = listed(compiled(source).evaluate(VALUES))
    except ValueError as error:
        with pytest.raises(RuntimeError):
            pytest.fail(f"{source}: fails with {error}, but gives {in_javascript(found.result)}")
        return
    try:
        given_ = as_python(in_javascript(found.result), found.type)
    except RuntimeError as error:
        may_fail(error, f"{source} = {expected!r}")
        return
    if found.type.name == "any":
        assert given_ == expected, f"{source}  ->  {found.code}"
    else:
        assert repr(given_) == repr(expected), f"{source}  ->  {found.code}"


MODES = ("shell", 'shell"', "shell'", "shell$'", "python", "json", "text", "words")
AROUND = {"shell": "{}", 'shell"': '"{}"', "shell'": "'{}'", "shell$'": "$'{}'"}


def spelled_alike(source: str, mode: str) -> None:
    """Holds the two spellings of one value against each other."""
    written = AROUND.get(mode, "{}").format("{{ " + source + " }}")
    faults = Faults(_NoPlaces)
    template = compile_text(written, mode.rstrip("\"'$"), scope(), faults, ())
    assert not faults.problems, faults.problems
    described = portable_text.text_of(template, lambda _needle, _line: Place())
    code, refused = text(described, Names(ports(), paths=True))
    assert not refused, refused
    try:
        expected = template.render(Frame(VALUES, {}, {}, lambda file: file.location, []))
    except ValueError:
        with pytest.raises(RuntimeError):
            in_javascript(code)
        return
    try:
        assert in_javascript(code) == expected, f"{source}  ->  {code}"
    except RuntimeError as error:
        may_fail(error, f"{source} = {expected!r}")


# --- made-up expressions --------------------------------------------------------------------------

INTS = st.one_of(st.integers(-20, 20).map(str), st.sampled_from(["i", "j", "n", "big", "ints[0]"]))
FLOATS = st.one_of(
    st.floats(-100, 100).map(lambda x: f"({x!r})"), st.sampled_from(["x", "y", "z", "floats[1]"])
)
TEXTS = st.sampled_from(["s", "t", "u", "e", "'x'", '"%d"', "words[0]"])


def grown(inner: tuple[st.SearchStrategy[str], ...]) -> tuple[st.SearchStrategy[str], ...]:
    """Larger expressions of ints, floats, texts and truth values from smaller ones."""
    ints, floats, texts, truths = inner

    def form(pattern: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*parts).map(lambda found: pattern.format(*found))

    numbers = ints | floats
    bigger_ints = st.one_of(
        form("({} + {})", ints, ints), form("({} - {})", ints, ints), form("({} * {})", ints, ints),
        form("({} // {})", ints, ints), form("({} % {})", ints, ints), form("(-{})", ints),
        form("({} if {} else {})", ints, truths, ints), form("abs({})", ints),
        form("min({}, {})", ints, ints), form("len({})", texts), form("int({})", numbers),
        form("round({})", floats), form("({} ** 3)", ints), form("([{}, {}] | sum)", ints, ints),
        form("sorted([{}, {}])[0]", ints, ints), form("({} | int)", texts),
    )  # fmt: skip
    bigger_floats = st.one_of(
        form("({} + {})", floats, numbers), form("({} * {})", numbers, floats),
        form("({} - {})", floats, ints), form("({} / {})", numbers, numbers),
        form("({} // {})", floats, numbers), form("({} % {})", numbers, floats),
        form("round({}, 2)", floats), form("({} | round(1))", floats), form("float({})", ints),
        form("max({}, {})", floats, floats), form("(-{})", floats),
    )  # fmt: skip
    bigger_texts = st.one_of(
        form("({} ~ {})", texts, numbers), form("({} + {})", texts, texts),
        form("({} | upper)", texts), form("({} | trim)", texts), form("{}[1:]", texts),
        form("{}[::-1]", texts), form("('%04d' % {})", ints), form("('%+.3f|' % {})", floats),
        form("('%-6s|%s' % ({}, {}))", texts, numbers), form("str({})", truths),
        form("({} | replace('a', '$'))", texts), form("([{}, {}] | join('-'))", numbers, texts),
        form("({} or {})", texts, texts), form("({} | json)", texts), form("str([{}])", texts),
        form("({}.split() | join('+'))", texts), form("({} | reverse)", texts),
    )  # fmt: skip
    bigger_truths = st.one_of(
        form("({} < {})", numbers, numbers), form("({} == {})", numbers, numbers),
        form("({} >= {})", texts, texts), form("({} != {})", texts, texts),
        form("(not {})", numbers), form("({} and {})", truths, truths),
        form("({} or {})", truths, truths), form("({} in {})", texts, texts),
        form("({} in [{}, {}])", numbers, ints, floats), form("(1 < {} <= 5)", numbers),
        form("({} is odd)", ints), form("({} is none)", st.sampled_from(["nil", "i"])),
        form("({} == {})", truths, ints),
    )  # fmt: skip
    return (
        ints | bigger_ints, floats | bigger_floats, texts | bigger_texts, truths | bigger_truths,
    )  # fmt: skip


SMALL = (INTS, FLOATS, TEXTS, st.sampled_from(["b", "true", "false", "(i > 2)"]))
DEEP = grown(grown(grown(SMALL)))


@settings(max_examples=400)
@given(st.one_of(*DEEP))
def test_an_expression_has_the_same_value(source: str) -> None:
    assume(set(compiled(source).names) == names_in(source))
    agrees(source)


@settings(max_examples=400)
@given(st.one_of(*grown(SMALL)), st.sampled_from(MODES))
def test_a_value_is_spelled_alike_in_every_place(source: str, mode: str) -> None:
    assume(set(compiled(source).names) == names_in(source))
    spelled_alike(source, mode)


@settings(max_examples=200)
@given(st.text(), st.sampled_from(MODES))
def test_any_text_is_spelled_alike(value: str, mode: str) -> None:
    if value.isprintable() and "\\" not in value and "{" not in value and "}" not in value:
        spelled_alike(json.dumps(value, ensure_ascii=False), mode)


@pytest.mark.parametrize("name", sorted(VALUES))
@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_value_is_spelled_alike(name: str, mode: str) -> None:
    spelled_alike(name, mode)
