"""Literals: files that stand nowhere, handed to tools that take files by path."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hepflow import api
from hepflow.model.errors import RecipeError
from hepflow.model.values import Directory, File, Value, Values
from hepflow.runner.literals import Literals

RECIPE = """\
hepflow: v1
name: read
inputs: {x: File, y: {type: string, default: none}}
steps:
  cat: {inputs: {x: inputs.x, y: inputs.y}, command: "cat {{ inputs.x }} > o; echo {{ inputs.y }} >> o", outputs: {o: o}}
outputs: {o: cat.o}
"""

LITERAL = File("", basename="cuts.txt", contents="pt > 20\n")


@pytest.fixture
def literals(tmp_path: Path) -> Literals:
    return Literals(str(tmp_path / "literals"), write=True)


def test_a_literal_is_written_once_under_its_own_name(literals: Literals, tmp_path: Path) -> None:
    path = Path(literals.path_of(LITERAL))
    assert (path.name, path.read_text()) == ("cuts.txt", "pt > 20\n")
    written = path.stat()
    assert Literals(str(tmp_path / "literals"), write=True).path_of(LITERAL) == str(path)
    assert path.stat() == written
    assert Path(literals.path_of(replace(LITERAL, contents="other"))).parent != path.parent


def test_a_file_that_stands_somewhere_is_found_there(literals: Literals, tmp_path: Path) -> None:
    assert literals.path_of(File("/data/x")) == "/data/x"
    assert not (tmp_path / "literals").exists()


def test_a_literal_directory_holds_what_it_lists(literals: Literals, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("content")
    inner = Directory("", basename="in", listing=(LITERAL,))
    tree = Directory("", basename="t", listing=(File(f"{tmp_path}/data", basename="x"), inner))
    path = Path(literals.path_of(tree))
    assert (path / "x").read_text() == "content"
    assert (path / "in" / "cuts.txt").read_text() == "pt > 20\n"


@pytest.mark.parametrize("name", ["a/b", "..", ".", "a\0"])
def test_a_name_that_is_none_is_told(literals: Literals, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        literals.path_of(File("", basename=name, contents=""))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_literal_that_cannot_be_written_is_told(literals: Literals, tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(ValueError, match=r"the file 'cuts\.txt' cannot be written"):
        literals.path_of(LITERAL)


def test_a_plan_writes_nothing(project: Path) -> None:
    (project / "r.yaml").write_text(RECIPE)
    workflow = api.load(Path("r.yaml"))
    report = api.plan(workflow, {"x": LITERAL}, project=api.Project(project))
    assert (report.to_run, report.problems) == (1, ())
    assert {path.name for path in project.iterdir()} == {"r.yaml"}


def test_a_native_step_reads_a_literal_and_garbage_collection_takes_it(project: Path) -> None:
    (project / "r.yaml").write_text(RECIPE)
    workflow = api.load(Path("r.yaml"))
    here = api.Project(project)
    result = api.run(workflow, {"x": LITERAL}, project=here)
    found = result.outputs["o"]
    assert isinstance(found, File)
    assert Path(found.location).read_text() == "pt > 20\nnone\n"
    assert api.run(workflow, {"x": LITERAL}, project=here).status.steps[0].reused == 1
    assert (project / ".hepflow" / "literals").exists()
    api.gc(here)
    assert not (project / ".hepflow" / "literals").exists()
    assert api.run(workflow, {"x": LITERAL}, project=here).status.steps[0].reused == 1


# --- what a language does to the inputs of a run --------------------------------------------------


@pytest.fixture
def prepared(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Values], Values]], None]:
    """Gives workflows of any file a `prepare`, as a language may."""
    (project / "r.yaml").write_text(RECIPE)
    load = api.load

    def use(prepare: Callable[[Values], Values]) -> None:
        def loaded(*arguments: object) -> object:
            return replace(load(*arguments), prepare=prepare)  # type: ignore[arg-type]

        monkeypatch.setattr(api, "load", loaded)

    return use


def test_a_language_prepares_the_inputs_of_a_run_and_of_a_resumed_one(
    project: Path, prepared: Callable[[Callable[[Values], Values]], None]
) -> None:
    seen: list[Value] = []

    def prepare(values: Values) -> Values:
        seen.append(values["y"])
        return {**values, "y": f"[{values['y']}]"}

    prepared(prepare)
    here = api.Project(project)
    workflow = api.load(Path("r.yaml"))
    assert api.plan(workflow, {"x": LITERAL}, project=here).to_run == 1
    (project / "results").write_text("in the way of publishing")
    with pytest.raises(api.StoreError):
        api.run(workflow, {"x": LITERAL}, project=here)
    (project / "results").unlink()
    result = api.resume(here)
    found = result.outputs["o"]
    assert isinstance(found, File)
    assert Path(found.location).read_text() == "pt > 20\n[none]\n"
    # Always what the user gave, never what an earlier head had made of it.
    assert seen == ["none"] * 3


def test_inputs_that_cannot_be_prepared_make_no_run(
    project: Path, prepared: Callable[[Callable[[Values], Values]], None]
) -> None:
    def prepare(values: Values) -> Values:
        raise RecipeError.of("HF221", "input 'x' lacks its index")

    prepared(prepare)
    here = api.Project(project)
    with pytest.raises(RecipeError, match="lacks its index"):
        api.run(api.load(Path("r.yaml")), {"x": LITERAL}, project=here)
    assert api.runs(here) == ()
