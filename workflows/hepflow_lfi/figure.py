"""Draw the verdict: a corner plot of one observation, and the score of every observation.

The corner plot shows the smallest regions that hold 68 % and 95 % of the samples, the reference
filled and the inferred posterior as lines; the observation shown is the one of median score.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from hepflow_lfi.drawing import new_figure
from hepflow_lfi.judging import ObservationScore, Verdict

MOST_PARAMETERS = 5
MASSES = (0.95, 0.68)
REFERENCE_FILLS = ("#ccd2da", "#7f8a9b")
REFERENCE_COLOUR, INFERRED_COLOUR, PUBLISHED_COLOUR = "#6b7686", "#c8401f", "#1f5fa8"
BINS_1D, BINS_2D = 80, 180
SMOOTHINGS_BINS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0)
ENOUGH_SAMPLES = 40

Floats = NDArray[np.floating]
Range = tuple[float, float]


def draw_figure(path: str | os.PathLike[str], verdict: Verdict) -> None:
    """Write the figure as PNG."""
    side = {2: 4.6, 3: 5.2, 4: 5.8}.get(_count_shown(choose_shown(verdict)), 6.6)
    with new_figure(path, side + 3.2, side) as figure:
        _compose(figure, side, verdict)


def choose_shown(verdict: Verdict) -> ObservationScore:
    """Return the observation whose score is the (lower) median: a typical one."""
    ranked = sorted(verdict.scores, key=lambda score: score.c2st.score)
    return ranked[(len(ranked) - 1) // 2]


def _count_shown(shown: ObservationScore) -> int:
    return min(shown.reference.shape[1], MOST_PARAMETERS)


def _compose(figure: Figure, side: float, verdict: Verdict) -> None:
    shown = choose_shown(verdict)
    dims = _count_shown(shown)
    left, right = figure.subfigures(1, 2, width_ratios=(side, 3.2))
    axes = left.subplots(dims, dims, squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    _draw_corner(axes, _Pair.of(shown, dims))
    title = f"{verdict.subject.problem.name}, observation {shown.observation}"
    if dims < shown.reference.shape[1]:
        title += f" (first {dims} of {shown.reference.shape[1]} parameters)"
    left.suptitle(title, fontsize=10, x=0.02, ha="left")
    _draw_key(left, verdict)
    _draw_scores(right.subplots(1, 1), verdict, shown)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Reference and inferred samples (n, dims) and the range each parameter is drawn in."""

    reference: Floats
    inferred: Floats
    ranges: tuple[Range, ...]

    @classmethod
    def of(cls, score: ObservationScore, dims: int) -> _Pair:
        reference, inferred = score.reference[:, :dims], score.inferred[:, :dims]
        both = np.concatenate([reference, inferred])
        low, high = np.percentile(both, [0.1, 99.9], axis=0)
        margin = 0.08 * (high - low)
        ranges = zip((low - margin).tolist(), (high + margin).tolist(), strict=True)
        return cls(reference, inferred, tuple(ranges))


def _draw_corner(axes: NDArray[np.object_], pair: _Pair) -> None:
    dims = len(pair.ranges)
    for row in range(dims):
        for column in range(dims):
            ax = axes[row, column]
            if column > row:
                ax.axis("off")
                continue
            if row == column:
                _draw_marginal(ax, pair, row)
            else:
                _draw_joint(ax, pair, column, row)
            _label(ax, row, column, dims)


def _label(ax: Axes, row: int, column: int, dims: int) -> None:
    ax.locator_params(axis="x", nbins=4)
    if row == dims - 1:
        ax.set_xlabel(rf"$\theta_{{{column + 1}}}$", fontsize=12)
    else:
        ax.tick_params(labelbottom=False)
    if row == column:
        ax.tick_params(left=False, right=False, labelleft=False)
        return
    ax.locator_params(axis="y", nbins=4)
    if column == 0:
        ax.set_ylabel(rf"$\theta_{{{row + 1}}}$", fontsize=12)
    else:
        ax.tick_params(labelleft=False)


def _draw_marginal(ax: Axes, pair: _Pair, index: int) -> None:
    edges = np.linspace(*pair.ranges[index], BINS_1D + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    curves = [
        gaussian_filter1d(np.histogram(samples[:, index], edges, density=True)[0], 1.0)
        for samples in (pair.reference, pair.inferred)
    ]
    ax.fill_between(centres, curves[0], color=REFERENCE_FILLS[0], linewidth=0)
    ax.plot(centres, curves[0], color=REFERENCE_COLOUR, linewidth=1.0)
    ax.plot(centres, curves[1], color=INFERRED_COLOUR, linewidth=1.3)
    ax.set_xlim(*pair.ranges[index])
    ax.set_ylim(0, 1.12 * max(curve.max() for curve in curves))


def _draw_joint(ax: Axes, pair: _Pair, x: int, y: int) -> None:
    ranges = [pair.ranges[x], pair.ranges[y]]
    edges = [np.linspace(*limits, BINS_2D + 1) for limits in ranges]
    grid = [(edge[:-1] + edge[1:]) / 2 for edge in edges]
    reference, inferred = (
        np.histogram2d(samples[:, x], samples[:, y], bins=edges)[0].T
        for samples in (pair.reference, pair.inferred)
    )
    smoothing = choose_smoothing(reference)
    density = gaussian_filter(reference, smoothing)
    levels = find_levels(density, MASSES)
    fills = [*levels, max(density.max(), levels[-1]) * 1.01]
    ax.contourf(*grid, density, levels=fills, colors=REFERENCE_FILLS)
    density = gaussian_filter(inferred, smoothing)
    levels = find_levels(density, MASSES)
    ax.contour(*grid, density, levels=levels, colors=INFERRED_COLOUR, linewidths=(0.7, 1.0))
    ax.set_xlim(*ranges[0])
    ax.set_ylim(*ranges[1])


def choose_smoothing(counts: Floats) -> float:
    """Return the least width, in bins, that averages enough samples along the outer contour.

    Thin posteriors stay sharp, and broad ones do not break into speckles.
    """
    for sigma in SMOOTHINGS_BINS:
        outer = find_levels(gaussian_filter(counts, sigma), MASSES)[0]
        if outer * 4 * np.pi * sigma**2 >= ENOUGH_SAMPLES:
            return sigma
    return SMOOTHINGS_BINS[-1]


def find_levels(density: Floats, masses: tuple[float, ...]) -> list[float]:
    """Return the heights above which ``density`` holds each share of its mass, rising."""
    ranked = np.sort(density.ravel())[::-1]
    share = np.cumsum(ranked) / ranked.sum()
    levels = [float(ranked[np.searchsorted(share, mass)]) for mass in sorted(masses, reverse=True)]
    for index in range(1, len(levels)):  # contour needs levels that differ
        levels[index] = max(levels[index], levels[index - 1] * 1.001)
    return levels


def _draw_key(panel: SubFigure, verdict: Verdict) -> None:
    handles = [
        Patch(color=REFERENCE_FILLS[1], label="reference, 68 %"),
        Patch(color=REFERENCE_FILLS[0], label="reference, 95 %"),
        Line2D([], [], color=INFERRED_COLOUR, label=f"{verdict.subject.method}, 68 % and 95 %"),
    ]
    panel.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(0.98, 0.9),
        frameon=False,
        title=f"{verdict.subject.simulations:,} simulations\n{verdict.trial.samples:,} samples a side",
        alignment="left",
        fontsize=8.5,
        title_fontsize=8.5,
    )


def _draw_scores(ax: Axes, verdict: Verdict, shown: ObservationScore) -> None:
    numbers = [score.observation for score in verdict.scores]
    values = np.array([score.c2st.score for score in verdict.scores])
    errors = [np.std(score.c2st.folds) / np.sqrt(len(score.c2st.folds)) for score in verdict.scores]
    ax.axvline(0.5, color="0.45", linewidth=0.8, linestyle=":")
    limit = max(values.max(), 0.6)
    if verdict.published and not verdict.reasons_not_to_compare():
        published = verdict.published
        ax.axvspan(
            published.mean - published.sd_over_observations,
            published.mean + published.sd_over_observations,
            color=PUBLISHED_COLOUR,
            alpha=0.12,
            linewidth=0,
        )
        label = f"published mean {published.mean:.3f}"
        ax.axvline(published.mean, color=PUBLISHED_COLOUR, linewidth=1.2, label=label)
        limit = max(limit, published.mean + published.sd_over_observations)
    label = f"{verdict.subject.method} mean {verdict.mean:.3f}"
    ax.axvline(verdict.mean, color=INFERRED_COLOUR, linewidth=1.2, linestyle="--", label=label)
    ax.errorbar(
        values, numbers, xerr=errors, fmt="o", color=INFERRED_COLOUR, markersize=4, linewidth=1
    )
    ax.plot(
        shown.c2st.score,
        shown.observation,
        "o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor="0.2",
        linestyle="none",
        label="shown on the left",
    )
    ax.set_yticks(numbers)
    ax.invert_yaxis()
    ax.set_xlim(min(0.48, values.min() - 0.02), min(1.02, limit + 0.04))
    ax.set_xlabel("C2ST accuracy (0.5: same, 1: different)\nbars: standard error over the folds")
    ax.set_ylabel("observation")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8.5)
