"""Could the posterior have produced the observation?  Posterior-predictive checks.

Data simulated from posterior draws are held against what was observed: Rubin, Ann. Statist. 12
(1984) 1151, doi:10.1214/aos/1176346785; Gelman, Meng, Stern, Statistica Sinica 6 (1996) 733.  The
test is a gross one: it finds simulators that cannot describe the data and posteriors that are
far off, not those that are a little wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepflow_lfi.priors import Floats

SIGNIFICANCE = 0.01


@dataclass(frozen=True, slots=True)
class PredictiveCheck:
    """An observation (data,) beside what was ``predicted`` (n, data), and how well they agree.

    ``p_value`` is that of the observation's distance from the middle of the predictions, taken in
    their covariance (Mahalanobis); ``tails`` (data,) the two-sided one of every number alone.
    """

    observed: Floats
    predicted: Floats
    p_value: float
    tails: Floats

    @property
    def smallest_tail(self) -> float:
        """The least of the tails, times their number (Bonferroni), at most 1."""
        return float(min(1.0, self.tails.min() * len(self.tails)))

    @property
    def agrees(self) -> bool:
        """Whether neither test rejects at 1 %, both taken together."""
        return 2 * min(self.p_value, self.smallest_tail) > SIGNIFICANCE


def check_prediction(
    observed: NDArray[np.floating], predicted: NDArray[np.floating]
) -> PredictiveCheck:
    """Hold the observation (data,) against predictions (n, data)."""
    truth, drawn = observed.astype(np.float64), predicted.astype(np.float64)
    count = len(drawn)
    # With the observation among them, all rows are exchangeable and the ranks are exact.
    rows = np.vstack([truth, drawn])
    spread = rows.std(axis=0)
    scaled = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    covariance = np.atleast_2d(np.cov(scaled, rowvar=False))
    # Data may be bound to each other, as the counts of so many events are by their sum.
    inverse = np.linalg.pinv(covariance, rcond=1e-9, hermitian=True)
    distances = np.einsum("ij,jk,ik->i", scaled, inverse, scaled)
    p_value = np.mean(distances >= distances[0])
    above = (drawn >= truth).sum(axis=0)
    below = (drawn <= truth).sum(axis=0)
    tails = np.minimum(1.0, 2 * (np.minimum(above, below) + 1) / (count + 1))
    return PredictiveCheck(truth, drawn, float(p_value), tails)
