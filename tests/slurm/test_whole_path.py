"""The whole path as a user has it: `hepflow run --site` on a real Slurm, from recipe to results."""

from __future__ import annotations

import hashlib
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hepflow import api
from tests.services.daemons import Unavailable, wait_until
from tests.services.slurm import Slurm

Hepflow = Callable[..., subprocess.CompletedProcess[str]]

SITE = """\
extends: slurm
settings: {grace_s: 1, patience_s: 2}
limits: {submits_per_s: 100, poll: 500 ms}
queues:
  main: {partition: main, cpus: 4, gpus: 2, memory: 4000 MiB, array: 1000, pack: PACK}
"""

RECIPE = """\
hepflow: v1
name: chain
inputs: {n: 6, nap: 0.0, bad: -1}
steps:
  simulate:
    scatter: {i: "{{ range(inputs.n) }}"}
    command: |
      sleep {{ inputs.nap }}
      test {{ i }} != {{ inputs.bad }} || { echo "no such detector" >&2; exit 7; }
      echo event {{ i }} > {{ outputs.events }}
    outputs: {events: "events ü.txt"}
  select:
    scatter: {events: simulate.events}
    command: "sort {{ events }} > {{ outputs.kept }}; cksum {{ events }} | cut -d' ' -f1 >> {{ outputs.kept }}"
    outputs: {kept: kept.txt}
  merge:
    inputs: {kept: select.kept}
    command: "cat {{ inputs.kept }} > {{ outputs.all }}"
    outputs: {all: all.txt}
outputs: {all: merge.all, kept: select.kept}
"""


@pytest.fixture
def on_slurm(slurm: Slurm, project: Path) -> Path:
    """A project folder with the recipe, and a site for the cluster."""
    write_site(project, 1)
    (project / "chain.yaml").write_text(RECIPE)
    return project


def write_site(project: Path, pack: int) -> None:
    (project / "cluster.yaml").write_text(SITE.replace("PACK", str(pack)))


def digests(folder: Path) -> dict[str, str]:
    """The results of a run, by name."""
    files = sorted(path for path in folder.rglob("*.txt") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_a_recipe_runs_there_with_the_results_it_has_here(on_slurm: Path, hepflow: Hepflow) -> None:
    here = hepflow("run", "chain.yaml", "--publish", "here")
    there = hepflow(
        "run", "chain.yaml", "--site", "cluster.yaml", "--no-reuse", "--publish", "there"
    )
    assert (here.returncode, there.returncode) == (0, 0), there.stderr
    assert digests(on_slurm / "there") == digests(on_slurm / "here")
    assert len(digests(on_slurm / "here")) == 7


def test_a_failing_step_is_told_with_all_that_finds_it_again(
    on_slurm: Path, hepflow: Hepflow
) -> None:
    done = hepflow("run", "chain.yaml", "--site", "cluster.yaml", "bad=2")
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "simulate[2]#1  failed: command exited with code 7: no such detector" in said
    where = next(line for line in said.splitlines() if line.startswith("  where "))
    assert re.search(r" job \d+_\d$", where)  # its own, or one that was done sooner
    assert "folder    .hepflow/work/1/simulate/2" in said
    assert "| no such detector" in said
    logs = hepflow("logs", "1")
    assert "| no such detector" in logs.stdout
    assert "simulate[2]#1  failed" in logs.stdout


def test_a_run_is_watched_cancelled_and_gone_on_with(
    on_slurm: Path, hepflow: Hepflow, slurm: Slurm
) -> None:
    project = api.Project(on_slurm)
    head = start_head(on_slurm, "run", "chain.yaml", "--site", "cluster.yaml", "n=3", "nap=30")
    wait_until(lambda: len(running(project)) == 3, "three tasks run")
    assert re.search(r"simulate +0/3 +3\b", hepflow("status").stdout)
    assert all(" job " in task.where for task in running(project))
    assert hepflow("cancel").returncode == 0
    head.communicate(timeout=30)
    assert head.returncode == 130
    slurm.wait_for_all(20)
    assert api.status(project).run.state is api.RunState.CANCELLED
    again = start_head(on_slurm, "resume", "1")
    wait_until(lambda: len(running(project)) == 3, "they run again")
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=30)
    slurm.wait_for_all(20)


def start_head(project: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hepflow", *words],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def running(project: api.Project) -> list[api.TaskReport]:
    if not (project.folder / ".hepflow" / "store.sqlite").exists() or not api.runs(project):
        return []
    return [task for task in api.tasks(project) if task.state is api.TaskState.RUNNING]


@pytest.mark.parametrize(
    ("count", "pack"),
    [
        (60, 5),
        pytest.param(2000, 25, marks=pytest.mark.long),
        pytest.param(2000, 1, marks=pytest.mark.long),
    ],
)
def test_requeued_jobs_and_killed_heads_change_no_result(
    on_slurm: Path, hepflow: Hepflow, slurm: Slurm, count: int, pack: int
) -> None:
    write_site(on_slurm, pack)
    here = hepflow("run", "chain.yaml", f"n={count}", "--publish", "here")
    assert here.returncode == 0, here.stderr
    chance = random.Random(count)
    words = ("run", "chain.yaml", "--site", "cluster.yaml", "--no-reuse", "--publish", "there",
             f"n={count}", "nap=0.1")  # fmt: skip
    requeued = 0
    for _kill in range(2):
        head = start_head(on_slurm, *words)
        words = ("resume", "2", "--publish", "there")
        deadline = time.monotonic() + chance.uniform(0.5, 1) * (2 + count / 100)
        while time.monotonic() < deadline and head.poll() is None:
            requeued += requeue_one(slurm, chance)
            time.sleep(0.5)
        head.kill()
        head.communicate()
    last = start_head(on_slurm, *words)
    said, _ = last.communicate(timeout=600)
    assert last.returncode == 0, said
    assert requeued
    lost = api.tasks(api.Project(on_slurm), state=api.TaskState.LOST)
    print(f"{requeued} jobs requeued, {len(lost)} attempts of {2 * count + 1} tasks lost")
    assert lost
    assert digests(on_slurm / "there") == digests(on_slurm / "here")
    assert len(digests(on_slurm / "there")) == count + 1


def requeue_one(slurm: Slurm, chance: random.Random) -> int:
    """Have Slurm start a running job again, as it does when a node is wanted for something else."""
    running = slurm.call("squeue", "--noheader", "--states=running", "--format=%i", "--array")
    if not running:
        return 0
    try:
        slurm.call("scontrol", "requeue", chance.choice(running.split()))
    except Unavailable:  # it has just ended
        return 0
    return 1
