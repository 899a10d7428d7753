"""The posterior file: written after training, read and drawn from by every later step.

One format whichever the method.  It holds weights and numbers only, no pickled code, so that
reading one from a stranger is safe; the network is built anew from its description.
"""

from __future__ import annotations

import io
import os
import pickle
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import sbi
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepflow_lfi.methods import Draw, Evaluate, Method, find_method
from hepflow_lfi.networks import Estimator, Network
from hepflow_lfi.priors import Floats
from hepflow_lfi.problems import Problem
from hepflow_lfi.tempering import sample_tempered
from hepflow_verbs import InputError

FORMAT = "hepflow-lfi posterior 2"
SMALLEST_ACCEPTANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Posterior:
    """A trained network, what it is for, and what it was trained on.

    ``data_dim`` is the length of one observation; ``simulations`` are those of all ``rounds``.
    """

    problem: Problem
    data_dim: int
    method: Method
    network: Network
    simulations: int
    rounds: int
    seed: int
    estimator: Estimator

    @property
    def method_name(self) -> str:
        """What the method is called, after as many rounds as it saw."""
        return self.method.rounds or self.method.name if self.rounds > 1 else self.method.name


def write_posterior(path: str | os.PathLike[str], posterior: Posterior) -> None:
    """Write the file that ``read_posterior`` reads; all of it or nothing."""
    content = {
        "format": FORMAT,
        "problem": posterior.problem.describe(),
        "data_dim": posterior.data_dim,
        "method": posterior.method.name,
        "network": asdict(posterior.network),
        "simulations": posterior.simulations,
        "rounds": posterior.rounds,
        "seed": posterior.seed,
        "sbi": sbi.__version__,
        "weights": dict(posterior.estimator.state_dict()),
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
    method, network = find_method(content["method"]), Network(**content["network"])
    # Moments of the dummy examples are overwritten by those among the weights.
    examples = torch.rand(64, problem.dim), torch.rand(64, data_dim)
    estimator = method.build(network, *examples)
    try:
        estimator.load_state_dict(content["weights"])
    except RuntimeError as error:
        raise InputError(
            path,
            "its weights do not fit the network they are for",
            why=f"written with sbi {content['sbi']}, read with sbi {sbi.__version__}",
            fix="train it anew, or install the version it was written with",
        ) from error
    estimator.train(False)
    return Posterior(
        problem=problem,
        data_dim=data_dim,
        method=method,
        network=network,
        simulations=content["simulations"],
        rounds=content["rounds"],
        seed=content["seed"],
        estimator=estimator,
    )


def sample_posterior(
    posterior: Posterior, observation: NDArray[np.floating], count: int, seed: int
) -> tuple[NDArray[np.float32], float]:
    """Draw ``count`` parameters (count, parameters) given one observation (data,).

    Draws are independent and inside the prior.  Also returned is the fraction of the network's own
    draws that were inside; 1 where a sampler drew them.
    """
    x = torch.as_tensor(observation, dtype=torch.float32)
    torch.manual_seed(seed)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a deprecated solver inside the flow library
        if posterior.method.draw is not None:
            return _draw_inside(posterior, posterior.method.draw, x, count)
        assert posterior.method.log_likelihood is not None
        return _draw_tempered(posterior, posterior.method.log_likelihood, x, count, seed), 1.0


def _draw_inside(
    posterior: Posterior, draw: Draw, x: Tensor, count: int
) -> tuple[NDArray[np.float32], float]:
    """Throw away the draws outside the prior."""
    kept: list[NDArray[np.float32]] = []
    drawn = found = 0
    while found < count:
        theta = draw(posterior.estimator, x, count).numpy()
        inside = theta[posterior.problem.prior.contains(theta)]
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


def _draw_tempered(
    posterior: Posterior, evaluate: Evaluate, x: Tensor, count: int, seed: int
) -> NDArray[np.float32]:
    def log_likelihood(theta: Floats) -> Floats:
        values = evaluate(posterior.estimator, torch.from_numpy(theta).float(), x)
        return values.double().numpy()

    generator = np.random.default_rng(seed)
    prior = posterior.problem.prior
    return sample_tempered(log_likelihood, prior, count, generator).astype(np.float32)
