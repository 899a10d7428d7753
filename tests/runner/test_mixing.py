"""A run at several sites: what goes where, what comes back, and that nothing is done twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import pytest

from hepflow import api, plugins
from hepflow.executors.local import LocalExecutor
from hepflow.model.events import Finished, Lost, Rejected
from hepflow.model.task import Attempt, Outcome, Reason
from hepflow.runner import fleet
from tests.services.slurm import Slurm

SITES = {
    "small": "extends: local\nsettings: {cpus: 1, memory_mib: 1000, gpus: []}\n",
    "large": "extends: local\nsettings: {cpus: 2, memory_mib: 4000, gpus: [g0]}\n",
}
RECIPE = """\
hepflow: v1
name: mixed
inputs: {n: 12}
steps:
  make:
    scatter: {i: "{{ range(inputs.n) }}"}
    command: "sleep 0.05; echo {{ i }} > {{ outputs.o }}; echo make.{{ i }} >> $LEDGER"
    outputs: {o: o.txt}
  train:
    command: "echo $CUDA_VISIBLE_DEVICES > {{ outputs.o }}"
    resources: {gpus: 1}
    outputs: {o: o.txt}
  total:
    inputs: {parts: make.o}
    command: "cat {{ inputs.parts }} > {{ outputs.o }}; echo total >> $LEDGER"
    site: small
    outputs: {o: o.txt}
outputs: {o: total.o, device: train.o}
"""

Run = Callable[..., api.RunResult]


@pytest.fixture
def sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder of sites: a small one and a large one, both on this machine."""
    own = tmp_path / "config" / "hepflow" / "sites"
    own.mkdir(parents=True)
    for name, text in SITES.items():
        (own / f"{name}.yaml").write_text(text)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LEDGER", str(tmp_path / "ledger"))
    (tmp_path / "ledger").touch()
    return own


@pytest.fixture
def run(sites: Path, project: Path) -> Run:
    def call(*names: str, recipe: str = RECIPE, **values: str) -> api.RunResult:
        (project / "mixed.yaml").write_text(recipe)
        workflow = api.load(project / "mixed.yaml")
        return api.run(
            workflow,
            api.read_inputs(workflow, values=values),
            project=api.Project(project),
            options=api.RunOptions(site=names),
        )

    return call


def went(project: Path) -> dict[str, Counter[str]]:
    """Where the successful attempts of each step went."""
    found: dict[str, Counter[str]] = {}
    for task in api.tasks(api.Project(project), state=api.TaskState.SUCCEEDED):
        found.setdefault(task.step, Counter())[task.site] += 1
    return found


def ledger(project: Path) -> Counter[str]:
    return Counter((project / "ledger").read_text().split())


def test_each_task_goes_where_it_fits_and_a_step_where_it_says(run: Run, project: Path) -> None:
    result = run("small", "large")
    assert result.succeeded
    where = went(project)
    assert where["train"] == {"large": 1}
    assert where["total"] == {"small": 1}
    assert set(where["make"]) == {"small", "large"}, "what does not fit into the first spills over"
    assert set(ledger(project).values()) == {1}


def test_results_are_reused_wherever_they_were_made(run: Run, project: Path) -> None:
    run("small", "large")
    again = run("large")
    assert again.succeeded
    assert [step.reused for step in again.status.steps] == [12, 1, 1]


def test_a_site_that_only_a_step_names_is_opened_for_that_step(run: Run, project: Path) -> None:
    text = RECIPE.replace("resources: {gpus: 1}", "site: large")
    assert run(recipe=text).succeeded
    assert went(project) == {"make": {"local": 12}, "train": {"large": 1}, "total": {"small": 1}}


def test_the_site_of_all_steps_stands_in_the_defaults_and_yields_to_profiles(
    run: Run, project: Path
) -> None:
    text = RECIPE.replace(
        "inputs: {n: 12}",
        "inputs: {n: 2}\ndefaults: {site: large}\nprofiles: {quick: {steps: {train: {site: null}}}}",
    )
    assert run(recipe=text).succeeded
    assert went(project) == {"make": {"large": 2}, "train": {"large": 1}, "total": {"small": 1}}
    options = api.LoadOptions(profiles=("quick",))
    steps = {step.name: step.site for step in api.load(project / "mixed.yaml", options).steps}
    assert steps == {"make": "large", "train": "", "total": "small"}


def test_the_site_of_a_step_holds_for_the_workflow_it_runs(run: Run, project: Path) -> None:
    inner = RECIPE.replace("resources: {gpus: 1}", "cache: false")
    (project / "inner.yaml").write_text(inner)
    outer = (
        "hepflow: v1\nname: outer\nsteps:\n  all: {uses: inner.yaml, site: large, inputs: {n: 2}}\n"
    )
    assert run(recipe=outer).succeeded
    assert went(project) == {
        "all/make": {"large": 2}, "all/train": {"large": 1}, "all/total": {"small": 1},
    }  # fmt: skip


def test_a_task_that_fits_nowhere_fails_and_says_why(run: Run) -> None:
    result = run("small", "large", recipe=RECIPE.replace("gpus: 1", "gpus: 2"))
    assert not result.succeeded
    assert "train" in result.run.message
    assert "no site of this run takes it (small: no gpus; large: at most 1 gpus)" in result.run.message  # fmt: skip


def test_the_plan_says_where_each_step_would_go_and_why(run: Run, project: Path) -> None:
    (project / "mixed.yaml").write_text(RECIPE)
    workflow = api.load(project / "mixed.yaml")
    options = api.RunOptions(site=("small", "large"))
    report = api.plan(workflow, {}, project=api.Project(project), options=options)
    assert {step.path: step.places for step in report.steps} == {
        "make": ("at small (not large: it is named later)",),
        "train": ("at large (not small: no gpus)",),
        "total": ("at small (not large: its step names 'small')",),
    }
    options = api.RunOptions(site=("small",))
    report = api.plan(workflow, {}, project=api.Project(project), options=options)
    assert report.problems == ("train: no gpus",)


def test_a_site_that_is_not_there_is_told_with_the_step_that_names_it(run: Run) -> None:
    with pytest.raises(api.UnavailableError) as found:
        run("large", recipe=RECIPE.replace("site: small", "site: smal"))
    said = str(found.value)
    assert "step 'total' is to run at 'smal': there is no site 'smal'" in said
    assert "did you mean 'small'" in said
    assert "--set steps.total.site=local" in said


def test_what_is_no_name_of_a_site_is_a_fault_of_the_recipe(run: Run) -> None:
    with pytest.raises(
        api.RecipeError, match=r"'site' takes the name of a site, gets '\./small\.yaml'"
    ):
        run(recipe=RECIPE.replace("site: small", "site: ./small.yaml"))


def test_two_sites_of_one_name_are_refused(run: Run, sites: Path) -> None:
    other = sites / "other"
    other.mkdir()
    (other / "small.yaml").write_text(SITES["small"])
    with pytest.raises(api.UsageError, match="two sites of this run are called 'small'"):
        run("small", str(other / "small.yaml"))


# --- what goes wrong at one site ---------------------------------------------------------------------


class Unlucky(LocalExecutor):
    """An executor whose site loses, or refuses, every task."""

    lost = True

    def submit(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            if self.lost:
                self._sink.put([Lost(attempt.id, Reason.NODE, "the node went away")])
            else:
                self._sink.put([Rejected(attempt.id, "no such account")])

    def recover(self, attempts: Mapping[str, str]) -> list[str]:
        return []


@pytest.mark.parametrize("lost", [True, False])
def test_what_one_site_loses_or_refuses_is_done_at_another(
    lost: bool, run: Run, sites: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Unlucky, "lost", lost)
    monkeypatch.setitem(plugins.BUILTIN[plugins.EXECUTORS], "unlucky", f"{__name__}:Unlucky")
    monkeypatch.setattr("hepflow.runner.opening.executor_class", _with_unlucky)
    (sites / "bad.yaml").write_text("extends: small\nexecutor: unlucky\n")
    recipe = RECIPE.replace("site: small", "site: large")
    result = run("bad", "large", recipe=recipe, n="2")
    assert result.succeeded, result.run.message
    assert went(project) == {"make": {"large": 2}, "train": {"large": 1}, "total": {"large": 1}}
    assert set(ledger(project).values()) == {1}
    first = api.explain(api.Project(project), "make[0]").attempts[0]
    assert first.site == "bad"
    assert first.message == ("the node went away" if lost else "no such account")


class Endless(LocalExecutor):
    """An executor whose site has a queue in which nothing ever starts."""

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Have them wait."""

    def cancel(self, attempts: Collection[str]) -> None:
        never = Outcome(Reason.CANCELLED, "cancelled before it started")
        self._sink.put([Finished(attempt, never) for attempt in attempts])


def test_what_waits_in_a_queue_is_called_back_when_another_site_is_idle(
    run: Run, sites: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "WAITED_S", 0.2)
    monkeypatch.setattr(fleet, "LOOK_S", 0.1)
    executors = {"endless": Endless}
    monkeypatch.setattr(
        "hepflow.runner.opening.executor_class",
        lambda name: executors.get(name) or plugins.load(plugins.EXECUTORS, name),
    )
    (sites / "queue.yaml").write_text("extends: small\nexecutor: endless\n")
    result = run("queue", "large", recipe=RECIPE.replace("site: small", "site: large"), n="6")
    assert result.succeeded, result.run.message
    assert went(project)["make"] == {"large": 6}
    assert set(ledger(project).values()) == {1}
    messages = {
        attempt.message
        for n in range(6)
        for attempt in api.explain(api.Project(project), f"make[{n}]").attempts
    }
    assert "it was cancelled at queue, and is made anew" in messages


def _with_unlucky(name: str) -> object:
    return Unlucky if name == "unlucky" else plugins.load(plugins.EXECUTORS, name)


# --- sites that come and go ---------------------------------------------------------------------------


def test_resuming_elsewhere_ends_what_is_at_the_old_site_and_does_nothing_twice(
    run: Run, project: Path, slurm: Slurm, sites: Path
) -> None:
    """A head is killed while jobs wait and run on Slurm; the run goes on at this machine."""
    (sites / "cluster.yaml").write_text(CLUSTER)
    _kill_a_head(project, "cluster")
    before = ledger(project)
    (project / "go").touch()
    result = api.resume(api.Project(project), options=api.RunOptions(site="small"))
    assert result.succeeded, result.run.message
    assert set(ledger(project).values()) == {1}
    assert before.total() < ledger(project).total() == 12
    _until(lambda: not slurm.call("squeue", "-h"), "no job is left in Slurm")
    where = went(project)["make"]
    assert where["cluster"] >= 2
    assert where["small"] >= 1


def test_what_an_earlier_head_had_cancelled_is_made_anew_by_one_resume(
    run: Run, project: Path, slurm: Slurm, sites: Path
) -> None:
    """As when a head is killed between calling a task back, or ending its run, and hearing that it is done."""
    (sites / "cluster.yaml").write_text(CLUSTER)
    _kill_a_head(project, "cluster")
    slurm.call("scancel", "--me")
    _until(lambda: not slurm.call("squeue", "-h"), "no job is left in Slurm")
    (project / "go").touch()
    result = api.resume(api.Project(project))
    assert result.succeeded, result.run.message
    assert set(ledger(project).values()) == {1}


def test_a_site_that_was_left_and_cannot_be_asked_stops_the_resume(
    run: Run, project: Path, sites: Path
) -> None:
    _kill_a_head(project, "large")
    (sites / "large.yaml").unlink()
    with pytest.raises(api.UnavailableError) as found:
        api.resume(api.Project(project), options=api.RunOptions(site="small"))
    said = str(found.value)
    assert "tasks of this run may still be under way at 'large', which cannot be asked" in said
    assert "there is no site 'large'" in said
    assert "'hepflow resume --site large' when it is there again" in said


def test_this_machine_and_slurm_share_a_run(
    run: Run, project: Path, slurm: Slurm, sites: Path
) -> None:
    (sites / "cluster.yaml").write_text(CLUSTER)
    submitted = slurm.submitted()
    recipe = RECIPE.replace("sleep 0.05", "sleep 0.3").replace("{gpus: 1}", "{cpus: 3}")
    result = run("small", "cluster", recipe=recipe)
    assert result.succeeded, result.run.message
    where = went(project)
    assert where["train"] == {"cluster": 1}
    assert where["total"] == {"small": 1}
    assert set(where["make"]) == {"small", "cluster"}
    assert slurm.submitted() - submitted == where["make"]["cluster"] + 1
    assert set(ledger(project).values()) == {1}


CLUSTER = """\
extends: slurm
queues: {main: {partition: main, cpus: 4, memory: 2 GB, array: 100}}
limits: {poll: 0.5 s, submits_per_s: 20}
settings: {grace_s: 0.5}
"""
SLOW = """\
hepflow: v1
name: mixed
steps:
  make:
    scatter: {i: "{{ range(12) }}"}
    command: "test {{ i }} -lt 2 || test -e $PROJECT/go || sleep 1000; echo {{ i }} > {{ outputs.o }}; echo make.{{ i }} >> $LEDGER"
    outputs: {o: o.txt}
outputs: {o: make.o}
""".replace("$PROJECT", "$(dirname $LEDGER)")


def _kill_a_head(project: Path, site: str) -> None:
    """A run of the slow recipe whose head is killed when two of its tasks have ended."""
    (project / "mixed.yaml").write_text(SLOW)
    head = subprocess.Popen(
        [sys.executable, "-m", "hepflow", "run", "mixed.yaml", "--site", site],
        cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _until(lambda: ledger(project).total() >= 2, "two tasks have ended")
    head.send_signal(signal.SIGKILL)
    head.wait()


def _until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, f"not so after a minute: {what}"
        time.sleep(0.1)
