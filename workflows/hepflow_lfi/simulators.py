"""The simulators of the benchmark: parameters in, one synthetic observation a row out.

Definitions from Lueckmann, Boelts, Greenberg, Goncalves, Macke, "Benchmarking simulation-based
inference", AISTATS 2021, PMLR 130:343 (appendix T), which took two_moons from Greenberg et al.,
"Automatic posterior transformation", ICML 2019, and slcp from Papamakarios et al., AISTATS 2019.
All quantities are dimensionless.  Every function takes ``theta`` (n, parameters) and a generator
and returns (n, data); it keeps no state.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from hepflow_lfi.priors import Floats

RADIUS_MEAN, RADIUS_SD = 0.1, 0.01
MOON_OFFSET = 0.25
LINEAR_NOISE_VARIANCE = 0.1
LINEAR_BOUND = 1.0
MIXTURE_SCALES = (1.0, 0.1)
SLCP_POINTS = 4
SLCP_JITTER = 1e-6
GLM_STEPS, GLM_FILTER, GLM_STIMULUS_SEED = 100, 9, 42
SIR_POPULATION, SIR_TESTED = 1_000_000.0, 1000
SIR_DAYS = np.linspace(0.0, 153.0, 10)
SIR_STEP_DAYS = 0.5
PREDATION_START = (30.0, 1.0)
PREDATION_DAYS = np.linspace(0.0, 18.9, 10)
PREDATION_STEP_DAYS = 0.01
PREDATION_LOG_NOISE = 0.1
PREDATION_BOUNDS = (1e-10, 1e4)

Rates = Callable[[Floats], Floats]


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


@cache
def design_glm() -> Floats:
    """Return the design matrix (100, 10): an offset, and the stimulus delayed by 0 to 8 steps.

    The stimulus is white noise, the same in every simulation (single precision, as published).
    """
    noise = np.random.RandomState(GLM_STIMULUS_SEED).randn(GLM_STEPS)
    stimulus = noise.astype(np.float32).astype(np.float64)
    design = np.zeros((GLM_STEPS, 1 + GLM_FILTER))
    design[:, 0] = 1.0
    for delay in range(GLM_FILTER):
        design[delay:, 1 + delay] = stimulus[: GLM_STEPS - delay]
    return design


def bernoulli_glm(theta: Floats, generator: np.random.Generator) -> Floats:
    """Spikes of a neuron, an offset and a filter of nine steps on a stimulus, 10 -> 10.

    The data are sufficient: the number of spikes, and the stimulus summed over the nine steps up
    to each spike.
    """
    design = design_glm()
    probability = 1.0 / (1.0 + np.exp(-theta @ design.T))
    return np.asarray((generator.random(probability.shape) < probability) @ design)


def sir(theta: Floats, generator: np.random.Generator) -> Floats:
    """An epidemic, contact and recovery rate a day: infected among 1000 tested, ten times, 2 -> 10.

    One of a million is infected on day 0; tests are on days 0, 17, ..., 153.
    """
    infected = solve_sir(theta)
    share = np.clip(infected / SIR_POPULATION, 0.0, 1.0)
    return generator.binomial(SIR_TESTED, share).astype(np.float64)


def solve_sir(theta: Floats) -> Floats:
    """Return the number of infected (n, 10) on ``SIR_DAYS``."""
    contact, recovery = theta[:, 0], theta[:, 1]

    def rates(state: Floats) -> Floats:
        infections = contact * state[0] * state[1] / SIR_POPULATION
        return np.stack([-infections, infections - recovery * state[1]])

    start = np.array([[SIR_POPULATION - 1.0], [1.0]]).repeat(len(theta), axis=1)
    return _integrate(rates, start, SIR_DAYS, SIR_STEP_DAYS)[:, 1].T


def lotka_volterra(theta: Floats, generator: np.random.Generator) -> Floats:
    """Prey and predators, four rates a day: both counted ten times with log-normal noise, 4 -> 20.

    30 prey and 1 predator on day 0; counts are on days 0, 2.1, ..., 18.9, prey first.
    """
    counts = np.clip(solve_predation(theta), *PREDATION_BOUNDS)
    return generator.lognormal(np.log(counts), PREDATION_LOG_NOISE)


def solve_predation(theta: Floats) -> Floats:
    """Return prey and predators (n, 20) on ``PREDATION_DAYS``.

    The logarithms are integrated: they stay finite and change slowly where the counts do not.
    """
    birth, predation, death, growth = theta.T

    def rates(state: Floats) -> Floats:
        prey, predators = np.exp(state)
        return np.stack([birth - predation * predators, growth * prey - death])

    start = np.log(PREDATION_START)[:, None].repeat(len(theta), axis=1)
    solved = _integrate(rates, start, PREDATION_DAYS, PREDATION_STEP_DAYS)
    return np.exp(solved).transpose(2, 1, 0).reshape(len(theta), -1)


def _integrate(rates: Rates, start: Floats, times: Floats, step: float) -> Floats:
    """Return the states (times, ...) of a system by Runge and Kutta's fourth order.

    All simulations advance together in steps of ``step``, of which the times are multiples, so that
    numpy's cost for a call is shared by all of them.
    """
    state, solved = start, [start]
    for count in np.rint(np.diff(times) / step).astype(int):
        for _ in range(count):
            first = rates(state)
            second = rates(state + step / 2 * first)
            third = rates(state + step / 2 * second)
            fourth = rates(state + step * third)
            state = state + step / 6 * (first + 2 * second + 2 * third + fourth)
        solved.append(state)
    return np.stack(solved)
