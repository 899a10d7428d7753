"""A small analysis for REANA, in a folder of its own, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hepflow import api

GREET = """\
import pathlib, sys
names, greetings = map(pathlib.Path, sys.argv[1:3])
greetings.parent.mkdir(exist_ok=True)
with greetings.open("a") as file:
    for name in names.read_text().splitlines():
        file.write(f"Good day {name}.\\n")
"""

SERIAL = """\
version: 0.9.0
inputs:
  files:
    - code/greet.py
    - data/names.txt
  parameters:
    script: code/greet.py
    names: data/names.txt
    greetings: results/greetings.txt
workflow:
  type: serial
  specification:
    steps:
      - name: greet
        environment: docker.io/library/python:3.12-slim
        kubernetes_memory_limit: 256Mi
        commands:
          - python3 ${script} "${names}" "${greetings}"
      - name: sign
        environment: docker.io/library/python:3.12-slim
        commands:
          - cd results
          - echo "from $$(hostname | wc -l) host" >> ${greetings}
outputs:
  files:
    - results/greetings.txt
"""

GREETINGS = "Good day Ada.\nGood day Emmy.\nfrom 1 host\n"

Run = Callable[..., api.RunResult]


@pytest.fixture
def analysis(project: Path) -> Path:
    """The folder of the analysis, which is the project as well."""
    (project / "code").mkdir()
    (project / "code/greet.py").write_text(GREET)
    (project / "data").mkdir()
    (project / "data/names.txt").write_text("Ada\nEmmy\n")
    (project / "reana.yaml").write_text(SERIAL)
    return project


@pytest.fixture
def run(analysis: Path) -> Run:
    """Runs a file without container images; values are given as a user gives them."""

    def call(file: str = "reana.yaml", **values: str) -> api.RunResult:
        workflow = api.load(analysis / file)
        return api.run(
            workflow,
            api.read_inputs(workflow, values=values),
            project=api.Project(analysis),
            options=api.RunOptions(containers=False, publish=analysis / "published"),
        )

    return call
