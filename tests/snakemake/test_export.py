"""A run written down as a Snakefile, and run again by Snakemake without hepflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("snakemake", reason="pip install 'hepflow[snakemake]'")

Run = Callable[..., "subprocess.CompletedProcess[str]"]

RECIPE = """\
hepflow: v1
name: masses
inputs: {data: {type: File, default: given/data.txt}, n: 2}
steps:
  cut:
    scatter: {i: "{{ range(inputs.n) }}"}
    inputs: {data: inputs.data, n: inputs.n}
    command: "mkdir deep; sed s/x/{{ i }}/ {{ inputs.data }} > {{ outputs.part }}"
    outputs: {part: "deep/part.txt"}
    resources: {memory: 100 MiB, walltime: 90 s}
  count:
    scatter: {part: cut.part}
    python: counting:lines
    outputs: {lines: {}}
  all:
    inputs: {parts: cut.part, lines: count.lines}
    command: "cat {{ inputs.parts }} > {{ outputs.out }}; echo {{ inputs.lines }} >> {{ outputs.out }}"
    outputs: {out: all.txt}
outputs: {all: all.out}
"""


@pytest.fixture
def package(project: Path, hepflow: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a run that has succeeded, far from where it ran."""
    (project / "given").mkdir()
    (project / "given" / "data.txt").write_text("a x\nb x\n")
    (project / "recipe.yaml").write_text(RECIPE)
    (project / "counting.py").write_text(
        "def lines(part):\n    return len(open(part).readlines())\n"
    )
    done = hepflow("run", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    exported = hepflow("export", "1", "--to", "snakemake", "--out", "package")
    assert exported.returncode == 0, exported.stderr
    assert exported.stdout.startswith("run 1: exported to package/Snakefile, ")
    package = tmp_path_factory.mktemp("elsewhere") / "package"
    shutil.move(project / "package", package)
    for name in (".hepflow", "given", "counting.py", "results"):
        path = project / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return package


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
    assert (package / place).read_text() == "a 0\nb 0\na 1\nb 1\n2 2\n"
    text = (package / "Snakefile").read_text()
    assert "mem_mib=100," in text
    assert "runtime=2," in text


@pytest.mark.long
def test_a_task_that_fails_fails_its_rule(package: Path) -> None:
    order = package / "orders" / "0.json"
    order.write_text(order.read_text().replace("mkdir deep", "echo 'no disk' >&2; exit 3"))
    assert snakemake(package, "--cores", "1").returncode != 0
    assert "command exited with code 3: no disk" in (package / "logs" / "0.log").read_text()
