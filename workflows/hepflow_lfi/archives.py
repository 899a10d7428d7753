"""Write and read what steps pass on: shards of simulations, and reference posteriors.

Owns every check of a numpy archive, so that what passes here fits the problem in name and shape.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow_lfi.problems import Problem
from hepflow_lfi.tables import read_table
from hepflow_verbs import InputError, UsageError

AnyPath = str | os.PathLike[str]
Floats32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Simulations:
    """Parameters ``theta`` (n, parameters) and the data ``x`` (n, data) each gave.

    In a single round they were drawn from the prior, in those after from what was learned before.
    """

    theta: Floats32
    x: Floats32
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class Reference:
    """``observations`` (k, data) and draws of the posterior of each (k, n, parameters)."""

    observations: NDArray[np.float64]
    posterior: Floats32


@dataclass(frozen=True, slots=True)
class Proposal:
    """Parameters ``theta`` (n, parameters) to simulate in ``round``, counted from 1."""

    theta: Floats32
    round: int


def write_simulations(
    path: AnyPath,
    problem: Problem,
    seed: int,
    theta: NDArray[Any],
    x: NDArray[Any],
    round: int = 1,
) -> None:
    """Write a shard: parameters ``theta`` (n, parameters) and the data ``x`` (n, data) each gave.

    The file is a numpy archive with both in single precision, and ``task``, ``seed`` and ``round``
    to know it by.  The same arguments give the same bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(
            file,
            theta=theta.astype(np.float32),
            x=x.astype(np.float32),
            task=np.array(problem.name),
            seed=np.array(seed),
            round=np.array(round),
        )


def write_proposal(path: AnyPath, problem: Problem, proposal: Proposal) -> None:
    """Write parameters that are to be simulated."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(
            file,
            theta=proposal.theta.astype(np.float32),
            task=np.array(problem.name),
            round=np.array(proposal.round),
        )


def read_proposal(path: AnyPath, problem: Problem) -> Proposal:
    """Read parameters that are to be simulated."""
    path = Path(path)
    arrays = _read_arrays(path, ("theta", "task", "round"))
    _check_problem(path, str(arrays["task"]), problem)
    _check_shape(path, "theta", arrays["theta"], (None, problem.dim), problem)
    return Proposal(arrays["theta"], int(arrays["round"]))


def read_simulations(paths: Sequence[AnyPath], problem: Problem) -> Simulations:
    """Read and join the shards, in the order given; the first settles how long data are."""
    thetas: list[Floats32] = []
    xs: list[Floats32] = []
    seen: dict[tuple[int, int], Path] = {}
    for path in map(Path, paths):
        arrays = _read_arrays(path, ("theta", "x", "task", "seed"), ("round",))
        _check_problem(path, str(arrays["task"]), problem)
        _check_shape(path, "theta", arrays["theta"], (None, problem.dim), problem)
        data_dim = xs[0].shape[1] if xs else None
        _check_shape(path, "x", arrays["x"], (len(arrays["theta"]), data_dim), problem)
        _check_support(path, arrays["theta"], problem)
        shard = int(arrays.get("round", 1)), int(arrays["seed"])
        if shard in seen:
            raise InputError(
                path,
                f"holds the same draws as {seen[shard]}",
                why=f"both were made with seed {shard[1]}; copies teach the network nothing",
                fix="give every shard a seed of its own",
            )
        seen[shard] = path
        thetas.append(arrays["theta"].astype(np.float32))
        xs.append(arrays["x"].astype(np.float32))
    rounds = max(round for round, _ in seen)
    return Simulations(np.concatenate(thetas), np.concatenate(xs), rounds)


def read_reference(path: AnyPath, problem: Problem, data_dim: int) -> Reference:
    """Read observations, ``data_dim`` long each, and their reference posteriors."""
    path = Path(path)
    arrays = _read_arrays(path, ("observations", "reference_posterior"))
    observations = arrays["observations"]
    _check_shape(path, "observations", observations, (None, data_dim), problem)
    wanted = (len(observations), None, problem.dim)
    _check_shape(path, "reference_posterior", arrays["reference_posterior"], wanted, problem)
    return Reference(
        observations.astype(np.float64), arrays["reference_posterior"].astype(np.float32)
    )


def read_observation(path: AnyPath, number: int, data_dim: int) -> NDArray[np.float64]:
    """Return observation ``number``, counted from 1, of an archive or of a table of numbers (CSV).

    An archive has them in ``observations`` (k, data); a table has one a line.
    """
    rows = _read_rows(Path(path), "observations")
    if rows.ndim != 2 or rows.shape[1] != data_dim or not np.isfinite(rows).all():
        shape = " x ".join(map(str, rows.shape))
        raise InputError(
            path,
            f"holds {shape} numbers, needed are {data_dim} finite ones for each observation",
            fix="pass data of the kind that was simulated",
        )
    if not 1 <= number <= len(rows):
        raise UsageError(
            "--observation",
            f"there is no observation {number}",
            why=f"{path} holds {len(rows)}, counted from 1",
            fix=f"choose among 1-{len(rows)}",
        )
    return np.asarray(rows[number - 1])


def read_data(path: AnyPath) -> Floats32:
    """Return the data (n, data) that a simulator wrote: a table, or an archive with ``x``."""
    rows = _read_rows(Path(path), "x")
    largest = np.finfo(np.float32).max
    if rows.ndim != 2 or not rows.size or not (np.abs(rows) <= largest).all():
        raise InputError(
            path,
            f"its {' x '.join(map(str, rows.shape))} numbers are no rows of finite data",
            why=f"needed is a row for each simulation, of numbers in single precision (to {largest:.2g})",
            fix="let the simulator write finite numbers, in other units if need be",
        )
    return rows.astype(np.float32)


def _read_rows(path: Path, name: str) -> NDArray[np.float64]:
    """Return the array ``name`` of an archive, or all rows of a table."""
    if path.suffix != ".npz":
        return read_table(path)
    rows = _read_arrays(path, (name,))[name]
    if rows.dtype.kind not in "fiu":
        raise InputError(
            path, f"array {name!r} holds no numbers, but {rows.dtype}", fix="write it anew"
        )
    return rows.astype(np.float64)


def _read_arrays(
    path: Path, names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "no such file"
        raise InputError(path, what, fix="check the path; relative ones start in this folder")
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it is a single array, not an archive of named ones")
            missing = [name for name in names if name not in archive]
            arrays = {name: archive[name] for name in (*names, *optional) if name in archive}
            found = ", ".join(archive.files) or "nothing"
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            path, "cannot be read as a numpy archive", why=str(error), fix="write it anew"
        ) from error
    if missing:
        raise InputError(
            path,
            f"lacks the array {missing[0]!r}",
            why=f"it holds {found}; needed are {', '.join(names)}",
            fix="pass the file that the step before wrote",
        )
    return arrays


def _check_problem(path: Path, found: str, problem: Problem) -> None:
    if found != problem.name:
        raise InputError(
            path,
            f"was made for {found!r}, not {problem.name!r}",
            fix="name the same task or problem in every step",
        )


def _check_support(path: Path, theta: NDArray[Any], problem: Problem) -> None:
    # Single precision may put a draw at a bound just beyond it.
    rounded = theta.astype(np.float64) * (1 + 1e-6), theta.astype(np.float64) * (1 - 1e-6)
    outside = ~(problem.prior.contains(rounded[0]) | problem.prior.contains(rounded[1]))
    if outside.any():
        raise InputError(
            path,
            f"{outside.sum()} of {len(theta)} parameters lie outside the prior",
            why=f"the first is {theta[outside][0].tolist()}",
            fix=f"draw them from the prior of {problem.name}, or name the problem they are from",
        )


def _check_shape(
    path: Path, name: str, array: NDArray[Any], wanted: tuple[int | None, ...], problem: Problem
) -> None:
    fits = array.ndim == len(wanted) and all(
        want in (None, have) for want, have in zip(wanted, array.shape, strict=True)
    )
    shown = " x ".join("any" if size is None else str(size) for size in wanted)
    if not fits:
        have = " x ".join(map(str, array.shape)) or "a single number"
        raise InputError(
            path,
            f"array {name!r} is {have}, needed is {shown}",
            why=f"{problem.name} has {problem.dim} parameters; all data of it are equally long",
            fix=f"pass a file made for {problem.name}",
        )
    if array.dtype.kind != "f" or not array.size or not np.isfinite(array).all():
        raise InputError(
            path,
            f"array {name!r} is empty or holds entries that are no finite numbers",
            why=f"its type is {array.dtype}, its size {array.size}",
            fix="write it anew",
        )
