"""Conditional densities of the sbi library: build one, write it to a file, read it, sample it.

Owns the posterior file.  It holds weights and numbers only, no pickled code, so that reading one
from a stranger is safe; the network is built anew from its description.
"""

from __future__ import annotations

import io
import os
import pickle
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import sbi
import torch
from numpy.typing import NDArray
from sbi.neural_nets import posterior_nn
from torch import Tensor

from hepflow_lfi.errors import InputError
from hepflow_lfi.problems import Problem

FORMAT = "hepflow-lfi posterior 2"
NETWORKS = ("nsf", "maf")
SMALLEST_ACCEPTANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Network:
    """A normalising flow: its kind (``nsf``: neural spline, ``maf``: autoregressive) and size."""

    kind: str
    hidden: int = 50
    transforms: int = 5


class Density(Protocol):
    """What we use of an sbi density estimator (a torch module)."""

    def loss(self, input: Tensor, condition: Tensor) -> Tensor: ...
    def sample(self, sample_shape: torch.Size, condition: Tensor) -> Tensor: ...
    def parameters(self) -> Iterator[torch.nn.Parameter]: ...
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state_dict: dict[str, Tensor]) -> object: ...
    def train(self, mode: bool = True) -> object: ...


@dataclass(frozen=True, slots=True)
class Posterior:
    """A trained density, what it is for, and what it was trained on.

    ``data_dim`` is the length of one observation, ``simulations`` how many it was trained on.
    """

    problem: Problem
    data_dim: int
    method: str
    network: Network
    simulations: int
    seed: int
    density: Density


def build_density(network: Network, theta: Tensor, x: Tensor) -> Density:
    """Return an untrained network, z-scored to the moments of ``theta`` and ``x``."""
    build = posterior_nn(
        model=network.kind,
        hidden_features=network.hidden,
        num_transforms=network.transforms,
    )
    density: Density = build(theta, x)
    return density


def write_posterior(path: str | os.PathLike[str], posterior: Posterior) -> None:
    """Write the file that ``read_posterior`` reads; all of it or nothing."""
    content = {
        "format": FORMAT,
        "problem": posterior.problem.describe(),
        "data_dim": posterior.data_dim,
        "method": posterior.method,
        "network": posterior.network.kind,
        "hidden": posterior.network.hidden,
        "transforms": posterior.network.transforms,
        "simulations": posterior.simulations,
        "seed": posterior.seed,
        "sbi": sbi.__version__,
        "weights": dict(posterior.density.state_dict()),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(buffer.getvalue())
    partial.replace(path)


def read_posterior(path: str | os.PathLike[str]) -> Posterior:
    """Read a posterior file and build its network."""
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such posterior file", fix="write one with the command 'train'")
    try:
        content = torch.load(path, weights_only=True)
        known = isinstance(content, dict) and content.get("format") == FORMAT
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            path, "cannot be read as a posterior file", why=first_line, fix="train it anew"
        ) from error
    if not known:
        raise InputError(
            path,
            "is no posterior file of this version",
            why=f"needed is the format {FORMAT!r}",
            fix="train it anew with this version",
        )
    problem, data_dim = Problem.from_plain(content["problem"]), content["data_dim"]
    network = Network(content["network"], content["hidden"], content["transforms"])
    # Moments of the dummy examples are overwritten by those among the weights.
    density = build_density(network, torch.rand(64, problem.dim), torch.rand(64, data_dim))
    try:
        density.load_state_dict(content["weights"])
    except RuntimeError as error:
        raise InputError(
            path,
            "its weights do not fit the network they are for",
            why=f"written with sbi {content['sbi']}, read with sbi {sbi.__version__}",
            fix="train it anew, or install the version it was written with",
        ) from error
    density.train(False)
    return Posterior(
        problem,
        data_dim,
        content["method"],
        network,
        content["simulations"],
        content["seed"],
        density,
    )


def sample_posterior(
    posterior: Posterior, observation: NDArray[np.float64], count: int, seed: int
) -> tuple[NDArray[np.float32], float]:
    """Draw ``count`` parameters (count, parameters) given one observation (data,).

    Draws outside the prior are thrown away; also returned is the fraction that was kept.
    """
    condition = torch.as_tensor(observation, dtype=torch.float32)[None]
    prior = posterior.problem.prior
    kept: list[NDArray[np.float32]] = []
    drawn = found = 0
    torch.manual_seed(seed)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a deprecated solver inside the flow library
        while found < count:
            theta = posterior.density.sample(torch.Size((count,)), condition=condition)
            inside = theta[:, 0].numpy()
            inside = inside[prior.contains(inside)]
            kept.append(inside)
            drawn, found = drawn + count, found + len(inside)
            if found < SMALLEST_ACCEPTANCE * drawn:
                raise InputError(
                    "posterior",
                    f"puts {found} of {drawn} draws inside the prior",
                    why="it was not trained long enough, or not for data like this observation",
                    fix="train it with more simulations",
                )
    return np.concatenate(kept)[:count], found / drawn
