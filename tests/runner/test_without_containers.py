"""A run without container images: the switch for where no image can be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepflow import api

RECIPE = """\
hepflow: v1
inputs: {words: {type: File, default: words.txt}}
steps:
  count:
    container: nobody.example/has:this
    command: cat {{ inputs.words }} > {{ outputs.copy }}
    outputs: {copy: copy.txt}
outputs: {copy: count.copy}
"""

BARE = api.RunOptions(containers=False)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "words.txt").write_text("a few words\n")
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def run(recipe: Path, options: api.RunOptions) -> api.RunResult:
    return api.run(api.load(recipe), {}, project=api.Project(recipe.parent), options=options)


def test_a_command_with_an_image_runs_on_the_machine_itself(recipe: Path) -> None:
    result = run(recipe, BARE)
    assert result.succeeded, result.status
    assert (recipe.parent / "results/recipe/copy.txt").read_text() == "a few words\n"


def test_what_ran_so_is_used_again_without_images_only(recipe: Path) -> None:
    run(recipe, BARE)
    workflow, project = api.load(recipe), api.Project(recipe.parent)
    (bare,) = api.plan(workflow, {}, project=project, options=BARE).steps
    (contained,) = api.plan(workflow, {}, project=project).steps
    assert (bare.to_run, bare.reused) == (0, 1)
    assert (contained.to_run, contained.reused) == (1, 0)


def test_a_run_that_is_resumed_stays_without_images(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("cat ", "false && cat "))
    assert not run(recipe, BARE).succeeded
    recipe.write_text(RECIPE)
    assert api.resume(api.Project(recipe.parent)).succeeded
