"""All methods beside each other: what each says of the observed events, and what is true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hepflow_madminer.latent import Array
from hepflow_verbs import InputError

PANEL = 3.2
_KEYS = {"method", "axis", "estimated", "exact", "truth"}
# -2 log of the likelihood ratio to the best point that holds 68 % and 95 % for one and two
# parameters (Wilks; Particle Data Group, review of statistics, table of 2 Delta ln L).
_LEVELS = {1: (1.0, 3.84), 2: (2.3, 5.99)}


def draw_methods(paths: Sequence[str], out: str) -> None:
    """Draw a panel for each result that ``evaluate`` wrote, as PNG.

    Raises:
        InputError: a file is something else.
    """
    figure = Figure(figsize=(PANEL * len(paths), PANEL + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(paths), sharey=True, squeeze=False)[0]
    for ax, path in zip(axes, paths, strict=True):
        _draw_method(ax, _read_result(path))
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(out, format="png", dpi=150, metadata={"Software": None})


def _draw_method(ax: Axes, result: dict[str, Array]) -> None:
    axis, truth = result["axis"], result["truth"]
    for name, colour, style in (("exact", "0.55", "-"), ("estimated", "#c8401f", "--")):
        q = 2 * (result[name].max() - result[name])
        levels = _LEVELS[len(truth)]
        if len(truth) == 1:
            ax.plot(axis, q, style, color=colour, label=name)
            ax.set_ylim(0, 2 * levels[-1])
            continue
        ax.contour(axis, axis, q.T, levels=levels, colors=colour, linestyles=style)
        ax.plot([], [], style, color=colour, label=name)
    if len(truth) == 1:
        ax.axvline(truth[0], color="0.2", linewidth=0.8, linestyle=":", label="truth")
        for level in _LEVELS[1]:
            ax.axhline(level, color="0.8", linewidth=0.6)
    else:
        ax.plot(*truth, "k+", label="truth")
        ax.set_aspect("equal")
    ax.set_title(str(result["method"]).upper(), fontsize=10)
    ax.set_xlabel("theta 1")
    ax.set_ylabel("-2 log likelihood ratio" if len(truth) == 1 else "theta 2")
    ax.label_outer()


def _read_result(path: str) -> dict[str, Array]:
    try:
        with np.load(path) as file:
            result = {name: file[name] for name in file.files}
    except (ValueError, EOFError, TypeError):
        result = {}
    if set(result) != _KEYS:
        raise InputError(path, "not a result", fix="name files that 'evaluate' wrote")
    return result
