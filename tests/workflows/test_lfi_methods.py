"""The methods: losses against the library's own, samplers and trained networks against exact ones."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
pytest.importorskip("sbi")

from hepflow_lfi import losses  # noqa: E402
from hepflow_lfi.archives import Simulations, read_observation, read_simulations  # noqa: E402
from hepflow_lfi.cli import main  # noqa: E402
from hepflow_lfi.methods import METHODS, find_method, make_loss_for_rounds  # noqa: E402
from hepflow_lfi.networks import Network, build_classifier, build_posterior_flow  # noqa: E402
from hepflow_lfi.posteriors import Posterior, sample_posterior  # noqa: E402
from hepflow_lfi.priors import Normal, Uniform, independent  # noqa: E402
from hepflow_lfi.problems import Problem  # noqa: E402
from hepflow_lfi.simulate import draw, simulate_part  # noqa: E402
from hepflow_lfi.tasks import TASKS  # noqa: E402
from hepflow_lfi.tempering import sample_tempered  # noqa: E402
from hepflow_lfi.training import TrainingPlan, train_network  # noqa: E402
from hepflow_verbs import Complaint, UsageError  # noqa: E402

pytestmark = pytest.mark.slow

DATA = Path(__file__).resolve().parents[2] / "recipes" / "lfi" / "data" / "gaussian_linear.npz"


@pytest.fixture
def rng():
    return np.random.default_rng(20260301)


def _examples(count: int = 40):
    torch.manual_seed(3)
    theta = torch.randn(count, 2)
    return theta, theta + 0.3 * torch.randn(count, 2)


# --- losses: the library's are the oracle -------------------------------------------------------


def test_the_ratio_loss_is_that_of_the_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the library writes a log where it is
    from sbi.inference import NRE_B

    theta, x = _examples()
    network = build_classifier(Network("resnet", 8, 2), theta, x)
    network.train(False)
    library = NRE_B(show_progress_bars=False)
    library._neural_net = network
    torch.manual_seed(7)
    theirs = library._loss(theta, x, num_atoms=losses.ATOMS)
    torch.manual_seed(7)
    ours = find_method("NRE").loss(network, theta, x)
    assert ours.shape == (40,)
    assert ours.mean().item() == pytest.approx(theirs.item(), rel=1e-5)


def test_the_loss_for_rounds_is_that_of_the_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the library writes a log where it is
    from sbi.inference import NPE_C

    theta, x = _examples()
    network = build_posterior_flow(Network("nsf", 8, 2), theta, x)
    network.train(False)
    prior = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(2), 2.0), 1)
    library = NPE_C(prior, show_progress_bars=False)
    library._neural_net, library._num_atoms, library._use_combined_loss = network, 10, False
    torch.manual_seed(7)
    masks = torch.zeros(40, 1, dtype=torch.bool)
    theirs = library._log_prob_proposal_posterior_atomic(theta, x, masks)
    torch.manual_seed(7)
    loss = make_loss_for_rounds(find_method("NPE"), independent(2, Normal(0.0, 2.0)))
    assert loss(network, theta, x).tolist() == pytest.approx((-theirs).tolist(), rel=1e-4, abs=1e-5)


def test_a_method_that_cannot_learn_from_rounds_says_so():
    with pytest.raises(UsageError, match="FMPE cannot learn from several rounds"):
        make_loss_for_rounds(METHODS["FMPE"], independent(2, Normal(0.0, 1.0)))


def test_a_method_is_found_by_either_of_its_names():
    assert find_method("SNPE") is find_method("NPE")
    with pytest.raises(
        UsageError, match=r"no method is called 'ABC'\n  fix: .*NPE, NRE, NLE, FMPE"
    ):
        find_method("ABC")


def test_a_flow_that_would_not_see_its_condition_is_refused():
    theta, x = _examples()
    for method in ("NPE", "NLE"):
        with pytest.raises(UsageError, match=r"maf cannot model a density of 2 dim.*\n.*\n.*nsf"):
            find_method(method).build(Network("maf"), theta, x)


# --- the sampler: exact posteriors are the oracle -----------------------------------------------


def test_tempered_draws_of_a_normal_posterior_have_its_moments(rng):
    x = rng.normal(size=5)
    root = np.linalg.cholesky(np.eye(5) + 0.9)  # correlated: the axes are no good directions

    def log_likelihood(theta):
        return -0.5 * np.square(np.linalg.solve(root, (theta - x).T)).sum(axis=0)

    covariance = np.linalg.inv(np.linalg.inv(root @ root.T) + np.eye(5) / 9)
    mean = covariance @ np.linalg.solve(root @ root.T, x)
    draws = sample_tempered(log_likelihood, independent(5, Normal(0.0, 3.0)), 10_000, rng)
    assert draws.mean(axis=0) == pytest.approx(mean, abs=0.06)
    assert np.cov(draws.T) == pytest.approx(covariance, abs=0.08)


def test_tempered_draws_find_far_and_narrow_modes_by_their_weight(rng):
    def log_likelihood(theta):  # widths 0.01 and 0.02 of a box of side 20: weights 1 to 4 in 2-D
        near = np.square((theta - 5) / 0.01).sum(axis=1)
        far = np.square((theta + 5) / 0.02).sum(axis=1)
        return np.logaddexp(-0.5 * near, -0.5 * far)

    draws = sample_tempered(log_likelihood, independent(2, Uniform(-10, 10)), 10_000, rng)
    above = draws[draws[:, 0] > 0]
    assert len(above) / len(draws) == pytest.approx(0.2, abs=0.07)
    assert above.std(axis=0) == pytest.approx([0.01, 0.01], rel=0.1)


def test_tempered_draws_stay_inside_the_prior(rng):
    prior = independent(1, Uniform(0.0, 1.0))
    draws = sample_tempered(lambda theta: 3.0 * theta[:, 0], prior, 5000, rng)
    assert prior.contains(draws).all()
    mean = 1 / (1 - math.exp(-3)) - 1 / 3  # of a density that grows as exp(3 theta)
    assert draws.mean() == pytest.approx(mean, abs=0.015)


def test_a_likelihood_that_is_no_number_is_told(rng):
    prior = independent(1, Uniform(0.0, 1.0))
    with pytest.raises(UsageError, match="no finite number anywhere in the prior"):
        sample_tempered(lambda theta: np.full(len(theta), np.nan), prior, 10, rng)


# --- drawing and proposing by the command line ----------------------------------------------------


@pytest.fixture
def posterior_file(tmp_path):
    """A posterior of gaussian_linear, hardly trained."""
    draw("gaussian_linear", 200, 0, tmp_path / "sample.npz")
    words = ["train", "gaussian_linear", tmp_path / "sample.npz", "--out", tmp_path / "p.pt"]
    assert main([*map(str, words), "--epochs", "2", "--metrics", str(tmp_path / "m.json")]) == 0
    assert json.loads((tmp_path / "m.json").read_text())["simulations"] == 200
    return tmp_path / "p.pt"


def test_draws_are_a_table_with_a_column_for_each_parameter(posterior_file, tmp_path):
    data, out = tmp_path / "data.csv", tmp_path / "draws.csv"
    data.write_text(",".join(["0.1"] * 10) + "\n" + ",".join(["0.2"] * 10) + "\n")
    words = ["sample", posterior_file, data, "--observation", 2, "--draws", 50, "--out", out]
    assert main([*map(str, words)]) == 0
    head, *rows = out.read_text().splitlines()
    assert head.split(",") == [f"theta_{number}" for number in range(1, 11)]
    assert len(rows) == 50


@pytest.mark.parametrize(
    ("content", "number", "message"),
    [
        ("1,2\n", 1, "holds 1 x 2 numbers, needed are 10"),
        ("a,b\n", 1, "holds no row of numbers"),
        (",".join("1" * 10) + "\n", 2, "there is no observation 2"),
    ],
)
def test_an_observation_that_does_not_fit_is_refused(tmp_path, content, number, message):
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(Complaint, match=message):
        read_observation(path, number, data_dim=10)


def test_rounds_follow_each_other(posterior_file, tmp_path, capsys):
    """From the prior, then from the posterior; the simulations of the second round know it."""
    first, second, progress = (tmp_path / name for name in ("1.npz", "2.npz", "progress.json"))
    assert main(["propose", "gaussian_linear", "--draws", "40", "--out", str(first)]) == 0
    words = ["propose", "gaussian_linear", posterior_file, "--observations", DATA]
    words += ["--draws", 40, "--previous", first, "--metrics", progress, "--out", second]
    assert main([*map(str, words)]) == 0
    assert json.loads(progress.read_text())["round"] == 1
    assert 0 <= json.loads(progress.read_text())["c2st_to_round_before"] <= 1
    for part in range(3):
        simulate_part("gaussian_linear", second, part, 3, tmp_path / f"part-{part}.npz")
    shards = [tmp_path / "sample.npz", *(tmp_path / f"part-{part}.npz" for part in range(3))]
    data = read_simulations(shards, TASKS["gaussian_linear"].problem)
    assert (len(data.theta), data.rounds) == (240, 2)
    with pytest.raises(UsageError, match="there is no part 3 of 3"):
        simulate_part("gaussian_linear", second, 3, 3, tmp_path / "none.npz")
    with pytest.raises(UsageError, match="40 parameters cannot be shared out"):
        simulate_part("gaussian_linear", second, 40, 41, tmp_path / "none.npz")
    assert main(["propose", "gaussian_linear", str(posterior_file)]) == 2
    assert "--observations: is missing" in capsys.readouterr().err


# --- trained networks: a normal likelihood is the oracle -----------------------------------------

PLANS = {
    "NPE": TrainingPlan(Network("nsf", 20, 2), 20, 100, 5e-3),
    "NLE": TrainingPlan(Network("nsf", 20, 2), 25, 100, 5e-3),
    "NRE": TrainingPlan(Network("resnet", 30, 2), 40, 100, 5e-3),
    "FMPE": TrainingPlan(Network("mlp", 50, 3), 120, 100, 5e-3),
}
NOISE = 0.5


def _simulate(theta, rng, rounds=1):
    x = theta + NOISE * rng.normal(size=theta.shape)
    return Simulations(theta.astype(np.float32), x.astype(np.float32), rounds)


def _infer(name: str, problem: Problem, data: Simulations, x):
    method = find_method(name)
    trained = train_network(method, problem, data, PLANS[name], say=lambda line: None)
    posterior = Posterior(
        problem, 2, method, PLANS[name].network, len(data.theta), data.rounds, 0, trained.estimator
    )
    draws, kept = sample_posterior(posterior, x, 4000, seed=1)
    assert draws.shape == (4000, 2)
    assert 0.9 < kept <= 1
    return posterior, draws


EVERYDAY = ("NPE", "NRE")  # the two ways to draw; the others repeat them with other networks


def _mark(name: str):
    return name if name in EVERYDAY else pytest.param(name, marks=pytest.mark.long)


@pytest.mark.parametrize("name", [_mark(name) for name in METHODS])
def test_each_method_learns_a_normal_posterior(name, rng):
    problem = Problem("normal", independent(2, Normal(0.0, 1.0)), number=9)
    data = _simulate(problem.prior.draw(2000, rng), rng)
    posterior, draws = _infer(name, problem, data, [0.8, -0.4])
    variance = 1 / (1 + 1 / NOISE**2)
    assert posterior.method_name == name
    assert draws.mean(axis=0) == pytest.approx([0.64, -0.32], abs=0.1)
    assert draws.std(axis=0) == pytest.approx([math.sqrt(variance)] * 2, rel=0.2)


@pytest.mark.long
@pytest.mark.parametrize("name", ["NPE", "NLE", "NRE"])
def test_parameters_of_later_rounds_leave_the_posterior_as_it_is(name, rng):
    """Half of the parameters come from a density far from the prior: the loss must undo that."""
    problem = Problem("normal", independent(2, Normal(0.0, 1.0)), number=9)
    first = problem.prior.draw(1000, rng)
    second = rng.normal([1.2, -1.0], 0.4, (1000, 2))
    data = _simulate(np.concatenate([first, second]), rng, rounds=2)
    posterior, draws = _infer(name, problem, data, [0.8, -0.4])
    assert posterior.method_name == f"S{name}"
    assert draws.mean(axis=0) == pytest.approx([0.64, -0.32], abs=0.12)
    assert draws.std(axis=0) == pytest.approx([math.sqrt(0.2)] * 2, rel=0.25)
