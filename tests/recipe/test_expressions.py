"""Values from expressions; the quick lane and Jinja mean the same."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.model.values import File, Value
from hepflow.model.workflow import Expression
from hepflow.recipe.compiling import compile_text, compile_value
from hepflow.recipe.expressions import Literal, Lookup, Mixed, RangeOf
from hepflow.recipe.faults import Faults
from hepflow.recipe.jinja import compile_jinja_text, compile_jinja_value
from hepflow.recipe.scope import Scope, Surroundings
from hepflow.recipe.spelling import location_of
from hepflow.recipe.templates import Frame
from tests.recipe.test_quoting import DATA, NASTY, Nowhere

NAMES = ("x", "y", "xs", "f", "d")


def scope() -> Scope:
    return Scope(Surroundings({}, {}), own=NAMES, variables=NAMES)


def compiled(text: str) -> Expression:
    faults = Faults(Nowhere)
    found = compile_value(text, scope(), faults, ())
    assert not faults.problems
    return found


def value(text: str, **values: Value) -> Value:
    return compiled(text).evaluate(values)


def both(text: str, values: dict[str, Value]) -> tuple[object, object]:
    """What the quick lane and Jinja give, an error as its kind."""
    results: list[object] = []
    for compile_one in (compile_value, compile_jinja_value):
        expression = compile_one(text, scope(), Faults(Nowhere), ())
        try:
            results.append(expression.evaluate(values))
        except ValueError:
            results.append(ValueError)
    return results[0], results[1]


@given(x=DATA, y=DATA)
def test_names_mean_the_same_in_both_lanes(x: Value, y: Value) -> None:
    values: dict[str, Value] = {"x": x, "y": y, "d": {"a": x, "items": y}}
    for text in (
        "{{ x }}",
        " {{ inputs.y }}\n",
        "{{ d.a }}",
        "{{ d.items }}",
        "{{ d.b }}",
        "{{ x.a }}",
    ):
        quick, full = both(text, values)
        assert quick == full
        assert type(quick) is type(full)


@given(text=st.text("ab{}x 'é", max_size=8), x=NASTY, n=st.integers())
def test_text_around_names_means_the_same_in_both_lanes(text: str, x: str, n: int) -> None:
    whole = text + "{{ x }}-{{ inputs.y }}" + text
    assert both(whole, {"x": x, "y": n})[0] == both(whole, {"x": x, "y": n})[1]


@given(a=st.integers(-5, 50), b=st.integers(-5, 50), c=st.integers(-3, 3))
def test_ranges_mean_the_same_in_both_lanes(a: int, b: int, c: int) -> None:
    for text in (
        "{{ range(x) }}",
        "{{ range(x, inputs.y) }}",
        "{{ range(1,y , d) }}",
        "{{range(3)}}",
    ):
        quick, full = both(text, {"x": a, "y": b, "d": c})
        assert quick == full
        assert isinstance(quick, range) or quick is ValueError


@given(value=st.integers(0, 10**12) | st.from_regex(r"[a-z .,]*", fullmatch=True))
def test_literals_mean_the_same_in_both_lanes(value: int | str) -> None:
    quick, full = both("{{ " + (repr(value)) + " }}", {})
    assert quick == full == value


@pytest.mark.parametrize("mode", ["shell", "text", "python", "json"])
@given(x=NASTY, n=st.integers() | st.none() | st.booleans() | st.floats(allow_nan=False))
def test_commands_mean_the_same_in_both_lanes(mode: str, x: str, n: Value) -> None:
    text = "a {{ x }} '{{ inputs.y }}' \"{{ x }}\" {{ xs }}"
    frame = Frame({"x": x, "y": n, "xs": [x, n]}, {}, {}, location_of, [])
    quick = compile_text(text, mode, scope(), Faults(Nowhere), ())
    full = compile_jinja_text(text, mode, scope(), Faults(Nowhere), ())
    assert quick.render(frame) == full.render(frame)
    assert quick.ports == full.ports


@pytest.mark.parametrize(
    ("text", "kind"),
    [("{{ x }}", Lookup), ("{{ 5 }}", Literal), ("{{ 'a' }}", Literal), ("{{ range(x) }}", RangeOf),
     ("a{{ x }}", Mixed), ("{{ inputs.d.a }}", Lookup), ("plain", Literal)],
)  # fmt: skip
def test_plain_expressions_take_the_quick_lane(text: str, kind: type) -> None:
    assert type(compiled(text)) is kind


def test_the_quick_lane_does_not_import_jinja() -> None:
    code = (
        "import sys\n"
        "from hepflow.recipe.compiling import compile_text, compile_value\n"
        "from hepflow.recipe.scope import Scope, Surroundings\n"
        "scope = Scope(Surroundings({}, {}), variables=('x',))\n"
        "for text in ('{{ x }}', '{{ range(x) }}', 'a{{ x }}b', '{{ 5 }}'):\n"
        "    compile_value(text, scope, None, ())\n"
        "compile_text('echo \"{{ x }}\"', 'shell', scope, None, ())\n"
        "print('jinja2' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_a_range_of_a_million_costs_nothing() -> None:
    assert value("{{ range(x) }}", x=1_000_000) == range(1_000_000)
    assert value("{{ range(x + 1) }}", x=1_000_000) == range(1_000_001)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ x + 1 }}", 6), ("{{ x / 2 }}", 2.5), ("{{ x // 2 }}", 2), ("{{ x > 3 and not y }}", True),
        ("{{ 'n' ~ x }}", "n5"), ("{{ [x, x * 2] }}", [5, 10]), ("{{ {'a': x} }}", {"a": 5}),
        ("{{ xs | sum }}", 6), ("{{ xs | map('string') | list }}", ["1", "2", "3"]),
        ("{{ xs | map('string') }}", ["1", "2", "3"]), ("{{ xs[-1] }}", 3), ("{{ len(xs) }}", 3),
        ("{{ zip(xs, xs) | list }}", [[1, 1], [2, 2], [3, 3]]), ("{{ max(xs) }}", 3),
        ("{{ 'big' if x > 3 else 'small' }}", "big"), ("{{ x }}{{ x }}", "55"), ("{{-x-}}", 5),
        ("{{ f | basename }}", "c.tar.gz"), ("{{ f | stem }}", "c.tar"), ("{{ f | suffix }}", ".gz"),
        ("{{ f | dirname }}", "/a/b"), ("{{ f.size }}", 7), ("{{ f.stem }}-{{ f.basename }}", "c.tar-c.tar.gz"),
        ("{{ [f] | basename }}", ["c.tar.gz"]), ("{% if x %}yes{% else %}no{% endif %}", "yes"),
        ("a{{# a comment #}}b{{ x }}", "ab5"), ("{{ d.values }}", 1), ("{{ none }}", None), ("{{ true }}", True),
        ("{{ sorted(xs, reverse=true) }}", [3, 2, 1]), ("{{ f }}", File("/a/b/c.tar.gz", size=7)),
        ("{{ round(2.567, 1) }}", 2.6), ("{{ '}}' }}", "}}"), ("{{ x is even }}", False),
    ],
)  # fmt: skip
def test_what_expressions_give(text: str, expected: Value) -> None:
    given_values: dict[str, Value] = {
        "x": 5, "y": 0, "xs": [1, 2, 3], "f": File("/a/b/c.tar.gz", size=7), "d": {"values": 1},
    }  # fmt: skip
    found = value(text, **given_values)
    assert found == expected or [*map(list, found)] == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ x.nothing }}", "nothing"), ("{{ x / 0 }}", "zero"), ("{{ xs[9] }}", "9"),
        ("{{ x + 'a' }}", "unsupported"), ("{{ xs.append(1) }}", "unsafe|safely"),
        ("{{ x.__class__ }}", "no attribute|unsafe|__class__"), ("{{ 2 ** 10000000 }}", "exponent"),
        ("{{ 'a' * 10 ** 9 }}", "repetition"), ("{{ range }}{{ x + 1 }}", "not a value|type"),
        ("{{ d.missing + 1 }}", "missing"), ("{{ range('a') }}", "range|int"), ("{{ x() }}", "callable"),
    ],
)  # fmt: skip
def test_what_fails_is_told_in_a_sentence(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        value(text, x=5, xs=[1], d={})


def test_names_are_the_ports_read() -> None:
    assert list(compiled("{{ x + inputs.y | length }}").names) == ["x", "y"]
    assert list(compiled("{% for i in xs %}{{ i }}{{ x }}{% endfor %}").names) == ["xs", "x"]
