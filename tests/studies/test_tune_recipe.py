"""The shipped recipe that tunes two_moons."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepflow import api

RECIPE = Path(__file__).parents[2] / "recipes/lfi/tune.yaml"
QUICK = api.LoadOptions(("quick",))


def test_it_plans_a_study_and_a_score_for_each_training_set(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    workflow = api.load(RECIPE, QUICK)
    plan = api.plan(workflow, api.read_inputs(workflow), project=api.Project(tmp_path))
    assert plan.problems == ()
    assert {step.path: step.to_run for step in plan.steps} == {
        "simulate": 1, "judge": 1, "tune": 1
    }  # fmt: skip


@pytest.mark.long
def test_its_best_posterior_is_scored(tmp_path: Path) -> None:
    pytest.importorskip("sbi")
    pytest.importorskip("optuna")
    workflow = api.load(RECIPE, QUICK)
    result = api.run(workflow, api.read_inputs(workflow), project=api.Project(tmp_path))
    assert result.succeeded, [task.message for task in result.status.failures]
    record = api.record(api.Project(tmp_path))
    assert len(record.trials) == 2
    assert 0.5 <= record.metrics["c2st"] <= 1.0
    best = record.metrics["study.best.value"]
    assert best == min(trial.value for trial in record.trials if trial.value is not None)
