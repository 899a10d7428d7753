"""The Gaussian latent model: z ~ N(theta, 2²) is what happened, x ~ N(z, 1²) what was measured.

Each of d independent parameters has one latent and one observable. All that MadMiner takes from a
matrix element is known here in closed form: the joint likelihood ratio p(x, z | theta) / p(x, z | 0)
and the joint score (Brehmer et al., arXiv:1805.00020, section II), because the detector p(x | z)
cancels; and so is what the networks are to find out, the ratio and the score of x alone, which is
N(theta, 5). With d = 1 it is the model of MadMiner's own test of its ratio estimators. The reference
hypothesis is theta = 0 throughout.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

LATENT_VARIANCE = 4.0
DETECTOR_VARIANCE = 1.0
OBSERVED_VARIANCE = LATENT_VARIANCE + DETECTOR_VARIANCE


def draw_latents(theta: Array, rng: np.random.Generator) -> Array:
    """Draw z for each row of ``theta`` (n, d)."""
    return theta + np.sqrt(LATENT_VARIANCE) * rng.standard_normal(theta.shape)


def measure(z: Array, rng: np.random.Generator) -> Array:
    """Draw x for each row of ``z`` (n, d)."""
    return z + np.sqrt(DETECTOR_VARIANCE) * rng.standard_normal(z.shape)


def log_latent_density(z: Array, theta: Array) -> Array:
    """log p(z | theta) without its constant, for rows of both after broadcasting."""
    distance: Array = np.sum((z - theta) ** 2, axis=-1)
    return -distance / (2 * LATENT_VARIANCE)


def joint_log_ratio(z: Array, theta: Array) -> Array:
    """log p(x, z | theta) / p(x, z | 0), for rows of both."""
    return log_latent_density(z, theta) - log_latent_density(z, np.zeros_like(theta))


def joint_score(z: Array, theta: Array) -> Array:
    """The gradient of log p(x, z | theta) in theta, (n, d)."""
    return (z - theta) / LATENT_VARIANCE


def exact_log_ratio(x: Array, theta: Array) -> Array:
    """log p(x | theta) / p(x | 0) for every row of ``theta`` (m, d) and of ``x`` (n, d): (m, n)."""
    squares: Array = np.sum(theta**2, axis=1)[:, None]
    return (theta @ x.T - squares / 2) / OBSERVED_VARIANCE


def exact_score(x: Array) -> Array:
    """The gradient of log p(x | theta) at theta = 0, (n, d)."""
    return x / OBSERVED_VARIANCE
