"""Turn a measurement into the metrics file and the figure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hepflow_weak.measuring import (
    LEVELS,
    Curves,
    count_covered,
    find_interval,
    find_moments,
)
from hepflow_weak.samples import AnyPath, Floats

FORMAT = "hepflow-weak metrics 1"
_NEURAL, _TREE, _TRUTH = "#c8401f", "#1f5fa8", "#333333"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one density makes of the data: the posterior of all observed events together
    (``observed``), and those of pseudo-experiments with ``truths`` drawn from the prior."""

    observed: Curves
    experiments: Curves
    truths: Floats


def describe_measurement(measurement: Measurement, generated: float) -> dict[str, object]:
    """Return estimate (posterior mean), standard deviation, intervals, pull, and coverage."""
    mean, sd = (float(moment[0]) for moment in find_moments(measurement.observed))
    return {
        "s2eff": round(mean, 6),
        "s2eff_sd": round(sd, 6),
        **{
            f"interval_{round(100 * level)}": [
                round(end, 6) for end in find_interval(measurement.observed, level)
            ]
            for level in LEVELS
        },
        "pull": round((mean - generated) / sd, 3),
        **describe_coverage(measurement.experiments, measurement.truths),
    }


def describe_coverage(posteriors: Curves, truths: Floats) -> dict[str, object]:
    """Return how often the regions of each level hold the truth, beside the error of that count."""
    return {
        f"coverage_{round(100 * one.level)}": {
            "fraction": round(one.fraction, 4),
            "binomial_error": round(one.binomial_error, 4),
            "covered": one.covered,
            "experiments": one.experiments,
        }
        for one in (count_covered(posteriors, truths, level) for level in LEVELS)
    }


def write_metrics(path: AnyPath, metrics: dict[str, object]) -> None:
    """Write the metrics as JSON."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": FORMAT, **metrics}, indent=2) + "\n", encoding="utf-8")


def draw_figure(path: AnyPath, neural: Measurement, tree: Measurement, generated: float) -> None:
    """Draw posteriors of the observed events, and coverage at all levels, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for measurement, colour, name in (
        (tree, _TREE, "tree-level formula"),
        (neural, _NEURAL, "neural ratio, from simulations"),
    ):
        curves = measurement.observed
        spacing = curves.grid[1] - curves.grid[0]
        left.plot(curves.grid, curves.densities[0] / spacing, color=colour, label=name)
        levels = np.linspace(0.02, 0.98, 49)
        fractions = [
            count_covered(measurement.experiments, measurement.truths, level).fraction
            for level in levels.tolist()
        ]
        right.plot(levels, fractions, color=colour)
    left.axvline(generated, color=_TRUTH, linestyle=":", label="generated")
    ends = np.array([find_interval(one.observed, 0.999) for one in (neural, tree)])
    left.set_xlim(min(ends[:, 0].min(), generated), max(ends[:, 1].max(), generated))
    left.locator_params(axis="x", nbins=4)
    left.set(xlabel=r"$\sin^2\theta_{\mathrm{eff}}$", ylabel="posterior density", ylim=(0, None))
    left.legend(frameon=False, fontsize=8)
    error = np.sqrt(levels * (1 - levels) / len(neural.truths))
    right.fill_between(
        levels, levels - error, levels + error, color="#ccd2da", label="binomial error"
    )
    right.set(xlabel="level", ylabel=f"coverage, {len(neural.truths)} pseudo-experiments")
    right.legend(frameon=False, fontsize=8)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=200, metadata={"Software": None})
