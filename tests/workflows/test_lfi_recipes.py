"""The benchmark and the rounds as recipes: planned in full, run small."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes" / "lfi"
BLOCK = {"tasks": ["two_moons"], "methods": ["NRE"], "simulations": [200], "seeds": [0]}
SMALL = ("--input", "observations=1", "--input", "samples=100")


def _hepflow(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hepflow", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def _run(folder: Path, recipe: str, *arguments: object) -> str:
    done = _hepflow(folder, "run", RECIPES / recipe, "--cpus", 2, *arguments)
    return done.stdout + done.stderr


@pytest.mark.parametrize("recipe", ["benchmark.yaml", "sequential.yaml"])
def test_the_recipe_is_valid(recipe, tmp_path):
    assert "valid" in _hepflow(tmp_path, "validate", RECIPES / recipe).stdout


def _read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "results" / "lfi-benchmark" / "c2st.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_small_cell_is_run_and_tabled(tmp_path):
    pytest.importorskip("sbi")
    said = _run(tmp_path, "benchmark.yaml", "--input", f"blocks={json.dumps([BLOCK])}", *SMALL)
    assert "4 tasks run" in said
    (row,) = _read_table(tmp_path)
    assert (row["task"], row["method"], row["simulations"]) == ("two_moons", "NRE", "200")
    assert 0.3 <= float(row["ours"]) <= 1
    assert (row["observations"], row["samples_a_side"], row["comparable"]) == ("1", "100", "no")


@pytest.mark.long
def test_a_cell_stays_as_it_is_when_others_are_added(tmp_path):
    _run(tmp_path, "benchmark.yaml", "--input", f"blocks={json.dumps([BLOCK])}", *SMALL)
    (row,) = _read_table(tmp_path)
    more = json.dumps([BLOCK, BLOCK | {"tasks": ["gaussian_linear"]}])
    again = _run(tmp_path, "benchmark.yaml", "--input", f"blocks={more}", *SMALL)
    assert "4 tasks run, 3 reused" in again
    rows = _read_table(tmp_path)
    assert row in rows
    assert len(rows) == 2


@pytest.mark.long
def test_rounds_go_on_until_their_number_and_one_more_runs_only_what_is_new(tmp_path):
    small = ("draws=60", "parts=2", "method=NRE", "samples=100", "settled=0.0")
    words = [word for one in small for word in ("--input", one)]
    assert "6 tasks run" in _run(tmp_path, "sequential.yaml", *words, "--input", "rounds=1")
    again = _run(tmp_path, "sequential.yaml", *words, "--input", "rounds=2")
    assert "5 tasks run, 5 reused" in again
    assert '"round": 2' in again


@pytest.mark.long
def test_rounds_end_when_the_posterior_is_settled(tmp_path):
    small = ("draws=60", "parts=2", "method=NRE", "samples=100", "settled=0.999", "rounds=5")
    words = [word for one in small for word in ("--input", one)]
    assert '"round": 1' in _run(tmp_path, "sequential.yaml", *words)


@pytest.mark.long
def test_rounds_go_on_in_the_middle_of_one_after_the_head_was_killed(tmp_path):
    small = ("draws=60", "parts=2", "method=NRE", "samples=100", "settled=0.0", "rounds=2")
    words = [word for one in small for word in ("--input", one)]
    command = [sys.executable, "-m", "hepflow", "run", str(RECIPES / "sequential.yaml"), *words]
    head = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    while not any((tmp_path / ".hepflow").rglob("infer@1/train")):  # round 2 is being trained
        assert head.poll() is None
        time.sleep(0.1)
    head.kill()
    head.wait()
    done = _hepflow(tmp_path, "resume")
    assert "3 tasks run, 7 reused" in done.stdout + done.stderr
