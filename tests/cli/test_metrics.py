"""``hepflow metrics`` and ``hepflow report``, as a person and a program see them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hepflow.cli.group import hepflow

RECIPE = """\
hepflow: v1
name: add
inputs: {n: 2}
steps:
  a: {command: "echo {{ inputs.n * 10 }} > {{ outputs.v }}", outputs: {v: {path: v, read: json}}}
outputs: {value: a.v}
"""


@pytest.fixture
def run(tmp_path: Path) -> object:
    (tmp_path / "add.yaml").write_text(RECIPE)

    def invoke(*words: str) -> str:
        done = CliRunner().invoke(hepflow, [*words, "--dir", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return done.output

    invoke("run", str(tmp_path / "add.yaml"), "-q")
    invoke("run", str(tmp_path / "add.yaml"), "n=3", "-q")
    return invoke


def test_the_numbers_of_the_latest_run(run) -> None:  # type: ignore[no-untyped-def]
    assert run("metrics").split() == ["value", "30"]
    assert run("metrics", "1").split() == ["value", "20"]


def test_two_runs_side_by_side(run) -> None:  # type: ignore[no-untyped-def]
    lines = run("metrics", "--compare", "1").splitlines()
    assert lines[1].split() == ["n", "2", "3"]
    assert lines[4].split() == ["value", "20", "30", "+10", "(+50.0%)"]


def test_for_a_program(run) -> None:  # type: ignore[no-untyped-def]
    both = json.loads(run("metrics", "--compare", "1", "--json"))
    assert both["run"]["metrics"] == {"value": 30}
    assert both["compared_with"]["inputs"] == {"n": 2}


def test_a_run_without_studies_says_so(run) -> None:  # type: ignore[no-untyped-def]
    assert "has no studies" in run("metrics", "--trials")


def test_a_page_is_written_where_it_was_asked_for(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    page = tmp_path / "page.html"
    assert run("report", "1", "--out", str(page)).strip() == str(page)
    assert "<title>add, run 1</title>" in page.read_text()
