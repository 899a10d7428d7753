"""Draw a posterior-predictive check: what was observed over what is predicted, and the pulls."""

from __future__ import annotations

import os

import numpy as np
from matplotlib.ticker import MaxNLocator

from hepflow_lfi.drawing import new_figure
from hepflow_lfi.figure import INFERRED_COLOUR, REFERENCE_FILLS
from hepflow_lfi.predictive import PredictiveCheck

BANDS = ((2.5, 97.5, REFERENCE_FILLS[0], "95 %"), (16, 84, REFERENCE_FILLS[1], "68 %"))


def draw_prediction(path: str | os.PathLike[str], found: PredictiveCheck) -> None:
    """Write the figure as PNG; the numbers of the data lie side by side."""
    size = len(found.observed)
    edges = np.arange(size + 1) + 0.5
    numbers = np.arange(size) + 1
    with new_figure(path, min(3.5 + 0.2 * size, 12.0), 4.4) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
        for low, high, colour, label in BANDS:
            bounds = np.percentile(found.predicted, [low, high], axis=0)
            top.stairs(
                bounds[1],
                edges,
                baseline=bounds[0],
                fill=True,
                color=colour,
                label=f"{label} predicted",
            )
        top.plot(
            numbers, found.observed, "o", color=INFERRED_COLOUR, markersize=4, label="observed"
        )
        top.use_sticky_edges = False  # or half of a point at the edge of a band is cut off
        top.set_ylabel("data")
        top.legend(frameon=False, fontsize=8)
        top.set_title(
            f"{len(found.predicted)} predictions: p = {found.p_value:.2g}, "
            f"least tail {found.smallest_tail:.2g}",
            fontsize=9,
        )
        spread = found.predicted.std(axis=0)
        pulls = (found.observed - found.predicted.mean(axis=0)) / np.where(
            spread > 0, spread, np.inf
        )
        bottom.axhspan(-2, 2, color=REFERENCE_FILLS[0], linewidth=0)
        bottom.axhspan(-1, 1, color=REFERENCE_FILLS[1], linewidth=0)
        bottom.plot(numbers, pulls, "o", color=INFERRED_COLOUR, markersize=4)
        bottom.set_ylabel("pull")
        bottom.set_xlabel("number in the data")
        bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
        bottom.set_ylim(-max(3.0, 1.1 * np.abs(pulls).max()), max(3.0, 1.1 * np.abs(pulls).max()))
