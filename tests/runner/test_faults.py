"""Full disks, damaged files, folders one may not write: a clear word, and nothing lost."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hepflow import api

RECIPE = """\
hepflow: v1
name: faults
inputs: {n: 4, ledger: string}
steps:
  make:
    scatter: {i: "{{ range(inputs.n) }}"}
    command: "echo {{ i }} > {{ outputs.number }}; echo {{ i }} >> {{ inputs.ledger }}"
    outputs: {number: number.txt}
  total:
    inputs: {numbers: make.number}
    command: "cat {{ inputs.numbers }} > {{ outputs.all }}; echo total >> {{ inputs.ledger }}"
    outputs: {all: all.txt}
outputs: {all: total.all}
"""


@pytest.fixture
def run(project: Path) -> Callable[..., api.RunResult]:
    (project / "faults.yaml").write_text(RECIPE)
    (project / "ledger").touch()

    def call(**values: str) -> api.RunResult:
        workflow = api.load(project / "faults.yaml")
        inputs = api.read_inputs(workflow, values={"ledger": str(project / "ledger"), **values})
        return api.run(workflow, inputs, project=api.Project(project))

    return call


def ledger(project: Path) -> list[str]:
    return (project / "ledger").read_text().split()


def number(project: Path, index: int) -> Path:
    return project / f".hepflow/work/1/make/{index}/number.txt"


def test_a_second_run_does_nothing_again(run: Callable[..., api.RunResult], project: Path) -> None:
    run()
    done = ledger(project)
    again = run()
    assert again.succeeded
    assert ledger(project) == done
    assert [(s.path, s.reused) for s in again.status.steps] == [("make", 4), ("total", 1)]


@pytest.mark.parametrize("harm", ["changed", "truncated", "removed"])
def test_a_damaged_intermediate_is_noticed_and_made_again(
    run: Callable[..., api.RunResult], project: Path, harm: str
) -> None:
    run()
    victim = number(project, 2)
    if harm == "changed":
        victim.write_text("X\n")
    elif harm == "truncated":
        victim.write_text("")
    else:
        victim.unlink()
    assert run().succeeded
    assert ledger(project).count("2") == 2
    assert ledger(project).count("1") == 1
    assert (project / "results/faults/all.txt").read_text() == "0\n1\n2\n3\n"


def test_a_file_that_was_only_touched_is_still_good(
    run: Callable[..., api.RunResult], project: Path
) -> None:
    run()
    os.utime(number(project, 2))
    run()
    assert ledger(project).count("2") == 1


def test_only_what_a_changed_input_reaches_is_made_again(
    run: Callable[..., api.RunResult], project: Path
) -> None:
    run()
    again = run(n="5")
    assert [(s.path, s.reused, s.succeeded) for s in again.status.steps] == [
        ("make", 4, 1),
        ("total", 0, 1),
    ]
    why = api.explain(api.Project(project), "total")
    assert [change.component for change in why.changes] == ["inputs.numbers"]
    assert why.compared_with == 1
    assert "reused: run 1 did the same work" in api.explain(api.Project(project), "make[3]").verdict


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_one_may_not_write_is_told_with_what_to_do(project: Path) -> None:
    (project / "faults.yaml").write_text(RECIPE)
    project.chmod(0o500)
    try:
        workflow = api.load(project / "faults.yaml")
        with pytest.raises(api.StoreError, match="cannot be written") as caught:
            api.run(workflow, {"ledger": "x"}, project=api.Project(project))
    finally:
        project.chmod(0o700)
    assert "--dir" in str(caught.value)


def test_a_store_folder_that_is_a_file_is_told(project: Path) -> None:
    (project / "faults.yaml").write_text(RECIPE)
    (project / ".hepflow").write_text("")
    workflow = api.load(project / "faults.yaml")
    with pytest.raises(api.StoreError, match="HF50"):
        api.run(workflow, {"ledger": "x"}, project=api.Project(project))


def test_a_damaged_store_is_told_and_left_alone(
    run: Callable[..., api.RunResult], project: Path
) -> None:
    run()
    store = project / ".hepflow/store.sqlite"
    for extra in project.glob(".hepflow/store.sqlite-*"):
        extra.unlink()
    store.write_bytes(b"this is no database, but somebody's text" * 50)
    with pytest.raises(api.StoreError, match="HF505  the store's file is damaged") as caught:
        run()
    assert "move" in str(caught.value)
    assert store.read_bytes().startswith(b"this is no database")


def test_a_store_of_another_version_is_refused(
    run: Callable[..., api.RunResult], project: Path
) -> None:
    run()
    import sqlite3

    with sqlite3.connect(project / ".hepflow/store.sqlite") as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(api.StoreError, match="format 99"):
        run()


def test_a_full_disk_is_told_and_the_run_goes_on_later(project: Path) -> None:
    """The file-size limit of the process stands for the disk: the store cannot grow past it."""
    (project / "full.yaml").write_text(
        "hepflow: v1\nname: full\ninputs: {ledger: string}\nsteps:\n  make:\n"
        "    scatter: {i: '{{ range(300) }}'}\n"
        "    command: 'echo {{ i }} | tee {{ outputs.x }}; echo {{ i }} >> {{ inputs.ledger }}'\n"
        "    outputs: {x: x.txt}\noutputs: {x: make.x}\n"
    )
    command = [sys.executable, "-m", "hepflow"]
    limited = subprocess.run(
        [*command, "run", "full.yaml", f"ledger={project / 'ledger'}"], cwd=project, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)), check=False, timeout=120,
    )  # fmt: skip
    assert limited.returncode == 4, limited.stdout + limited.stderr
    assert "disk is full" in limited.stderr
    assert "Traceback" not in limited.stderr
    assert api.runs(api.Project(project))[0].state in (
        api.RunState.INTERRUPTED,
        api.RunState.FAILED,
    )
    resumed = subprocess.run(
        [*command, "resume"], cwd=project, capture_output=True, text=True, check=False, timeout=120
    )
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert sorted(set((project / "ledger").read_text().split()), key=int) == [
        str(i) for i in range(300)
    ]


def test_results_that_somebody_else_wrote_are_not_overwritten(
    run: Callable[..., api.RunResult], project: Path
) -> None:
    foreign = project / "results/faults/all.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    with pytest.raises(api.StoreError, match="in the way"):
        run()
    assert foreign.read_text() == "mine"


def test_garbage_collection_keeps_what_a_kept_run_refers_to(
    run: Callable[..., api.RunResult], project: Path
) -> None:
    run()
    run(n="5")
    here = api.Project(project)
    preview = api.gc(here, keep=1, dry_run=True)
    assert preview.runs_removed == (1,)
    assert number(project, 2).exists()
    report = api.gc(here, keep=1)
    assert report == preview
    assert report.files_removed == 1, "all but the old total is still in use"
    assert number(project, 2).exists()
    assert not (project / ".hepflow/work/1/total").exists()
    done = len(ledger(project))
    assert run(n="5").succeeded
    assert len(ledger(project)) == done


def test_a_failing_task_stops_the_run_or_just_what_depends_on_it(project: Path) -> None:
    (project / "bad.yaml").write_text(
        "hepflow: v1\nname: bad\nsteps:\n"
        "  good: {command: 'sleep 0.2; touch {{ outputs.a }}', outputs: {a: a}}\n"
        "  bad: {command: 'echo oh no >&2; exit 3', outputs: {b: b}}\n"
        "  after: {inputs: {a: good.a}, command: 'touch {{ outputs.c }}', outputs: {c: c}}\n"
        "  never: {inputs: {b: bad.b}, command: 'touch {{ outputs.d }}', outputs: {d: d}}\n"
        "outputs: {c: after.c, d: never.d}\n"
    )
    workflow = api.load(project / "bad.yaml")
    here = api.Project(project)
    stopped = api.run(workflow, {}, project=here)
    assert stopped.run.state is api.RunState.FAILED
    assert {s.path: s.succeeded for s in stopped.status.steps} == {
        "good": 1,
        "bad": 0,
        "after": 0,
        "never": 0,
    }
    (failure,) = stopped.status.failures
    assert (failure.id, failure.exit_code, failure.stderr) == ("bad#1", 3, "oh no\n")
    went_on = api.run(workflow, {}, project=here, options=api.RunOptions(keep_going=True))
    assert {s.path: s.succeeded + s.reused for s in went_on.status.steps} == {
        "good": 1,
        "bad": 0,
        "after": 1,
        "never": 0,
    }


def test_retry_runs_named_steps_again_and_what_follows_from_them(project: Path) -> None:
    (project / "dice.yaml").write_text(
        "hepflow: v1\nname: dice\nsteps:\n"
        "  roll: {command: 'date +%s%N > {{ outputs.a }}', outputs: {a: {path: a, read: json}}}\n"
        "  show: {inputs: {a: roll.a}, command: 'echo {{ inputs.a }} > {{ outputs.b }}', outputs: {b: {path: b, read: json}}}\n"
        "outputs: {a: roll.a, b: show.b}\n"
    )
    here = api.Project(project)
    first = api.run(api.load(project / "dice.yaml"), {}, project=here)
    assert api.resume(here, 1).outputs == first.outputs
    with pytest.raises(api.UsageError, match="nothing is left to resume: run 1 succeeded"):
        api.resume(here)
    rolled = api.retry(here, 1, steps=["roll"])
    assert rolled.outputs["a"] != first.outputs["a"]
    assert rolled.outputs["b"] == rolled.outputs["a"]
    with pytest.raises(api.UsageError, match="no step 'rol'"):
        api.retry(here, 1, steps=["rol"])


def test_garbage_is_not_collected_beneath_a_run_under_way(
    run: Callable[..., api.RunResult], project: Path
) -> None:
    from hepflow.store.writer import create_run

    run()
    here = api.Project(project)
    other = create_run(here.store, name="o", recipe="", options={}, inputs="{}", now=1.0)
    with pytest.raises(api.UsageError, match="HF312  run 2 is under way"):
        api.gc(here, keep=1)
    other.close()
    assert number(project, 2).exists()
