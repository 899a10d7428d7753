"""The weak mixing angle: the generator, the trained ratio, intervals and coverage, files, command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hepflow_verbs import InputError
from hepflow_weak import tree
from hepflow_weak.cli import main
from hepflow_weak.measuring import (
    Curves,
    count_covered,
    find_interval,
    find_moments,
    find_posterior,
    find_thresholds,
    make_grid,
)
from hepflow_weak.samples import Sample, read_samples, write_sample

Z_GEV = tree.Z_MASS_GEV


def draw_tree(points, events, low, high, seed, first_seed=1):
    """Return a sample drawn from the tree-level density: exact, and quick."""
    rng = np.random.default_rng(seed)
    s2eff = rng.uniform(low, high, points)
    counts = tree.draw_counts(s2eff, events, Z_GEV, rng)
    return Sample(s2eff, counts, first_seed + np.arange(points), low, high, Z_GEV)


def forward_backward(counts):
    half = counts.shape[1] // 2
    forward, backward = counts[:, half:].sum(axis=1), counts[:, :half].sum(axis=1)
    return (forward - backward) / (forward + backward)


# --- the formula ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("energy", "s2eff", "expected"),
    [(91.188, 0.2315, 0.0162), (91.188, 0.226, 0.0270), (91.188, 0.239, 0.0058),
     (87.9, 0.2315, -0.2908), (94.5, 0.2315, 0.2933)],
)  # fmt: skip
def test_the_formula_gives_the_known_asymmetries(energy, s2eff, expected):
    assert tree.find_asymmetry(s2eff, energy) == pytest.approx(expected, abs=3e-4)


def test_probabilities_of_the_bins_sum_to_one_and_have_the_asymmetry():
    density = np.exp(tree.log_density(np.array([0.21, 0.2312]), Z_GEV))
    assert density.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert forward_backward(density) == pytest.approx(
        tree.find_asymmetry(np.array([0.21, 0.2312]), Z_GEV)
    )


# --- intervals and coverage -----------------------------------------------------------------------


def test_intervals_of_a_normal_posterior_are_the_well_known_ones():
    grid = np.linspace(-6, 6, 4001)
    density = np.exp(-(grid**2) / 2)
    curves = Curves(grid, (density / density.sum())[None])
    assert find_interval(curves, 0.68) == pytest.approx((-0.994, 0.994), abs=0.01)
    assert find_interval(curves, 0.95) == pytest.approx((-1.960, 1.960), abs=0.01)
    mean, sd = find_moments(curves)
    assert (mean[0], sd[0]) == (pytest.approx(0, abs=1e-9), pytest.approx(1, abs=1e-3))


def test_a_truth_is_covered_where_the_density_is_above_the_threshold():
    grid = np.linspace(-6, 6, 4001)
    density = np.exp(-(grid**2) / 2)
    curves = Curves(grid, np.tile(density / density.sum(), (3, 1)))
    assert count_covered(curves, np.array([0.5, -1.5, 3.0]), 0.68).covered == 1
    assert count_covered(curves, np.array([0.5, -1.5, 3.0]), 0.95).covered == 2
    assert (find_thresholds(curves, 0.68) > find_thresholds(curves, 0.95)).all()


@pytest.mark.parametrize(("stretch", "calibrated"), [(1.0, True), (0.5, False)])
def test_coverage_tells_a_right_density_from_one_too_sure(stretch, calibrated):
    trials = draw_tree(400, 10_000, 0.20, 0.25, seed=3)
    grid = make_grid(0.20, 0.25)
    # Counting every event several times feigns a precision that is not there.
    posteriors = find_posterior(
        trials.counts, grid, tree.log_density(grid, Z_GEV)[None] / stretch**2
    )
    coverage = count_covered(posteriors, trials.s2eff, 0.68)
    within = abs(coverage.fraction - 0.68) < 3 * coverage.binomial_error
    assert within is calibrated


# --- the trained ratio ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ratio():
    from hepflow_weak.ratio import train_ratio

    sample = draw_tree(60, 100_000, 0.20, 0.25, seed=1)
    return train_ratio(sample, members=2, seed=0, steps=400, say=lambda _: None)


def test_the_ratio_learns_the_asymmetry_of_every_parameter(ratio):
    s2eff = np.linspace(0.205, 0.245, 9)
    learnt = np.exp(ratio.log_density(s2eff)).mean(axis=0)
    expected = tree.find_asymmetry(s2eff, Z_GEV)
    assert learnt.sum(axis=1) == pytest.approx(np.ones(9))
    assert forward_backward(learnt) == pytest.approx(expected, abs=0.004)


def test_the_ratio_measures_as_the_formula_does(ratio):
    trials = draw_tree(200, 20_000, ratio.low, ratio.high, seed=5)
    grid = make_grid(ratio.low, ratio.high)
    neural = find_posterior(trials.counts, grid, ratio.log_density(grid))
    formula = find_posterior(trials.counts, grid, tree.log_density(grid, Z_GEV)[None])
    (mean, sd), (true_mean, true_sd) = find_moments(neural), find_moments(formula)
    assert np.sqrt(np.mean(((mean - true_mean) / true_sd) ** 2)) < 0.5
    assert np.median(sd / true_sd) == pytest.approx(1, abs=0.15)
    coverage = count_covered(neural, trials.s2eff, 0.68)
    assert coverage.fraction == pytest.approx(0.68, abs=3 * coverage.binomial_error)


def test_a_ratio_comes_back_from_its_file_as_it_was(ratio, tmp_path):
    from hepflow_weak.ratio import read_ratio, write_ratio

    write_ratio(tmp_path / "ratio.npz", ratio)
    again = read_ratio(tmp_path / "ratio.npz")
    where = np.array([0.21, 0.24])
    assert (again.log_density(where) == ratio.log_density(where)).all()
    assert (again.low, again.high, again.training_events) == (ratio.low, ratio.high, 6_000_000)


def test_points_that_are_all_the_same_teach_nothing():
    from hepflow_weak.ratio import train_ratio

    with pytest.raises(InputError, match="teach nothing"):
        train_ratio(draw_tree(20, 100, 0.23, 0.23, seed=1), 1, 0, 10, print)


# --- files ----------------------------------------------------------------------------------------


def test_shards_join_in_order(tmp_path):
    parts = [draw_tree(2, 50, 0.2, 0.25, seed, first_seed=10 * seed) for seed in (1, 2)]
    paths = [tmp_path / f"{index}.npz" for index in range(2)]
    for path, part in zip(paths, parts, strict=True):
        write_sample(path, part)
    joined = read_samples(paths)
    assert joined.events == 200
    assert joined.seeds.tolist() == [10, 11, 20, 21]


def test_shards_that_share_a_seed_are_refused(tmp_path):
    for name in ("a", "b"):
        write_sample(tmp_path / f"{name}.npz", draw_tree(2, 50, 0.2, 0.25, seed=1))
    with pytest.raises(InputError, match="generated with one seed"):
        read_samples([tmp_path / "a.npz", tmp_path / "b.npz"])


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"PK no archive", "is no sample")]
)
def test_a_file_that_is_no_sample_is_told(content, said, tmp_path, capsys):
    path = tmp_path / "sample.npz"
    if content is not None:
        path.write_bytes(content)
    assert main(["train", str(path)]) == 1
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message


# --- the generator --------------------------------------------------------------------------------


def test_pythia_gives_the_asymmetry_of_the_formula_at_values_beyond_its_own_limits(tmp_path):
    from hepflow_weak.generate import draw

    for first_seed, s2eff in ((1, 0.20), (2, 0.2312), (3, 0.25)):
        draw(1, 20_000, first_seed, s2eff, s2eff, sample=tmp_path / "sample.npz")
        sample = read_samples([tmp_path / "sample.npz"])
        assert sample.events == 20_000
        expected = float(tree.find_asymmetry(s2eff, Z_GEV))
        assert forward_backward(sample.counts)[0] == pytest.approx(expected, abs=4 * 20_000**-0.5)


def test_a_seed_decides_the_bytes(tmp_path):
    from hepflow_weak.generate import draw

    for name, first_seed in (("a", 7), ("b", 7), ("c", 8)):
        draw(1, 200, first_seed, 0.2, 0.25, sample=tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"points": 0}, "one point"), ({"low": 0.3}, "no range"), ({"first_seed": 0}, "out of range")],
)
def test_a_request_that_makes_no_sense_is_refused(arguments, said):
    from hepflow_weak.generate import draw

    request = {"points": 1, "events": 1, "first_seed": 1, "low": 0.2, "high": 0.25}
    with pytest.raises(InputError, match=said):
        draw(**request | arguments)


# --- the whole ------------------------------------------------------------------------------------


def test_the_measurement_is_written_with_intervals_and_coverage(tmp_path, ratio):
    from hepflow_weak.ratio import write_ratio

    write_ratio(tmp_path / "ratio.npz", ratio)
    write_sample(tmp_path / "seen.npz", draw_tree(1, 500_000, 0.2312, 0.2312, 8, 900))
    write_sample(tmp_path / "trials.npz", draw_tree(50, 10_000, ratio.low, ratio.high, 9))
    assert main(
        ["measure", str(tmp_path / "ratio.npz"), "--observed", str(tmp_path / "seen.npz"),
         "--trials", str(tmp_path / "trials.npz"), "--metrics", str(tmp_path / "metrics.json"),
         "--plot", str(tmp_path / "figure.png")]
    ) == 0  # fmt: skip
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["generated"] == 0.2312
    assert abs(metrics["pull"]) < 4
    assert abs(metrics["tree_level"]["pull"]) < 4
    narrow, wide = metrics["interval_68"], metrics["interval_95"]
    assert wide[0] <= narrow[0] < metrics["s2eff"] < narrow[1] <= wide[1]
    assert metrics["coverage_68"]["experiments"] == 50
    assert metrics["at_full_size"]["coverage_95"]["fraction"] > 0.8
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_measurement_outside_the_trained_range_is_refused(tmp_path, ratio, capsys):
    from hepflow_weak.ratio import write_ratio

    write_ratio(tmp_path / "ratio.npz", ratio)
    write_sample(tmp_path / "seen.npz", draw_tree(1, 100, 0.3, 0.3, 8, 900))
    argv = ["measure", str(tmp_path / "ratio.npz"), "--observed", str(tmp_path / "seen.npz")]
    assert main([*argv, "--trials", str(tmp_path / "seen.npz")]) == 1
    assert "outside" in capsys.readouterr().err


def test_the_recipe_runs_with_the_real_generator(hepflow, root: Path, project: Path):
    small = {"points": 20, "events": 1000, "experiments": 10, "experiment_events": 500,
             "observed_events": 10_000, "shards": 2, "networks": 1, "steps": 100}  # fmt: skip
    recipe = root / "recipes" / "lfi" / "weak_mixing_angle.yaml"
    done = hepflow("run", str(recipe), *(f"{name}={value}" for name, value in small.items()))
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((project / "results/weak-mixing-angle/outputs.json").read_text())[
        "metrics"
    ]
    assert metrics["events"] == {
        "training": 20_000, "observed": 10_000, "each_pseudo_experiment": 500
    }  # fmt: skip
    assert abs(metrics["pull"]) < 4
