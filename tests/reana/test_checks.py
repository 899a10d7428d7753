"""`hepflow test`: feature files held against a run."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

pytest.importorskip("gherkin", reason="needs hepflow[reana]")

from hepflow.model.errors import RecipeError
from hepflow_reana.checks.command import judge
from hepflow_reana.checks.facts import Facts
from hepflow_reana.checks.features import read_feature
from tests.reana.conftest import GREETINGS, SERIAL, Run

Hepflow = Callable[..., "CompletedProcess[str]"]

FEATURE = """\
Feature: Greetings

    Scenario: Everybody is greeted
        When the workflow is finished
        Then all the outputs should be included in the workspace
        And the file "results/greetings.txt" should contain "Good day Ada."
        And the workspace should not contain "results/plot.png"

    Scenario: The engine says so
        When the workflow is finished
        Then the engine logs should contain "Publishing step:0"
"""


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    """A run that has succeeded."""
    (tmp_path / "greetings.txt").write_text(GREETINGS)
    (tmp_path / "plot.png").write_bytes(b"\x89PNG" * 512)
    files = {
        "results/greetings.txt": tmp_path / "greetings.txt",
        "plots/plot.png": tmp_path / "plot.png",
    }
    logs = {"greet": "ready\nsteady\ngo\n", "sign": 'said "done"\n'}
    times = {"greet": 59.0, "sign": 61.0}
    return Facts(1, "finished", ("results/greetings.txt", "plots"), files, logs, 119.0, times)


def verdict(tmp_path: Path, facts: Facts, *clauses: str) -> tuple[str, str]:
    text = "Feature: f\n  Scenario: s\n" + "".join(f"    {clause}\n" for clause in clauses)
    (tmp_path / "f.feature").write_text(text)
    (scenario,) = read_feature(tmp_path / "f.feature")
    found = judge(scenario, facts)
    return found.verdict, found.why


MD5 = hashlib.md5(GREETINGS.encode()).hexdigest()
ADLER = format(zlib.adler32(GREETINGS.encode()), "08x")


@pytest.mark.parametrize(
    ("holds", "fails", "why"),
    [
        ("the workflow should be finished", "the workflow status should be failed", "it is finished"),
        ('the workspace should include "plots/plot.png"', "the workspace should contain x", "it is not there"),
        ("./plots/plot.png should be in the workspace", "y should be in the workspace", "it is not there"),
        ("the workspace should not include x", 'the workspace should not contain "/plots/plot.png"', "it is there"),
        ('the logs should contain "steady"', 'the job logs should contain "stead!"', "no step has printed that"),
        ('the job logs for the step "sign" should contain "said "done""', 'the job logs for the "sign" step should contain "go"', "it has not printed that"),
        ('the file results/greetings.txt should include "day Ada."', 'the file "results/greetings.txt" should contain "Lise"', "it holds 'Good day Ada."),
        (f'the md5 checksum of the file "results/greetings.txt" should be "{MD5}"', "the sha256 checksum of the file results/greetings.txt should be 0", "it is "),
        (f"the adler32 checksum of the file results/greetings.txt should be {ADLER}", "the adler32 checksum of the file results/greetings.txt should be 0", f"it is {ADLER}"),
        ("the workflow run duration should be less than 2 minutes", "the workflow run duration should be less than 1.5 minutes", "it took 119.0 s"),
        ('the duration of the step "greet" should be less than 1 minutes', "the duration of the step sign should be less than 1 minutes", "it took 61.0 s"),
        ("the size of the file plots/plot.png should be exactly 2 KiB", 'the size of the file "plots/plot.png" should be exactly "2049"', "it has 2048 bytes"),
        ("the size of the file plots/plot.png should be between 3KiB and 1KiB", "the size of the file plots/plot.png should be between 1 bytes and 1.5KiB", "it has 2048 bytes"),
        ("the workspace size should be less than 1MiB", "the workspace size should be less than 1KiB", "bytes"),
        ("the workspace size should be more than 1KiB", "the workspace size should be more than 1GiB", "bytes"),
        ("the outputs should be included in the workspace", "the duration of the step z should be less than 1 minutes", "there is no such step; there are greet, sign"),
    ],
)  # fmt: skip
def test_a_sentence_holds_or_says_what_is_the_case(
    tmp_path: Path, facts: Facts, holds: str, fails: str, why: str
) -> None:
    assert verdict(tmp_path, facts, f"Then {holds}") == ("passed", "")
    result, said = verdict(tmp_path, facts, f"Then {fails}")
    assert result == "failed"
    assert why in said


def test_a_text_of_several_lines_stands_below_its_sentence(tmp_path: Path, facts: Facts) -> None:
    clauses = ['Then the job logs for the "greet" step should contain', '  """', "  steady", "  go", '  """']  # fmt: skip
    assert verdict(tmp_path, facts, *clauses) == ("passed", "")


def test_a_scenario_about_another_outcome_or_another_engine_is_skipped(
    tmp_path: Path, facts: Facts
) -> None:
    clauses = ["When the workflow is failed", "Then the workflow should be failed"]
    assert verdict(tmp_path, facts, *clauses) == ("skipped", "the run is finished")
    assert verdict(tmp_path, facts, 'Then the engine logs should contain "x"')[0] == "skipped"
    assert verdict(tmp_path, facts, "When the workflow execution completes")[0] == "passed"


def test_a_sentence_that_nobody_knows_is_told_where_it_stands(tmp_path: Path, facts: Facts) -> None:
    with pytest.raises(RecipeError, match=r"f\.feature:3:5.*HF285.*the moon should be full"):
        verdict(tmp_path, facts, "Then the moon should be full")


def test_what_is_no_gherkin_is_told_where_it_stands(tmp_path: Path, facts: Facts) -> None:
    with pytest.raises(RecipeError, match=r"f\.feature:4:5.*not Gherkin"):
        verdict(tmp_path, facts, "Then the logs should contain x", "Thus it is")


def test_the_checks_of_an_analysis_are_held_against_its_latest_run(
    analysis: Path, run: Run, hepflow: Hepflow
) -> None:
    (analysis / "greetings.feature").write_text(FEATURE)
    (analysis / "reana.yaml").write_text(SERIAL + "tests: {files: [greetings.feature]}\n")
    before = hepflow("test", "reana.yaml")
    assert before.returncode == 2
    assert "was not run here yet" in before.stderr
    run()
    run()  # all of it reused: what is known of it comes from the first
    said = hepflow("test", "reana.yaml")
    assert said.returncode == 0, said.stderr
    assert "passed  Greetings: Everybody is greeted" in said.stdout
    assert "run 2: 1 passed, 1 skipped" in said.stdout
    (analysis / "greetings.feature").write_text(FEATURE.replace("Ada", "Lise"))
    said = hepflow("test", "reana.yaml", "--run", "1")
    assert said.returncode == 1
    assert "greetings.feature:6:9" in said.stdout
    assert "run 1: 1 failed, 1 skipped" in said.stdout
