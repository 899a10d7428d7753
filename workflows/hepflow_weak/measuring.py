"""From events to an angle: the posterior over a flat prior, its intervals, and their coverage.

The same code serves the trained ratio and the tree-level formula: both say how probable each bin of
cos(theta) is at each value of s2eff. For truths drawn from the prior, a region that holds 68 % of
the posterior covers the truth 68 % of the time, if the density is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepflow_weak.samples import Counts, Floats

GRID_POINTS = 2001
LEVELS = (0.68, 0.95)


@dataclass(frozen=True, slots=True)
class Curves:
    """Posterior densities (experiments, grid) over ``grid`` (grid,), each summing to one."""

    grid: Floats
    densities: Floats


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of ``experiments`` had the truth within their region of probability ``level``."""

    level: float
    covered: int
    experiments: int

    @property
    def fraction(self) -> float:
        """Part of the experiments whose region held the truth."""
        return self.covered / self.experiments

    @property
    def binomial_error(self) -> float:
        """Standard deviation of the fraction, were the level right."""
        return float(np.sqrt(self.level * (1.0 - self.level) / self.experiments))


def make_grid(low: float, high: float) -> Floats:
    """Return the values of s2eff at which posteriors are told."""
    return np.linspace(low, high, GRID_POINTS)


def find_posterior(counts: Counts, grid: Floats, log_density: Floats) -> Curves:
    """Return the posterior of each row of ``counts`` (experiments, bins), flat prior over ``grid``.

    ``log_density`` is (members, grid, bins): the mean of the members' posteriors is returned, which
    is wider the less they agree.
    """
    log_likelihood = counts @ np.swapaxes(log_density, 1, 2)
    weights = np.exp(log_likelihood - log_likelihood.max(axis=2, keepdims=True))
    densities = (weights / weights.sum(axis=2, keepdims=True)).mean(axis=0)
    return Curves(grid, densities)


def find_thresholds(curves: Curves, level: float) -> Floats:
    """Return for each posterior the density above which ``level`` of it lies."""
    ordered = -np.sort(-curves.densities, axis=1)
    held = ordered.cumsum(axis=1)
    last = (held < level).sum(axis=1)
    return np.asarray(np.take_along_axis(ordered, last[:, None], axis=1)[:, 0])


def find_interval(curves: Curves, level: float, experiment: int = 0) -> tuple[float, float]:
    """Return the ends of the smallest region that holds ``level`` of one posterior."""
    threshold = find_thresholds(curves, level)[experiment]
    inside = curves.grid[curves.densities[experiment] >= threshold]
    return float(inside[0]), float(inside[-1])


def find_moments(curves: Curves) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each posterior."""
    mean = curves.densities @ curves.grid
    variance = curves.densities @ curves.grid**2 - mean**2
    return mean, np.sqrt(np.maximum(variance, 0.0))


def count_covered(curves: Curves, truths: Floats, level: float) -> Coverage:
    """Say how often the smallest region with ``level`` of a posterior holds its truth."""
    at_truth = [
        np.interp(truth, curves.grid, density)
        for truth, density in zip(truths.tolist(), curves.densities, strict=True)
    ]
    covered = int((np.array(at_truth) >= find_thresholds(curves, level)).sum())
    return Coverage(level, covered, len(truths))
