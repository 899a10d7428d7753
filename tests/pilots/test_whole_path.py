"""Dask and Parsl as a user has them: ``--site``, what fails, what is killed, and what stays behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hepflow import api
from tests.contract.test_this_machine import soon_gone
from tests.services.slurm import Slurm

Call = Callable[..., subprocess.CompletedProcess[str]]

RECIPE = """\
hepflow: v1
name: path
inputs: {n: 8, wait: 0.0, bad: -1}
steps:
  make:
    scatter: {i: "{{ range(inputs.n) }}"}
    python: made:square
    inputs: {wait: inputs.wait}
    outputs: [value]
  write:
    scatter: {x: make.value}
    command: >-
      test {{ x }} -ne {{ inputs.bad }} || { echo 'no such detector' >&2; exit 7; };
      echo {{ x }} > {{ outputs.o }}; echo {{ x }} >> $LEDGER
    outputs: {o: o.txt}
  total:
    inputs: {parts: write.o}
    command: "cat {{ inputs.parts }} | awk '{s += $1} END {print s}' > {{ outputs.sum }}"
    outputs: {sum: {path: sum.txt, read: json}}
outputs: {sum: total.sum}
"""
MODULE = """\
import time


def square(i, wait):
    time.sleep(wait)
    return i * i
"""
SITES = {
    "dask": "extends: dask\nsettings: {cpus: 2}\n",
    "parsl": "extends: parsl-htex\nsettings: {workers_per_node: 2}\n",
    "parsl-slurm": """\
extends: parsl-slurm
queues: {main: {partition: main}}
settings: {max_blocks: 1, cores_per_node: 2, mem_per_node_gb: 2, address: 127.0.0.1}
""",
    "dask-slurm": """\
extends: dask
settings: {cluster: slurm, cpus: 2, memory_mib: 1500, options: {interface: lo}}
""",
}
ON_SLURM = [name for name in SITES if name.endswith("slurm")]


@pytest.fixture(autouse=True)
def ready(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = project / "config" / "hepflow" / "sites"
    own.mkdir(parents=True)
    for name, text in SITES.items():
        (own / f"{name}.yaml").write_text(text)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project / "config"))
    monkeypatch.setenv("LEDGER", str(project / "ledger"))
    (project / "path.yaml").write_text(RECIPE)
    (project / "made.py").write_text(MODULE)


@pytest.mark.parametrize("site", ["dask", "parsl"])
def test_a_recipe_runs_there_unchanged_and_leaves_nothing_beside_it(
    site: str, hepflow: Call, project: Path
) -> None:
    before = {path.name for path in project.iterdir()}
    ended = hepflow("run", "path.yaml", "--site", site)
    assert ended.returncode == 0, ended.stderr
    assert api.outputs(api.Project(project))["sum"] == 140
    made = {path.name for path in project.iterdir()} - before
    assert made - {"__pycache__"} == {".hepflow", "results", "ledger"}
    assert soon_gone(str(project))
    assert hepflow("status").returncode == 0


@pytest.mark.parametrize("site", ON_SLURM)
def test_a_recipe_runs_on_workers_from_slurm_unchanged(
    site: str, hepflow: Call, project: Path, slurm: Slurm
) -> None:
    ended = hepflow("run", "path.yaml", "--site", site)
    assert ended.returncode == 0, ended.stderr
    assert api.outputs(api.Project(project))["sum"] == 140
    slurm.wait_for_all()
    assert not slurm.call("squeue", "-h")


@pytest.mark.parametrize("site", ["dask", "parsl"])
def test_a_step_that_fails_is_told_as_at_home(site: str, hepflow: Call) -> None:
    ended = hepflow("run", "path.yaml", "bad=4", "--site", site)
    assert ended.returncode == 1
    assert "write[2]" in ended.stderr
    assert "command exited with code 7: no such detector" in ended.stderr
    assert "no such detector" in hepflow("logs", "write[2]").stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("site", ["dask", "parsl"])
def test_a_killed_run_goes_on_and_repeats_nothing_that_had_ended(
    site: str, hepflow: Call, project: Path
) -> None:
    head = _start(project, site, "n=16", "wait=0.3")
    _until(lambda: _made(project) >= 2)
    head.send_signal(signal.SIGKILL)
    head.wait()
    done = {task.id for task in _succeeded(project)}
    ended = hepflow("resume")
    assert ended.returncode == 0, ended.stderr
    assert api.outputs(api.Project(project))["sum"] == sum(i * i for i in range(16))
    assert done <= {task.id for task in _succeeded(project)}
    assert set(_ledger(project).values()) == {1}
    assert soon_gone(str(project))


@pytest.mark.parametrize("site", ["dask", "parsl"])
def test_a_cancelled_run_ends_what_it_has_there(site: str, hepflow: Call, project: Path) -> None:
    head = _start(project, site, "wait=1000")
    _until(lambda: bool(api.status(api.Project(project)).running))
    assert hepflow("cancel").returncode == 0
    assert head.wait(30) == 130
    assert soon_gone(str(project))


def test_a_scheduler_that_is_not_there_is_told_before_anything_runs(hepflow: Call) -> None:
    Path("away.yaml").write_text(
        "extends: dask\nsettings: {address: 'tcp://127.0.0.1:9', timeout_s: 1}\n"
    )
    ended = hepflow("run", "path.yaml", "--site", "./away.yaml")
    assert ended.returncode == 4
    assert "there is no Dask scheduler at tcp://127.0.0.1:9" in ended.stderr
    assert "Traceback" not in ended.stderr


def _start(project: Path, site: str, *values: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "hepflow", "run", "path.yaml", *values, "--site", site],
        cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _succeeded(project: Path) -> tuple[api.TaskReport, ...]:
    return api.tasks(api.Project(project), state=api.TaskState.SUCCEEDED)


def _made(project: Path) -> int:
    return len(_succeeded(project)) if (project / ".hepflow/store.sqlite").exists() else 0


def _ledger(project: Path) -> Counter[str]:
    return Counter((project / "ledger").read_text().split())


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if done():
                return
        except api.UsageError:
            pass  # there is no store yet
        assert time.monotonic() < deadline, "nothing happened for a minute"
        time.sleep(0.1)
