"""Several runs in one folder, and one piece of work asked for twice: it is done once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from hepflow import api

RECIPE = """\
hepflow: v1
name: shared
inputs: {n: 40, ledger: string, tag: a}
steps:
  make:
    scatter: {i: "{{ range(inputs.n) }}"}
    command: "sleep 0.05; echo {{ i }} > {{ outputs.number }}; echo make.{{ i }} >> {{ inputs.ledger }}"
    outputs: {number: number.txt}
  total:
    inputs: {numbers: make.number, tag: inputs.tag}
    command: "cat {{ inputs.numbers }} | wc -l > {{ outputs.count }}; echo {{ inputs.tag }}"
    outputs: {count: {path: count.txt, read: json}}
outputs: {count: total.count}
"""


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hepflow", "run", "shared.yaml", f"ledger={folder / 'ledger'}", *words],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shared.yaml").write_text(RECIPE)
    (tmp_path / "ledger").touch()
    return tmp_path


def effects(folder: Path) -> Counter[str]:
    return Counter((folder / "ledger").read_text().split())


def test_two_runs_at_once_share_their_work_and_harm_nothing(folder: Path) -> None:
    first, second = start(folder, "tag=a"), start(folder, "tag=b")
    said = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert set(effects(folder).values()) == {1}
    assert len(effects(folder)) == 40
    project = api.Project(folder)
    assert [api.outputs(project, run.id)["count"] for run in api.runs(project)] == [40, 40]


def test_work_left_to_a_run_that_dies_is_taken_over(folder: Path) -> None:
    first = start(folder, "tag=a")
    while len(effects(folder)) < 3:
        time.sleep(0.01)
    second = start(folder, "tag=b")
    time.sleep(0.5)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert len(effects(folder)) == 40
    assert api.outputs(api.Project(folder))["count"] == 40


def test_equal_tasks_of_one_run_are_done_once(project: Path) -> None:
    (project / "twice.yaml").write_text(
        "hepflow: v1\nname: twice\ninputs: {ledger: string}\nsteps:\n"
        + "".join(
            f"  {name}:\n    command: 'sleep 0.1; echo x >> {{{{ inputs.ledger }}}}; touch {{{{ outputs.a }}}}'\n"
            "    outputs: {a: a.txt}\n"
            for name in ("one", "two")
        )
        + "outputs: {one: one.a, two: two.a}\n"
    )
    workflow = api.load(project / "twice.yaml")
    inputs = api.read_inputs(workflow, values={"ledger": str(project / "ledger")})
    result = api.run(workflow, inputs, project=api.Project(project))
    assert result.succeeded
    assert (project / "ledger").read_text() == "x\n"
    assert (project / "results/twice/a.txt").exists()
    assert (project / "results/twice/two-a.txt").exists()
