"""The four simulators: parameters in, one synthetic observation a row out.

Definitions from Lueckmann, Boelts, Greenberg, Goncalves, Macke, "Benchmarking simulation-based
inference", AISTATS 2021, PMLR 130:343 (appendix T), which took two_moons from Greenberg et al.,
"Automatic posterior transformation", ICML 2019, and slcp from Papamakarios et al., AISTATS 2019.
All quantities are dimensionless.  Every function takes ``theta`` (n, parameters) and a generator
and returns (n, data); it keeps no state.
"""

from __future__ import annotations

import numpy as np

from hepflow_lfi.priors import Floats

RADIUS_MEAN, RADIUS_SD = 0.1, 0.01
MOON_OFFSET = 0.25
LINEAR_NOISE_VARIANCE = 0.1
MIXTURE_SCALES = (1.0, 0.1)
SLCP_POINTS = 4
SLCP_JITTER = 1e-6


def draw_moon(count: int, generator: np.random.Generator) -> Floats:
    """Return ``count`` points of the crescent at zero parameters, shape (count, 2)."""
    angle = generator.uniform(-np.pi / 2, np.pi / 2, count)
    radius = generator.normal(RADIUS_MEAN, RADIUS_SD, count)
    return np.stack([radius * np.cos(angle) + MOON_OFFSET, radius * np.sin(angle)], axis=1)


def two_moons(theta: Floats, generator: np.random.Generator) -> Floats:
    """A crescent, shifted by the parameters: bimodal and curved posterior, 2 -> 2 dimensions."""
    shift = np.stack([-np.abs(theta.sum(axis=1)), theta[:, 1] - theta[:, 0]], axis=1)
    return draw_moon(len(theta), generator) + shift / np.sqrt(2.0)


def gaussian_linear(theta: Floats, generator: np.random.Generator) -> Floats:
    """The parameters with normal noise of variance 0.1: a normal posterior, 10 -> 10."""
    return theta + generator.normal(0.0, np.sqrt(LINEAR_NOISE_VARIANCE), theta.shape)


def gaussian_mixture(theta: Floats, generator: np.random.Generator) -> Floats:
    """The parameters with wide or narrow noise; one coin a row serves both dimensions, 2 -> 2."""
    scale = np.where(generator.random((len(theta), 1)) < 0.5, *MIXTURE_SCALES)
    return theta + scale * generator.normal(size=theta.shape)


def slcp(theta: Floats, generator: np.random.Generator) -> Floats:
    """Four draws of one 2-D normal: simple likelihood, complex posterior, 5 -> 8.

    Mean (t1, t2), standard deviations t3^2 and t4^2, correlation tanh t5; 1e-6 is added to both
    variances, as in the benchmark.  The four points stand one after the other in a row.
    """
    mean, sd_x, sd_y = theta[:, None, :2], theta[:, 2] ** 2, theta[:, 3] ** 2
    covariance_xy = np.tanh(theta[:, 4]) * sd_x * sd_y
    lower_xx = np.sqrt(sd_x**2 + SLCP_JITTER)
    lower_yx = covariance_xy / lower_xx
    lower_yy = np.sqrt(np.maximum(sd_y**2 + SLCP_JITTER - lower_yx**2, 0.0))
    noise = generator.normal(size=(len(theta), SLCP_POINTS, 2))
    shift_x = lower_xx[:, None] * noise[:, :, 0]
    shift_y = lower_yx[:, None] * noise[:, :, 0] + lower_yy[:, None] * noise[:, :, 1]
    points = mean + np.stack([shift_x, shift_y], axis=2)
    return np.asarray(points.reshape(len(theta), 2 * SLCP_POINTS))
