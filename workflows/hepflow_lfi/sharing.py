"""Parameters out to a simulator of one's own, and its data back.

What goes out are tables (:mod:`hepflow_lfi.tables`), each a share of the proposed parameters.  For
each share comes back one file with a row of data for each row of parameters: a table, or a numpy
archive with an array ``x`` (n, data).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hepflow_lfi.archives import Floats32, Proposal, Simulations, read_data, write_proposal
from hepflow_lfi.problems import Problem
from hepflow_lfi.simulate import seed_generator
from hepflow_lfi.tables import write_table
from hepflow_verbs import InputError, UsageError


def propose_from_prior(
    problem: Problem, draws: int, seed: int, out: str | os.PathLike[str]
) -> None:
    """Draw the parameters of the first round from the prior; write a proposal."""
    theta = problem.prior.draw(draws, seed_generator(problem, 1, seed, 0))
    write_proposal(out, problem, Proposal(theta.astype(np.float32), 1))


def share_out(
    proposal: Proposal, problem: Problem, parts: int, folder: str | os.PathLike[str]
) -> tuple[Path, ...]:
    """Write the parameters as ``parts`` tables in ``folder``, named so that they sort in order."""
    if len(proposal.theta) < parts:
        raise UsageError(
            "parts", f"{len(proposal.theta)} parameters make no {parts} tables", fix="ask for fewer"
        )
    digits = len(str(parts - 1))
    paths = []
    for part, theta in enumerate(np.array_split(proposal.theta, parts)):
        paths.append(Path(folder) / f"parameters-{part:0{digits}}.csv")
        write_table(paths[-1], problem.prior.names, theta)
    return tuple(paths)


def join_data(proposal: Proposal, paths: Sequence[str | os.PathLike[str]]) -> Simulations:
    """Put the data of all shares, in their order, beside the parameters they were simulated from.

    ``InputError`` names the file with too few rows, or with rows of another length than the first.
    """
    xs: list[Floats32] = []
    shares = np.array_split(proposal.theta, len(paths))
    for part, (path, theta) in enumerate(zip(paths, shares, strict=True)):
        x = read_data(path)
        if len(x) != len(theta):
            raise InputError(
                path,
                f"holds {len(x)} rows, needed are {len(theta)}",
                why=f"the table of parameters {part} of {len(paths)} (from 0) has so many",
                fix="let the simulator write one row of data for each row of parameters",
            )
        if xs and x.shape[1] != xs[0].shape[1]:
            raise InputError(
                path,
                f"has {x.shape[1]} numbers a row, {paths[0]} has {xs[0].shape[1]}",
                why="all data of a problem are equally long",
                fix="let the simulator write as many numbers for every row of parameters",
            )
        xs.append(x)
    return Simulations(proposal.theta, np.concatenate(xs), proposal.round)


def hold_out(data: Simulations, count: int) -> tuple[Simulations, Simulations]:
    """Split off the last ``count`` simulations, to calibrate with; what is left comes first."""
    left = len(data.theta) - count
    if left < 1:
        raise UsageError(
            "--hold-out", f"{count} of {len(data.theta)} leave none", fix="hold out fewer"
        )
    return (
        Simulations(data.theta[:left], data.x[:left], data.rounds),
        Simulations(data.theta[left:], data.x[left:], data.rounds),
    )
