"""Inputs that are outputs of another run: of this project, of another one, of a folder of results."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hepflow import api

MAKE = """\
hepflow: v1
name: make
inputs: {word: good}
steps:
  write:
    command: "mkdir d; echo {{ inputs.word }} | tee d/a > {{ outputs.text }}"
    outputs: {text: text.txt, folder: d/}
  measure:
    inputs: {text: write.text}
    command: "wc -c < {{ inputs.text }} > {{ outputs.size }}"
    outputs: {size: {path: size.txt, read: json}}
outputs: {text: write.text, folder: write.folder, size: measure.size, both: [write.text, write.text]}
"""

TAKE = """\
hepflow: v1
name: take
inputs:
  text: File
  size: 0
steps:
  copy:
    inputs: {text: inputs.text, size: inputs.size}
    command: "(cat {{ inputs.text }}; echo {{ inputs.size }}) > {{ outputs.copy }}"
    outputs: {copy: copy.txt}
outputs: {copy: copy.copy}
"""


def run(project: Path, name: str, **values: str) -> api.RunResult:
    workflow = api.load(project / name)
    given = api.read_inputs(workflow, values=values, project=api.Project(project))
    return api.run(workflow, given, project=api.Project(project))


@pytest.fixture
def made(project: Path) -> Path:
    """A project in which run 1 has succeeded."""
    (project / "make.yaml").write_text(MAKE)
    (project / "take.yaml").write_text(TAKE)
    assert run(project, "make.yaml").succeeded
    return project


def copied(project: Path) -> str:
    return (project / "results/take/copy.txt").read_text()


def fault(project: Path, **values: str) -> str:
    with pytest.raises(api.RecipeError) as caught:
        run(project, "take.yaml", **values)
    return str(caught.value)


def test_files_and_values_of_a_run_are_inputs_of_another(made: Path) -> None:
    assert run(made, "take.yaml", text="from:1/text", size="from:1/size").succeeded
    assert copied(made) == "good\n5\n"


def test_a_recipe_may_name_them_itself(made: Path) -> None:
    text = TAKE.replace("text: File", "text: {type: File, from: 1/text}")
    (made / "take.yaml").write_text(text.replace("size: 0", "size: {from: results/make/size}"))
    assert run(made, "take.yaml").succeeded
    assert copied(made) == "good\n5\n"
    assert run(made, "take.yaml", size="7").succeeded, "what is given replaces it"
    assert copied(made) == "good\n7\n"


def test_a_file_of_inputs_may_name_them(made: Path) -> None:
    (made / "job.yaml").write_text("text: {from: 1/text}\nsize: 3\n")
    workflow = api.load(made / "take.yaml")
    project = api.Project(made)
    given = api.read_inputs(workflow, [made / "job.yaml"], project=project)
    assert api.run(workflow, given, project=project).succeeded
    assert copied(made) == "good\n3\n"
    (made / "job.yaml").write_text("text: {from: 9/text}\n")
    with pytest.raises(api.RecipeError, match=r"job\.yaml.*there is no run 9"):
        api.read_inputs(workflow, [made / "job.yaml"], project=project)


def test_a_run_of_another_project_is_named_by_its_folder(made: Path) -> None:
    other = made / "other"
    other.mkdir()
    (other / "take.yaml").write_text(TAKE)
    assert run(other, "take.yaml", text=f"from:{made}#1/text", size="3").succeeded
    assert copied(other) == "good\n3\n"


def test_a_folder_of_results_may_have_been_carried_away(made: Path) -> None:
    shutil.copytree(made / "results/make", made / "carried")
    shutil.rmtree(made / "results")
    shutil.rmtree(made / ".hepflow")
    assert run(made, "take.yaml", text="from:carried/text").succeeded
    assert copied(made) == "good\n0\n"


def test_arrays_and_directories_come_as_well(made: Path) -> None:
    text = TAKE.replace("text: File", "text: any").replace(
        "cat {{ inputs.text }}", "cat {{ inputs.text }}"
    )
    (made / "take.yaml").write_text(text)
    assert run(made, "take.yaml", text="from:1/both").succeeded
    assert copied(made) == "good\ngood\n0\n"
    (made / "take.yaml").write_text(
        TAKE.replace("text: File", "text: Directory").replace(
            "cat {", "cat {{ inputs.text }}/a; true {"
        )
    )
    assert run(made, "take.yaml", text="from:1/folder").succeeded
    assert copied(made) == "good\n0\n"


def test_what_a_later_run_published_in_its_place_is_not_taken_for_it(made: Path) -> None:
    assert run(made, "make.yaml", word="other").succeeded
    assert (made / "results/make/text.txt").read_text() == "other\n"
    assert run(made, "take.yaml", text="from:1/text").succeeded
    assert copied(made) == "good\n0\n"


def test_the_same_content_from_elsewhere_is_no_new_work(made: Path) -> None:
    run(made, "take.yaml", text="results/make/text.txt")
    again = run(made, "take.yaml", text="from:1/text")
    assert [step.reused for step in again.status.steps] == [1]


def test_a_file_that_is_gone_or_was_changed_is_told(made: Path) -> None:
    for place in made.rglob("text.txt"):
        place.write_text("changed\n")
    said = fault(made, text="from:1/text")
    assert "has been changed" in said
    assert "'hepflow resume 1' makes again what is gone" in said
    for place in made.rglob("text.txt"):
        place.unlink()
    assert "is gone" in fault(made, text="from:1/text")
    assert "is gone" in fault(made, text="from:results/make/text")
    assert api.resume(api.Project(made), 1).succeeded
    assert run(made, "take.yaml", text="from:1/text").succeeded


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("9/text", "there is no run 9"),
        ("1/txt", "run 1 has no output 'txt'"),
        ("1/txt", "did you mean 'text'?"),
        ("text", "'text' names no output of a run"),
        ("gone/text", "no results are in"),
        ("gone#1/text", "there is no run 1: nothing was run in"),
        ("1/size", "takes File, gets int 5"),
    ],
)
def test_what_is_not_there_is_told(made: Path, source: str, said: str) -> None:
    assert said in fault(made, text=f"from:{source}")


def test_a_run_that_did_not_succeed_has_no_outputs(made: Path) -> None:
    (made / "make.yaml").write_text(MAKE.replace("wc -c", "false; wc -c"))
    assert not run(made, "make.yaml").succeeded
    assert "run 2 has no outputs: it is failed" in fault(made, text="from:2/text")


def test_only_a_recipes_own_inputs_may_come_from_elsewhere(made: Path) -> None:
    (made / "take.yaml").write_text(TAKE.replace("text: File", "text: {from: 1/text}"))
    outer = "hepflow: v1\nsteps:\n  inner: {uses: take.yaml}\n"
    (made / "outer.yaml").write_text(outer)
    with pytest.raises(api.RecipeError) as caught:
        api.load(made / "outer.yaml")
    assert "outer.yaml:3:3" in str(caught.value)
    assert "would take it from 1/text, which only a run of its own can" in str(caught.value)
