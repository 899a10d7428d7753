"""The likelihood-free inference package: simulators, two-sample test, files, command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "recipes" / "lfi" / "data"
TWO_MOONS = DATA / "two_moons.npz"
REFERENCED = ("two_moons", "gaussian_linear", "gaussian_mixture", "slcp")

from hepflow_lfi import closed_form, simulators  # noqa: E402
from hepflow_lfi.archives import read_reference, read_simulations  # noqa: E402
from hepflow_lfi.cli import main  # noqa: E402
from hepflow_lfi.cpus import count_cpus, one_thread_each  # noqa: E402
from hepflow_lfi.published import find_published  # noqa: E402
from hepflow_lfi.simulate import draw, seed_generator  # noqa: E402
from hepflow_lfi.tasks import TASKS, find_task  # noqa: E402
from hepflow_verbs import Complaint, InputError, UsageError  # noqa: E402


@pytest.fixture
def rng():
    return np.random.default_rng(20260301)


# --- simulators -----------------------------------------------------------------------------


def test_a_moon_has_the_published_radius_and_lies_to_the_right(rng):
    moon = simulators.draw_moon(100_000, rng) - [simulators.MOON_OFFSET, 0.0]
    radius = np.hypot(*moon.T)
    assert radius.mean() == pytest.approx(0.1, abs=2e-4)
    assert radius.std() == pytest.approx(0.01, abs=2e-4)
    assert (moon[:, 0] > 0).all()


def test_two_moons_forgets_the_sign_of_the_sum(rng):
    theta = np.full((50_000, 2), 0.4)
    plus = simulators.two_moons(theta, rng).mean(axis=0)
    minus = simulators.two_moons(-theta, rng).mean(axis=0)
    mean_x = 0.25 + 0.1 * 2 / np.pi - 0.8 / np.sqrt(2)
    assert plus == pytest.approx([mean_x, 0.0], abs=2e-3)
    assert minus == pytest.approx(plus, abs=2e-3)


def test_gaussian_linear_noise_has_variance_a_tenth(rng):
    theta = rng.normal(size=(50_000, 10))
    noise = simulators.gaussian_linear(theta, rng) - theta
    assert noise.mean(axis=0) == pytest.approx(np.zeros(10), abs=0.01)
    assert noise.var(axis=0) == pytest.approx(np.full(10, 0.1), rel=0.03)


def test_gaussian_mixture_tosses_one_coin_for_both_dimensions(rng):
    noise = simulators.gaussian_mixture(np.zeros((100_000, 2)), rng)
    assert noise.var(axis=0) == pytest.approx([0.505, 0.505], rel=0.03)
    # Independent coins would give E[a^2 b^2] = 0.505^2; one coin gives (1 + 1e-4) / 2.
    assert np.prod(noise**2, axis=1).mean() == pytest.approx(0.5, rel=0.06)


def test_slcp_points_have_the_moments_their_parameters_say(rng):
    theta = np.tile([0.7, -1.1, 1.3, -0.9, 0.6], (100_000, 1))
    points = simulators.slcp(theta, rng).reshape(-1, 2)
    assert points.mean(axis=0) == pytest.approx([0.7, -1.1], abs=0.02)
    assert points.std(axis=0) == pytest.approx([1.69, 0.81], rel=0.01)
    assert np.corrcoef(points.T)[0, 1] == pytest.approx(np.tanh(0.6), abs=0.01)


def test_slcp_survives_a_vanishing_spread(rng):
    x = simulators.slcp(np.array([[1.0, 2.0, 0.0, 0.0, 3.0]]), rng)
    assert np.isfinite(x).all()
    assert x.reshape(4, 2) == pytest.approx(np.tile([1.0, 2.0], (4, 1)), abs=0.01)


@pytest.mark.parametrize("name", REFERENCED)
def test_prior_and_simulator_have_the_shapes_of_the_reference(name, rng):
    task = TASKS[name]
    reference = read_reference(DATA / f"{name}.npz", task.problem, task.data_dim)
    theta = task.prior.draw(7, rng)
    assert task.prior.contains(theta).all()
    assert task.simulator(theta, rng).shape == (7, task.data_dim)
    assert task.prior.contains(reference.posterior.reshape(-1, task.prior.dim)).all()


# --- exact posteriors against the published samples --------------------------------------------


@pytest.mark.parametrize("name", ["two_moons", "gaussian_linear", "gaussian_mixture"])
def test_exact_posterior_has_the_moments_of_the_published_samples(name, rng):
    task = TASKS[name]
    reference = read_reference(DATA / f"{name}.npz", task.problem, task.data_dim)
    for x, published in zip(reference.observations, reference.posterior, strict=True):
        exact = task.exact_posterior(x, 20_000, rng, task.prior)
        assert task.prior.contains(exact).all()
        error = published.std(axis=0) / np.sqrt(len(published) / 1.5)
        assert np.abs(exact.mean(axis=0) - published.mean(axis=0)).max() < 5 * error.max()
        assert exact.std(axis=0) == pytest.approx(published.std(axis=0), rel=0.06)


def test_exact_two_moons_draws_lead_back_to_the_observation(rng):
    task = TASKS["two_moons"]
    x = read_reference(TWO_MOONS, task.problem, 2).observations[0]
    theta = closed_form.two_moons(x, 20_000, rng, task.prior)
    shift = np.stack([-np.abs(theta.sum(axis=1)), theta[:, 1] - theta[:, 0]], axis=1)
    radius = np.hypot(*(x - shift / np.sqrt(2.0) - [simulators.MOON_OFFSET, 0.0]).T)
    assert radius.mean() == pytest.approx(0.1, abs=5e-4)
    assert radius.std() == pytest.approx(0.01, abs=5e-4)
    assert (theta.sum(axis=1) > 0).mean() == pytest.approx(0.5, abs=0.02)


# --- shards -------------------------------------------------------------------------------------


def test_a_shard_is_the_same_bytes_for_the_same_seed(tmp_path):
    for name in ("a", "b"):
        draw(task="two_moons", draws=50, seed=3, sample=tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_shards_and_tasks_do_not_share_random_numbers():
    moons, mixture = TASKS["two_moons"].problem, TASKS["gaussian_mixture"].problem
    streams = [seed_generator(moons, seed).random(4) for seed in range(50)]
    streams.append(seed_generator(mixture, 0).random(4))
    assert len({tuple(stream) for stream in streams}) == 51


def test_shards_are_joined_in_the_order_given(tmp_path):
    paths = [tmp_path / f"{seed}.npz" for seed in (4, 1)]
    for seed, path in zip((4, 1), paths, strict=True):
        draw("slcp", 10, seed, path)
    data = read_simulations(paths, TASKS["slcp"].problem)
    assert data.theta.shape == (20, 5)
    assert data.x.shape == (20, 8)
    assert (data.theta[:10] == np.load(paths[0])["theta"]).all()


def test_simulating_needs_numpy_only():
    code = (
        "import sys, hepflow_lfi.simulate;"
        "print([m for m in ('torch', 'sbi', 'scipy', 'matplotlib', 'sklearn', 'hepflow')"
        " if m in sys.modules])"
    )
    assert _python("-c", code).stdout.strip() == "[]"


# --- the two-sample test ------------------------------------------------------------------------


def test_c2st_of_the_same_distribution_is_a_half_and_of_a_shifted_one_nearly_one(rng):
    pytest.importorskip("scipy")
    from hepflow_lfi.c2st import c2st

    a, b = rng.normal(size=(2, 1000, 2)).astype(np.float32)
    assert c2st(a, b).score == pytest.approx(0.5, abs=0.04)
    assert c2st(a, b + 6).score > 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "dims"),
    [(300, 300, 2), pytest.param(303, 250, 3, marks=pytest.mark.long)],
)
def test_c2st_is_that_of_scikit_learn_to_the_last_bit(first, second, dims, rng):
    pytest.importorskip("scipy")
    selection = pytest.importorskip("sklearn.model_selection")
    neural_network = pytest.importorskip("sklearn.neural_network")
    from hepflow_lfi.c2st import _join, c2st

    a = rng.normal(size=(first, dims)).astype(np.float32)
    b = (0.5 + 1.3 * rng.normal(size=(second, dims))).astype(np.float32)
    ours = c2st(a, b)
    features, labels = _join(a, b)
    classifier = neural_network.MLPClassifier(
        activation="relu",
        hidden_layer_sizes=(10 * dims, 10 * dims),
        max_iter=10_000,
        solver="adam",
        random_state=1,
    )
    folds, epochs = [], []
    for train, test in selection.KFold(5, shuffle=True, random_state=1).split(features):
        classifier.fit(features[train], labels[train])
        folds.append(classifier.score(features[test], labels[test]))
        epochs.append(classifier.n_iter_)
    # A processor whose matrix kernels round otherwise may part ways by an example or two.
    assert ours.folds == pytest.approx(folds, abs=0.02)
    if sys.platform == "linux":
        assert ours.folds == tuple(folds)
        assert ours.epochs == tuple(epochs)


# --- published table, processors ------------------------------------------------------------------


def test_published_scores_are_those_of_the_table():
    npe = find_published("two_moons", "NPE", 10_000)
    assert npe is not None
    assert npe.mean == pytest.approx(0.6064)
    mixture = find_published("gaussian_mixture", "NPE", 10_000)
    assert mixture is not None
    assert mixture.source == "gaussian_mixture_rerun_v1.1.0"
    assert find_published("two_moons", "NPE", 12_345) is None


def test_the_packaged_table_is_the_one_beside_the_data():
    packaged = ROOT / "workflows" / "hepflow_lfi" / "data" / "published_c2st.csv"
    assert packaged.read_bytes() == (DATA / "published_c2st.csv").read_bytes()


def test_the_processors_granted_are_the_processors_used(monkeypatch):
    monkeypatch.setenv("HEPFLOW_CPUS", "3")
    assert count_cpus() == 3
    monkeypatch.delenv("HEPFLOW_CPUS")
    assert count_cpus() >= 1
    monkeypatch.setenv("HEPFLOW_CPUS", "many")
    with pytest.raises(UsageError, match="'many' is no number of processors"):
        count_cpus()


def test_thread_variables_are_put_back(monkeypatch):
    import os

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with one_thread_each():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


# --- mistakes -----------------------------------------------------------------------------------


def test_every_message_says_where_what_why_and_how_to_mend():
    error = InputError("a.npz", "no such file", "it was moved", "move it back")
    assert str(error) == "a.npz: no such file\n  why: it was moved\n  fix: move it back"
    assert str(InputError("a.npz", "no such file")) == "a.npz: no such file"


def test_an_unknown_task_is_told_with_those_there_are():
    with pytest.raises(UsageError, match=r"no task is called 'moons'\n  fix: .*two_moons"):
        find_task("moons")


def test_draws_and_seed_must_make_sense(tmp_path):
    with pytest.raises(UsageError, match="0 is no number of simulations"):
        draw("two_moons", 0, sample=tmp_path / "a")
    with pytest.raises(UsageError, match="-1 is below zero"):
        draw("two_moons", 1, seed=-1, sample=tmp_path / "a")


def _shard(**changes):
    arrays = {
        "theta": np.zeros((5, 2), np.float32),
        "x": np.zeros((5, 2), np.float32),
        "task": np.array("two_moons"),
        "seed": np.array(0),
    }
    return arrays | changes


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (_shard(task=np.array("slcp")), "was made for 'slcp', not 'two_moons'"),
        (_shard(theta=np.zeros((5, 3), np.float32)), "'theta' is 5 x 3, needed is any x 2"),
        (_shard(x=np.zeros((4, 2), np.float32)), "'x' is 4 x 2, needed is 5 x any"),
        (_shard(x=np.full((5, 2), np.nan, np.float32)), "no finite numbers"),
        ({"theta": np.zeros((5, 2), np.float32)}, "lacks the array 'x'"),
    ],
)
def test_a_shard_that_does_not_fit_is_refused(tmp_path, arrays, message):
    path = tmp_path / "shard.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=message) as caught:
        read_simulations([path], TASKS["two_moons"].problem)
    assert str(path) in str(caught.value)
    assert "  fix: " in str(caught.value)


def test_the_same_draws_twice_are_refused(tmp_path):
    for name in ("a", "b"):
        draw("two_moons", 10, 5, tmp_path / name)
    with pytest.raises(InputError, match="holds the same draws as"):
        read_simulations([tmp_path / "a", tmp_path / "b"], TASKS["two_moons"].problem)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "shard.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a numpy archive"):
        read_simulations([path], TASKS["two_moons"].problem)


def test_a_reference_of_another_task_is_refused():
    with pytest.raises(InputError, match="'observations' is 10 x 8, needed is any x 2"):
        read_reference(DATA / "slcp.npz", TASKS["two_moons"].problem, 2)


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return _python("-m", "hepflow_lfi", *map(str, arguments))


def test_help_teaches_a_whole_run():
    done = _run("--help")
    assert done.returncode == 0
    for word in ("simulate", "train", "judge", "posterior.pt", "Exit status"):
        assert word in done.stdout


def test_the_tasks_are_listed(capsys):
    assert main(["tasks"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in TASKS)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["simulate", "moons"], 2, "no task is called 'moons'"),
        (["train", "moons", "none.npz"], 2, "no task is called 'moons'"),
        (["train", "two_moons", "none.npz"], 1, "none.npz: no such file"),
        (["train", "two_moons", "."], 1, "is a folder, not a file"),
        (["simulate", "two_moons", "--out", "/dev/null/a"], 1, "/dev/null: File exists"),
        (["judge", "none.pt", "none.npz"], 1, "none.pt: no such file"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(arguments, status, message, capsys):
    assert main(arguments) == status
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["train", "two_moons"],
        ["simulate", "two_moons", "--draws", "-1"],
        ["train", "two_moons", "a", "--learning-rate", "0"],
    ],
)
def test_wrong_usage_ends_with_status_two(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_the_package_never_imports_hepflow():
    for path in (ROOT / "workflows" / "hepflow_lfi").rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[1].split(".")[0] != "hepflow", f"{path}: {line}"


# --- training and judging ---------------------------------------------------------------------


@pytest.fixture
def torch():
    pytest.importorskip("sbi")
    return pytest.importorskip("torch")


def _simulations(count: int):
    from hepflow_lfi.archives import Simulations

    task = TASKS["gaussian_linear"]
    generator = seed_generator(task.problem, 0)
    theta = task.prior.draw(count, generator)
    x = task.simulator(theta, generator)
    return task.problem, Simulations(theta.astype(np.float32), x.astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("NPE", "nsf"),
        ("NPE", "maf"),
        pytest.param("NLE", "maf", marks=pytest.mark.long),
        ("NRE", "resnet"),
        ("FMPE", "mlp"),
    ],
)
def test_a_posterior_survives_its_file_and_a_seed_settles_it(torch, method, kind, tmp_path):
    from hepflow_lfi import posteriors
    from hepflow_lfi.methods import find_method
    from hepflow_lfi.networks import Network
    from hepflow_lfi.training import TrainingPlan, train_network

    problem, data = _simulations(200)
    network = Network(kind, hidden=8, layers=2)
    plan = TrainingPlan(network, epochs=2, batch=50, peak_learning_rate=1e-3, seed=4)
    chosen, drawn = find_method(method), []
    for name in ("a.pt", "b.pt"):
        trained = train_network(chosen, problem, data, plan, say=lambda line: None)
        content = posteriors.Posterior(
            problem, 10, chosen, network, 200, rounds=1, seed=4, estimator=trained.estimator
        )
        posteriors.write_posterior(tmp_path / name, content)
        drawn.append(posteriors.sample_posterior(content, data.x[0], 100, seed=1)[0])
        loaded = posteriors.read_posterior(tmp_path / name)
        assert (loaded.problem, loaded.simulations) == (problem, 200)
        assert (loaded.method, loaded.network) == (chosen, network)
        drawn.append(posteriors.sample_posterior(loaded, data.x[0], 100, seed=1)[0])
    assert all((samples == drawn[0]).all() for samples in drawn[1:])
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


@pytest.mark.slow
def test_a_posterior_file_that_is_none_is_refused(torch, tmp_path):
    from hepflow_lfi.posteriors import FORMAT, read_posterior

    path = tmp_path / "posterior.pt"
    with pytest.raises(InputError, match="no such posterior file"):
        read_posterior(path)
    path.write_bytes(b"not a posterior")
    with pytest.raises(InputError, match="cannot be read as a posterior file"):
        read_posterior(path)
    torch.save({"format": "something else"}, path)
    with pytest.raises(InputError, match="no posterior file of this version"):
        read_posterior(path)
    header = {
        "format": FORMAT,
        "problem": TASKS["slcp"].problem.describe(),
        "data_dim": 8,
        "method": "NPE",
        "network": {"kind": "maf", "hidden": 8, "layers": 2},
    }
    torch.save(header | {"sbi": "0.0", "weights": {"a": torch.zeros(1)}}, path)
    with pytest.raises(InputError, match=r"weights do not fit .*\n.* written with sbi 0\.0"):
        read_posterior(path)


@pytest.mark.slow
def test_too_few_simulations_to_train_on_are_refused(torch):
    from hepflow_lfi.methods import find_method
    from hepflow_lfi.training import plan_training, train_network

    problem, data = _simulations(5)
    npe = find_method("NPE")
    with pytest.raises(UsageError, match="5 simulations are too few"):
        train_network(npe, problem, data, plan_training(npe, problem, data), say=lambda line: None)


@pytest.mark.slow
def test_a_list_of_observations_is_read_and_held_against_the_file(torch):
    from hepflow_lfi.commands import choose_observations

    assert choose_observations(None, 3) == (1, 2, 3)
    assert choose_observations("3,1-2,2", 9) == (1, 2, 3)
    for text in ("0", "2-1", "a", "1,,2"):
        with pytest.raises(UsageError, match="cannot read"):
            choose_observations(text, 9)
    with pytest.raises(UsageError, match="there is no observation 12"):
        choose_observations("12", 10)


@pytest.mark.slow
def test_a_device_that_is_not_there_is_told(torch):
    from hepflow_lfi.commands import choose_device

    assert choose_device("cpu") == "cpu"
    if not torch.cuda.is_available():
        assert choose_device("auto") == "cpu"
        with pytest.raises(UsageError, match="torch finds no 'cuda' here"):
            choose_device("cuda")


@pytest.mark.slow
def test_more_samples_than_the_reference_has_are_drawn_where_that_is_exact(torch):
    from hepflow_lfi.judging import select_reference

    linear, slcp = TASKS["gaussian_linear"].problem, TASKS["slcp"].problem
    reference = read_reference(DATA / "gaussian_linear.npz", linear, 10)
    exact = select_reference(reference, linear, 2, 6000)
    assert exact.shape == (6000, 10)
    assert exact.mean(axis=0) == pytest.approx(reference.observations[1] / 2, abs=0.02)
    with pytest.raises(Complaint, match="10001 asked, the reference has 10000"):
        select_reference(read_reference(DATA / "slcp.npz", slcp, 8), slcp, 1, 10_001)


@pytest.mark.slow
def test_a_small_run_from_simulation_to_figure(torch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    shards = [tmp_path / f"{seed}.npz" for seed in range(2)]
    for seed, path in enumerate(shards):
        draw("two_moons", 200, seed, path)
    posterior, metrics = tmp_path / "posterior.pt", tmp_path / "metrics.json"
    figure = tmp_path / "posterior.png"
    train = ["train", "two_moons", *shards, "--out", posterior, "--network", "nsf", "--layers", 2]
    assert main([*map(str, train), "--epochs", "20"]) == 0
    assert "400 simulations of two_moons in 2 files" in capsys.readouterr().out
    judge = ["judge", posterior, TWO_MOONS, "--metrics", metrics, "--plot", figure]
    options = ["--samples", 200, "--observations", "1,3", "--jobs", 2, "--device", "cpu"]
    assert main([*map(str, [*judge, *options])]) == 0
    content = json.loads(metrics.read_text())
    assert 0.4 < content["c2st_mean"] < 1
    assert content["comparable"] is False
    assert content["simulations"] == 400
    assert [row["observation"] for row in content["observations"]] == [1, 3]
    assert figure.read_bytes().startswith(b"\x89PNG")
    wrong = ["judge", str(posterior), str(DATA / "slcp.npz"), "--metrics", str(metrics)]
    assert main(wrong) == 1
    assert "'observations' is 10 x 8, needed is any x 2" in capsys.readouterr().err
