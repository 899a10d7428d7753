"""Draw a calibration: ranks of each parameter, and expected coverage over credibility.

Grey bands hold 99 % of what a right posterior gives by chance: of each bar of a histogram, and of
the whole curve of coverage at once (Kolmogorov's).
"""

from __future__ import annotations

import math
import os

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from hepflow_lfi.calibration import Calibration
from hepflow_lfi.drawing import new_figure
from hepflow_lfi.figure import INFERRED_COLOUR, PUBLISHED_COLOUR

BAND = 0.99
BAND_COLOUR = "0.88"
MOST_HISTOGRAMS = 11
COLUMNS = 4


def draw_calibration(path: str | os.PathLike[str], found: Calibration) -> None:
    """Write the figure as PNG: coverage first, then histograms of the first parameters."""
    shown = min(len(found.names), MOST_HISTOGRAMS)
    columns = min(COLUMNS, shown + 1)
    rows = math.ceil((shown + 1) / columns)
    with new_figure(path, 2.9 * columns, 2.7 * rows) as figure:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        _draw_coverage(axes[0], found)
        for index, ax in enumerate(axes[1:]):
            if index < shown:
                _draw_ranks(ax, found, index)
            else:
                ax.axis("off")
        title = f"{len(found.ranks)} simulations, {found.draws} draws each; "
        figure.suptitle(f"{title}grey: {100 * BAND:.0f} % of what chance gives", fontsize=10)


def _draw_coverage(ax: Axes, found: Calibration) -> None:
    credibilities = np.linspace(0, 1, 201)
    half = stats.kstwo.ppf(BAND, len(found.ranks))
    low, high = np.clip([credibilities - half, credibilities + half], 0, 1)
    ax.fill_between(credibilities, low, high, color=BAND_COLOUR, linewidth=0)
    ax.plot([0, 1], [0, 1], color="0.5", linewidth=0.8, linestyle=":")
    for intervals in found.interval_coverage(credibilities).T:
        ax.plot(credibilities, intervals, color=PUBLISHED_COLOUR, linewidth=0.8, alpha=0.7)
    ax.plot([], [], color=PUBLISHED_COLOUR, linewidth=0.8, label="each parameter, central")
    coverage = found.expected_coverage(credibilities)
    ax.plot(credibilities, coverage, color=INFERRED_COLOUR, linewidth=1.4, label="all, TARP")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="credibility", ylabel="expected coverage")
    ax.set_title(f"coverage: p = {found.distance_uniformity:.2g}", fontsize=9)
    ax.legend(frameon=False, fontsize=7.5, loc="upper left")


def _draw_ranks(ax: Axes, found: Calibration, index: int) -> None:
    count = len(found.ranks)
    bins = max(5, min(20, count // 20))
    low, high = stats.binom.interval(BAND, count, 1 / bins)
    ax.axhspan(low, high, color=BAND_COLOUR, linewidth=0)
    ax.axhline(count / bins, color="0.5", linewidth=0.8, linestyle=":")
    ax.hist(
        found.levels[:, index],
        bins,
        range=(0, 1),
        color=INFERRED_COLOUR,
        histtype="step",
        linewidth=1.3,
    )
    ax.set(xlim=(0, 1), ylim=(0, None), xlabel="rank of the truth / draws", ylabel="simulations")
    ax.set_title(f"{found.names[index]}: p = {found.uniformity[index]:.2g}", fontsize=9)
