"""Draw a posterior alone: marginals, and the regions that hold 68 % and 95 % of each pair."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hepflow_lfi.drawing import new_figure
from hepflow_lfi.figure import (
    INFERRED_COLOUR,
    MASSES,
    MOST_PARAMETERS,
    choose_smoothing,
    find_levels,
)

BINS_1D, BINS_2D = 40, 90
FILLS = ("#f3cdbf", "#dd8a6e")


def draw_posterior(
    path: str | os.PathLike[str], names: Sequence[str], draws: NDArray[np.floating]
) -> None:
    """Write a corner plot of ``draws`` (n, parameters) as PNG; of many parameters the first."""
    dims = min(len(names), MOST_PARAMETERS)
    with new_figure(path, 1.2 + 1.7 * dims, 0.8 + 1.6 * dims) as figure:
        axes = figure.subplots(dims, dims, squeeze=False, sharex="col")
        for row in range(dims):
            for column in range(dims):
                ax = axes[row, column]
                if column > row:
                    ax.axis("off")
                elif column == row:
                    _draw_marginal(ax, names[row], draws[:, row])
                else:
                    _draw_joint(ax, draws[:, column], draws[:, row])
                ax.set_xlabel(names[column] if row == dims - 1 else "")
                ax.set_ylabel(names[row] if column == 0 < row else "")
        if dims < len(names):
            figure.suptitle(f"first {dims} of {len(names)} parameters", fontsize=10)
        if dims > 1:
            handles = [Patch(color=FILLS[1], label="68 %"), Patch(color=FILLS[0], label="95 %")]
            axes[0, dims - 1].legend(handles=handles, frameon=False, loc="upper right", fontsize=8)


def _draw_marginal(ax: Axes, name: str, values: NDArray[np.floating]) -> None:
    ax.hist(values, BINS_1D, density=True, color=FILLS[0], histtype="stepfilled")
    low, middle, high = np.percentile(values, [16, 50, 84])
    for value, style in ((low, ":"), (middle, "-"), (high, ":")):
        ax.axvline(value, color=INFERRED_COLOUR, linewidth=1, linestyle=style)
    ax.set_title(f"{name} = {write_estimate(low, middle, high)}", fontsize=9)
    ax.tick_params(left=False, right=False, labelleft=False, labelbottom=True)


def write_estimate(low: float, middle: float, high: float) -> str:
    """Return median and distances to the ends of an interval, all to the same decimal place.

    The lesser distance has two digits.
    """
    above, below = high - middle, middle - low
    least = min((each for each in (above, below) if each > 0), default=0.0)
    places = 1 - math.floor(math.log10(least)) if least else 4
    if not -3 < places < 8:  # as it is, then
        return rf"${middle:.4g}^{{+{above:.2g}}}_{{-{below:.2g}}}$"
    digits = max(places, 0)
    values = (round(each, places) + 0.0 for each in (middle, above, below))
    return "${:.{d}f}^{{+{:.{d}f}}}_{{-{:.{d}f}}}$".format(*values, d=digits)


def _draw_joint(ax: Axes, x: NDArray[np.floating], y: NDArray[np.floating]) -> None:
    counts, *edges = np.histogram2d(x, y, BINS_2D)
    density = gaussian_filter(counts.T, choose_smoothing(counts.T))
    levels = find_levels(density, MASSES)
    grid = [(edge[:-1] + edge[1:]) / 2 for edge in edges]
    fills = [*levels, max(density.max(), levels[-1]) * 1.01]
    ax.contourf(*grid, density, levels=fills, colors=FILLS)
