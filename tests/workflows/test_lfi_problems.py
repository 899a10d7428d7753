"""Priors and problems of one's own: what a file says, and what is said about a mistake in it."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
stats = pytest.importorskip("scipy.stats")

from hepflow_lfi.archives import read_simulations, write_simulations  # noqa: E402
from hepflow_lfi.cli import main  # noqa: E402
from hepflow_lfi.priors import read_prior  # noqa: E402
from hepflow_lfi.problems import Problem, read_problem  # noqa: E402
from hepflow_lfi.tasks import TASKS, find_problem  # noqa: E402
from hepflow_verbs import InputError  # noqa: E402

MIXED = {"mass": [100, 150], "shift": {"normal": [2, 0.5]}, "rate": {"lognormal": [-1, 0.3]}}
CORRELATED = {"names": ["a", "b"], "mean": [1, -1], "covariance": [[2.0, 0.6], [0.6, 0.5]]}


@pytest.fixture
def rng():
    return np.random.default_rng(20260301)


def test_a_prior_draws_what_its_distributions_say(rng):
    prior = read_prior(MIXED)
    theta = prior.draw(20_000, rng)
    assert prior.names == ("mass", "shift", "rate")
    oracles = [stats.uniform(100, 50), stats.norm(2, 0.5), stats.lognorm(0.3, scale=np.exp(-1))]
    for column, oracle in zip(theta.T, oracles, strict=True):
        assert stats.kstest(column, oracle.cdf).pvalue > 1e-3
    expected = sum(one.logpdf(column) for one, column in zip(oracles, theta.T, strict=True))
    assert prior.log_density(theta) == pytest.approx(expected)
    assert prior.contains(theta).all()


def test_outside_a_prior_the_density_is_zero():
    prior = read_prior(MIXED)
    outside = np.array([[99.0, 2, 1], [151, 2, 1], [120, 2, -0.1], [np.nan, 2, 1]])
    assert not prior.contains(outside).any()
    assert (prior.log_density(outside[:3]) == -np.inf).all()


def test_a_correlated_prior_is_the_normal_it_says(rng):
    prior = read_prior(CORRELATED)
    theta = prior.draw(50_000, rng)
    oracle = stats.multivariate_normal(CORRELATED["mean"], CORRELATED["covariance"])
    assert prior.log_density(theta[:100]) == pytest.approx(oracle.logpdf(theta[:100]))
    assert np.cov(theta.T) == pytest.approx(np.array(CORRELATED["covariance"]), abs=0.05)
    assert not prior.contains(np.array([[np.inf, 0.0]])).any()


@pytest.mark.parametrize("plain", [MIXED, CORRELATED])
def test_a_prior_survives_being_described(plain):
    assert read_prior(read_prior(plain).describe()) == read_prior(plain)


@pytest.mark.parametrize("name", list(TASKS))
def test_the_problem_of_a_task_survives_being_described(name):
    problem = TASKS[name].problem
    assert Problem.from_plain(problem.describe()) == problem
    assert find_problem(name) == problem


def test_a_problem_is_read_from_its_file(tmp_path):
    path = tmp_path / "decay.yaml"
    path.write_text("parameters:\n  tau: [0.5, 5]\n  smearing: {normal: [0, 0.1]}\n")
    problem = find_problem(path)
    assert (problem.name, problem.prior.names) == ("decay", ("tau", "smearing"))
    path.write_text("name: lifetime\nparameters: {tau: [0.5, 5]}\n")
    assert read_problem(path).name == "lifetime"
    assert read_problem(path).number != problem.number


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not well-formed YAML"),
        ("- 1", "tells no prior"),
        ("name: x", "tells no prior"),
        ("parameters: {a: [0, 1]}\nseed: 3", "unknown key 'seed'"),
        ("parameters: {}", "a prior is a mapping of parameters"),
        ("parameters: {a: 3}", "parameter 'a': 3 is no list of numbers"),
        ("parameters: {a: [0, x]}", "holds what is no number"),
        ("parameters: {a: [1, 0]}", r"\[1, 0\] is no range"),
        ("parameters: {a: [1, 2, 3]}", "uniform takes two numbers, not 3"),
        ("parameters: {a: {normal: [0, 0]}}", "no mean and standard deviation above zero"),
        ("parameters: {a: {cauchy: [0, 1]}}", "no distribution is called 'cauchy'; there are"),
        (
            "parameters: {names: [a, b], mean: [0], covariance: [[1]]}",
            "needed are 2 means and a symmetric covariance",
        ),
        (
            "parameters: {names: [a, b], mean: [0, 0], covariance: [[1, 2], [2, 1]]}",
            "not positive definite",
        ),
        ("parameters: {names: 3, mean: 1, covariance: 2}", "names, mean and covariance are lists"),
    ],
)
def test_a_mistake_in_a_problem_file_is_told(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_problem(path)
    assert str(path) in str(caught.value)
    assert "  fix: " in str(caught.value)


def test_a_problem_file_that_is_not_there_is_told(capsys):
    assert main(["train", "none.yaml", "none.npz"]) == 1
    assert "none.yaml: no such file" in capsys.readouterr().err


def test_data_of_one_problem_are_equally_long(tmp_path):
    problem = Problem("mine", read_prior({"a": [0, 1]}), number=7)
    for seed, length in enumerate((3, 4)):
        theta, x = np.full((5, 1), 0.5), np.ones((5, length))
        write_simulations(tmp_path / f"{seed}.npz", problem, seed, theta, x)
    assert read_simulations([tmp_path / "0.npz"], problem).x.shape == (5, 3)
    with pytest.raises(InputError, match="'x' is 5 x 4, needed is 5 x 3"):
        read_simulations([tmp_path / "0.npz", tmp_path / "1.npz"], problem)


def test_parameters_outside_the_prior_are_refused(tmp_path):
    problem = Problem("mine", read_prior({"a": [0, 1]}), number=7)
    write_simulations(tmp_path / "0.npz", problem, 0, np.array([[0.5], [1.5]]), np.ones((2, 1)))
    with pytest.raises(InputError, match="1 of 2 parameters lie outside the prior"):
        read_simulations([tmp_path / "0.npz"], problem)
