"""A serial analysis: what stands where in the workspace, what is done once, what comes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepflow import api
from hepflow.model.task import Container, Resources, Task
from hepflow.model.workflow import PlanContext
from tests.reana.conftest import GREETINGS, SERIAL, Run


def rewrite(analysis: Path, old: str, new: str) -> None:
    assert old in SERIAL
    (analysis / "reana.yaml").write_text(SERIAL.replace(old, new))


def counts(result: api.RunResult) -> list[tuple[int, int]]:
    """How many tasks of each step were run, and how many reused."""
    return [(step.succeeded, step.reused) for step in result.status.steps]


def test_steps_share_one_workspace_and_the_promised_file_comes_out(
    run: Run, analysis: Path
) -> None:
    result = run()
    assert result.succeeded
    assert (analysis / "published/greetings.txt").read_text() == GREETINGS
    assert list(result.outputs) == ["results_greetings_txt"]
    assert not (analysis / "results").exists(), "the user's own folder is not the workspace"


def test_each_command_has_a_shell_of_its_own_as_on_reana(run: Run, analysis: Path) -> None:
    rewrite(
        analysis,
        "- cd results\n",
        '- cd results && false || true; export X=1\n          - test -z "$$X"\n',
    )
    assert run().succeeded


def test_a_second_run_repeats_nothing(run: Run) -> None:
    assert counts(run()) == [(1, 0), (1, 0)]
    assert counts(run()) == [(0, 1), (0, 1)]


def test_only_what_comes_after_a_change_is_done_again(run: Run, analysis: Path) -> None:
    run()
    rewrite(analysis, "host", "machine")
    assert counts(run()) == [(0, 1), (1, 0)]


def test_a_step_that_fails_half_way_starts_anew_from_the_workspace_as_it_was(
    run: Run, analysis: Path
) -> None:
    rewrite(
        analysis,
        "- cd results\n",
        "- echo half done >> ${greetings} && test -e " + str(analysis / "mended") + "\n",
    )
    assert not run().succeeded
    (analysis / "mended").touch()
    result = api.resume(api.Project(analysis))
    assert counts(result) == [(0, 1), (1, 0)]
    text = (analysis / "published/greetings.txt").read_text()
    assert text.count("half done") == 1


def test_a_parameter_is_replaced_on_the_command_line(run: Run, analysis: Path) -> None:
    (analysis / "data/others.txt").write_text("Marie\n")
    rewrite(analysis, "files:\n    - code", "directories: [data]\n  files:\n    - code")
    assert run(names="data/others.txt").succeeded
    assert "Good day Marie." in (analysis / "published/greetings.txt").read_text()


def test_a_file_is_replaced_on_the_command_line(run: Run, analysis: Path) -> None:
    (analysis / "elsewhere.txt").write_text("Lise\n")
    assert run(data_names_txt="elsewhere.txt").succeeded
    assert "Good day Lise." in (analysis / "published/greetings.txt").read_text()


def test_without_promised_outputs_the_workspace_is_the_result(run: Run, analysis: Path) -> None:
    rewrite(analysis, "outputs:\n  files:\n    - results/greetings.txt\n", "")
    assert run().succeeded
    assert (analysis / "published/workspace/results/greetings.txt").read_text() == GREETINGS
    assert (analysis / "published/workspace/code/greet.py").exists()


def test_a_promised_directory_and_a_pattern_come_out(run: Run, analysis: Path) -> None:
    rewrite(
        analysis,
        "    - results/greetings.txt\n",
        "    - results/*.txt\n  directories:\n    - results/\n",
    )
    assert run().succeeded
    assert (analysis / "published/results/greetings.txt").read_text() == GREETINGS


def test_a_promise_that_is_not_kept_is_a_failure_that_says_what_is_there(
    run: Run, analysis: Path
) -> None:
    rewrite(analysis, "  files:\n    - results/greetings.txt\n", "  files: [results/plot.png]\n")
    result = run()
    assert not result.succeeded
    assert "there is no 'workspace/results/plot.png'" in result.run.message
    assert "greetings.txt" in result.run.message


def test_a_missing_input_file_is_told_before_anything_runs(analysis: Path) -> None:
    (analysis / "data/names.txt").unlink()
    with pytest.raises(api.RecipeError, match=r"there is no file .*data/names\.txt"):
        api.check(api.load(analysis / "reana.yaml"), {})


# --- what a step asks for -------------------------------------------------------------------------


def planned(analysis: Path, hints: str) -> Task:
    rewrite(analysis, "        kubernetes_memory_limit: 256Mi\n", hints)
    workflow = api.load(analysis / "reana.yaml")
    values = {port.name: port.default for port in workflow.inputs}
    task = workflow.steps[0].run.plan(values, PlanContext(lambda file: file.location))  # type: ignore[union-attr]
    assert isinstance(task, Task)
    return task


@pytest.mark.parametrize(
    ("hints", "asked"),
    [
        ("kubernetes_memory_limit: 256Mi", Resources(memory_mib=256)),
        ("kubernetes_memory_limit: 1G", Resources(memory_mib=954)),
        (
            "kubernetes_memory_request: 1Gi, kubernetes_memory_limit: 2Gi",
            Resources(memory_mib=2048),
        ),
        ("kubernetes_cpu_request: 500m", Resources(cpus=0.5)),
        ("kubernetes_job_timeout: 90", Resources(walltime_s=90)),
        ("htcondor_request_cpus: '4', htcondor_request_memory: 4 GB", Resources(4, 4096)),
        ("htcondor_request_memory: '300', htcondor_request_disk: '2048'", Resources(1, 300, 2)),
        ("htcondor_max_runtime: longlunch", Resources(walltime_s=7200)),
        ("htcondor_max_runtime: '60'", Resources(walltime_s=60)),
        ("slurm_time: '5', slurm_partition: short", Resources(walltime_s=300)),
        ("c4p_cpu_cores: '8', c4p_memory_limit: '2000'", Resources(8, 2000)),
    ],
)
def test_hints_of_every_backend_are_understood(
    analysis: Path, hints: str, asked: Resources
) -> None:
    lines = "".join(f"        {hint}\n" for hint in hints.split(", "))
    assert planned(analysis, lines).resources == asked


def test_a_step_runs_in_its_environment(analysis: Path) -> None:
    assert planned(analysis, "").container == Container("docker.io/library/python:3.12-slim")


def test_what_the_site_decides_on_is_told(analysis: Path) -> None:
    rewrite(
        analysis,
        "        kubernetes_memory_limit: 256Mi\n",
        "        kerberos: true\n        compute_backend: slurmcern\n",
    )
    with (analysis / "reana.yaml").open("a") as file:
        file.write("workspace: {root_path: /data}\n")
    doc = api.load(analysis / "reana.yaml").doc
    assert doc == (
        "not used here, because the site decides: compute_backend, kerberos, workspace.root_path"
    )
