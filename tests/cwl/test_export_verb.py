"""`hepflow export`: what it writes where, and what it refuses, each at its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from hepflow import api
from hepflow.cli.entry import enter

RECIPE = """
hepflow: v1
name: small
inputs:
  n: 3
  data: {type: File, default: data/in.txt}
  extra: File
steps:
  show:
    inputs: {data: inputs.data, n: inputs.n}
    command: "cat {{ inputs.data }}; echo {{ inputs.n }} > {{ outputs.o }}"
    outputs: {o: o.txt}
  call: {python: "pack.tools:call", inputs: {n: show.o}, outputs: {r: {type: int}}}
outputs: {o: show.o, r: call.r}
profiles: {quick: {inputs: {n: 1}}}
"""


@pytest.fixture
def recipe(project: Path) -> Path:
    """A recipe with a file and a package beside it."""
    files = {
        "recipe.yaml": RECIPE, "data/in.txt": "in\n", "outside.txt": "out\n", "pack/__init__.py": "",
        "pack/tools.py": "import beside\ndef call(n): return 1\n", "beside.py": "", "unused.py": "",
    }  # fmt: skip
    for name, text in files.items():
        path = project / ("home" if name != "outside.txt" else ".") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return project / "home" / "recipe.yaml"


Run = Callable[..., Any]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The verb: exit status, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        status = enter(["export", *map(str, arguments)])
        return (status, *capsys.readouterr())

    return call


def test_the_document_goes_to_standard_output(recipe: Path, run: Run) -> None:
    status, printed, _ = run(recipe, "--to", "cwl")
    assert status == 0
    document = yaml.safe_load(printed)
    assert document["cwlVersion"] == "v1.2"
    assert document["label"] == "small"
    location = document["inputs"]["data"]["default"]["location"]
    assert location == (recipe.parent / "data/in.txt").as_uri()


def test_a_folder_has_all_that_the_recipe_refers_to(recipe: Path, run: Run) -> None:
    out = recipe.parent.parent / "package"
    status, printed, _ = run(
        recipe, "--to", "cwl", "--out", out, "extra=outside.txt", "-p", "quick"
    )
    assert (status, "exported to" in printed) == (0, True)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {
        "workflow.cwl", "job.yml", "data/in.txt", "files/outside.txt", "pack/__init__.py",
        "pack/tools.py", "beside.py",
    }  # fmt: skip
    job = yaml.safe_load((out / "job.yml").read_text(encoding="utf-8"))
    assert job == {
        "n": 1,
        "data": {"class": "File", "location": "data/in.txt"},
        "extra": {"class": "File", "location": "files/outside.txt"},
    }
    assert str(recipe.parent) not in (out / "workflow.cwl").read_text(encoding="utf-8")


def test_inputs_that_are_missing_are_named(recipe: Path, run: Run) -> None:
    _, printed, _ = run(recipe, "--to", "cwl", "--out", recipe.parent.parent / "package")
    assert "still to be given in the job: extra" in printed
    _, printed, _ = run(recipe, "--to", "cwl", "--json", "--set", "inputs.n=8")
    told = json.loads(printed)
    assert (told["main"], told["missing"], told["folder"]) == ("workflow.cwl", ["extra"], None)
    assert yaml.safe_load(told["documents"]["job.yml"])["n"] == 8


def test_a_folder_with_something_in_it_is_left_alone(recipe: Path, run: Run) -> None:
    status, _, complaint = run(recipe, "--to", "cwl", "--out", recipe.parent)
    assert status == 2
    assert "is not empty" in complaint


def test_an_unknown_language_gets_the_nearest(recipe: Path, run: Run) -> None:
    status, _, complaint = run(recipe, "--to", "cwll")
    assert status == 4
    assert "there is no exporter 'cwll'" in complaint
    assert "did you mean 'cwl'?" in complaint


def test_a_wrong_input_is_a_fault_as_for_a_run(recipe: Path, run: Run) -> None:
    status, _, complaint = run(recipe, "--to", "cwl", "n=many")
    assert status == 3
    assert "input 'n' takes int" in complaint


# --- what is refused ------------------------------------------------------------------------------

HEAD = "hepflow: v1\ninputs: {n: 3, x: 1.5, f: File, any: {default: null}}\nsteps:\n"

REFUSED = [
    ("  a: {command: 'echo {{ inputs.any }}'}", "4:25  HF132  a number may come here"),
    ("  a: {command: 'echo {{ inputs.n | center }}'}", "4:25  HF132  the filter 'center'"),
    ("  a: {command: 'echo {{ inputs.f.digest }}'}", "4:25  HF132  'digest' of a file"),
    ("  a: {inputs: {v: '{{ inputs.x ** 2 }}'}, command: 'true'}", "4:19  HF132  a power"),
    ("  a: {inputs: {v: 'at {{ inputs.f }}'}, command: 'true'}", "the path of a file as text"),
    ("  a: {command: '{% macro m() %}{% endmacro %}'}", "HF131  cannot export {% macro %}"),
    ("  a: {command: 'echo {{ zip([1], [2]) | list }}'}", "the function 'zip' cannot be exported"),
    ("  a: {command: 'true', outputs: {o: '**/x'}}", "4:37  HF132  the pattern '**'"),
    ("  a: {command: 'true', container: 'i:{{ inputs.n }}'}", "a container that depends on values"),
    ("  a: {command: 'true', outputs: {o: {path: o, read: json, type: File}}}", "inside JSON"),
    ("  a: {python: 'os:getcwd', inputs: {}, outputs: {r: {type: File}}}", "a returned file"),
    (
        (
            "  a: {command: 'true', outputs: {o: {path: o, read: json}}}\n"
            "  b: {python: 'builtins:print', inputs: {v: a.o}}"
        ),
        "5:3  HF132  'v' may hold numbers of which nobody knows whether int or float",
    ),
]


@pytest.mark.parametrize(("steps", "complaint"), REFUSED, ids=[case[1] for case in REFUSED])
def test_what_has_no_counterpart_is_refused_at_its_place(
    project: Path, run: Run, steps: str, complaint: str
) -> None:
    path = project / "recipe.yaml"
    path.write_text(HEAD + steps + "\n", encoding="utf-8")
    status, printed, told = run(path, "--to", "cwl")
    assert (status, printed) == (3, "")
    assert complaint in told
    assert "fix: " in told
    assert "Traceback" not in told


def test_all_that_is_refused_is_told_at_once(project: Path, run: Run) -> None:
    (project / "inner.yaml").write_text(
        HEAD.replace("inputs", "x-inputs", 0) + "  a: {command: 'echo {{ inputs.f.size }}'}\n",
        encoding="utf-8",
    )
    path = project / "recipe.yaml"
    steps = (
        "  a:\n    command: |\n      echo {{ inputs.any }}\n      echo {{ inputs.n | center }}\n"
        "  b: {uses: inner.yaml, inputs: {f: inputs.f}}\n"
    )
    path.write_text(HEAD + steps, encoding="utf-8")
    _, _, told = run(path, "--to", "cwl")
    for place in ("recipe.yaml:6:15", "recipe.yaml:7:15", "inner.yaml:4:25"):
        assert place in told


def test_a_file_of_another_language_is_refused(project: Path) -> None:
    workflow = api.Workflow("w", source=str(project / "x.cwl"))
    with pytest.raises(api.RecipeError, match="only native recipes can be exported"):
        api.export(workflow, "cwl")


def test_the_help_says_what_it_does() -> None:
    from hepflow.cli.group import hepflow

    shown = CliRunner().invoke(hepflow, ["export", "--help"]).output
    assert "--to" in shown
    assert "package/workflow.cwl" in shown
