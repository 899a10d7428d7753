"""Draw one shard of simulations and write it to a file; needs numpy only."""

from __future__ import annotations

import os

import numpy as np

from hepflow_lfi.archives import write_simulations
from hepflow_lfi.errors import UsageError
from hepflow_lfi.problems import Problem
from hepflow_lfi.tasks import find_task

ENTROPY = 2021_130_343  # the benchmark paper's year, volume and page


def seed_generator(problem: Problem, seed: int) -> np.random.Generator:
    """Return the generator of shard ``seed``: independent of every other shard and problem."""
    if seed < 0:
        raise UsageError("seed", f"{seed} is below zero", fix="number the shards 0, 1, 2, ...")
    sequence = np.random.SeedSequence(ENTROPY, spawn_key=(problem.number, seed))
    return np.random.default_rng(sequence)


def draw(
    task: str, draws: int, seed: int = 0, sample: str | os.PathLike[str] = "sample.npz"
) -> None:
    """Draw ``draws`` parameters from the prior of ``task``, simulate each, write ``sample``.

    The file is a numpy archive: ``theta`` (draws, parameters) and ``x`` (draws, data) as float32,
    ``task`` and ``seed`` to know it by.  The same arguments give the same bytes.
    """
    found = find_task(task)
    if draws < 1:
        raise UsageError(
            "draws", f"{draws} is no number of simulations", fix="ask for one or more a shard"
        )
    generator = seed_generator(found.problem, seed)
    theta = found.prior.draw(draws, generator)
    write_simulations(sample, found.problem, seed, theta, found.simulator(theta, generator))
