"""Calibration and posterior-predictive checks: right posteriors pass, wrong ones are found."""

from __future__ import annotations

import json

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("scipy")

from hepflow_lfi.calibration import calibrate, rank_distances  # noqa: E402
from hepflow_lfi.cli import main  # noqa: E402
from hepflow_lfi.predictive import check_prediction  # noqa: E402
from hepflow_lfi.simulate import draw, simulate_table  # noqa: E402
from hepflow_lfi.tables import write_table  # noqa: E402
from hepflow_lfi.tasks import TASKS  # noqa: E402

EXACT = [name for name, task in TASKS.items() if task.exact_posterior]


@pytest.fixture
def rng():
    return np.random.default_rng(20260301)


def _calibrate_exact(name, rng, *, count=300, scale=1.0, shift=0.0):
    """Calibrate the closed form of a task, its draws scaled about their mean and shifted."""
    task = TASKS[name]
    truth = task.prior.draw(count, rng)
    x = task.simulator(truth, rng)
    draws = np.stack([task.exact_posterior(row, 99, rng, task.prior) for row in x])
    mean = draws.mean(axis=1, keepdims=True)
    wrong = mean + scale * (draws - mean) + shift * draws.std(axis=1, keepdims=True)
    return calibrate(task.prior.names, truth, wrong, rng)


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_posterior_is_calibrated(name, rng):
    found = _calibrate_exact(name, rng)
    assert found.calibrated
    assert abs(found.area_to_curve) < 0.05
    coverage = found.interval_coverage(np.array([0.68, 0.95]))
    assert coverage.mean(axis=1) == pytest.approx([0.68, 0.95], abs=0.04)


def test_a_posterior_that_is_too_narrow_is_found(rng):
    found = _calibrate_exact("gaussian_linear", rng, scale=0.6)
    assert not found.calibrated
    assert found.uniformity.max() < 0.01  # every parameter shows it
    assert found.area_to_curve < -0.05
    assert (found.interval_coverage(np.array([0.68])) < 0.55).all()


def test_a_posterior_that_is_too_wide_is_found(rng):
    found = _calibrate_exact("gaussian_linear", rng, scale=1.6)
    assert not found.calibrated
    assert found.area_to_curve > 0.05


def test_a_posterior_that_is_off_to_one_side_is_found(rng):
    found = _calibrate_exact("gaussian_linear", rng, shift=0.5)
    assert not found.calibrated
    assert found.levels.mean() < 0.4


def test_the_prior_is_found_by_no_rank_but_by_none_of_these_tests_wrongly(rng):
    """The prior in place of the posterior is calibrated: known, and why there is also ``check``."""
    prior = TASKS["gaussian_linear"].prior
    truth, draws = prior.draw(300, rng), prior.draw(300 * 99, rng).reshape(300, 99, -1)
    assert calibrate(prior.names, truth, draws, rng).calibrated


def test_ranks_and_coverage_are_those_of_the_library(rng):
    torch = pytest.importorskip("torch")
    tarp = pytest.importorskip("sbi.diagnostics.tarp")
    sbc = pytest.importorskip("sbi.diagnostics.sbc")
    truth = rng.normal(size=(200, 3))
    draws, references = rng.normal(size=(200, 50, 3)), rng.uniform(size=(200, 3))
    turned = torch.from_numpy(draws.transpose(1, 0, 2).copy())
    thetas = torch.from_numpy(truth)
    theirs, grid = tarp._run_tarp(turned, thetas, torch.from_numpy(references), num_bins=7)
    ranks = rank_distances(truth, draws, references) / 50
    ours = [np.mean(ranks < edge) for edge in grid.tolist()[:-1]] + [1.0]
    assert theirs.tolist() == pytest.approx(ours, abs=1e-6)
    library = sbc._run_sbc(thetas, thetas, turned, show_progress_bar=False)
    found = calibrate(("a", "b", "c"), truth, draws, rng)
    assert found.ranks.tolist() == library.int().tolist()


def test_data_that_the_posterior_predicts_agree_about_as_often_as_the_p_value_says(rng):
    p_values = []
    for _ in range(200):
        rows = rng.multinomial(400, [0.5, 0.3, 0.15, 0.05], size=200)  # bound by their sum
        p_values.append(check_prediction(rows[0], rows[1:]).p_value)
    assert np.mean(np.array(p_values) < 0.1) == pytest.approx(0.1, abs=0.07)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.07)


def test_one_number_that_is_never_predicted_is_found(rng):
    predicted = rng.normal(size=(500, 8))
    observed = np.zeros(8)
    assert check_prediction(observed, predicted).agrees
    observed[3] = 6.0
    found = check_prediction(observed, predicted)
    assert not found.agrees
    assert found.tails.argmin() == 3


def test_numbers_that_fit_alone_but_not_together_are_found(rng):
    first = rng.normal(size=500)
    predicted = np.stack([first, first + 0.1 * rng.normal(size=500)], axis=1)
    found = check_prediction(np.array([1.0, -1.0]), predicted)
    assert found.smallest_tail > 0.1
    assert not found.agrees


@pytest.mark.parametrize(
    ("low", "middle", "high", "written"),
    [
        (0.4853, 0.5556, 0.6236, "0.556^{+0.068}_{-0.070}"),
        (122.94, 124.31, 125.82, "124.3^{+1.5}_{-1.4}"),
        (-0.001, 0.0, 0.0013, "0.0000^{+0.0013}_{-0.0010}"),
        (124_296.0, 124_976.0, 125_676.0, "124980^{+700}_{-680}"),
        (1e-9, 2e-9, 3e-9, "2e-09^{+1e-09}_{-1e-09}"),
        (1.0, 1.0, 1.0, "1.0000^{+0.0000}_{-0.0000}"),
    ],
)
def test_an_estimate_is_written_to_two_digits_of_its_lesser_error(low, middle, high, written):
    pytest.importorskip("matplotlib")
    from hepflow_lfi.posterior_figure import write_estimate

    assert write_estimate(low, middle, high) == f"${written}$"


def test_a_task_is_simulated_again_at_the_lines_of_a_table(tmp_path, rng):
    task = TASKS["gaussian_linear"]
    write_table(tmp_path / "draws.csv", task.prior.names, np.full((50, 10), 0.3))
    assert simulate_table("gaussian_linear", tmp_path / "draws.csv", 1, tmp_path / "x.npz") == 50
    assert np.load(tmp_path / "x.npz")["x"].mean() == pytest.approx(0.3, abs=0.06)


@pytest.mark.slow
def test_the_verbs_calibrate_and_check_write_metrics_and_figures(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sbi")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    draw("gaussian_linear", 300, 0, "train.npz")
    draw("gaussian_linear", 40, 1, "fresh.npz")
    task = TASKS["gaussian_linear"]
    np.savez("seen.npz", observations=np.full((1, 10), 0.2))
    assert main(["train", "gaussian_linear", "train.npz", "--epochs", "8", "--layers", "2"]) == 0
    assert main(["calibrate", "posterior.pt", "fresh.npz", "--plot", "c.png"]) == 0
    told = json.loads((tmp_path / "calibration.json").read_text())
    assert (told["simulations"], told["draws"], told["method"]) == (40, 99, "NPE")
    assert list(told["parameters"]) == list(task.prior.names)
    words = ["--draws", "60", "--plot", "p.png"]
    assert main(["sample", "posterior.pt", "seen.npz", *words]) == 0
    assert main(["simulate", "gaussian_linear", "--parameters", "draws.csv", "--out", "x.npz"]) == 0
    assert main(["check", "seen.npz", "x.npz", "--plot", "k.png"]) == 0
    assert json.loads((tmp_path / "check.json").read_text())["agrees"]
    for figure in ("c.png", "p.png", "k.png"):
        assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")
    draw("two_moons", 30, 0, "other.npz")
    capsys.readouterr()
    assert main(["calibrate", "posterior.pt", "other.npz"]) == 1
    assert "was made for 'two_moons', not 'gaussian_linear'" in capsys.readouterr().err
    draw("gaussian_linear", 5, 2, "few.npz")
    assert main(["calibrate", "posterior.pt", "few.npz"]) == 1
    assert "5 simulations are too few to calibrate with" in capsys.readouterr().err
