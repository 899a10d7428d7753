"""Trackers: what they are told and when, and that nothing they do can cost a run anything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hepflow import api, plugins
from hepflow.model.record import RunRecord

RECIPE = """\
hepflow: v1
name: fit
inputs: {n: 3}
steps:
  a: {command: "test {{ inputs.n }} -lt 9; echo {{ inputs.n }} > {{ outputs.v }}", outputs: {v: {path: v, read: json}}}
outputs: {value: a.v}
"""


class Diary:
    """A tracker that remembers, and may be made to break."""

    settings: Mapping[str, str] = {"uri": "somewhere"}
    told: ClassVar[list[RunRecord]] = []
    made: ClassVar[list[Mapping[str, str]]] = []
    breaks: ClassVar[str] = ""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.made.append(settings)
        if settings.get("uri") == "bad":
            raise ValueError("the address https://me:secret@x is none")
        if settings.get("uri") == "absent":
            raise ImportError("no module named 'diary'")

    def track(self, run: RunRecord) -> None:
        self.told.append(run)
        if self.breaks:
            raise OSError(self.breaks)


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> type[Diary]:
    """The tracker, installed."""
    monkeypatch.setattr(Diary, "told", [])
    monkeypatch.setattr(Diary, "made", [])
    monkeypatch.setitem(plugins.BUILTIN[plugins.TRACKERS], "diary", f"{__name__}:Diary")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Diary.__module__])
    return Diary


def run(folder: Path, text: str = "", named: tuple[str, ...] = (), **values: object) -> Any:
    (folder / "fit.yaml").write_text(RECIPE + text)
    workflow = api.load(folder / "fit.yaml")
    given = api.read_inputs(workflow, values={name: str(value) for name, value in values.items()})
    options = api.RunOptions(tracking=named)
    return api.run(workflow, given, project=api.Project(folder), options=options)


@pytest.mark.parametrize(
    ("written", "settings"),
    [
        ("tracking: diary", {}),
        ("tracking: [diary]", {}),
        ("tracking: {diary: {uri: here}}", {"uri": "here"}),
        ("tracking: {diary: }", {}),
    ],
)
def test_a_tracker_is_told_when_a_run_begins_and_when_it_ends(
    diary: type[Diary], tmp_path: Path, written: str, settings: Mapping[str, str]
) -> None:
    assert run(tmp_path, written).succeeded
    first, last = diary.told
    assert (first.state, first.inputs, first.metrics) == ("running", {"n": 3}, {})
    assert (last.state, last.inputs, last.metrics) == ("succeeded", {"n": 3}, {"value": 3})
    assert first.key == last.key
    assert diary.made[-1] == settings


def test_a_user_may_name_a_tracker_or_nobody(diary: type[Diary], tmp_path: Path) -> None:
    run(tmp_path, "", ("diary",))
    assert len(diary.told) == 2
    run(tmp_path, "tracking: diary", ("none",))
    assert len(diary.told) == 2


def test_a_run_that_is_resumed_is_the_same_run(diary: type[Diary], tmp_path: Path) -> None:
    assert not run(tmp_path, "tracking: diary", n=9).succeeded
    assert diary.told[-1].state == "failed"
    (tmp_path / "fit.yaml").write_text(RECIPE.replace("-lt 9", "-lt 99") + "tracking: diary")
    assert api.resume(api.Project(tmp_path)).succeeded
    assert [found.state for found in diary.told] == ["running", "failed", "running", "succeeded"]
    assert len({found.key for found in diary.told}) == 1


def test_a_tracker_that_fails_is_told_of_once_and_costs_the_run_nothing(
    diary: type[Diary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diary, "breaks", "https://me:hunter2@server is down")
    result = run(tmp_path, "tracking: diary")
    assert result.succeeded
    assert result.warnings == ("no record was kept by diary: https://***@server is down",)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("tracking: dairy", "did you mean 'diary'?"),
        ("tracking: {diary: {url: x}}", "diary takes no setting 'url'"),
        ("tracking: {diary: {uri: bad}}", "the address https://***@x is none"),
        ("tracking: {diary: {uri: absent}}", "pip install 'hepflow[diary]'"),
    ],
)
def test_a_tracker_that_cannot_be_is_told_before_anything_runs(
    diary: type[Diary], tmp_path: Path, written: str, said: str
) -> None:
    with pytest.raises(api.HepflowError, match=said.replace("*", r"\*").replace("[", r"\[").replace("?", r"\?")):  # fmt: skip
        run(tmp_path, written)
    assert not api.runs(api.Project(tmp_path))


def test_without_tracking_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "fit.yaml").write_text(RECIPE)
    program = (
        "import sys; from hepflow.__main__ import main\n"
        "sys.argv[1:] = ['run', 'fit.yaml', '-q']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end\n"
        "assert not {m for m in sys.modules if m.startswith(('mlflow', 'hepflow_mlflow', 'optuna'))}"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60)
