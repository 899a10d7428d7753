"""Simulate one shard and write it to a file; needs numpy only."""

from __future__ import annotations

import os

import numpy as np

from hepflow_lfi.archives import read_proposal, write_simulations
from hepflow_lfi.problems import Problem
from hepflow_lfi.tables import read_table
from hepflow_lfi.tasks import find_task
from hepflow_verbs import InputError, UsageError

ENTROPY = 2021_130_343  # the benchmark paper's year, volume and page
TABLES = 2**32 - 1  # keeps their random numbers apart from those of rounds


def seed_generator(problem: Problem, *numbers: int) -> np.random.Generator:
    """Return the generator of a shard: independent of every other ``numbers`` and problem."""
    for number in numbers:
        if number < 0:
            raise UsageError(
                "seed", f"{number} is below zero", fix="number the shards 0, 1, 2, ..."
            )
    sequence = np.random.SeedSequence(ENTROPY, spawn_key=(problem.number, *numbers))
    return np.random.default_rng(sequence)


def draw(
    task: str, draws: int, seed: int = 0, sample: str | os.PathLike[str] = "sample.npz"
) -> None:
    """Draw ``draws`` parameters from the prior of ``task``, simulate each, write ``sample``.

    The file is what :func:`hepflow_lfi.archives.write_simulations` writes.  The same arguments
    give the same bytes.
    """
    found = find_task(task)
    if draws < 1:
        raise UsageError(
            "draws", f"{draws} is no number of simulations", fix="ask for one or more a shard"
        )
    generator = seed_generator(found.problem, seed)
    theta = found.prior.draw(draws, generator)
    x = found.simulator(theta, generator)
    write_simulations(sample, found.problem, seed, theta, x)


def simulate_part(
    task: str,
    proposal: str | os.PathLike[str],
    part: int,
    parts: int,
    sample: str | os.PathLike[str] = "sample.npz",
) -> None:
    """Simulate one of ``parts`` equal shares of the parameters in a file, write ``sample``.

    ``part`` is counted from 0; the file is what the command 'propose' wrote.
    """
    found = find_task(task)
    if not 0 <= part < parts:
        raise UsageError("part", f"there is no part {part} of {parts}", fix="count from 0")
    proposed = read_proposal(proposal, found.problem)
    theta = np.array_split(proposed.theta, parts)[part].astype(np.float64)
    if not len(theta):
        raise UsageError(
            "parts", f"{len(proposed.theta)} parameters cannot be shared out", fix="ask for fewer"
        )
    x = found.simulator(theta, seed_generator(found.problem, proposed.round, part))
    write_simulations(sample, found.problem, part, theta, x, proposed.round)


def simulate_table(
    task: str,
    table: str | os.PathLike[str],
    seed: int = 0,
    sample: str | os.PathLike[str] = "sample.npz",
) -> int:
    """Simulate the parameters in a table, such as draws of a posterior; write ``sample``.

    Returns how many there were.
    """
    found = find_task(task)
    theta = read_table(table)
    if theta.shape[1] != found.prior.dim:
        raise InputError(
            table,
            f"has {theta.shape[1]} columns, {task} has {found.prior.dim} parameters",
            fix="pass the table that the command 'sample' wrote for it",
        )
    x = found.simulator(theta, seed_generator(found.problem, TABLES, seed))
    write_simulations(sample, found.problem, seed, theta, x)
    return len(theta)
