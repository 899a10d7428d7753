"""Whatever is wrong with a document is told as a fault of it, at a place: never as one of ours."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hepflow import api
from hepflow_yadage.documents import parse
from hepflow_yadage.reading import read_workflow

SELECTION = {"expression_type": "stage-output-selector", "stages": "one", "output": "out"}
STEP = {
    "process": {"process_type": "string-interpolated-cmd", "cmd": "echo {a} > {out}"},
    "environment": {
        "environment_type": "docker-encapsulated", "image": "a", "resources": [{"kerberos": True}],
        "par_mounts": [{"jqscript": ".a", "mountpath": "/a"}],
    },
    "publisher": {"publisher_type": "frompar-pub", "outputmap": {"out": "out"}},
}  # fmt: skip
SOUND: dict[str, Any] = {
    "stages": [
        {
            "name": "one",
            "dependencies": ["init"],
            "scheduler": {
                "scheduler_type": "multistep-stage",
                "parameters": {"a": {"step": "init", "output": "a"}, "out": "{workdir}/x"},
                "scatter": {"method": "zip", "parameters": ["a"]},
                "batchsize": 2,
                "step": STEP,
                "register_values": {"best": SELECTION},
            },
        },
        {
            "name": "two",
            "dependencies": {
                "dependency_type": "expressions_fulfilled",
                "expressions": [SELECTION],
            },
            "scheduler": {
                "scheduler_type": "singlestep-stage",
                "parameters": [
                    {"key": "a", "value": {"expression_type": "fromvalue", "key": "best"}},
                    {"key": "out", "value": "x"},
                ],
                "cases": [{"if": ".a", "workflow": {"stages": []}}, {"if": ".out", "step": STEP}],
            },
        },
        {
            "name": "three",
            "scheduler": {
                "scheduler_type": "jq-stage",
                "bindings": {"all": {"$wflowref": [".one[]", ".out"]}},
                "stepscript": "[{a: .all}]",
                "workflow": {"stages": []},
                "workflow_opts": {"discover": True},
            },
        },
    ]
}


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(data, dict):
        for key, value in data.items():
            yield from places(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from places(value, (*path, index))


WORDS = ["", "init", "one", "{", "{}", ".a |", "x[", "stages", "$ref", "a b", "*"]
JUNK = st.recursive(
    st.sampled_from([None, True, 0, -1, 1.5, *WORDS]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


def test_the_document_is_sound_to_begin_with(tmp_path: Path) -> None:
    path = tmp_path / "flow.yml"
    path.write_text(yaml.safe_dump(SOUND))
    assert [port.name for port in api.load(path).inputs] == ["a", "init"]


@given(st.sampled_from(list(places(SOUND))), JUNK, st.sampled_from(["replace", "remove", "add"]))
def test_a_document_with_something_odd_in_it_is_read_or_refused(
    path: tuple[Any, ...], junk: Any, how: str
) -> None:
    document = copy.deepcopy(SOUND)
    *above, last = path or (None,)
    around: Any = document
    for key in above:
        around = around[key]
    if last is None:
        document = junk
    elif how == "remove":
        del around[last]
    elif how == "add" and isinstance(around[last], dict):
        around[last]["odd"] = junk
    else:
        around[last] = junk
    try:
        read_workflow(parse(yaml.safe_dump(document), "flow.yml"), "flow.yml")
    except api.RecipeError as error:
        without_place = [problem for problem in error.problems if not problem.place.line]
    else:
        without_place = []
    assert not without_place or last is None


@pytest.mark.parametrize("text", ["", "7", "- stages", "stages:", "stages: {a: b}"])
def test_a_document_of_another_shape(text: str) -> None:
    with pytest.raises(api.RecipeError):
        read_workflow(parse(text, "flow.yml"), "flow.yml")
