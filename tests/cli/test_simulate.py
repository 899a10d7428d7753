"""``hepflow simulate``: what a run would take and cost, by what is known of its tasks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Hepflow = Callable[..., subprocess.CompletedProcess[str]]

RECIPE = """
hepflow: v1
name: fits
inputs: {n: 2}
steps:
  width: {command: "echo 3 > {{ outputs.count }}", outputs: {count: {path: n, read: json}}}
  fit:
    scatter: {i: "{{ range(width.count * inputs.n) }}"}
    command: echo {{ i }} > {{ outputs.out }}
    outputs: {out: out}
"""
SITE = """
extends: slurm
limits: {jobs: 3}
queues: {main: {partition: main, price: {hour: 2, unit: CHF}}}
"""


@pytest.fixture
def recipe(project: Path) -> Path:
    (project / "fits.yaml").write_text(RECIPE)
    (project / "mine.yaml").write_text(SITE)
    return project


def test_a_recipe_is_simulated_by_what_its_last_run_tells(recipe: Path, hepflow: Hepflow) -> None:
    assert hepflow("run", "fits.yaml").returncode == 0
    found = hepflow("simulate", "fits.yaml", "n=20", "--slots", "10", "--time", "fit=1 min")
    assert found.returncode == 0, found.stderr
    assert "6 min 00 s for 61 tasks on 10 slots" in found.stdout


def test_a_run_is_simulated_with_the_times_it_had(recipe: Path, hepflow: Hepflow) -> None:
    assert hepflow("run", "fits.yaml").returncode == 0
    found = json.loads(hepflow("simulate", "1", "--slots", "1", "--json").stdout)
    assert (found["name"], found["tasks"], found["slots"]) == ("fits", 7, 1)
    assert found["makespan_s"] == pytest.approx(found["work_s"])
    assert found["critical_s"] < found["work_s"]


def test_a_site_says_how_much_it_runs_at_a_time_and_what_that_costs(
    recipe: Path, hepflow: Hepflow
) -> None:
    assert hepflow("run", "fits.yaml").returncode == 0
    times = ("--time", "fit=1 h", "--time", "width=1 h")
    found = hepflow("simulate", "fits.yaml", *times, "--site", "./mine.yaml", "--json")
    (use,) = json.loads(found.stdout)["sites"]
    assert (use["slots"], use["attempts"], use["cost"], use["unit"]) == (3, 7, 14.0, "CHF")


def test_what_nobody_knows_is_asked_for(recipe: Path, hepflow: Hepflow) -> None:
    never_run = hepflow("simulate", "fits.yaml")
    assert never_run.returncode == 2
    assert "HF316  nobody knows how long a task of step 'width' takes" in never_run.stderr
    assert "--time 'width=30 s'" in never_run.stderr
    values = hepflow("simulate", "fits.yaml", "--time", "30")
    assert values.returncode == 1
    assert "cannot be simulated: " in values.stderr
    assert "fix: run it once, with few tasks" in values.stderr
    slots = hepflow("simulate", "fits.yaml", "--time", "30", "--site", "slurm")
    assert "how many tasks run at a time at site 'slurm' is not known" in slots.stderr
    site = ("--site", "slurm", "--slots", "1", "--slots", "2")
    assert "say it once" in hepflow("simulate", "fits.yaml", *site).stderr
    assert "'soon' is not a time" in hepflow("simulate", "fits.yaml", "--wait", "soon").stderr
