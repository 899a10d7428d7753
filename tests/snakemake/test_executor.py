"""``snakemake --executor hepflow``: any Snakefile, its jobs in a run of hepflow."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from hepflow import api
from tests.snakemake.conftest import EVERYTHING, Snakemake

pytest.importorskip("snakemake", reason="pip install 'hepflow[snakemake]'")

PLAIN = """
rule all:
    input: expand("out/{i}.txt", i=range(3))
rule one:
    input: "in.txt", script="count.sh"
    output: "out/{i}.txt"
    shell: "sh {input.script} {wildcards.i} < {input[0]} > {output}"
"""


def write(project: Path, text: str = PLAIN) -> None:
    (project / "Snakefile").write_text(text)
    (project / "in.txt").write_text("a\nb\n")
    (project / "count.sh").write_text("echo $1 $(cat)\n")


def tasks(project: Path, run: int | None = None) -> dict[str, api.TaskReport]:
    return {task.id: task for task in api.tasks(api.Project(project), run)}


def test_plain_jobs_are_tasks_of_a_run_and_their_outputs_can_be_taken_again(
    project: Path, snakemake: Snakemake
) -> None:
    write(project)
    done = snakemake("--executor", "hepflow", "--jobs", "4")
    assert done.returncode == 0, done.stderr
    assert (project / "out/2.txt").read_text() == "2 a b\n"
    status = api.status(api.Project(project))
    assert (status.run.name, status.run.state) == ("Snakefile", api.RunState.SUCCEEDED)
    assert [(step.path, step.width, step.succeeded) for step in status.steps] == [("one", 3, 3)]
    assert "count.sh" in tasks(project)["one[0]#1"].command

    for path in (project / "out").iterdir():
        path.unlink()
    again = snakemake("--executor", "hepflow", "--jobs", "4", "--hepflow-reuse")
    assert again.returncode == 0, again.stderr
    assert (project / "out/2.txt").read_text() == "2 a b\n"
    (step,) = api.status(api.Project(project)).steps
    assert (step.reused, step.succeeded) == (3, 0)


def test_a_failing_job_says_why_and_where_to_look(project: Path, snakemake: Snakemake) -> None:
    write(project, PLAIN.replace("sh {input.script}", "exit 3; sh {input.script}"))
    done = snakemake("--executor", "hepflow", "--jobs", "1", "out/0.txt")
    assert done.returncode != 0
    assert "exited with code 3" in done.stderr
    assert "hepflow logs 1 'one[0]'" in done.stderr
    (failed,) = api.status(api.Project(project)).failures
    assert failed.id == "one[0]#1"
    assert not (project / "out/0.txt").exists()


def test_jobs_with_a_pipe_between_them_are_called_after_their_rules() -> None:
    from snakemake_executor_plugin_hepflow.jobs import step_name

    group = SimpleNamespace(name="81309a6f-9b9f-42f5-a0ad-23d9c5fe49ee_produce_consume")
    assert step_name(group) == "produce_consume"
    assert step_name(SimpleNamespace(name="fit")) == "fit"


def test_a_site_that_is_not_there_is_an_error_in_words(project: Path, snakemake: Snakemake) -> None:
    write(project)
    done = snakemake("--executor", "hepflow", "--jobs", "1", "--hepflow-site", "nowhere")
    assert done.returncode != 0
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_all_that_rules_can_ask_for_comes_out_as_by_snakemake_alone(
    project: Path, snakemake: Snakemake
) -> None:
    write(project, EVERYTHING)
    assert snakemake("--cores", "2").returncode == 0
    names = ["sum.txt", "picked.txt", "said.txt", "table/index", "logs/1.log"]
    alone = {name: (project / name).read_bytes() for name in names}
    assert snakemake("--cores", "1", "--delete-all-output").returncode == 0
    for standard in ((), ("--hepflow-standard",)):
        (project / "sum.txt").unlink(missing_ok=True)
        done = snakemake("--executor", "hepflow", "--jobs", "4", "--forceall", *standard)
        assert done.returncode == 0, done.stderr
        assert {name: (project / name).read_bytes() for name in names} == alone
        assert not (project / "n").exists() or not list((project / "n").iterdir())
        assert not (project / "not-kept").exists()
        assert (project / "bench.tsv").exists()
