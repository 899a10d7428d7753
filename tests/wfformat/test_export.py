"""Runs of hepflow written down as instances of WfFormat."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hepflow import api
from hepflow_wfformat.instance import figures_of, read_instance
from tests.wfformat.conftest import FIGURES

RECIPE = """\
hepflow: v1
name: masses
inputs: {data: {type: File, default: "given data.txt"}, n: 3}
steps:
  cut:
    scatter: {i: "{{ range(inputs.n) }}"}
    inputs: {data: inputs.data}
    command: "sleep 0.05; sed s/x/{{ i }}/ {{ inputs.data }} > {{ outputs.part }}"
    outputs: {part: part.txt}
    resources: {cpus: 2}
  count:
    scatter: {part: cut.part}
    command: [sh, -c, "wc -l < $0 > $1", "{{ part }}", "{{ outputs.lines }}"]
    outputs: {lines: {path: lines.txt, read: json}}
  double:
    scatter: {lines: count.lines}
    command: "echo {{ lines }}{{ lines }} > {{ outputs.twice }}"
    outputs: {twice: twice.txt}
  all:
    inputs: {parts: cut.part, lines: count.lines}
    command: "cat {{ inputs.parts }} > {{ outputs.out }}; echo {{ inputs.lines }} >> {{ outputs.out }}"
    outputs: {out: all.txt}
outputs: {all: all.out}
"""


@pytest.fixture
def exported(project: Path) -> dict[str, Any]:
    """The instance of a run."""
    (project / "given data.txt").write_text("a x\nb x\n")
    (project / "recipe.yaml").write_text(RECIPE)
    workflow = api.load(project / "recipe.yaml")
    assert api.run(workflow, {}, project=api.Project(project)).succeeded
    names = api.export_run(api.Project(project), 1, "wfformat", project / "out")
    assert names == ("instance.json",)
    found: dict[str, Any] = json.loads((project / "out/instance.json").read_text())
    return found


def specified(instance: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {task["id"]: task for task in instance["workflow"]["specification"]["tasks"]}


def executed(instance: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {task["id"]: task for task in instance["workflow"]["execution"]["tasks"]}


def test_parents_are_those_whose_files_or_values_a_task_took(exported: dict[str, Any]) -> None:
    tasks = specified(exported)
    assert {name: task["parents"] for name, task in tasks.items()} == {
        **{f"cut.{n}": [] for n in range(3)},
        **{f"count.{n}": [f"cut.{n}"] for n in range(3)},
        **{f"double.{n}": [f"count.{n}"] for n in range(3)},
        "all": ["cut.0", "cut.1", "cut.2", "count.0", "count.1", "count.2"],
    }
    for name, task in tasks.items():
        for parent in task["parents"]:
            assert name in tasks[parent]["children"]


def test_files_are_told_with_their_sizes(exported: dict[str, Any]) -> None:
    tasks = specified(exported)
    assert tasks["cut.1"]["inputFiles"] == ["given_data.txt"]
    assert tasks["cut.1"]["outputFiles"] == ["cut.1/part.txt"]
    assert tasks["count.1"]["inputFiles"] == ["cut.1/part.txt"]
    files = exported["workflow"]["specification"]["files"]
    sizes = {file["id"]: file["sizeInBytes"] for file in files}
    assert sizes["given_data.txt"] == sizes["cut.1/part.txt"] == 8


def test_times_and_what_was_used_are_told(exported: dict[str, Any], project: Path) -> None:
    cut = executed(exported)["cut.0"]
    report = api.tasks(api.Project(project), 1, "cut[0]")[0]
    assert cut["runtimeInSeconds"] == report.wall_s >= 0.05
    assert cut["coreCount"] == 2
    assert cut["memoryInBytes"] == report.peak_bytes
    assert cut["command"]["program"] == "bash"
    assert "sed s/x/0/" in cut["command"]["arguments"][-1]
    assert exported["workflow"]["execution"]["makespanInSeconds"] >= 0.05


def test_what_was_reused_is_told_as_it_ran_once(exported: dict[str, Any], project: Path) -> None:
    workflow = api.load(project / "recipe.yaml")
    assert api.run(workflow, {}, project=api.Project(project)).succeeded
    api.export_run(api.Project(project), 2, "wfformat", project / "again")
    again = json.loads((project / "again/instance.json").read_text())
    assert again == exported


def test_what_is_written_can_be_replayed(exported: dict[str, Any], project: Path) -> None:
    instance = read_instance(project / "out/instance.json")
    assert list(instance.tasks) != []
    workflow = api.load(project / "out/instance.json")
    values = api.read_inputs(workflow, values={"replay": "0", "bytes": "1"})
    assert api.run(workflow, values, project=api.Project(project)).succeeded


def test_what_is_written_is_as_the_schema_says(exported: dict[str, Any]) -> None:
    """The rules of WfFormat 1.5 that a reader relies on; see also the schema itself below."""
    name = re.compile(r"[0-9a-zA-Z_.#-]+")
    file = re.compile(r"[0-9a-zA-Z_./:#-]+")
    known = {entry["id"] for entry in exported["workflow"]["specification"]["files"]}
    for task in specified(exported).values():
        assert name.fullmatch(task["id"])
        for path in task["inputFiles"] + task["outputFiles"]:
            assert file.fullmatch(path)
            assert path in known
    assert specified(exported).keys() == executed(exported).keys()
    assert exported["schemaVersion"] == "1.5"


def test_the_schema_of_wfcommons_takes_what_is_written(exported: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    spec = find_spec("wfcommons")
    found = [
        path
        for place in (spec.submodule_search_locations or () if spec else ())
        for path in sorted(Path(place).rglob("wfcommons-schema.json"))
    ]
    if not found:
        pytest.skip("not installed: wfcommons, which has the schema")
    jsonschema.validate(exported, json.loads(found[0].read_text()))


def test_a_replay_written_down_has_the_graph_of_what_it_replayed(
    recorded: Callable[[str], Path],
) -> None:
    path = recorded("montage-chameleon-dss-05d-001")
    workflow, project = api.load(path), api.Project(path.parent)
    values = api.read_inputs(workflow, values={"replay": "0"})
    assert api.run(workflow, values, project=project).succeeded
    api.export_run(project, 1, "wfformat", path.parent / "out")
    again = figures_of(read_instance(path.parent / "out/instance.json"))
    assert replace(again, critical_s=559.8, total_s=5585.8) == FIGURES[path.stem]
