"""Draw one shard of simulations and write it to a file; needs numpy only."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from hepflow_lfi.errors import UsageError
from hepflow_lfi.tasks import Task, find_task

ENTROPY = 2021_130_343  # the benchmark paper's year, volume and page


def seed_generator(task: Task, seed: int) -> np.random.Generator:
    """Return the generator of shard ``seed``: independent of every other shard and task."""
    if seed < 0:
        raise UsageError("seed", f"{seed} is below zero", fix="number the shards 0, 1, 2, ...")
    sequence = np.random.SeedSequence(ENTROPY, spawn_key=(task.number, seed))
    return np.random.default_rng(sequence)


def draw(
    task: str, draws: int, seed: int = 0, sample: str | os.PathLike[str] = "sample.npz"
) -> None:
    """Draw ``draws`` parameters from the prior of ``task``, simulate each, write ``sample``.

    The file is a numpy archive: ``theta`` (draws, parameters) and ``x`` (draws, data) as float32,
    ``task`` and ``seed`` to know it by.  The same arguments give the same bytes.
    """
    problem = find_task(task)
    if draws < 1:
        raise UsageError(
            "draws", f"{draws} is no number of simulations", fix="ask for one or more a shard"
        )
    generator = seed_generator(problem, seed)
    theta = problem.prior.draw(draws, generator)
    x = problem.simulator(theta, generator)
    path = Path(sample)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(
            file,
            theta=theta.astype(np.float32),
            x=x.astype(np.float32),
            task=np.array(task),
            seed=np.array(seed),
        )
