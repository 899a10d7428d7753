"""Draw a comparison: a panel for each task, C2ST against simulations, ours beside the published."""

from __future__ import annotations

import os
from collections.abc import Sequence

from matplotlib.axes import Axes

from hepflow_lfi.comparison import Row
from hepflow_lfi.drawing import new_figure

PANEL_WIDTH, PANEL_HEIGHT = 3.0, 3.2
_COLOURS = {"NPE": "#c8401f", "NLE": "#1f5fa8", "NRE": "#3b8a4b", "FMPE": "#8a4b9e"}
_OTHER_COLOUR = "0.3"


def draw_comparison(path: str | os.PathLike[str], rows: Sequence[Row]) -> None:
    """Write the figure as PNG."""
    tasks = list(dict.fromkeys(row.cells[0].task for row in rows))
    with new_figure(path, PANEL_WIDTH * len(tasks) + 0.6, PANEL_HEIGHT) as figure:
        axes = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
        for ax, task in zip(axes, tasks, strict=True):
            _draw_task(ax, task, [row for row in rows if row.cells[0].task == task])
        axes[0].set_ylabel("mean C2ST (0.5: same as the reference)")


def _draw_task(ax: Axes, task: str, rows: Sequence[Row]) -> None:
    for method in dict.fromkeys(row.cells[0].method for row in rows):
        chosen = [row for row in rows if row.cells[0].method == method]
        colour = _COLOURS.get(method.removeprefix("S"), _OTHER_COLOUR)
        budgets = [row.cells[0].simulations for row in chosen]
        errors = [row.sd or 0.0 for row in chosen]
        means = [row.mean for row in chosen]
        ax.errorbar(budgets, means, errors, fmt="o-", color=colour, markersize=4, label=method)
        for row in chosen:
            # A hollow point was not judged as the published ones were.
            if not row.comparable:
                ax.plot(row.cells[0].simulations, row.mean, "o", color="white", markersize=2)
        pairs = [(row.cells[0].simulations, row.published) for row in chosen if row.published]
        if pairs:
            label = f"{method}, published"
            ax.plot(
                *zip(*pairs, strict=True), "s--", color=colour, alpha=0.4, markersize=4, label=label
            )
    ax.axhline(0.5, color="0.45", linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    ax.set_ylim(0.48, 1.02)
    ax.set_title(task, fontsize=10)
    ax.set_xlabel("simulations")
    ax.legend(frameon=False, fontsize=7.5)
