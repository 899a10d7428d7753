"""``tests/conformance/run`` on a small suite of our own, with a runner that does as it is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cwltest", reason="needs cwltest")

Judge = Callable[..., "subprocess.CompletedProcess[str]"]

HERE = Path(__file__).parent
SUITE = """\
- {id: right, doc: right, tool: right.cwl, output: {n: 1}, tags: [required]}
- {id: wrong, doc: wrong, tool: wrong.cwl, output: {n: 1}, tags: [required]}
- {id: lacking, doc: lacking, tool: lacking.cwl, output: {n: 1}, tags: [scatter]}
- {id: image, doc: image, tool: image.cwl, output: {n: 1}, tags: [docker]}
- {id: refused, doc: refused, tool: refused.cwl, should_fail: true, tags: [required]}
- {id: accepted, doc: accepted, tool: right.cwl, should_fail: true, tags: [required]}
- {id: crashed, doc: crashed, tool: crashed.cwl, should_fail: true, tags: [required]}
- {id: mute, doc: mute, tool: mute.cwl, should_fail: true, tags: [required]}
"""
RUNNER = r"""#!/bin/sh
for word; do
    case $word in
    --version) echo "toy 1.0" ;;
    *right.cwl | *image.cwl) echo '{"n": 1}' ;;
    *wrong.cwl) echo '{"n": 2}' ;;
    *lacking.cwl) echo "no such feature" >&2; exit 33 ;;
    *refused.cwl) echo "x.cwl:1:1  HF241  the document is wrong" >&2; exit 3 ;;
    *crashed.cwl) printf 'Traceback (most recent call last):\nKeyError: 1\n' >&2; exit 1 ;;
    *mute.cwl) exit 1 ;;
    esac
done
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite with a test for each verdict."""
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "README.md").write_text("This repo holds the ratified v1.2.1 of the standard.\n")
    (folder / "conformance_tests.yaml").write_text(SUITE)
    for name in ("right", "wrong", "lacking", "refused", "crashed", "mute"):
        (folder / f"{name}.cwl").write_text("class: CommandLineTool\n")
    (folder / "image.cwl").write_text("class: Workflow\nsteps: [{run: inner.cwl}]\n")
    (folder / "inner.cwl").write_text(
        "class: CommandLineTool\nrequirements: {DockerRequirement: {dockerPull: debian}}\n"
    )
    return folder


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """The script, with the toy runner."""
    runner = tmp_path / "toy-runner"
    runner.write_text(RUNNER)
    runner.chmod(0o755)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(HERE / "run"), "--tool", str(runner), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return call


def verdicts(report: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {test["id"]: (test["verdict"], test["reason"]) for test in report["tests"]}


def test_each_test_gets_its_verdict_and_the_reason(
    suite: Path, judge: Judge, tmp_path: Path
) -> None:
    ended = judge(str(suite), "--json", str(tmp_path / "report.json"))
    assert ended.returncode == 1
    assert "8 tests (4 must fail, 1 need an image)" in ended.stdout
    (report,) = json.loads((tmp_path / "report.json").read_text())
    assert report["version"] == "v1.2"
    assert report["runner_version"] == "toy 1.0"
    found = verdicts(report)
    assert found["right"] == ("passed", "")
    assert found["wrong"][0] == "failed"
    assert "expected" in found["wrong"][1]
    assert found["lacking"] == ("unsupported", "no such feature")
    assert found["image"] == ("not run", "needs its container image")
    assert found["refused"] == ("passed", "x.cwl:1:1 HF241 the document is wrong")
    assert found["accepted"] == ("failed", "it was not refused")
    assert found["crashed"] == ("failed", "the runner crashed: KeyError: 1")
    assert found["mute"] == ("failed", "refused without a word")


def test_tests_are_chosen_by_name_and_by_tag_the_first_one_too(suite: Path, judge: Judge) -> None:
    assert "1 tests" in judge(str(suite), "--only", "right").stdout
    assert "1 tests" in judge(str(suite), "--tags", "scatter").stdout
    nothing = judge(str(suite), "--only", "absent")
    assert nothing.returncode == 1
    assert "no such test" in nothing.stderr


def test_with_containers_those_that_need_an_image_are_run_alone(suite: Path, judge: Judge) -> None:
    assert (
        "1 tests (0 must fail, 1 need an image): 1 passed"
        in judge(str(suite), "--containers").stdout
    )


def test_the_tables_go_into_a_document(suite: Path, judge: Judge, tmp_path: Path) -> None:
    report, document = tmp_path / "report.json", tmp_path / "page.md"
    judge(str(suite), "--json", str(report))
    marks = [f"<!-- written by tests/conformance/run: {word} -->" for word in ("begin", "end")]
    document.write_text(f"before\n{marks[0]}\nold\n{marks[1]}\nafter\n")
    for _ in range(2):
        assert judge("--publish", str(document), str(report)).returncode == 0
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| v1.2 |" in text
    assert "- failed: `accepted`: it was not refused" in text
    document.write_text("no marks")
    assert "has no lines" in judge("--publish", str(document), str(report)).stderr


def test_a_folder_that_is_no_suite_is_told(judge: Judge, tmp_path: Path) -> None:
    assert "is no checkout of a suite" in judge(str(tmp_path)).stderr
