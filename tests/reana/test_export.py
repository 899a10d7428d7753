"""A recipe as an analysis for REANA: by its schema, and with the same outputs when it is run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

Run = Callable[..., "subprocess.CompletedProcess[str]"]

RECIPE = """\
hepflow: v1
name: masses
inputs: {data: {type: File, default: given/data.txt}, n: 2}
steps:
  cut:
    scatter: {i: "{{ range(inputs.n) }}"}
    inputs: {data: inputs.data, n: inputs.n}
    command: "sed s/x/{{ i }}/ {{ inputs.data }} > {{ outputs.part }}"
    outputs: {part: part.txt}
  all:
    inputs: {parts: cut.part}
    command: "cat {{ inputs.parts }} > {{ outputs.out }}"
    outputs: {out: all.txt}
outputs: {all: all.out}
"""


@pytest.fixture
def recipe(project: Path) -> Path:
    (project / "given").mkdir()
    (project / "given" / "data.txt").write_text("a x\nb x\n")
    (project / "recipe.yaml").write_text(RECIPE)
    return project


def test_the_file_is_as_reanas_schema_has_it_and_names_all_that_is_needed(
    recipe: Path, hepflow: Run, root: Path
) -> None:
    done = hepflow("export", "recipe.yaml", "--to", "reana", "--out", "package", "n=3")
    assert done.returncode == 0, done.stderr
    written = yaml.safe_load((recipe / "package/reana.yaml").read_text())
    schema = json.loads((root / "adapters/hepflow_reana/schema.json").read_text())
    jsonschema.validate(written, schema)
    assert written["workflow"] == {"type": "cwl", "file": "workflow.cwl"}
    assert written["inputs"]["files"] == ["workflow.cwl", "job.yml", "given/data.txt"]
    for name in written["inputs"]["files"]:
        assert (recipe / "package" / name).is_file()


def test_what_it_gives_is_what_the_recipe_gives(recipe: Path, hepflow: Run) -> None:
    pytest.importorskip("cwltool")
    hepflow("export", "recipe.yaml", "--to", "reana", "--out", "package")
    done = hepflow("run", "package/reana.yaml")
    assert done.returncode == 0, done.stderr
    assert hepflow("run", "recipe.yaml").returncode == 0
    expected = (recipe / "results/masses/all.txt").read_text()
    (made,) = (path for path in (recipe / "results").rglob("all.txt") if "masses" not in path.parts)
    assert made.read_text() == expected == "a 0\nb 0\na 1\nb 1\n"


def test_it_takes_a_folder(recipe: Path, hepflow: Run) -> None:
    done = hepflow("export", "recipe.yaml", "--to", "reana")
    assert done.returncode != 0
    assert "--out DIR" in done.stderr
