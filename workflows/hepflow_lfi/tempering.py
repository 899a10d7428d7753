"""Draw from a posterior whose likelihood can be evaluated, for many points at once.

A population of one point a wanted draw goes from prior to posterior by raising the likelihood to
powers that rise from 0 to 1 (sequential Monte Carlo: Del Moral, Doucet, Jasra, J. R. Stat. Soc. B
68 (2006) 411).  At each power it is resampled and moved by slice sampling (Neal, Ann. Stat. 31
(2003) 705) along the difference of two other points, which suits itself to correlated posteriors
(Karamanis and Beutler, Stat. Comput. 31 (2021) 61).  Every draw is the end of a chain of its own,
modes get their weight from the prior's draws, and every step is one evaluation of thousands of
points, which is what neural networks are fast at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepflow_lfi.priors import Floats, Prior
from hepflow_verbs import UsageError

KEPT_SHARE = 0.5
MOVES_PER_PARAMETER = 2
LAST_MOVES_PER_PARAMETER = 10
SLICE_WIDTH = 4.0
MOST_SHRINKS = 60
SMALLEST_POPULATION = 1000

LogLikelihood = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class _Target:
    """The density ``prior * likelihood ** power``, evaluated for rows of parameters."""

    prior: Prior
    log_likelihood: LogLikelihood
    power: float

    def evaluate(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return its logarithm and that of the likelihood; the network sees the prior's inside."""
        density = self.prior.log_density(theta)
        likelihood = np.full(len(theta), -np.inf)
        inside = np.isfinite(density)
        if inside.any():
            likelihood[inside] = self.log_likelihood(theta[inside])
        tempered = np.where(np.isfinite(likelihood), density + self.power * likelihood, -np.inf)
        return tempered, likelihood


def sample_tempered(
    log_likelihood: LogLikelihood, prior: Prior, count: int, generator: np.random.Generator
) -> Floats:
    """Return ``count`` draws (count, parameters) of the posterior.

    ``log_likelihood`` takes points inside the prior (n, parameters) and returns (n,), up to a
    constant.  Raises ``UsageError`` if it is a number nowhere in the prior.
    """
    size = max(count, SMALLEST_POPULATION)
    theta = prior.draw(size, generator)
    likelihood = log_likelihood(theta)
    if not np.isfinite(likelihood).any():
        raise UsageError(
            "posterior",
            "its likelihood is no finite number anywhere in the prior",
            fix="train it with more simulations, or a lower --learning-rate",
        )
    power = 0.0
    while power < 1.0:
        step = _choose_step(likelihood, 1.0 - power)
        power = min(power + step, 1.0)
        chosen = _resample(step * likelihood, generator)
        theta, likelihood = theta[chosen], likelihood[chosen]
        target = _Target(prior, log_likelihood, power)
        moves = MOVES_PER_PARAMETER if power < 1.0 else LAST_MOVES_PER_PARAMETER
        for _ in range(moves * prior.dim):
            theta, likelihood = _move(target, theta, likelihood, generator)
    return theta[generator.permutation(size)[:count]]


def _choose_step(likelihood: Floats, most: float) -> float:
    """Return the rise of the power that leaves an effective share of the points, at ``most``."""

    def share(step: float) -> float:
        weights = _weigh(step * likelihood)
        return float(1.0 / np.square(weights).sum() / len(weights))

    if share(most) >= KEPT_SHARE:
        return most
    low, high = 0.0, most
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if share(middle) >= KEPT_SHARE else (low, middle)
    return high


def _weigh(log_weights: Floats) -> Floats:
    usable = np.where(np.isfinite(log_weights), log_weights, -np.inf)
    weights = np.exp(usable - usable.max())
    return np.asarray(weights / weights.sum())


def _resample(log_weights: Floats, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return indices drawn by weight, evenly spread over the cumulated weights."""
    count = len(log_weights)
    places = (np.arange(count) + generator.random()) / count
    cumulated = np.cumsum(_weigh(log_weights))
    return np.minimum(np.searchsorted(cumulated, places), count - 1)


def _move(
    target: _Target, theta: Floats, likelihood: Floats, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Slice-sample every point once: each half along differences of points of the other."""
    order = generator.permutation(len(theta))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    theta, likelihood = theta.copy(), likelihood.copy()
    for moved, others in (halves, halves[::-1]):
        first, second = generator.integers(len(others), size=(2, len(moved)))
        direction = theta[others[first]] - theta[others[second]]
        theta[moved], likelihood[moved] = _slice(
            target, theta[moved], likelihood[moved], direction, generator
        )
    return theta, likelihood


def _slice(
    target: _Target,
    theta: Floats,
    likelihood: Floats,
    direction: Floats,
    generator: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Shrink a randomly placed interval around each point until a draw of it lies in the slice.

    Without stepping out: any fixed width leaves the target invariant (Neal, section 4.1).
    """
    count = len(theta)
    density = target.prior.log_density(theta) + target.power * likelihood
    height = density + np.log(generator.random(count))
    low = -SLICE_WIDTH * generator.random(count)
    high = low + SLICE_WIDTH
    theta, likelihood, start = theta.copy(), likelihood.copy(), theta
    active = np.arange(count)
    for _ in range(MOST_SHRINKS):  # a point not settled by then is where it was, to rounding
        place = generator.uniform(low[active], high[active])
        proposal = start[active] + place[:, None] * direction[active]
        tempered, likelihood_there = target.evaluate(proposal)
        found = tempered > height[active]
        theta[active[found]] = proposal[found]
        likelihood[active[found]] = likelihood_there[found]
        missed, place = active[~found], place[~found]
        low[missed] = np.where(place < 0, place, low[missed])
        high[missed] = np.where(place < 0, high[missed], place)
        active = missed
        if not len(active):
            break
    return theta, likelihood
