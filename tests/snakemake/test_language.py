"""``hepflow run Snakefile``, and a Snakefile as a step among others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hepflow import api
from hepflow.model.protocols import LoadOptions
from hepflow_snakemake import SnakemakeLanguage
from tests.services.daemons import wait_until
from tests.snakemake.conftest import EVERYTHING

pytest.importorskip("snakemake", reason="pip install 'hepflow[snakemake]'")

Hepflow = Callable[..., subprocess.CompletedProcess[str]]

SNAKEFILE = """
rule greet:
    input: config["names"]
    output: "out/greetings.txt"
    shell: "sed 's/^/{config[greeting]} /' {input} > {output}"
"""
RECIPE = """
hepflow: v1
name: chain
steps:
  names:
    command: printf 'Jane\\nJoe\\n' > {{ outputs.names }}
    outputs: {names: names.txt}
  greet:
    uses: greeting/Snakefile
    inputs:
      config: "{{ {'greeting': 'Hello', 'names': names.names} }}"
  count:
    command: wc -l < {{ inputs.greetings }} > {{ outputs.count }}
    inputs: {greetings: "{{ greet.targets[0] }}"}
    outputs: {count: count.txt}
outputs: {count: count.count, greetings: greet.folder}
"""


@pytest.mark.parametrize(
    ("name", "ours"), [("Snakefile", True), ("fit.smk", True), ("recipe.yaml", False)]
)
def test_a_snakefile_is_known_by_its_name(name: str, ours: bool) -> None:
    assert SnakemakeLanguage().claims(Path(name)) is ours


def test_its_inputs_are_what_snakemakes_command_line_takes(project: Path) -> None:
    (project / "Snakefile").write_text(SNAKEFILE)
    workflow = SnakemakeLanguage().load(project / "Snakefile", LoadOptions(target="greet"))
    assert [port.name for port in workflow.inputs] == ["config", "targets", "files", "options"]
    assert list(workflow.outputs) == ["targets", "folder"]
    assert workflow.inputs[1].default == ("greet",)


def test_a_folder_that_is_too_large_to_be_an_input_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hepflow_snakemake.language.MOST_FILES", 2)
    for name in ("Snakefile", "a", "b"):
        (project / name).touch()
    with pytest.raises(api.RecipeError, match="more than 2 files"):
        SnakemakeLanguage().load(project / "Snakefile", LoadOptions())


def test_a_snakefile_is_a_step_of_a_recipe_and_is_reused_as_one(
    project: Path, hepflow: Hepflow
) -> None:
    (project / "greeting").mkdir()
    (project / "greeting/Snakefile").write_text(SNAKEFILE)
    (project / "recipe.yaml").write_text(RECIPE)
    done = hepflow("run", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert (project / "results/chain/count.txt").read_text().strip() == "2"
    greetings = next((project / "results/chain").rglob("out/greetings.txt"))
    assert greetings.read_text() == "Hello Jane\nHello Joe\n"
    status = api.status(api.Project(project))
    assert status.run.id == 1  # the jobs' own run is a part of it
    assert [(part.run.name, part.steps[0].path) for part in status.parts] == [
        ("Snakefile", "greet")
    ]
    assert not list((project / ".hepflow/snakemake").glob("*/Snakefile"))

    again = hepflow("run", "recipe.yaml", "--json")
    assert all(step["reused"] == 1 for step in json.loads(again.stdout)["status"]["steps"])


@pytest.mark.long
def test_everything_that_rules_can_ask_for(project: Path, hepflow: Hepflow) -> None:
    (project / "Snakefile").write_text(EVERYTHING)
    done = hepflow("run", "Snakefile", "--config", "word=end", 'targets=["said.txt", "sum.txt"]')
    assert done.returncode == 0, done.stderr
    made = project / "results/Snakefile/made"
    assert (made / "said.txt").read_text() == "A\nB\nend"
    assert (made / "sum.txt").exists()


@pytest.mark.long
def test_a_run_whose_head_was_killed_goes_on_and_repeats_nothing_that_had_ended(
    project: Path, hepflow: Hepflow
) -> None:
    (project / "ran").mkdir()
    (project / "Snakefile").write_text(
        "rule all:\n    input: 'a.txt', 'b.txt'\n"
        "rule a:\n    output: 'a.txt'\n"
        f"    shell: 'echo >> `echo {project}/ran`/a; echo a > {{output}}'\n"
        "rule b:\n    input: 'a.txt'\n    output: 'b.txt'\n"
        f"    shell: 'echo >> `echo {project}/ran`/b; test -e `echo {project}/go` || sleep 60; cp {{input}} {{output}}'\n"
    )
    head = subprocess.Popen(
        [sys.executable, "-m", "hepflow", "run", "Snakefile"],
        cwd=project,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until((project / "ran/b").exists, "the second rule at work", 60)
    (project / "go").touch()
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()
    done = hepflow("resume")
    assert done.returncode == 0, done.stderr
    assert (project / "results/Snakefile/made/b.txt").read_text() == "a\n"
    assert (project / "ran/a").read_text() == "\n"
    assert len(api.status(api.Project(project)).parts) == 1
