"""Small workflows about how values flow, as text: what CWL's rules for links say, case by case.

Each runs ExpressionTools only, so it takes next to no time with any runner.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Case(NamedTuple):
    """A workflow and its inputs; ``name`` says what it is about."""

    name: str
    document: str
    inputs: dict[str, object]


HEAD = """\
cwlVersion: {version}
$graph:
- class: ExpressionTool
  id: pass
  requirements: {{InlineJavascriptRequirement: {{}}}}
  inputs: {{x: Any?}}
  outputs: {{o: Any?}}
  expression: "${{return {{o: inputs.x}};}}"
- class: ExpressionTool
  id: pair
  requirements: {{InlineJavascriptRequirement: {{}}}}
  inputs: {{x: Any?, y: Any?}}
  outputs: {{o: Any?}}
  expression: "${{return {{o: [inputs.x, inputs.y]}};}}"
- class: ExpressionTool
  id: triple
  requirements: {{InlineJavascriptRequirement: {{}}}}
  inputs: {{x: Any?, y: Any?, z: Any?}}
  outputs: {{o: Any?}}
  expression: "${{return {{o: [inputs.x, inputs.y, inputs.z]}};}}"
- class: ExpressionTool
  id: own
  requirements: {{InlineJavascriptRequirement: {{}}}}
  inputs: {{x: {{type: int?, default: 7}}}}
  outputs: {{o: int?}}
  expression: "${{return {{o: inputs.x}};}}"
- class: ExpressionTool
  id: add
  requirements: {{InlineJavascriptRequirement: {{}}}}
  inputs: {{x: int, by: {{type: int, default: 1}}}}
  outputs: {{o: int}}
  expression: "${{return {{o: inputs.x + inputs.by}};}}"
- class: Workflow
  id: inner
  requirements: {{InlineJavascriptRequirement: {{}}}}
  inputs: {{x: {{type: int?, default: 5}}}}
  outputs: {{o: {{type: Any?, outputSource: s/o}}}}
  steps: {{s: {{run: "#pass", in: {{x: x}}, out: [o]}}}}
- class: Workflow
  id: main
  requirements:
    InlineJavascriptRequirement: {{expressionLib: ["function twice(n) {{ return 2 * n; }}"]}}
    MultipleInputFeatureRequirement: {{}}
    ScatterFeatureRequirement: {{}}
    StepInputExpressionRequirement: {{}}
    SubworkflowFeatureRequirement: {{}}
"""


def case(
    name: str, steps: str, outputs: str, version: str = "v1.2", ports: str = "", **inputs: object
) -> Case:
    """A workflow of some steps over inputs of any type (or as ``ports`` says)."""
    declared = ports or ", ".join(f"{key}: 'Any?'" for key in inputs)
    body = f"  inputs: {{{declared}}}\n  outputs:\n{_indented(outputs)}  steps:\n{_indented(steps)}"
    return Case(name, HEAD.format(version=version) + body, inputs)


def _indented(text: str) -> str:
    return "".join(f"    {line.strip()}\n" for line in text.strip().splitlines())


def out(*sources: str, more: str = "") -> str:
    """A workflow output ``o`` from sources; one alone is no list."""
    source = sources[0] if len(sources) == 1 else f"[{', '.join(sources)}]"
    return f"o: {{type: 'Any?', outputSource: {source}{', ' if more else ''}{more}}}"


PASS_A = "s: {run: '#pass', in: {x: a}, out: [o]}"


def scatters() -> Iterator[Case]:
    """Scattering, with all methods and empty arrays."""
    one = "s: {run: '#pass', scatter: x, in: {x: a}, out: [o]}"
    yield case("scatter over one array", one, out("s/o"), a=[1, None, [2]])
    yield case("scatter over nothing gives nothing", one, out("s/o"), a=[])
    yield case("scatter over what is no array fails", one, out("s/o"), a=3)
    yield case("scatter over null fails", one, out("s/o"), a=None)
    for method in ("dotproduct", "flat_crossproduct", "nested_crossproduct"):
        two = (
            f"s: {{run: '#pair', scatter: [x, y], scatterMethod: {method},"
            " in: {x: a, y: b}, out: [o]}"
        )
        yield case(f"{method} of two arrays", two, out("s/o"), a=[1, 2], b=["p", "q"])
        yield case(f"{method} of unequal arrays", two, out("s/o"), a=[1, 2, 3], b=["p", "q"])
        yield case(f"{method} with an empty first array", two, out("s/o"), a=[], b=[1, 2])
        yield case(f"{method} with an empty second array", two, out("s/o"), a=[1, 2], b=[])
        yield case(f"{method} of nothing with nothing", two, out("s/o"), a=[], b=[])
    three = (
        "s: {run: '#triple', scatter: [x, y, z], scatterMethod: nested_crossproduct,"
        " in: {x: a, y: b, z: c}, out: [o]}"
    )
    yield case("a nested cross product of three", three, out("s/o"), a=[1], b=[2, 3], c=[4, 5])
    yield case("a nested cross product, the last empty", three, out("s/o"), a=[1], b=[2, 3], c=[])
    yield case("a nested cross product, one within empty", three, out("s/o"), a=[1, 6], b=[], c=[2])
    chain = """
        s: {run: '#add', scatter: x, in: {x: a}, out: [o]}
        t: {run: '#add', scatter: x, in: {x: s/o, by: b}, out: [o]}
    """
    yield case("scatter after scatter", chain, out("t/o"), ports="a: 'int[]', b: int", a=[1, 2], b=10)  # fmt: skip
    default = "s: {run: '#own', scatter: x, in: {x: a}, out: [o]}"
    yield case("a null element takes the tool's default", default, out("s/o"), a=[1, None, 3])
    inner = "s: {run: '#inner', scatter: x, in: {x: a}, out: [o]}"
    yield case("scatter over a workflow", inner, out("s/o"), a=[1, None])
    late = """
        s: {run: '#pass', in: {x: a}, out: [o]}
        t: {run: '#pair', scatter: x, in: {x: {source: s/o, default: [8, 9]}, y: b}, out: [o]}
    """
    yield case("scatter over the default of a link", late, out("t/o"), a=None, b="c")


def merges() -> Iterator[Case]:
    """Several sources, and what they become."""
    for method in ("merge_nested", "merge_flattened"):
        for sources in ("a", "[a]", "[a, b]"):
            step = (
                f"s: {{run: '#pass', in: {{x: {{source: {sources}, linkMerge: {method}}}}},"
                " out: [o]}"
            )
            for a, b in ((1, 2), ([1], [2, 3]), (None, [None, 1]), ([[1]], 4), ([], None)):
                yield case(f"{method} of {sources} with {a} and {b}", step, out("s/o"), a=a, b=b)
    several = "s: {run: '#pass', in: {x: {source: [a, b]}}, out: [o]}"
    yield case("several sources nest", several, out("s/o"), a=[1], b=2)
    one = "s: {run: '#pass', in: {x: {source: [a]}}, out: [o]}"
    yield case("a list of one source is no array", one, out("s/o"), a=1)
    merged = out("a", "b", more="linkMerge: merge_flattened")
    yield case("outputs merge as well", PASS_A, merged, a=[1], b=2)


def picks() -> Iterator[Case]:
    """pickValue, on inputs and outputs."""
    values: tuple[tuple[object, object], ...] = (
        (None, None), (None, 1), (1, None), (1, 2), ([None, 1], None), ([None], [2]),
    )  # fmt: skip
    for pick in ("first_non_null", "the_only_non_null", "all_non_null"):
        for a, b in values:
            step = (
                f"s: {{run: '#pass', in: {{x: {{source: [a, b], pickValue: {pick}}}}}, out: [o]}}"
            )
            yield case(f"{pick} of {a} and {b}", step, out("s/o"), a=a, b=b)
            result = out("s/o", "b", more=f"pickValue: {pick}")
            yield case(f"{pick} of {a} and {b} as an output", PASS_A, result, a=a, b=b)
        for a in (None, 1, [None, 1], [None, None], []):
            single = f"s: {{run: '#pass', in: {{x: {{source: a, pickValue: {pick}}}}}, out: [o]}}"
            yield case(f"{pick} of {a} alone", single, out("s/o"), a=a)
            yield case(
                f"{pick} of {a} alone as an output", PASS_A, out("s/o", more=f"pickValue: {pick}"), a=a
            )  # fmt: skip
        flat = (
            "s: {run: '#pass', in: {x: {source: [a, b], linkMerge: merge_flattened,"
            f" pickValue: {pick}}}}}, out: [o]}}"
        )
        yield case(f"{pick} after flattening", flat, out("s/o"), a=[None, 1], b=[None])
        default = f"s: {{run: '#pass', in: {{x: {{source: a, pickValue: {pick}, default: 9}}}}, out: [o]}}"
        yield case(f"{pick} of null alone, with a default", default, out("s/o"), a=None)


def defaults() -> Iterator[Case]:
    """Defaults of workflows, steps and tools."""
    linked = "s: {run: '#own', in: {x: {source: a, default: 3}}, out: [o]}"
    yield case("a step's default for null", linked, out("s/o"), a=None)
    yield case("a step's default gives way to a value", linked, out("s/o"), a=0)
    yield case("a step's default without a source", "s: {run: '#own', in: {x: {default: 3}}, out: [o]}", out("s/o"))  # fmt: skip
    yield case("a tool's default for null", "s: {run: '#own', in: {x: a}, out: [o]}", out("s/o"), a=None)  # fmt: skip
    yield case("a tool's default for what no step gives", "s: {run: '#own', in: {}, out: [o]}", out("s/o"))  # fmt: skip
    yield case("a workflow's default", PASS_A, out("s/o"), ports="a: {type: int, default: 4}")
    yield case("the default of a workflow in a step", "s: {run: '#inner', in: {x: a}, out: [o]}", out("s/o"), a=None)  # fmt: skip
    both = "s: {run: '#pass', in: {x: {source: [a, b], default: 3}}, out: [o]}"
    yield case("merged nulls are no null", both, out("s/o"), a=None, b=None)


def expressions() -> Iterator[Case]:
    """valueFrom on steps: what ``self`` and ``inputs`` are."""

    def step(x: str, y: str = "b", more: str = "", tool: str = "pair") -> str:
        return f"s: {{run: '#{tool}', {more} in: {{x: {x}, y: {y}}}, out: [o]}}"

    yield case("self is what the link gives", step("{source: a, valueFrom: $(self + 1)}"), out("s/o"), a=1, b=2)  # fmt: skip
    yield case("self is the default for null", step("{source: a, default: 5, valueFrom: $(self)}"), out("s/o"), a=None, b=2)  # fmt: skip
    yield case(
        "self is null without a source", step("{valueFrom: $(self === null)}"), out("s/o"), b=2
    )
    yield case("a constant", step("{source: a, valueFrom: text}"), out("s/o"), a=1, b=2)
    yield case("inputs are as they were before", step("{source: a, valueFrom: $(self + inputs.y)}", "{source: b, valueFrom: $(self * inputs.x)}"), out("s/o"), a=3, b=5)  # fmt: skip
    yield case("the library of the workflow", step("{source: a, valueFrom: $(twice(self))}"), out("s/o"), a=3, b=5)  # fmt: skip
    yield case("text around an expression", step("'{source: a, valueFrom: \"<$(self)>\\\\$(inputs.y)\"}'".strip("'")), out("s/o"), a=[1.5, None], b=5)  # fmt: skip
    scattered = "scatter: x,"
    yield case("after scattering", step("{source: a, valueFrom: $(self + inputs.y)}", more=scattered), out("s/o"), a=[1, 2], b=10)  # fmt: skip
    yield case("of what is not scattered, by each element", step("a", "{source: b, valueFrom: $(self + inputs.x)}", more=scattered), out("s/o"), a=[1, 2], b=10)  # fmt: skip
    yield case("an array from an expression is not scattered over", step("{source: a, valueFrom: '$([self, self])'}", more=scattered), out("s/o"), a=[1, 2], b=10)  # fmt: skip
    yield case("of merged sources", step("{source: [a, b], valueFrom: $(self.length)}"), out("s/o"), a=1, b=2)  # fmt: skip
    yield case("an input that only expressions see", "s: {run: '#pass', in: {x: {valueFrom: $(inputs.z)}, z: a}, out: [o]}", out("s/o"), a=3)  # fmt: skip
    yield case("a computed input that only expressions see", "s: {run: '#pass', when: $(inputs.z == 4), in: {x: a, z: {source: a, valueFrom: $(self + 1)}}, out: [o]}", out("s/o"), a=3)  # fmt: skip
    yield case(
        "there is no runtime", step("{source: a, valueFrom: $(runtime)}"), out("s/o"), a=1, b=2
    )
    yield case("an expression that throws fails", step("{source: a, valueFrom: '${throw new Error(\"no\");}'}"), out("s/o"), a=1, b=2)  # fmt: skip
    yield case("an unknown input is an error", step("{source: a, valueFrom: $(inputs.nope.x)}"), out("s/o"), a=1, b=2)  # fmt: skip
    yield case(
        "undefined fails", step("{source: a, valueFrom: $(inputs.nope)}"), out("s/o"), a=1, b=2
    )


def conditions() -> Iterator[Case]:
    """``when``."""

    def step(when: str, more: str = "", x: str = "a", tool: str = "pass") -> str:
        return f"s: {{run: '#{tool}', when: $({when}), {more} in: {{x: {x}, on: b}}, out: [o]}}"

    yield case("true runs it", step("inputs.on"), out("s/o"), a=1, b=True)
    yield case("false gives null", step("inputs.on"), out("s/o"), a=1, b=False)
    for value in (1, "true", None, []):
        yield case(f"{value!r} is neither", step("inputs.on"), out("s/o"), a=1, b=value)
    yield case(
        "for each element", step("inputs.x > 1", "scatter: x,"), out("s/o"), a=[1, 2, 3], b=0
    )
    yield case("on computed values", step("inputs.x > 3", x="{source: a, valueFrom: $(2 * self)}"), out("s/o"), a=2, b=0)  # fmt: skip
    yield case(
        "a workflow that is skipped", step("inputs.on", tool="inner"), out("s/o"), a=2, b=False
    )
    yield case(
        "picked from what ran", step("inputs.on") + "\nt: {run: '#pass', in: {x: s/o}, out: [o]}",
        out("t/o", "a", more="pickValue: first_non_null"), a=4, b=False,
    )  # fmt: skip
    crossed = (
        "s: {run: '#pair', scatter: [x, y], scatterMethod: nested_crossproduct,"
        " when: $(inputs.x != inputs.y), in: {x: a, y: a}, out: [o]}"
    )
    yield case("in a nested cross product", crossed, out("s/o"), a=[1, 2])


def loops() -> Iterator[Case]:
    """Loops of CWL v1.3 (development version)."""

    def step(body: str, when: str = "inputs.x < 4", tool: str = "add", ins: str = "x: a") -> str:
        return f"s: {{run: '#{tool}', when: $({when}), {body}, in: {{{ins}}}, out: [o]}}"

    def loop(name: str, text: str, **inputs: object) -> Case:
        return case(name, text, out("s/o"), version="v1.3.0-dev1", **inputs)

    every = "outputMethod: all_iterations"
    yield loop("the last round", step("loop: {x: o}"), a=1)
    yield loop("all rounds", step(f"loop: {{x: o}}, {every}"), a=1)
    yield loop("no round", step("loop: {x: o}"), a=9)
    yield loop("no round, all of them", step(f"loop: {{x: o}}, {every}"), a=9)
    computed = "loop: {x: {outputSource: o, valueFrom: $(self + inputs.by)}}"
    yield loop("what is carried on is computed", step(computed, "inputs.x < 20", ins="x: a, by: b"), a=1, b=3)  # fmt: skip
    counted = "loop: {x: o, n: {valueFrom: $(inputs.n + 1)}}"
    yield loop("an input that only the loop sees", step(counted, "inputs.n < 3", ins="x: a, n: b"), a=1, b=0)  # fmt: skip
    yield loop("a carried default", step("loop: {x: {outputSource: o, default: 3}}"), a=1)
    yield loop("scatter after a loop", step(f"loop: {{x: o}}, {every}") + "\nt: {run: '#pass', scatter: x, in: {x: s/o}, out: [o]}", a=1)  # fmt: skip
    yield loop("when is no boolean", step("loop: {x: o}", "4 - inputs.x"), a=1)


def all_cases() -> list[Case]:
    """Every case of this file."""
    return [
        *scatters(), *merges(), *picks(), *defaults(), *expressions(), *conditions(), *loops(),
    ]  # fmt: skip
