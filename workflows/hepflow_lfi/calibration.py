"""Is a posterior calibrated?  Simulation-based calibration and expected coverage.

Both hold parameters that the prior drew against draws of the posterior given what was simulated
from them.  If the posterior is right, the rank of the true value among the draws is uniform:

- of each parameter (SBC): Talts, Betancourt, Simpson, Vehtari, Gelman, arXiv:1804.06788;
- of its distance to a random point (TARP): Lemos, Coogan, Hezaveh, Perreault-Levasseur, ICML 2023,
  arXiv:2302.03026.  The share of ranks below a credibility is the coverage expected there.

SBC sees one parameter at a time, TARP all of them together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hepflow_lfi.priors import Floats

SIGNIFICANCE = 0.01
INTERVALS = (0.68, 0.95)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Where the truth lay among ``draws`` posterior draws, for each of n simulations.

    ``ranks`` (n, parameters) and ``distance_ranks`` (n,) run from 0 to ``draws``; ``levels`` and
    ``distance_levels`` are the same between 0 and 1, uniform if the posterior is right.
    """

    names: tuple[str, ...]
    draws: int
    ranks: NDArray[np.int64]
    distance_ranks: NDArray[np.int64]
    levels: Floats
    distance_levels: Floats

    @property
    def uniformity(self) -> Floats:
        """P values (parameters,) of the Kolmogorov-Smirnov test of each parameter's levels."""
        return np.array([stats.kstest(levels, "uniform").pvalue for levels in self.levels.T])

    @property
    def distance_uniformity(self) -> float:
        """P value of the Kolmogorov-Smirnov test of the levels of the distance."""
        return float(stats.kstest(self.distance_levels, "uniform").pvalue)

    @property
    def area_to_curve(self) -> float:
        """Mean excess of the expected coverage over the credibility, for credibilities above 0.5.

        Below zero the posterior is too narrow, above too wide; one that is off to one side can
        be either.
        """
        credibilities = np.linspace(0.5, 1.0, 101)
        return float((self.expected_coverage(credibilities) - credibilities).mean())

    @property
    def calibrated(self) -> bool:
        """Whether no test rejects at 1 %, all of them taken together (Bonferroni)."""
        p_values = [*self.uniformity, self.distance_uniformity]
        return bool(min(p_values) * len(p_values) > SIGNIFICANCE)

    def expected_coverage(self, credibilities: Floats) -> Floats:
        """Return the share of simulations whose truth lay within regions of each credibility."""
        return np.searchsorted(np.sort(self.distance_levels), credibilities, side="right") / len(
            self.distance_levels
        )

    def interval_coverage(self, credibilities: Floats) -> Floats:
        """Return how often central intervals of each parameter held the truth (k, parameters)."""
        needed = 2 * np.abs(self.levels - 0.5)
        return np.mean(needed <= np.asarray(credibilities)[:, None, None], axis=1)


def calibrate(
    names: tuple[str, ...],
    truth: NDArray[np.floating],
    draws: NDArray[np.floating],
    generator: np.random.Generator,
) -> Calibration:
    """Rank ``truth`` (n, parameters) among posterior ``draws`` (n, draws, parameters).

    The points that distances are taken to are uniform in the box around the truth, whose sides
    count as 1 (the choice of the sbi library).
    """
    low, high = truth.min(axis=0), truth.max(axis=0)
    references = generator.uniform(size=truth.shape)
    ranks = (draws < truth[:, None]).sum(axis=1)
    distance_ranks = rank_distances(
        (truth - low) / (high - low), (draws - low) / (high - low), references
    )
    count = draws.shape[1]
    return Calibration(
        names,
        count,
        ranks,
        distance_ranks,
        _spread(ranks, count, generator),
        _spread(distance_ranks, count, generator),
    )


def rank_distances(truth: Floats, draws: Floats, references: Floats) -> NDArray[np.int64]:
    """Count the draws that are nearer to the reference point (n, parameters) than the truth is."""
    of_truth = np.linalg.norm(truth - references, axis=-1)
    of_draws = np.linalg.norm(draws - references[:, None], axis=-1)
    return np.asarray((of_draws < of_truth[:, None]).sum(axis=1))


def _spread(ranks: NDArray[np.int64], draws: int, generator: np.random.Generator) -> Floats:
    """Return a level within each rank's bin, so that uniform ranks give exactly uniform levels."""
    return np.asarray((ranks + generator.uniform(size=ranks.shape)) / (draws + 1))
