"""Studies: what is suggested, what is done once, what a study leaves; Optuna itself is the oracle."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hepflow import api

optuna = pytest.importorskip("optuna")

BOWL = """\
hepflow: v1
name: bowl
inputs: {centre: 2.0, trials: 10, ledger: ""}
steps:
  tune:
    inputs: {centre: inputs.centre, ledger: inputs.ledger}
    study:
      parameters: {x: {low: -5.0, high: 5.0}, k: [0, 1]}
      minimize: "{{ outputs.loss }}"
      trials: "{{ inputs.trials }}"
      parallel: PARALLEL
      sampler: SAMPLER
      seed: 7
      plots: false
    python: bowl:bowl
    outputs: {loss: {type: float}}
outputs: {loss: tune.loss, study: tune.study}
"""

FUNCTIONS = """\
import time

def bowl(x, k, centre, ledger="", name=""):
    if ledger:
        with open(ledger, "a") as file:
            file.write(f"{x} {k}\\n")
    return (x - centre) ** 2 + k

def picky(x):
    if x < 0:
        raise ValueError("x is below zero")
    return x

def nap(x):
    time.sleep(0.15)
    return x

def never(x):
    raise RuntimeError("no luck")

def shrink(state, rate, epoch):
    return state * rate
"""

Run = Callable[..., api.RunResult]


class Lab:
    """A project with recipes and the functions they call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "bowl.py").write_text(FUNCTIONS)
        self.project = api.Project(folder)

    def write(self, text: str, name: str = "recipe.yaml") -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def run(self, text: str, **values: object) -> api.RunResult:
        workflow = api.load(self.write(text))
        given = {name: str(value) for name, value in values.items()}
        options = api.RunOptions(cpus=4)
        return api.run(
            workflow, api.read_inputs(workflow, values=given), project=self.project, options=options
        )

    def succeeded(self, text: str, **values: object) -> Mapping[str, Any]:
        result = self.run(text, **values)
        assert result.succeeded, [task.message for task in result.status.failures]
        return result.outputs

    def ran(self, run: int | None = None) -> dict[str, api.TaskReport]:
        """The last attempt of every task that was tried in a run."""
        return {task.id.partition("#")[0]: task for task in api.tasks(self.project, run)}

    def trials(self, run: int | None = None) -> list[Mapping[str, Any]]:
        """The records of a run's trials that were made in it, by number."""
        found = [task.outputs["result"] for name, task in self.ran(run).items() if "/tell[" in name]
        return sorted(found, key=lambda record: record["number"])  # type: ignore[arg-type, call-overload, no-any-return]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "lab")


def bowl(sampler: str = "tpe", parallel: int = 1) -> str:
    return BOWL.replace("SAMPLER", sampler).replace("PARALLEL", str(parallel))


def study(text: str) -> str:
    """A recipe with one step, ``tune``; a study of these lines."""
    return "hepflow: v1\nname: one\nsteps:\n  tune:\n" + textwrap.indent(
        textwrap.dedent(text), "    "
    )


# --- what is suggested ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "sampler"),
    [
        ("random", lambda: optuna.samplers.RandomSampler(seed=7)),
        ("{name: TPESampler, n_startup_trials: 4}", lambda: optuna.samplers.TPESampler(seed=7, n_startup_trials=4)),
    ],
)  # fmt: skip
def test_one_at_a_time_the_trials_are_those_of_an_ordinary_optuna_study(
    lab: Lab, word: str, sampler: Callable[[], Any]
) -> None:
    lab.succeeded(bowl(word))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    oracle = optuna.create_study(sampler=sampler())
    space = {
        "x": optuna.distributions.FloatDistribution(-5.0, 5.0),
        "k": optuna.distributions.CategoricalDistribution([0, 1]),
    }
    for _ in range(10):
        trial = oracle.ask(space)
        oracle.tell(trial, (trial.params["x"] - 2.0) ** 2 + trial.params["k"])
    assert [record["parameters"] for record in lab.trials()] == [t.params for t in oracle.trials]
    assert [record["value"] for record in lab.trials()] == [t.value for t in oracle.trials]


def test_the_same_seed_gives_the_same_study_whatever_ends_first(tmp_path: Path) -> None:
    tables = []
    for name in "ab":
        one = Lab(tmp_path / name)
        outputs = one.succeeded(bowl("{name: tpe, n_startup_trials: 3}", parallel=3), trials=9)
        tables.append(Path(outputs["study"]["table"].location).read_text())
    assert tables[0] == tables[1]


def test_what_is_to_be_tried_first_is(lab: Lab) -> None:
    text = bowl().replace("seed: 7", "seed: 7\n      first: [{x: 2.0, k: 0}, {x: 1.5}]")
    outputs = lab.succeeded(text, trials=3)
    first, second, _ = lab.trials()
    assert first["parameters"] == {"x": 2.0, "k": 0}
    assert second["parameters"]["x"] == 1.5
    assert outputs["study"]["best"]["trial"] == 0
    assert outputs["loss"] == 0.0


@pytest.mark.parametrize("sampler", ["grid", pytest.param("bruteforce", marks=pytest.mark.long)])
def test_a_sampler_that_goes_through_all_points_meets_each_once(lab: Lab, sampler: str) -> None:
    text = bowl(sampler, parallel=2).replace("high: 5.0", "high: 5.0, step: 5.0")
    lab.succeeded(text, trials=6)
    points = {(record["parameters"]["x"], record["parameters"]["k"]) for record in lab.trials()}
    assert points == {(x, k) for x in (-5.0, 0.0, 5.0) for k in (0, 1)}


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        ("tps", "Optuna has no sampler 'tps'; did you mean 'TPESampler'?"),
        ("{name: random, speed: 3}", "unexpected keyword argument 'speed'; it takes seed"),
        ("grid", "a grid over 'x' has no end"),
        ("no_such_package:Sampler", "the sampler 'no_such_package:Sampler' cannot be loaded"),
    ],
)
def test_a_sampler_that_is_none_is_told_in_a_sentence(lab: Lab, sampler: str, said: str) -> None:
    result = lab.run(bowl(sampler))
    assert not result.succeeded
    assert said in result.status.failures[0].message


@pytest.mark.skipif(find_spec("cmaes") is not None, reason="the package is there")
def test_a_package_that_a_sampler_needs_is_told(lab: Lab) -> None:
    text = study("""\
        study: {parameters: {x: {low: 0.0, high: 1.0}}, minimize: "{{ outputs.v }}", trials: 3, sampler: cmaes, plots: false}
        command: "echo {{ x }} > {{ outputs.v }}"
        outputs: {v: {path: v, read: json}}
        """)  # fmt: skip
    result = lab.run(text)
    assert not result.succeeded
    assert "'CmaEsSampler' needs a package that is not installed: pip install cmaes" in result.status.failures[0].message  # fmt: skip


# --- what a study leaves -------------------------------------------------------------------------


def test_a_study_gives_the_outputs_of_its_best_trial_and_what_it_found(lab: Lab) -> None:
    outputs = lab.succeeded(bowl("random", parallel=2))
    best = outputs["study"]["best"]
    records = lab.trials()
    assert best["value"] == outputs["loss"] == min(record["value"] for record in records)
    assert records[best["trial"]]["parameters"] == best["parameters"]
    assert best["trials"] == {"complete": 10, "pruned": 0, "failed": 0}
    with open(outputs["study"]["table"].location, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == list(range(10))
    assert [float(row["value"]) for row in rows] == [record["value"] for record in records]
    assert outputs["study"]["plots"] is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backend = optuna.storages.journal.JournalFileBackend(outputs["study"]["storage"].location)
        journal = optuna.storages.JournalStorage(backend)
        again = optuna.load_study(study_name="study", storage=journal)
    assert again.best_trial.number == best["trial"]
    assert [trial.value for trial in again.trials] == [record["value"] for record in records]


def test_the_greatest_is_best_where_it_is_to_be_greatest(lab: Lab) -> None:
    outputs = lab.succeeded(bowl("random").replace("minimize", "maximize"))
    assert outputs["loss"] == max(record["value"] for record in lab.trials())


@pytest.mark.slow
def test_the_plots_are_a_picture(lab: Lab) -> None:
    pytest.importorskip("matplotlib")
    outputs = lab.succeeded(bowl("random").replace("plots: false", "plots: true"), trials=12)
    assert Path(outputs["study"]["plots"].location).read_bytes().startswith(b"\x89PNG")


# --- what a trial may be -------------------------------------------------------------------------


def test_a_trial_may_be_a_workflow_and_a_study_may_be_scattered(lab: Lab) -> None:
    outputs = lab.succeeded("""\
        hepflow: v1
        name: wide
        steps:
          tune:
            scatter: {centre: [0.0, 3.0]}
            study:
              parameters: {x: {low: -5, high: 5}}
              minimize: "{{ outputs.loss + x * 0 }}"
              trials: 6
              parallel: 2
              plots: false
            workflow:
              steps:
                square:
                  command: "echo $(( {{ inputs.x }} * {{ inputs.x }} )) > {{ outputs.s }}"
                  outputs: {s: {path: s.txt, read: json}}
                shift:
                  command: "echo {{ square.s }} {{ inputs.centre }} | awk '{print $1 + $2}' > {{ outputs.l }}"
                  outputs: {l: {path: l.txt, read: json}}
              outputs: {loss: shift.l}
        outputs: {losses: tune.loss, studies: tune.study}
        """)
    assert outputs["losses"][1] - outputs["losses"][0] == 3.0
    assert [found["best"]["value"] for found in outputs["studies"]] == outputs["losses"]
    steps = {step.path for step in api.status(lab.project).steps}
    assert steps == {"tune/ask", "tune/trial/square", "tune/trial/shift", "tune/tell", "tune/best"}


def test_a_trial_may_be_another_recipe(lab: Lab) -> None:
    lab.write("""\
        hepflow: v1
        inputs: {x: float, shift: float, fine: false}
        steps:
          s: {command: "echo {{ inputs.x + inputs.shift }} > {{ outputs.v }}", outputs: {v: {path: v, read: json}}}
        outputs: {v: s.v}
        """, "inner.yaml")  # fmt: skip
    outputs = lab.succeeded(study("""\
        inputs: {shift: 10.0}
        study: {parameters: {x: [1.0, 2.0]}, minimize: "{{ outputs.v }}", trials: 2, sampler: grid, plots: false}
        uses: inner.yaml
        """) + "outputs: {v: tune.v}\n")  # fmt: skip
    assert outputs["v"] == 11.0
    with pytest.raises(api.RecipeError, match="what it runs has no input 'y'"):
        lab.run(
            study("""\
            inputs: {shift: 10.0, x: 1.0}
            study: {parameters: {y: [1.0, 2.0]}, minimize: "{{ outputs.v }}"}
            uses: inner.yaml
            """)
        )


def test_inputs_may_be_computed_from_parameters(lab: Lab) -> None:
    outputs = lab.succeeded(study("""\
        inputs: {twice: "{{ x * 2 }}"}
        study: {parameters: {x: [3, 4]}, maximize: "{{ outputs.v }}", trials: 4, sampler: grid, plots: false}
        command: "echo {{ inputs.twice }} > {{ outputs.v }}"
        outputs: {v: {path: v, read: json}}
        """) + "outputs: {v: tune.v}\n")  # fmt: skip
    assert outputs["v"] == 8


def test_no_more_trials_go_on_at_a_time_than_asked_for(lab: Lab) -> None:
    lab.succeeded(study("""\
        study: {parameters: {x: {low: 0.0, high: 1.0}}, minimize: "{{ outputs.result }}", trials: 9, parallel: 3, plots: false}
        python: bowl:nap
        """))  # fmt: skip
    spans = [(t.started, t.started + t.wall_s) for n, t in lab.ran().items() if "/trial[" in n]
    most = max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)
    assert 1 < most <= 3


def test_trials_go_to_the_site_of_the_run_and_asking_stays_here(lab: Lab) -> None:
    site = lab.write("extends: local\ndoc: another\n", "farm.yaml")
    workflow = api.load(lab.write(bowl()))
    given = api.read_inputs(workflow, values={"trials": "2"})
    options = api.RunOptions(site=str(site))
    assert api.run(workflow, given, project=lab.project, options=options).succeeded
    sites = {name.partition("[")[0]: task.site for name, task in lab.ran().items()}
    assert sites == {
        "tune/ask": "local", "tune/trial": str(site), "tune/tell": "local", "tune/best": "local"
    }  # fmt: skip


# --- failures ------------------------------------------------------------------------------------

PICKY = """\
    study: {{parameters: {{x: {{low: -1.0, high: 1.0}}}}, minimize: "{{{{ outputs.result }}}}", trials: 12, on_failure: {word}, plots: false}}
    python: bowl:{function}
    """


def test_trials_that_fail_are_told_as_failed_and_the_study_goes_on(lab: Lab) -> None:
    lab.succeeded(study(PICKY.format(word="continue", function="picky")))
    records = lab.trials()
    assert {record["state"] for record in records} == {"complete", "failed"}
    for record in records:
        assert (record["state"] == "failed") == (record["parameters"]["x"] < 0)


def test_where_failures_are_to_stop_it_the_first_does(lab: Lab) -> None:
    result = lab.run(study(PICKY.format(word="stop", function="picky")))
    assert not result.succeeded
    assert "x is below zero" in result.status.failures[0].message


def test_a_study_whose_trials_all_fail_fails_and_says_so(lab: Lab) -> None:
    result = lab.run(study(PICKY.format(word="continue", function="never")))
    assert not result.succeeded
    last = {failure.id: failure.message for failure in result.status.failures}
    assert "none of the study's 12 trials has a value" in last["tune/best#1"]


def test_an_objective_that_is_text_is_a_mistake_of_the_recipe(lab: Lab) -> None:
    result = lab.run(bowl().replace("{{ outputs.loss }}", "{{ outputs.loss }} GeV"))
    assert not result.succeeded
    assert "the objective is no number but '" in result.run.message


# --- what is done once ---------------------------------------------------------------------------


def test_nothing_runs_twice_and_more_trials_go_on_where_fewer_ended(lab: Lab) -> None:
    ledger = lab.folder / "ledger"
    lab.succeeded(bowl("tpe", parallel=2), trials=6, ledger=ledger)
    six = lab.trials()
    lab.succeeded(bowl("tpe", parallel=2), trials=6, ledger=ledger)
    assert lab.ran() == {}
    lab.succeeded(bowl("tpe", parallel=2), trials=9, ledger=ledger)
    assert len(ledger.read_text().splitlines()) == 9
    assert set(lab.ran()) == {f"tune/{what}[{n}]" for what in ("ask", "trial", "tell") for n in (6, 7, 8)} | {"tune/best"}  # fmt: skip
    assert [record["number"] for record in six] == list(range(6))


def test_a_run_that_was_resumed_has_each_trial_once(lab: Lab) -> None:
    step = '  after: {command: "test {{ tune.loss }} = COMPARED"}\noutputs: {loss: tune.loss,'
    text = bowl().replace("outputs: {loss: tune.loss,", step)
    assert not lab.run(text.replace("COMPARED", "none"), trials=3).succeeded
    lab.write(text.replace("COMPARED", "{{ tune.loss }}"))
    assert api.resume(lab.project).succeeded
    assert [trial.number for trial in api.record(lab.project).trials] == [0, 1, 2]


def test_a_plan_counts_the_trials_as_one_step(lab: Lab) -> None:
    lab.succeeded(bowl(), trials=4)
    workflow = api.load(lab.folder / "recipe.yaml")
    given = api.read_inputs(workflow, values={"trials": "6"})
    plan = api.plan(workflow, given, project=lab.project)
    found = {step.path: (step.width, step.reused, step.to_run) for step in plan.steps}
    assert found == {
        "tune/ask": (6, 4, 2), "tune/trial": (6, 4, 2), "tune/tell": (6, 4, 2), "tune/best": (1, 0, 1)
    }  # fmt: skip


def test_trials_can_be_retried_and_explained(lab: Lab) -> None:
    first = lab.run(bowl(), trials=4)
    assert "ran" in api.explain(lab.project, "tune/trial[3]").verdict
    again = api.retry(lab.project, first.run.id, ["tune/trial"])
    assert again.succeeded
    steps = {step.path: step for step in again.status.steps}
    assert (steps["tune/trial"].succeeded, steps["tune/ask"].reused) == (4, 4)


def test_a_study_is_not_exported(lab: Lab) -> None:
    workflow = api.load(lab.write(bowl()))
    with pytest.raises(api.RecipeError, match="step 'tune' is a study, which only hepflow runs"):
        api.export(workflow, "cwl")


@pytest.mark.long
def test_a_study_whose_head_is_killed_goes_on_where_it_was(lab: Lab, tmp_path: Path) -> None:
    ledger = lab.folder / "ledger"
    text = bowl("{name: tpe, n_startup_trials: 3}", parallel=2).replace("python: bowl:bowl",
        'command: "sleep 0.1; echo {{ x }} {{ k }} >> {{ inputs.ledger }}; echo {{ (x - inputs.centre) ** 2 + k }} > {{ outputs.loss }}"'
    ).replace("loss: {type: float}", "loss: {path: loss.txt, read: json}")  # fmt: skip
    lab.write(text)
    words = [sys.executable, "-m", "hepflow"]
    kills = 0
    said = subprocess.Popen(
        [*words, "run", "recipe.yaml", "trials=12", f"ledger={ledger}"], cwd=lab.folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while True:
        before = len(_lines(ledger))
        while said.poll() is None and len(_lines(ledger)) < before + 4:
            time.sleep(0.01)
        if said.poll() is not None:
            break
        said.send_signal(signal.SIGKILL)
        said.communicate()
        kills += 1
        said = subprocess.Popen(
            [*words, "resume"], cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )  # fmt: skip
    assert said.returncode == 0, said.communicate()[0]
    said.communicate()
    assert kills >= 2
    undisturbed = Lab(tmp_path / "undisturbed")
    undisturbed.succeeded(text, trials=12, ledger=undisturbed.folder / "ledger")
    table = lab.folder / "results/bowl/trials.csv"
    assert table.read_text() == (undisturbed.folder / "results/bowl/trials.csv").read_text()
    finished = set(_lines(ledger))
    assert len(finished) == 12
    # Only what was under way at a kill may have begun twice.
    assert len(_lines(ledger)) <= 12 + 2 * kills


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# --- pruning -------------------------------------------------------------------------------------

ROUNDS = """\
    inputs: {epoch: 0, state: 8.0}
    study:
      parameters: {rate: {low: 0.1, high: 0.99}}
      minimize: "{{ outputs.state }}"
      trials: 12
      seed: 3
      sampler: random
      pruner: PRUNER
      plots: false
    python: bowl:shrink
    outputs: {state: {type: float}}
    loop:
      while: "{{ inputs.epoch < 5 }}"
      next: {epoch: "{{ inputs.epoch + 1 }}", state: "{{ outputs.state }}"}
      collect: last
    """


def pruned_by_optuna(pruner: Any) -> list[tuple[str, int]]:
    """How long Optuna itself lets each of these trials live."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = optuna.create_study(
        study_name="study", sampler=optuna.samplers.RandomSampler(seed=3), pruner=pruner
    )
    space = {"rate": optuna.distributions.FloatDistribution(0.1, 0.99)}
    for _ in range(12):
        trial = found.ask(space)
        state = 8.0
        for epoch in range(5):
            state *= trial.params["rate"]
            trial.report(state, epoch)
            if trial.should_prune():
                found.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            found.tell(trial, state)
    return [(trial.state.name.lower(), len(trial.intermediate_values)) for trial in found.trials]


@pytest.mark.parametrize(
    ("word", "pruner"),
    [
        ("{name: median, n_startup_trials: 3}", lambda: optuna.pruners.MedianPruner(n_startup_trials=3)),
        ("{name: SuccessiveHalving, min_resource: 1}", lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1)),
    ],
)  # fmt: skip
def test_a_pruner_ends_trials_after_the_rounds_where_optuna_would(
    lab: Lab, word: str, pruner: Callable[[], Any]
) -> None:
    lab.succeeded(study(ROUNDS.replace("PRUNER", word)))
    lives = [(record["state"], len(record["reports"])) for record in lab.trials()]
    assert lives == pruned_by_optuna(pruner())
    assert {state for state, _ in lives} == {"complete", "pruned"}


def test_rounds_of_a_trial_are_named_and_kept_one_by_one(lab: Lab) -> None:
    text = (
        ROUNDS.replace("PRUNER", "{name: median, n_startup_trials: 3}")
        .replace("trials: 12", "trials: 3")
        .replace("collect: last", "collect: all")
        .replace('minimize: "{{ outputs.state }}"', 'minimize: "{{ outputs.state[-1] }}"\n      report: "{{ outputs.state }}"')
    )  # fmt: skip
    lab.succeeded(study(text))
    assert "tune/trial[2]@4/round" in lab.ran()
    assert [len(record["reports"]) for record in lab.trials()] == [5, 5, 5]


# --- how it reads --------------------------------------------------------------------------------


def test_links_lead_through_a_study_also_where_it_cannot_be_planned_yet(lab: Lab) -> None:
    text = """\
        hepflow: v1
        name: linked
        steps:
          a: {command: "echo 3 > {{ outputs.v }}", outputs: {v: {path: v, read: json}}}
          tune:
            inputs: {a: a.v}
            study: {parameters: {x: [1, 2]}, minimize: "{{ outputs.v }}", trials: TRIALS, plots: false}
            command: "echo {{ x + inputs.a }} > {{ outputs.v }}"
            outputs: {v: {path: v, read: json}}
          judge: {inputs: {v: tune.v}, command: "echo {{ inputs.v }}"}
        """
    workflow = api.load(lab.write(text.replace("TRIALS", "2")))
    plan = api.plan(workflow, {}, project=lab.project)
    assert {step.path: step.depends_on for step in plan.steps} == {
        "a": (), "tune": ("a",), "judge": ("tune",)
    }  # fmt: skip
    lab.succeeded(text.replace("TRIALS", "2"))
    workflow = api.load(lab.write(text.replace("TRIALS", "3")))
    plan = api.plan(workflow, {}, project=lab.project)
    depends = {step.path: set(step.depends_on) for step in plan.steps}
    assert depends["tune/trial"] == {"a", "tune/ask"}
    assert depends["tune/tell"] >= {"tune/trial"}
    assert depends["tune/best"] == {"tune/tell"}
    assert depends["judge"] == {"tune/best", "tune/trial"}
    assert "tune/trial" in api.report(lab.project)
