"""What a run was, put together from the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hepflow.model.record import METRICS, TELL, RunRecord, Trial, metrics_of
from hepflow.model.values import Value
from hepflow.store import reader
from hepflow.store.database import Place

_TELL: Final = "/tell["


def record_of(place: Place, run: int | None) -> RunRecord:
    """The record of a run; the latest by default.

    Raises:
        UsageError: there is no such run.
    """
    summary = reader.find_run(place, run)
    _, request, _ = reader.stored_request(place, summary.id)
    outputs = reader.outputs(place, summary.id)
    step_metrics: dict[str, float] = {}
    trials: list[Trial] = []
    for task, command, found in reader.results(place, summary.id, (f'"{METRICS}"', '"parameters"')):
        if METRICS in found:
            numbers = metrics_of({METRICS: found[METRICS]})
            named = {
                task if name == METRICS else f"{task}.{name}": n for name, n in numbers.items()
            }
            step_metrics.update(named)
        if command == TELL:
            trials.append(_trial(task, found["result"]))
    return RunRecord(
        summary.id,
        str(request.get("key", f"{place.project}#{summary.id}")),
        summary.name,
        summary.recipe,
        summary.state.value,
        summary.started,
        summary.ended,
        reader.inputs(place, summary.id),
        metrics_of(outputs),
        dict(sorted(step_metrics.items())),
        outputs,
        tuple(sorted(trials, key=lambda trial: (trial.study, trial.number))),
    )


def _trial(task: str, result: Value) -> Trial:
    """A trial from what ``tell`` noted of it."""
    assert isinstance(result, Mapping)
    return Trial(
        task.rpartition(_TELL)[0],
        result["number"],  # type: ignore[arg-type]
        result["parameters"],  # type: ignore[arg-type]
        result["state"],  # type: ignore[arg-type]
        result["value"],  # type: ignore[arg-type]
        result["reports"],  # type: ignore[arg-type]
    )
