"""Exact posteriors, for the tasks that have one: references of any size, and tests.

Every function takes one observation (data,), a count and a generator, and returns independent
posterior draws (count, parameters).  Sources: as for :mod:`hepflow_lfi.simulators`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hepflow_lfi.priors import Floats, Prior
from hepflow_lfi.simulators import LINEAR_BOUND, LINEAR_NOISE_VARIANCE, MIXTURE_SCALES, draw_moon

Draw = Callable[[int], Floats]


def gaussian_linear(
    observation: Floats, count: int, generator: np.random.Generator, prior: Prior
) -> Floats:
    """Prior and noise have the same variance, so the posterior is N(x/2, 0.05 I)."""
    sd = np.sqrt(LINEAR_NOISE_VARIANCE / 2)
    return generator.normal(observation / 2, sd, (count, prior.dim))


def gaussian_linear_uniform(
    observation: Floats, count: int, generator: np.random.Generator, prior: Prior
) -> Floats:
    """N(x, 0.1 I), cut by the prior: every parameter for itself, because none depends on another."""
    sd = np.sqrt(LINEAR_NOISE_VARIANCE)
    theta = generator.normal(observation, sd, (count, prior.dim))
    outside = np.abs(theta) > LINEAR_BOUND
    while outside.any():
        redrawn = generator.normal(np.broadcast_to(observation, theta.shape)[outside], sd)
        theta[outside] = redrawn
        outside = np.abs(theta) > LINEAR_BOUND
    return theta


def two_moons(
    observation: Floats, count: int, generator: np.random.Generator, prior: Prior
) -> Floats:
    """Solve the simulator for the parameters, either sign of their sum; reject outside prior.

    The crescent fixes |t1+t2| and t2-t1; a draw in which |t1+t2| came out negative has no
    parameters and is rejected.
    """

    def propose(size: int) -> Floats:
        moon = draw_moon(size, generator)
        total = moon[:, 0] - observation[0]
        difference = observation[1] - moon[:, 1]
        sign = np.where(generator.random(size) < 0.5, -1.0, 1.0)
        theta = np.stack([sign * total - difference, sign * total + difference], axis=1)
        return np.asarray(theta[total >= 0] / np.sqrt(2.0))

    return _reject_outside(propose, count, prior)


def gaussian_mixture(
    observation: Floats, count: int, generator: np.random.Generator, prior: Prior
) -> Floats:
    """The likelihood is symmetric in x and theta, so the posterior is it, cut by the prior."""

    def propose(size: int) -> Floats:
        scale = np.where(generator.random((size, 1)) < 0.5, *MIXTURE_SCALES)
        return np.asarray(observation + scale * generator.normal(size=(size, prior.dim)))

    return _reject_outside(propose, count, prior)


def _reject_outside(propose: Draw, count: int, prior: Prior) -> Floats:
    kept: list[Floats] = []
    while sum(map(len, kept)) < count:
        theta = propose(max(count, 1000))
        kept.append(theta[prior.contains(theta)])
    return np.concatenate(kept)[:count]
