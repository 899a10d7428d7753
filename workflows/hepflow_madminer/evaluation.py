"""A trained network against the exact ratio, on a grid of hypotheses."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hepflow_madminer.estimators import Estimator
from hepflow_madminer.generation import Events, Setup
from hepflow_madminer.latent import Array, draw_latents, exact_log_ratio, exact_score, measure
from hepflow_madminer.streams import open_stream
from hepflow_verbs import InputError

REFERENCE_EVENTS = 20_000  # what SALLY's local model is normalised over


@dataclass(frozen=True, slots=True)
class Result:
    """What one method says of one set of observed events.

    Args:
        method: its name.
        axis: the grid's values along each parameter (k,).
        estimated: the observed events' log p(x | theta) / p(x | 0), summed, on the grid (k,) or (k, k).
        exact: the same in truth.
        truth: the parameters (d,) that the events were drawn at.
    """

    method: str
    axis: Array
    estimated: Array
    exact: Array
    truth: Array


def evaluate(
    estimator: Estimator,
    setup: Setup,
    events: Events,
    *,
    truth: tuple[float, ...],
    grid: int,
    observed: int,
    tested: int,
    seed: int,
) -> tuple[Result, dict[str, float]]:
    """Estimate the ratio of observed events on the grid, and measure how far it is from the exact.

    Args:
        estimator: the network.
        setup: says how many parameters there are and how far the grid reaches.
        events: all that were generated; SALLY needs those at the reference.
        truth: what observed and test events are drawn at.
        grid: points along each parameter.
        observed: how many events are observed.
        tested: how many more events the errors are measured with, at every point of the grid.
        seed: of the events and of the choice at the reference; the same for each method.

    Returns: the result, and as metrics ``rmse_log_r`` (per event, over grid and test events),
        ``r2_log_r`` (1: exact; 0: no better than the mean), ``rmse_score`` (at the reference), and
        ``fit_distance`` (between the best points of the grid, estimated and exact).
    """
    rng = open_stream(seed, "evaluate")
    axis = np.linspace(-setup.span, setup.span, grid)
    theta = np.stack(np.meshgrid(*[axis] * setup.parameters, indexing="ij"), axis=-1)
    points = theta.reshape(-1, setup.parameters)
    x = measure(draw_latents(np.tile(np.array(truth), (observed + tested, 1)), rng), rng)
    at_reference = rng.choice(
        len(events.x), REFERENCE_EVENTS, p=events.weigh(np.zeros(setup.parameters))
    )
    estimated = estimator.log_ratio(x, points, events.x[at_reference])
    exact = exact_log_ratio(x, points)
    error = (estimated - exact)[:, observed:]
    score_error = (estimator.score(x) - exact_score(x))[observed:]
    summed, truly = (log_r[:, :observed].sum(axis=1) for log_r in (estimated, exact))
    distance = points[np.argmax(summed)] - points[np.argmax(truly)]
    metrics = {
        "rmse_log_r": math.sqrt(np.mean(error**2)),
        "r2_log_r": float(1 - np.mean(error**2) / np.var(exact[:, observed:])),
        "rmse_score": math.sqrt(np.mean(score_error**2)),
        "fit_distance": float(np.linalg.norm(distance)),
    }
    shape = theta.shape[:-1]
    result = Result(
        method=estimator.method,
        axis=axis,
        estimated=summed.reshape(shape),
        exact=truly.reshape(shape),
        truth=np.array(truth),
    )
    return result, metrics


def write_metrics(path: str, method: str, metrics: dict[str, float]) -> None:
    """Write the metrics under the method's name, as JSON."""
    content = {method: {name: round(value, 5) for name, value in metrics.items()}}
    Path(path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_result(path: str, result: Result) -> None:
    """Write a result as numpy archive."""
    np.savez(
        path,
        method=np.array(result.method),
        axis=result.axis,
        estimated=result.estimated,
        exact=result.exact,
        truth=result.truth,
    )


def check_truth(truth: tuple[float, ...], setup: Setup) -> None:
    """Refuse a truth that has another number of parameters than the set-up.

    Raises:
        InputError: it has.
    """
    if len(truth) != setup.parameters:
        raise InputError(
            "--truth", f"{len(truth)} values for {setup.parameters} parameters", fix="give as many"
        )
