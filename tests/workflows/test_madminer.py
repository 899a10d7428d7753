"""The MadMiner workflow: a generator of known likelihood, networks held against it, the recipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hepflow.model.protocols import LoadOptions
from hepflow.model.task import Container
from hepflow.recipe import NativeLanguage
from hepflow_madminer.cli import main
from tests.recipe.running import CONTEXT, step

np = pytest.importorskip("numpy")
latent = pytest.importorskip("hepflow_madminer.latent")

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "lfi" / "madminer.yaml"


def _call(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the events of six benchmarks of two parameters, and training samples."""
    folder = tmp_path_factory.mktemp("madminer")
    config = folder / "config.json"
    _call("configure", "--out", config)
    _call("generate", config, "--jobs", 6, "--events", 10_000, "--folder", folder)
    jobs = sorted(folder.glob("job-*.json"))
    for job in jobs:
        _call("shower", job, "--out", folder / "showered.npz")
        _call("detector", folder / "showered.npz", "--out", job.with_suffix(".npz"))
    _call("combine", *sorted(folder.glob("job-*.npz")), "--out", folder / "combined.npz")
    methods = ("alice", "alices", "sally")
    small = ("--thetas", 200, "--samples", 40_000)
    files = (config, folder / "combined.npz")
    _call("sample", *files, "--methods", *methods, *small, "--out", folder / "data")
    return folder


def _load(folder: Path, method: str, name: str):
    return np.load(folder / "data" / f"Samples_{method}_0" / f"{name}_{method}_train.npy")


def test_no_two_tasks_share_their_random_numbers():
    from hepflow_madminer.streams import STAGES, open_stream

    tasks = [(seed, stage, number) for seed in (0, 1) for stage in STAGES for number in (0, 1)]
    assert len({open_stream(*task).random() for task in tasks}) == len(tasks)


def test_events_at_benchmarks_weigh_as_events_of_any_hypothesis(generated):
    from hepflow_madminer.generation import read_events

    events = read_events(str(generated / "combined.npz"))
    theta = np.array([1.5, -2.0])
    weights = events.weigh(theta)
    mean = weights @ events.x
    assert mean == pytest.approx(theta, abs=0.1)
    assert weights @ (events.x - mean) ** 2 == pytest.approx(np.array([5, 5]), rel=0.05)


def test_joint_quantities_have_the_exact_ones_as_their_means():
    """E[r(x, z) | x] = r(x) and E[t(x, z) | x] = t(x): arXiv:1805.00020, section II."""
    x = np.array([[1.2, -0.7]])
    theta = np.array([[0.9, 0.4]])
    rng = np.random.default_rng(0)
    z = 0.8 * x + np.sqrt(0.8) * rng.standard_normal((400_000, 2))  # p(z | x) at theta = 0
    zero = np.zeros_like(theta)
    ratio = np.exp(latent.joint_log_ratio(z, theta)).mean()
    assert ratio == pytest.approx(np.exp(latent.exact_log_ratio(x, theta)[0, 0]), rel=0.005)
    assert latent.joint_score(z, zero).mean(axis=0) == pytest.approx(
        latent.exact_score(x)[0], abs=0.003
    )


def test_half_of_a_ratios_sample_comes_from_numerators_and_half_from_the_reference(generated):
    x, y, theta = (_load(generated, "alices", name) for name in ("x", "y", "theta0"))
    numerator = y[:, 0] == 0
    assert numerator.mean() == 0.5
    assert (x - theta)[numerator].var() == pytest.approx(5, rel=0.1)
    assert x[~numerator].var() == pytest.approx(5, rel=0.1)
    assert np.array_equal(theta[numerator], theta[~numerator])


def test_methods_have_samples_of_their_own(generated):
    assert not np.array_equal(_load(generated, "alice", "x"), _load(generated, "alices", "x"))
    assert not (generated / "data" / "Samples_sally_0" / "r_xz_sally_train.npy").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("method", "least_r2"), [("alices", 0.93), ("sally", 0.98)])
def test_a_network_finds_the_ratio_of_what_is_measured(generated, method, least_r2):
    pytest.importorskip("madminer")
    model, result, metrics = (generated / f"{method}{end}" for end in ("", ".npz", ".json"))
    quick = ("--epochs", 3, "--hidden", "30-30", "--learning-rate", 0.01)
    _call("train", generated / "data", method, *quick, "--out", model)
    small = ("--grid", 9, "--tested", 200, "--truth", 1.0, -1.0)
    files = (generated / "config.json", generated / "combined.npz")
    _call("evaluate", model, *files, *small, "--out", result, "--metrics", metrics)
    found = json.loads(metrics.read_text())[method]
    assert least_r2 < found["r2_log_r"] <= 1
    assert found["rmse_score"] < 0.1
    figure = generated / f"{method}.png"
    _call("plot", result, "--out", figure)
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("generate", "config.json", "--jobs", "5"), "5 jobs leave some of 6 benchmarks"),
        (("generate", "combined.npz"), "combined.npz: not a file that 'configure' wrote"),
        (("combine", "combined.npz"), "combined.npz: not a file that 'detector' wrote"),
        (("shower", "nowhere.json"), "nowhere.json: No such file"),
        (("plot", "combined.npz"), "combined.npz: not a result"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(generated, monkeypatch, capsys, arguments, what):
    monkeypatch.chdir(generated)
    assert main(arguments) == 1
    assert what in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("train", "no-data", "alice"), "the sample for alice lacks x_alice_train.npy"),
        (("evaluate", "data", "config.json", "combined.npz"), "data: holds no trained network"),
        (
            ("evaluate", "data", "config.json", "combined.npz", "--truth", "1"),
            "--truth: 1 values for 2 parameters",
        ),
    ],
)
def test_a_mistake_with_networks_is_told_as_well(generated, monkeypatch, capsys, arguments, what):
    pytest.importorskip("madminer")
    monkeypatch.chdir(generated)
    assert main(arguments) == 1
    assert what in capsys.readouterr().err


def _hepflow(folder: Path, *arguments: object) -> str:
    command = [sys.executable, "-m", "hepflow", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


SCRIPTS = {
    "1_configurate": 'mkdir "$o/data"; cp "$i" "$o/data/madminer_config.h5"',
    "2_generate": 'for n in $(seq "$j"); do echo "$n $(cat "$c")" > "$o/folder_$n.tar.gz"; done',
    "3_pythia": 'mkdir "$o/events"; cp "$z" "$o/events/Events.tar.gz"',
    "4_delphes": 'cmp "$c" "$i"; mkdir "$o/data"; cp "$e" "$o/data/madminer_delphes_data_sm.h5"',
    "5_combine": 'mkdir "$o/data"; cat $i > "$o/data/combined_delphes.h5"',
    "1_sampling": 'for m in $(cat "$i"); do d1="$o/data/Samples_${m}_0"; mkdir -p "$d1"; cp "$d" "$d1/x"; done',
    "2_training": '(basename "$t"; cat "$t/x") > "$o/Model.tar.gz"',
    "3_evaluation": 'cmp "$d" "$d"; cp "$m" "$o/Results_of.tar.gz"',
    "4_plotting": 'mkdir "$o/plots"; cat $r > "$o/plots/all_methods.png"',
}
READ_OPTIONS = 'set -eu\nwhile getopts a:c:d:e:i:j:m:o:p:r:s:t:z: n; do eval "$n=\\$OPTARG"; done\n'


def test_with_madgraph_every_step_gets_and_leaves_the_files_of_its_script(tmp_path):
    """Its images are not run here: scripts with the options and files of theirs stand in."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name, body in SCRIPTS.items():
        path = scripts / f"{name}.sh"
        path.write_text(f"#!/bin/sh\n{READ_OPTIONS}{body}\n")
        path.chmod(0o755)
    (tmp_path / "ph.yml").write_text("physics\n")
    (tmp_path / "ml.yml").write_text("alice sally\n")
    inputs = {
        "home": tmp_path,
        "physics": "ph.yml",
        "inference": "ml.yml",
        "jobs": 2,
        "methods": '["alice", "sally"]',
    }
    words = [word for name, value in inputs.items() for word in ("--input", f"{name}={value}")]
    said = _hepflow(tmp_path, "run", RECIPE, "--profile", "madgraph", "--no-container", *words)
    assert "13 tasks run" in said
    model = "Samples_{}_0\n1 physics\n2 physics\n"
    figure = tmp_path / "results" / "madminer" / "all_methods.png"
    assert figure.read_text() == model.format("alice") + model.format("sally")


def test_with_madgraph_every_step_has_an_image():
    workflow = NativeLanguage().load(RECIPE, LoadOptions(("madgraph",), {}))
    steps = dict.fromkeys(("configure", "generate", "shower", "detector", "combine"), "ph:0.2.0")
    steps |= dict.fromkeys(("sample", "train", "evaluate", "plot"), "ml:0.2.1")
    assert [step.name for step in workflow.steps] == list(steps)
    for name, image in steps.items():
        ports = dict.fromkeys(step(workflow, name).inputs, "x")
        task = step(workflow, name).run.plan(ports, CONTEXT)
        assert task.container == Container(f"madminertool/madminer-workflow-{image}")


@pytest.mark.long
@pytest.mark.parametrize(
    "inputs",
    [
        {"methods": '["alice", "alices", "sally"]'},
        {"methods": '["alices"]', "parameters": 1, "truth": "[0.5]"},
    ],
    ids=["two parameters", "one parameter"],
)
def test_the_recipe_runs_small(tmp_path, inputs):
    pytest.importorskip("madminer")
    small = {"events": 2000, "samples": 8000, "epochs": 2, "hidden": "20", "grid": 7, **inputs}
    words = [word for name, value in small.items() for word in ("--input", f"{name}={value}")]
    _hepflow(tmp_path, "run", RECIPE, "--cpus", 2, *words)
    assert (tmp_path / "results" / "madminer" / "all_methods.png").stat().st_size > 5000
