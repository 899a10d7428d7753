"""Whatever a file holds, the answer is a workflow or a list of faults with places: no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepflow.model.errors import Problem, RecipeError
from hepflow.model.protocols import LoadOptions
from hepflow.recipe import NativeLanguage, inputs, links, modifiers, products, steps, workflows

KEYS = sorted({
    *workflows.KEYS, *steps.KEYS, *inputs.KEYS, *products.KEYS, *links.KEYS, *steps.LOOP_KEYS,
    *modifiers.RESOURCE_KEYS, *modifiers.RETRY_KEYS, "a", "b", "x", "i", "interpreter", "count", "kind", "<<",
})  # fmt: skip
WORDS = st.sampled_from([
    "a.x", "b.o", "inputs.n", "{{ inputs.n }}", "{{ range(inputs.n) }}", "{{ a.x | basename }}", "{{", "{% if %}",
    "{{ i", "int", "File[]", "Fle", "*.txt", "/x", "../x", "json:loads", "json:no", "nope.m:f", "recipe.json", "x.cwl",
    "1 GB", "1:30:00", "#!/usr/bin/env python3\nprint({{ inputs.n }})", "", "\0", "é", "json", "dot", "all", "v1",
    "{{ outputs.o }}", "{{ inputs }}", "{{ a }}", "{{ 1 / 0 }}", "x" * 300, "{{ resources.cpus }}", "{{ outputs }}",
])  # fmt: skip
DATA = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)
STEP = st.dictionaries(st.sampled_from(sorted(steps.KEYS)), DATA, max_size=5)
RECIPE = st.fixed_dictionaries(
    {
        "hepflow": st.just("v1"),
        "steps": st.dictionaries(st.sampled_from("abx"), STEP | DATA, max_size=3),
    },
    optional={
        "inputs": st.dictionaries(st.sampled_from(["n", "x", "i"]), DATA, max_size=3) | DATA,
        "outputs": DATA,
        "defaults": st.dictionaries(st.sampled_from(modifiers.DEFAULT_KEYS), DATA) | DATA,
        "profiles": DATA,
        "name": DATA,
    },
)


def answer(path: Path, text: str, options: LoadOptions) -> None:
    path.write_text(text, encoding="utf-8")
    problems: tuple[Problem, ...] | None = None
    try:
        NativeLanguage().load(path, options)
    except RecipeError as error:
        problems = error.problems
    assert problems is None or all(problem.what and problem.place.file for problem in problems)
    assert problems != ()


@pytest.mark.parametrize("name", ["recipe.json", "recipe.yaml"])
@settings(max_examples=4000)
@given(recipe=RECIPE)
def test_any_data_is_answered(
    name: str, recipe: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    answer(tmp_path_factory.getbasetemp() / name, json.dumps(recipe), LoadOptions())


@settings(max_examples=4000)
@given(text=st.text("ab: -[]{}\"'\n\t|>&*!%#,?<x1~", max_size=60))
def test_any_text_is_answered(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "recipe.yaml"
    answer(path, f"hepflow: v1\nsteps:\n  a: {text}", LoadOptions())


@settings(max_examples=4000)
@given(
    dotted=st.lists(st.sampled_from([*KEYS, "n", "0", ""]), min_size=1, max_size=4).map(".".join),
    text=WORDS | st.text(max_size=5),
)
def test_any_setting_is_answered(
    dotted: str, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recipe = {
        "hepflow": "v1",
        "inputs": {"n": 1},
        "steps": {"a": {"command": ["x"], "inputs": {"x": 1}}},
    }
    path = tmp_path_factory.getbasetemp() / "recipe.yaml"
    answer(path, json.dumps(recipe), LoadOptions(settings={dotted: text}))
