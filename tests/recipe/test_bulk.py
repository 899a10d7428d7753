"""The quick lane for plain steps makes what the thorough lane makes, and is quick."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.model.errors import RecipeError
from hepflow.model.protocols import LoadOptions
from hepflow.model.workflow import Step, Workflow
from hepflow.recipe import NativeLanguage
from hepflow.recipe.bulk import Bulk
from hepflow.recipe.plain_tools import PlainTool
from tests.recipe.conftest import Faults

COMMANDS = st.sampled_from([
    "true", "touch {{ outputs.o }}", "cat {{ inputs.a }} {{ inputs.b }} > {{ outputs.o }}",
    "echo '{{ inputs.a }}' \"{{ outputs.o }}\"", "echo {{ inputs.n }}", "echo {{ s0.o }}",
    "echo {{ inputs.a | basename }}", "# don't {{ inputs.a }}", "echo $({{ inputs.b }})", "a{{{ inputs.a }}",
])  # fmt: skip
LINKS = st.sampled_from(
    [
        "s0.o",
        "s0.p",
        "inputs.n",
        "plain",
        "{{ inputs.n }}",
        5,
        ["s0.o"],
        "s9.o",
        "s0.q",
        "s0.o.x",
        "a b.c",
        "{x",
        True,
        2.5,
        None,
    ]
)
OUTPUTS = st.sampled_from(
    [{"o": "o.txt"}, {"o": "o.txt", "p": "p q"}, {"o": "*.x"}, {"o": "d/"}, {}]
)
INPUTS = st.fixed_dictionaries({"a": LINKS, "b": LINKS})
RETURNS = st.sampled_from([[], ["o"], ["o", "p"], ["o", "o"], ["1"], [1], [{}], {"o": []}, None])
FIELDS = [
    "inputs", "outputs", "scatter", "method", "when", "loop", "retry", "cache", "limit", "doc", "place",
]  # fmt: skip
STEPS = st.one_of(
    st.fixed_dictionaries({"command": COMMANDS}, optional={"inputs": INPUTS, "outputs": OUTPUTS}),
    st.fixed_dictionaries(
        {"python": st.sampled_from(["json:dumps", "json:dump", "no_such:thing", "{{ a }}", ""])},
        optional={"inputs": INPUTS, "outputs": st.one_of(OUTPUTS, RETURNS)},
    ),
)


def loaded(recipe: object, folder: Path) -> Workflow | list[str]:
    path = folder / "r.json"
    path.write_text(json.dumps(recipe))
    try:
        return NativeLanguage().load(path, LoadOptions())
    except RecipeError as error:
        return [str(problem) for problem in error.problems]


DEFAULTS = st.fixed_dictionaries(
    {},
    optional={
        "resources": st.just({"cpus": 2, "memory": "1 GB"}),
        "env": st.sampled_from([{"A": 1}, {"A": "{{ inputs.n }}"}]),
        "retries": st.sampled_from([2, "many"]),
        "container": st.just("image"),
        "cache": st.just(False),
        "limit": st.just(3),
    },
)


@given(steps=st.lists(STEPS, min_size=1, max_size=4), defaults=DEFAULTS)
def test_both_lanes_make_the_same(
    steps: list[object], defaults: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recipe = {
        "hepflow": "v1",
        "inputs": {"n": 1},
        "defaults": defaults,
        "steps": {"s0": {"command": "true", "outputs": {"o": "o", "p": "p"}}}
        | {f"s{n + 1}": step for n, step in enumerate(steps)},
    }
    folder = tmp_path_factory.getbasetemp()
    quick = loaded(recipe, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bulk, "outline", lambda *_: None)
        thorough = loaded(recipe, folder)
    if isinstance(quick, list) or isinstance(thorough, list):
        assert quick == thorough
        return
    assert [spelled(step) for step in quick.steps] == [spelled(step) for step in thorough.steps]


def spelled(step: Step) -> str:
    """A step in full: the quick lane puts off what it can."""
    tool = step.run.whole() if isinstance(step.run, PlainTool) else step.run
    return f"{step.name} {tool} {[getattr(step, name) for name in FIELDS]}"


def test_plain_steps_take_the_quick_lane(tmp_path: Path) -> None:
    steps = {
        "a": {"command": "touch {{ outputs.o }}", "outputs": {"o": "o"}},
        "b": {"python": "json:dumps", "inputs": {"obj": "a.o", "indent": 2}, "outputs": ["text"]},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hepflow.recipe.workflows.build", None)
        for defaults in ({}, {"resources": {"cpus": 2}, "env": {"A": 1}}):
            recipe = {"hepflow": "v1", "defaults": defaults, "steps": steps}
            assert isinstance(loaded(recipe, tmp_path), Workflow)


def test_faults_of_plain_steps_have_their_places(faults: Faults) -> None:
    (problem,) = faults(
        "steps:\n  a: {command: x, outputs: {o: o}}\n  b: {command: x, inputs: {x: a.p}}\n"
    )
    assert (problem.place.line, problem.place.column) == (4, 31)
    found = faults(
        "steps:\n  a: {command: x, outputs: {o: /o}}\n  b: {command: x, outputs: {o: /o}}\n"
    )
    assert [problem.place.line for problem in found] == [3, 4]


def test_a_large_recipe_is_read_in_moments(tmp_path: Path) -> None:
    steps = {
        f"s{n}": {
            "command": f"echo {n} > {{{{ outputs.o }}}}",
            "outputs": {"o": "o.txt"},
            "inputs": {"a": f"s{n - 1}.o"} if n else {},
        }
        for n in range(5_000)
    }
    started = time.process_time()
    workflow = loaded({"hepflow": "v1", "steps": steps}, tmp_path)
    assert isinstance(workflow, Workflow)
    assert len(workflow.steps) == 5_000
    # A tenth of a second on a quiet machine; the bound only catches what grows with the square.
    assert time.process_time() - started < 3
