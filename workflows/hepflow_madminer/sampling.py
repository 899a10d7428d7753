"""Training samples out of weighted events, in the files that MadMiner's sampler writes.

``Samples_METHOD_0/NAME_METHOD_train.npy`` with NAME: ``x`` (n, d) observables; ``t_xz`` (n, d) joint
scores; and for the methods that learn a ratio ``theta0`` (n, d) numerators, ``y`` (n, 1) labels
(0: drawn from the numerator, 1: from the reference) and ``r_xz`` (n, 1) joint likelihood ratios.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hepflow_madminer.generation import Events, Setup
from hepflow_madminer.latent import Array, joint_log_ratio, joint_score
from hepflow_madminer.streams import open_stream
from hepflow_verbs import InputError

RATIO_METHODS = ("alice", "alices")
SCORE_METHODS = ("sally",)
METHODS = RATIO_METHODS + SCORE_METHODS


def sample(
    setup: Setup,
    events: Events,
    methods: Sequence[str],
    *,
    thetas: int,
    samples: int,
    seed: int,
    folder: str,
) -> None:
    """Write a training sample of ``samples`` rows for each method.

    Args:
        setup: says where numerators are drawn from (evenly).
        events: events are drawn from these by weight, with replacement.
        methods: each of ``METHODS``.
        thetas: how many numerators.
        samples: rows; for a ratio one half is drawn from numerators, one from the reference.
        seed: of all draws; each method has its own stream.
        folder: is made if it is not there.
    """
    for method in methods:
        rng = open_stream(seed, "sample", METHODS.index(method))
        if method in SCORE_METHODS:
            arrays = _sample_score(setup, events, samples, rng)
        else:
            arrays = _sample_ratio(setup, events, thetas, samples, rng)
        _write_sample(Path(folder), method, arrays)


def read_sample(folder: str, method: str) -> dict[str, Array]:
    """Read one method's training sample by the names of its arrays."""
    names = ("x", "t_xz", "theta0", "y", "r_xz") if method in RATIO_METHODS else ("x", "t_xz")
    paths = {name: _path_of(Path(folder), method, name) for name in names}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise InputError(
            folder,
            f"the sample for {method} lacks {', '.join(missing)}",
            fix=f"make it by 'sample --methods {method}'",
        )
    return {name: np.load(path) for name, path in paths.items()}


def _sample_score(
    setup: Setup, events: Events, samples: int, rng: np.random.Generator
) -> dict[str, Array]:
    reference = np.zeros(setup.parameters)
    chosen = rng.choice(len(events.x), samples, p=events.weigh(reference))
    return {"x": events.x[chosen], "t_xz": joint_score(events.z[chosen], reference)}


def _sample_ratio(
    setup: Setup, events: Events, thetas: int, samples: int, rng: np.random.Generator
) -> dict[str, Array]:
    numerators = rng.uniform(-setup.span, setup.span, (thetas, setup.parameters))
    each = max(samples // (2 * thetas), 1)
    drawn = [rng.choice(len(events.x), each, p=events.weigh(theta)) for theta in numerators]
    reference = events.weigh(np.zeros(setup.parameters))
    chosen = np.concatenate([*drawn, rng.choice(len(events.x), thetas * each, p=reference)])
    theta = np.tile(np.repeat(numerators, each, axis=0), (2, 1))
    y = np.repeat([0.0, 1.0], thetas * each)
    z = events.z[chosen]
    ratio: Array = np.exp(joint_log_ratio(z, theta))
    return {
        "x": events.x[chosen],
        "t_xz": joint_score(z, theta),
        "theta0": theta,
        "y": y[:, None],
        "r_xz": ratio[:, None],
    }


def _path_of(folder: Path, method: str, name: str) -> Path:
    return folder / f"Samples_{method}_0" / f"{name}_{method}_train.npy"


def _write_sample(folder: Path, method: str, arrays: Mapping[str, Array]) -> None:
    for name, array in arrays.items():
        path = _path_of(folder, method, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
