"""A run written down as a Snakefile, and run again by Snakemake without hepflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hepflow.model.protocols import Done
from hepflow.model.task import Container, Output, Shell, Task
from hepflow_snakemake.export import SnakemakeExporter
from tests import masses
from tests.masses import Run

pytest.importorskip("snakemake", reason="pip install 'hepflow[snakemake]'")


@pytest.fixture
def package(project: Path, hepflow: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a run that has succeeded, far from where it ran."""
    masses.run(masses.write(project), hepflow)
    exported = hepflow("export", "1", "--to", "snakemake", "--out", "package")
    assert exported.returncode == 0, exported.stderr
    assert exported.stdout.startswith("run 1: exported to package/Snakefile, ")
    return masses.take_away(project, tmp_path_factory.mktemp("elsewhere"))


def snakemake(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--nocolor", *words],
        cwd=package, capture_output=True, text=True, timeout=300, check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip


def test_snakemake_gives_what_the_run_gave(package: Path) -> None:
    done = snakemake(package, "--cores", "2")
    assert done.returncode == 0, done.stderr
    place = json.loads((package / "outputs.json").read_text())["all"]["location"]
    assert (package / place).read_text() == masses.RESULT
    text = (package / "Snakefile").read_text()
    assert "mem_mib=100," in text
    assert "runtime=2," in text


@pytest.mark.long
def test_a_task_that_fails_fails_its_rule(package: Path) -> None:
    order = package / "orders" / "0.json"
    order.write_text(order.read_text().replace("mkdir deep", "echo 'no disk' >&2; exit 3"))
    assert snakemake(package, "--cores", "1").returncode != 0
    assert "command exited with code 3: no disk" in (package / "logs" / "0.log").read_text()


def test_a_task_in_an_image_is_a_rule_in_it(tmp_path: Path) -> None:
    boxed = Task(Shell("echo 1 > o"), (Output("o", "o"),), container=Container("lab/img:1"))
    tasks = [Done("fit", boxed, {}), Done("plot", replace(boxed, container=None), {})]
    SnakemakeExporter().export_run("x", tasks, {}, tmp_path)
    text = (tmp_path / "Snakefile").read_text()
    assert text.count("container:") == 1
    assert "'docker://lab/img:1'" in text
    # What does not ask for containers runs the same on the machine itself.
    done = snakemake(tmp_path, "--cores", "1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o0" / "o").read_text() == "1\n"
