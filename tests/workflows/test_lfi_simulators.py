"""Simulators of the benchmark without a reference here, against closed forms and other solvers."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
stats = pytest.importorskip("scipy.stats")
integrate = pytest.importorskip("scipy.integrate")

from hepflow_lfi import closed_form, simulators  # noqa: E402
from hepflow_lfi.tasks import TASKS  # noqa: E402

OTHERS = ("gaussian_linear_uniform", "bernoulli_glm", "sir", "lotka_volterra")


@pytest.fixture
def rng():
    return np.random.default_rng(20260301)


@pytest.mark.parametrize("name", OTHERS)
def test_prior_and_simulator_have_the_dimensions_of_the_task(name, rng):
    task = TASKS[name]
    theta = task.prior.draw(50, rng)
    x = task.simulator(theta, rng)
    assert x.shape == (50, task.data_dim)
    assert np.isfinite(x).all()
    assert task.prior.contains(theta).all()


# --- gaussian_linear_uniform --------------------------------------------------------------------


def test_the_exact_posterior_of_gaussian_linear_uniform_is_a_normal_cut_at_the_box(rng):
    prior = TASKS["gaussian_linear_uniform"].prior
    x = np.linspace(-1.4, 1.4, 10)
    theta = closed_form.gaussian_linear_uniform(x, 20_000, rng, prior)
    assert prior.contains(theta).all()
    sd = np.sqrt(0.1)
    for column, mean in zip(theta.T, x, strict=True):
        exact = stats.truncnorm((-1 - mean) / sd, (1 - mean) / sd, mean, sd)
        assert stats.kstest(column, exact.cdf).pvalue > 1e-3


# --- bernoulli_glm ------------------------------------------------------------------------------


def test_the_glm_counts_spikes_and_what_came_before_them(rng):
    design = simulators.design_glm()
    assert design.shape == (100, 10)
    assert (design[:, 0] == 1).all()
    stimulus = design[:, 1]
    assert stimulus[0] == pytest.approx(0.4967141, abs=1e-6)  # numpy's RandomState(42)
    assert design[20, 5] == stimulus[16]
    theta = TASKS["bernoulli_glm"].prior.draw(1, rng).repeat(20_000, axis=0)
    x = simulators.bernoulli_glm(theta, rng)
    probability = 1 / (1 + np.exp(-design @ theta[0]))
    sd = np.sqrt((probability * (1 - probability)) @ design**2)
    assert np.abs((x.mean(axis=0) - probability @ design) / sd).max() < 0.05
    assert x.std(axis=0) == pytest.approx(sd, rel=0.05)


def test_the_glm_prior_has_the_precision_that_was_published(rng):
    prior = TASKS["bernoulli_glm"].prior
    precision = np.linalg.inv(np.array(prior.covariance))
    assert precision[0] == pytest.approx([0.5] + [0] * 9, abs=1e-9)
    # F = D^2 + diag(sqrt(i / 9)), D the first difference: row 3 of F is 1, -2, 1 + sqrt(2 / 9).
    smooth = np.linalg.cholesky(precision[1:, 1:][::-1, ::-1])[::-1, ::-1].T  # F^T F = L L^T
    assert np.abs(smooth[2, :3]) == pytest.approx([1, 2, 1 + np.sqrt(2 / 9)], abs=1e-6)


# --- differential equations: scipy's solver is the oracle -----------------------------------------


def test_the_epidemic_is_that_of_another_solver(rng):
    theta = TASKS["sir"].prior.draw(5, rng)
    ours = simulators.solve_sir(theta)
    for (contact, recovery), row in zip(theta, ours, strict=True):

        def rates(_, state, contact=contact, recovery=recovery):
            infections = contact * state[0] * state[1] / 1e6
            return [-infections, infections - recovery * state[1]]

        days = simulators.SIR_DAYS
        solved = integrate.solve_ivp(
            rates, (0, 153), [1e6 - 1, 1], t_eval=days, rtol=1e-9, atol=1e-6
        )
        assert row == pytest.approx(solved.y[1], rel=1e-3, abs=1e-3)


def test_tests_find_the_share_that_is_infected(rng):
    theta = np.array([[0.4, 0.125]]).repeat(5000, axis=0)
    share = simulators.solve_sir(theta[:1])[0] / 1e6
    x = simulators.sir(theta, rng)
    assert (x[:, 0] == 0).mean() > 0.99  # one of a million
    assert x.mean(axis=0) == pytest.approx(1000 * share, abs=0.8)
    assert x.var(axis=0) == pytest.approx(1000 * share * (1 - share), rel=0.1, abs=0.05)


def test_predators_and_prey_are_those_of_another_solver(rng):
    theta = TASKS["lotka_volterra"].prior.draw(5, rng)
    ours = simulators.solve_predation(theta)
    for rates_of_one, row in zip(theta, ours, strict=True):
        birth, predation, death, growth = rates_of_one

        def rates(_, logs, b=birth, p=predation, d=death, g=growth):
            return [b - p * np.exp(logs[1]), g * np.exp(logs[0]) - d]

        days = simulators.PREDATION_DAYS
        start = np.log(simulators.PREDATION_START)
        solved = integrate.solve_ivp(
            rates, (0, days[-1]), start, "LSODA", t_eval=days, rtol=1e-9, atol=1e-9
        )
        assert np.log(row) == pytest.approx(solved.y.ravel(), abs=2e-3)


def test_predators_and_prey_keep_their_constant_of_motion(rng):
    theta = TASKS["lotka_volterra"].prior.draw(200, rng)
    prey, predators = simulators.solve_predation(theta).reshape(200, 2, 10).transpose(1, 0, 2)
    birth, predation, death, growth = theta.T[:, :, None]
    constant = growth * prey - death * np.log(prey) + predation * predators
    constant = constant - birth * np.log(predators)
    assert constant == pytest.approx(constant[:, :1].repeat(10, axis=1), rel=1e-3)


def test_counts_scatter_by_a_tenth(rng):
    theta = np.array([[0.9, 0.05, 0.9, 0.05]]).repeat(20_000, axis=0)
    x = np.log(simulators.lotka_volterra(theta, rng))
    assert x.mean(axis=0) == pytest.approx(
        np.log(simulators.solve_predation(theta[:1])[0]), abs=5e-3
    )
    assert x.std(axis=0) == pytest.approx(np.full(20, 0.1), rel=0.03)
