"""Recorded runs, replayed: the graph they had, the time they take, the files they leave."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hepflow import api
from hepflow_wfformat.instance import Figures, figures_of, read_instance
from tests.wfformat.conftest import FIGURES

Recorded = Callable[[str], Path]


def rounded(figures: Figures) -> Figures:
    return dataclasses.replace(
        figures, critical_s=round(figures.critical_s, 1), total_s=round(figures.total_s, 1)
    )


@pytest.mark.parametrize("name", FIGURES)
def test_the_figures_of_a_graph_are_those_an_independent_script_found(
    recorded: Recorded, name: str
) -> None:
    assert rounded(figures_of(read_instance(recorded(name)))) == FIGURES[name]


def test_a_plan_shows_the_figures(recorded: Recorded, hepflow: Callable[..., object]) -> None:
    recorded("montage-chameleon-dss-05d-001")
    said = hepflow("plan", "montage-chameleon-dss-05d-001.json", "--replay")
    assert "montage-chameleon-dss-05d-001: 58 tasks: 12 to run, 46 not known yet" in said.stdout  # type: ignore[attr-defined]
    assert (
        "58 tasks, 114 edges, 8 levels of at most 18 tasks, 12 roots, 4 leaves;"
        " critical path 559.8 s, sum of runtimes 5585.8 s"
    ) in said.stdout  # type: ignore[attr-defined]


# --- in virtual time ------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 4, 64, 1000])
@pytest.mark.parametrize("name", FIGURES)
def test_with_k_slots_it_takes_between_the_bounds_of_list_scheduling(
    recorded: Recorded, name: str, slots: int
) -> None:
    figures = figures_of(read_instance(recorded(name)))
    found = api.simulate(
        api.load(recorded(name)),
        {"replay": 1.0},
        project=api.Project(recorded(name).parent),
        options=api.SimulationOptions(slots=(slots,)),
    )
    assert (found.failures, found.tasks) == ((), figures.tasks)
    assert found.critical_s == pytest.approx(figures.critical_s)
    assert found.work_s == pytest.approx(figures.total_s)
    slack = 1e-6 * figures.total_s  # sums of many numbers
    assert found.makespan_s >= max(figures.critical_s, figures.total_s / slots) - slack
    assert found.makespan_s <= figures.critical_s + figures.total_s / slots + slack


# --- in earnest -----------------------------------------------------------------------------------


def replay(path: Path, **values: str) -> api.RunResult:
    workflow = api.load(path)
    return api.run(
        workflow,
        api.read_inputs(workflow, values={"replay": "0", **values}),
        project=api.Project(path.parent),
        options=api.RunOptions(cpus=8),
    )


def reports(path: Path) -> dict[str, api.TaskReport]:
    found = api.tasks(api.Project(path.parent), state=api.TaskState.SUCCEEDED)
    return {report.step: report for report in found}


def test_no_task_begins_before_those_it_waited_for_have_ended(recorded: Recorded) -> None:
    path = recorded("epigenomics-chameleon-hep-1seq-100k-001")
    assert replay(path, replay="0.005").succeeded
    done = reports(path)
    for task in read_instance(path).tasks.values():
        for parent in task.parents:
            before = done[parent].started + done[parent].wall_s
            assert done[task.id].started >= before - 0.002  # the store keeps milliseconds


def test_a_task_takes_the_share_of_its_time_that_was_asked_for(recorded: Recorded) -> None:
    path = recorded("helloworld-chain-5-chameleon")
    assert replay(path, replay="0.001").succeeded
    for task in read_instance(path).tasks.values():
        # The clock of an attempt starts when its process has been made.
        assert reports(path)[task.id].wall_s >= task.runtime_s * 0.001 - 0.01


def test_a_task_computes_for_the_recorded_share_of_its_time(recorded: Recorded) -> None:
    path = recorded("helloworld-chain-5-chameleon")
    assert replay(path, replay="0.003", work="cpu").succeeded
    recording = read_instance(path).tasks["cpuhog_chain_00000001"]
    report = reports(path)["cpuhog_chain_00000001"]
    assert report.wall_s >= recording.runtime_s * 0.003 - 0.01
    assert 0.2 < recording.cpu < 0.9
    assert report.cpu_s > 0.02


def test_files_have_the_recorded_names_and_sizes_to_scale(recorded: Recorded) -> None:
    path = recorded("helloworld-forkjoin-10-chameleon")
    assert replay(path, bytes="0.001").succeeded
    instance = read_instance(path)
    for task in instance.tasks.values():
        folder = Path(reports(path)[task.id].folder)
        for file in task.writes:
            assert (folder / file).stat().st_size == round(instance.sizes[file] * 0.001)


def test_a_second_replay_of_the_same_kind_is_known_already(recorded: Recorded) -> None:
    path = recorded("bwa-chameleon-small-001")
    assert replay(path).succeeded
    again = replay(path)
    assert sum(step.reused for step in again.status.steps) == 104


@pytest.mark.long
def test_a_large_recorded_run_is_replayed_whole(recorded: Recorded) -> None:
    path = recorded("1000genome-chameleon-22ch-250k-001")
    assert replay(path, replay="0.001").succeeded
    assert len(reports(path)) == 902


# --- what is no instance --------------------------------------------------------------------------

SMALL = {
    "name": "two", "schemaVersion": "1.5",
    "workflow": {
        "specification": {
            "tasks": [
                {"name": "b", "id": "b", "parents": ["a"], "children": [], "outputFiles": ["../x y"]},
                {"name": "a", "id": "a", "parents": [], "children": ["b"]},
            ],
            "files": [{"id": "../x y", "sizeInBytes": 3}],
        },
        "execution": {
            "makespanInSeconds": 2, "executedAt": "now",
            "tasks": [{"id": "a", "runtimeInSeconds": 1}, {"id": "b", "runtimeInSeconds": 1}],
        },
    },
}  # fmt: skip


def test_tasks_that_only_wait_for_each_other_keep_their_order(project: Path) -> None:
    (project / "two.json").write_text(json.dumps(SMALL))
    assert replay(project / "two.json", bytes="1").succeeded
    done = reports(project / "two.json")
    assert done["b"].started >= done["a"].started + done["a"].wall_s - 0.002
    assert (Path(done["b"].folder) / "x y").read_bytes() == b"\0\0\0"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"1.5"', '"1.4"', "it is WfFormat 1.4, and only 1.5 is read"),
        ('"parents": ["a"]', '"parents": ["c"]', "task 'b' has a parent 'c' that is no task"),
        ('"parents": []', '"parents": ["b"]', "these tasks wait for each other: a, b"),
        ('"id": "a", "runtimeInSeconds": 1', '"id": "a"', "'runtimeInSeconds' is missing, where a number belongs"),
        ('{"id": "a", "runtimeInSeconds": 1}, ', "", "task 'a' was never executed"),
        ('"sizeInBytes": 3', '"sizeInBytes": "3"', "'sizeInBytes' is \"3\", where a whole number belongs"),
        ('"name": "a", "id": "a"', '"name": "a", "id": "b"', "there are two tasks 'b'"),
        ('"children": ["b"]}', '"children": ["b"], "outputFiles": ["../x y"]}', "both 'b' and 'a' write '../x y'"),
        ('"1.5",', '"1.5"', "not JSON"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told(project: Path, old: str, new: str, said: str) -> None:
    text = json.dumps(SMALL)
    assert old in text
    (project / "two.json").write_text(text.replace(old, new))
    with pytest.raises(api.RecipeError) as caught:
        api.load(project / "two.json")
    assert said in str(caught.value)


def test_how_fast_must_be_said(recorded: Recorded, hepflow: Callable[..., object]) -> None:
    recorded("helloworld-chain-5-chameleon")
    said = hepflow("run", "helloworld-chain-5-chameleon.json")
    assert said.returncode == 3  # type: ignore[attr-defined]
    assert "replay=...   (seconds that a replayed second takes; 1 with --replay" in said.stderr  # type: ignore[attr-defined]
