"""What a run was, for whoever keeps a record of it: inputs, metrics, outputs, trials.

A run's *metrics* are the numbers among its outputs. An output that is a record contributes the
numbers in it as ``output.key``, one that is called ``metrics`` as ``key`` alone. So are those of a step:
the numbers in an output of its called ``metrics``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hepflow.model.values import File, Value, Values, files_in

METRICS: Final = "metrics"
"""The output whose numbers are metrics under their own names."""

TELL: Final = "hepflow_optuna.trials:tell"
"""The function that notes a trial of a study: by that a trial is known in the store."""

LONGEST: Final = 64
"""Numbers of one array that are metrics each; a longer array is data."""

IMAGES: Final = (".png", ".jpg", ".jpeg", ".svg", ".gif", ".webp")


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a study.

    Args:
        study: the step whose study it is, ``tune`` or ``tune[1]``.
        state: ``complete``, ``pruned`` or ``failed``.
        reports: what its rounds reported, first to last.
    """

    study: str
    number: int
    parameters: Values
    state: str
    value: float | None
    reports: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run.

    Args:
        key: the same as long as it is the same run, however often it is resumed.
        state: ``running``, ``succeeded``, ``failed``, ``cancelled`` or ``interrupted``.
        started, ended: seconds since the epoch; 0 for not yet.
        metrics: the numbers among the outputs; none before it has succeeded.
        step_metrics: those that steps left under ``metrics``, as ``step.key``.
        outputs: of the run, where they were published.
    """

    id: int
    key: str
    name: str
    recipe: str
    state: str
    started: float
    ended: float
    inputs: Values = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    step_metrics: Mapping[str, float] = field(default_factory=dict)
    outputs: Values = field(default_factory=dict)
    trials: Sequence[Trial] = ()


def metrics_of(outputs: Values) -> dict[str, float]:
    """The numbers among outputs, by name."""
    found: dict[str, float] = {}
    for port, value in outputs.items():
        found.update(
            _numbers("" if port == METRICS and isinstance(value, Mapping) else port, value)
        )
    return found


def _numbers(name: str, value: Value) -> Iterator[tuple[str, float]]:
    """The numbers in a value, however deep."""
    if isinstance(value, bool):
        return
    if isinstance(value, (int, float)):
        yield name, value
        return
    items: Iterator[tuple[object, Value]] = iter(())
    if isinstance(value, Mapping):
        items = iter(value.items())
    elif isinstance(value, (list, tuple)) and len(value) <= LONGEST:
        items = iter(enumerate(value))
    for key, item in items:
        yield from _numbers(f"{name}.{key}" if name else str(key), item)


def figures_of(outputs: Values) -> dict[str, File]:
    """The pictures among outputs, by name."""
    found: dict[str, File] = {}
    for port, value in outputs.items():
        files = [
            file
            for file in files_in(value)
            if isinstance(file, File) and file.name.lower().endswith(IMAGES)
        ]
        for number, file in enumerate(files):
            found[port if len(files) == 1 else f"{port}.{number}"] = file
    return found
