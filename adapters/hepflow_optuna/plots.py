"""The picture of a study: its history, what each parameter matters, and a slice along each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from optuna import Study
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from hepflow_optuna.definition import Data, Definition

COLUMNS: Final = 3
ENOUGH: Final = 10
"""Complete trials from which importances mean something."""

_POINT: Final = {"s": 18, "color": "#33658a", "alpha": 0.8, "linewidths": 0}


def draw(study: Study, told: Sequence[Data], definition: Definition, path: str) -> None:
    """Draws a study into a PNG file.

    Raises:
        ImportError: there is no matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "a study's plots need matplotlib: pip install 'hepflow[study]', or write 'plots: false'"
        ) from None
    names = list(definition.distributions)
    complete = [record for record in told if record["state"] == "complete"]
    panels = 1 + len(names) + (len(complete) >= ENOUGH and len(names) > 1)
    rows = -(-panels // COLUMNS)
    figure = Figure(figsize=(4.2 * min(panels, COLUMNS), 3.2 * rows), layout="constrained")
    axes = iter(figure.subplots(rows, min(panels, COLUMNS), squeeze=False).flat)
    _history(next(axes), complete, definition.direction)
    if panels > 1 + len(names):
        _importances(next(axes), study)
    for name in names:
        _slice(next(axes), name, complete, definition)
    for unused in axes:
        unused.set_visible(False)
    figure.savefig(path, dpi=110)


def _history(axes: Any, complete: Sequence[Data], direction: str) -> None:
    numbers = [record["number"] for record in complete]
    values = [record["value"] for record in complete]
    best = min if direction == "minimize" else max
    axes.scatter(numbers, values, **_POINT)
    axes.step(numbers, list(accumulate(values, best)), where="post", color="#f26419")
    axes.set(xlabel="trial", ylabel="objective", title="history, and the best so far")
    axes.xaxis.get_major_locator().set_params(integer=True)


def _importances(axes: Any, study: Study) -> None:
    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    axes.barh(list(found)[::-1], list(found.values())[::-1], color="#33658a")
    axes.set(xlabel="share", title="importance (PED-ANOVA)")


def _slice(axes: Any, name: str, complete: Sequence[Data], definition: Definition) -> None:
    space = definition.distributions[name]
    points = [(record["parameters"][name], record["value"]) for record in complete]
    if isinstance(space, CategoricalDistribution):
        words = [str(choice) for choice in space.choices]
        axes.scatter(
            [words.index(str(value)) for value, _ in points], [y for _, y in points], **_POINT
        )
        axes.set_xticks(range(len(words)), words)
    else:
        axes.scatter([value for value, _ in points], [y for _, y in points], **_POINT)
        if isinstance(space, FloatDistribution | IntDistribution) and space.log:
            axes.set_xscale("log")
    axes.set(xlabel=name, ylabel="objective")
