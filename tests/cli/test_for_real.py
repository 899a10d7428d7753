"""The command line with nothing faked: a user's first quarter of an hour."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

NUMBERS = """\
hepflow: v1
name: numbers
inputs:
  n: 5
  bad: -1
steps:
  write:
    scatter: {i: "{{ range(inputs.n) }}"}
    inputs: {bad: inputs.bad}
    command: "if [ {{ i }} = {{ inputs.bad }} ]; then echo 'no such number' >&2; exit 3; fi; echo {{ i }} > {{ outputs.number }}"
    outputs: {number: number.txt}
  total:
    inputs: {numbers: write.number}
    command: "cat {{ inputs.numbers }} > {{ outputs.all }}"
    outputs: {all: all.txt}
outputs: {all: total.all}
"""
SLEEPY = """\
hepflow: v1
name: sleepy
inputs: {n: 6}
steps:
  rest:
    scatter: {i: "{{ range(inputs.n) }}"}
    command: "sleep 0.5; echo {{ i }} > {{ outputs.x }}"
    outputs: {x: x.txt}
outputs: {x: rest.x}
"""


@pytest.fixture
def numbers(project: Path) -> Path:
    """A recipe that adds files, and fails at the number one names."""
    path = project / "numbers.yaml"
    path.write_text(NUMBERS)
    return path


def test_run_plan_reuse_and_look(numbers: Path, hepflow: Run) -> None:
    first = hepflow("run", "numbers.yaml")
    assert first.returncode == 0, first.stderr
    assert "6 tasks run" in first.stderr
    assert "write: 5 tasks done (5 run)" in first.stderr
    assert "\x1b" not in first.stdout + first.stderr
    again = json.loads(hepflow("run", "numbers.yaml", "--json").stdout)
    assert [step["reused"] for step in again["status"]["steps"]] == [5, 1]
    plan = json.loads(hepflow("plan", "numbers.yaml", "n=6", "--json").stdout)
    assert (plan["reused"], plan["to_run"], plan["unknown"]) == (5, 2, 1)
    content = Path(hepflow("outputs", "all").stdout.strip()).read_text()
    assert content.split() == ["0", "1", "2", "3", "4"]
    assert "reused" in hepflow("explain", "write[2]").stdout
    assert [run["id"] for run in json.loads(hepflow("list", "--json").stdout)] == [2, 1]


def test_a_failure_is_told_and_mended(numbers: Path, hepflow: Run) -> None:
    failed = hepflow("run", "numbers.yaml", "bad=2")
    assert failed.returncode == 1
    for words in ("write[2]#1  failed", "exit code 3", "| no such number", "hepflow resume 1"):
        assert words in failed.stderr
    assert "| no such number" in hepflow("logs").stdout
    numbers.write_text(NUMBERS.replace("exit 3", "true"))
    mended = hepflow("resume")
    assert mended.returncode == 0, mended.stderr


def test_faults_of_a_recipe_stand_at_their_lines(numbers: Path, hepflow: Run) -> None:
    numbers.write_text(NUMBERS.replace("write.number", "wirte.number"))
    wrong = hepflow("run", "numbers.yaml")
    assert wrong.returncode == 3
    assert "numbers.yaml:13:" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert json.loads(hepflow("validate", "numbers.yaml", "--json").stdout)["exit_code"] == 3


def test_what_is_not_there_has_its_own_status(numbers: Path, hepflow: Run) -> None:
    missing = hepflow("run", "numbers.yaml", "--site", "nowhere")
    assert missing.returncode == 4
    assert "there is no site 'nowhere'" in missing.stderr


def test_ctrl_c_leaves_a_run_that_resumes(project: Path, hepflow: Run) -> None:
    (project / "sleepy.yaml").write_text(SLEEPY)
    running = subprocess.Popen(
        [sys.executable, "-m", "hepflow", "run", "sleepy.yaml", "--cpus", "1"],
        cwd=project,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list((project / ".hepflow").rglob("x.txt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert "hepflow resume 1" in told
    resumed = hepflow("resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "reused" in resumed.stderr
