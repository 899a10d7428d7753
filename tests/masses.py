"""A small analysis that exporters write down: a scatter, a Python call for each element, a gather."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

Run = Callable[..., "subprocess.CompletedProcess[str]"]

RECIPE: Final = """\
hepflow: v1
name: masses
inputs: {data: {type: File, default: given/data.txt}, n: 3, stop: 0}
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
RESULT: Final = "a 0\nb 0\na 1\nb 1\na 2\nb 2\n2 2 2\n"


def write(project: Path) -> Path:
    """Put the analysis into a project."""
    (project / "given").mkdir()
    (project / "given" / "data.txt").write_text("a x\nb x\n")
    (project / "recipe.yaml").write_text(RECIPE)
    (project / "counting.py").write_text(
        "def lines(part):\n    return len(open(part).readlines())\n"
    )
    return project


def run(project: Path, hepflow: Run) -> Path:
    """The project, with the analysis run in it."""
    done = hepflow("run", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert (project / "results" / "masses" / "all.txt").read_text() == RESULT
    return project


def take_away(project: Path, elsewhere: Path) -> Path:
    """Move what was exported far from where it ran, of which nothing is left."""
    shutil.move(project / "package", elsewhere)
    for name in (".hepflow", "given", "counting.py", "results"):
        path = project / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return elsewhere / "package"
