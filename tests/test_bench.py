"""The benchmark itself works: it writes every shape for every tool and prints its page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cwl import cwl_page
from bench.measure import Failed, must_run, run
from bench.pools import pools_page
from bench.shapes import Shape, write_makefile, write_recipe
from bench.yadage import yadage_page

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.long
def test_a_quick_benchmark_measures_every_shape_and_phase() -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--kinds", "shell,redirect,python"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout, done.stdout
    for shape in ("wide", "chain", "layered"):
        for kind in ("shell", "redirect", "python"):
            assert f"### {shape}, 20 {kind} tasks" in done.stdout
    for phase in ("cold", "re-run", "plan"):
        assert done.stdout.count(f"| hepflow | {phase} |") == 9
    assert "| `hepflow --version` |" in done.stdout


@pytest.mark.slow
def test_a_quick_benchmark_measures_yadage_too(tmp_path: Path) -> None:
    pytest.importorskip("jq")
    lines = "\n".join(yadage_page(tmp_path, (20,), 1, lambda _: None))
    assert "| 20 | native recipe |" in lines
    assert "| 20 | yadage |" in lines


@pytest.mark.long
def test_a_quick_benchmark_measures_cwl_too(tmp_path: Path) -> None:
    pytest.importorskip("cwltool")
    lines = "\n".join(cwl_page(tmp_path, (20,), 1, lambda _: None))
    assert lines.count("| hepflow | new |") == 1
    assert lines.count("| 20 |") >= 3


@pytest.mark.long
def test_pools_are_measured_beside_themselves(tmp_path: Path) -> None:
    lines = "\n".join(pools_page(tmp_path, 1, 0.004, lambda _: None))
    for pair in (
        "parsl | python | 20",
        "parsl | shell | 20",
        "dask | python | 40",
        "dask | shell | 20",
    ):
        assert lines.count(f"| {pair} |") == 1


@pytest.mark.parametrize("name", ["wide", "chain", "layered"])
@pytest.mark.parametrize("kind", ["shell", "python"])
def test_the_tasks_of_a_shape_are_all_different_work(name: str, kind: str, tmp_path: Path) -> None:
    shape = Shape(name, 24, kind)
    recipe = json.loads((tmp_path / write_recipe(shape, tmp_path)).read_text())
    if name == "wide":
        assert recipe["inputs"] == {"n": 24}
        assert recipe["steps"]["work"]["scatter"] == {"i": "{{ range(inputs.n) }}"}
    else:
        assert len(recipe["steps"]) == 24
        assert len({json.dumps(step) for step in recipe["steps"].values()}) == 24


def test_in_layers_each_task_needs_two_of_the_layer_above() -> None:
    shape = Shape("layered", 1000)
    assert shape.width == 50
    assert shape.depends_on(49) == ()
    assert shape.depends_on(50) == (0, 1)
    assert shape.depends_on(999) == (949, 900)


def test_a_command_that_fails_gives_no_figure(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="exit 3"):
        must_run(("sh", "-c", "echo no; exit 3"), tmp_path)


def test_a_killed_command_is_told_by_its_signal(tmp_path: Path) -> None:
    assert run(("sleep", "5"), tmp_path, kill_after_s=0.05).status == -9


@pytest.mark.needs("make")
def test_the_makefile_makes_every_file(tmp_path: Path) -> None:
    write_makefile(Shape("layered", 20), tmp_path)
    must_run(("make", "-s", "-j2"), tmp_path)
    assert len(list((tmp_path / "o").iterdir())) == 20
