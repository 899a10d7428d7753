"""yadage workflows as a step of a recipe, and on a batch system."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from hepflow import api
from tests.services.slurm import Slurm
from tests.yadage.conftest import Run, initial, shell, stage
from tests.yadage.test_cases import CASES, DYNAMIC, THREE_FILES, digests

LOUD = [
    stage(
        "shout", {"text": initial("text"), "times": initial("times"), "out": "{workdir}/loud.txt"},
        "init", step=shell("for i in $(seq {times}); do tr a-z A-Z < {text}; done > {out}"),
    )
]  # fmt: skip

RECIPE = """\
hepflow: v1
inputs: {words: [jane, joe]}
steps:
  write:
    scatter: {word: inputs.words}
    command: echo {{ word }} > {{ outputs.text }}
    outputs: {text: word.txt}
  loud:
    scatter: {text: write.text}
    uses: loud.yml
    inputs: {times: 2}
  all:
    inputs: {texts: "{{ loud.shout | map(attribute='out') | list }}"}
    command: cat {{ inputs.texts }} > {{ outputs.all }}
    outputs: {all: all.txt}
outputs: {all: all.all}
"""


def test_a_recipe_scatters_over_a_workflow_files_and_values_across(folder: Path) -> None:
    (folder / "loud.yml").write_text(yaml.safe_dump({"stages": LOUD}))
    path = folder / "recipe.yaml"
    path.write_text(RECIPE)

    def ran() -> api.RunResult:
        return api.run(api.load(path), {}, project=api.Project(folder))

    result = ran()
    assert result.succeeded
    found = result.outputs["all"]
    assert isinstance(found, api.File)
    assert Path(found.location).read_text() == "JANE\nJANE\nJOE\nJOE\n"
    assert {step.path: step.reused for step in ran().status.steps}["loud/shout"] == 2


@pytest.mark.long
def test_slurm_leaves_the_same_files(
    slurm: Slurm, run: Run, left: Callable[[], dict[str, str]], folder: Path
) -> None:
    (folder / "site.yaml").write_text(
        "extends: slurm\nqueues: {main: {partition: main, cpus: 4}}\n"
    )
    options = api.RunOptions(site=str(folder / "site.yaml"))
    for case in CASES.values():
        assert run(case.stages, case.inputs, options=options).succeeded
        assert digests(left()) == case.expected
    assert run(DYNAMIC, {"sourcefile": str(THREE_FILES)}, options=options).succeeded
    text = "THIS IS FILE 1\nTHIS IS FILE 2\nTHIS IS FILE 3\n"
    assert sha256(left()["reduce/out.txt"].encode()).digest() == sha256(text.encode()).digest()
