"""Networks of the `madminer` library: trained, kept in its files, read again.

ALICE and ALICES (Stoye et al., arXiv:1808.00973) learn log p(x | theta) / p(x | 0) from the joint
likelihood ratio, ALICES from the joint score too; SALLY (Brehmer et al., arXiv:1805.00020) learns the
score at theta = 0 from the joint score.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from hepflow_madminer.latent import Array
from hepflow_madminer.sampling import RATIO_METHODS, SCORE_METHODS, read_sample
from hepflow_verbs import InputError

# What reads Delphes' files in madminer, and nothing else of it, imports uproot3, which no Python from 3.12
# on can: an empty module stands in.
sys.modules.setdefault("uproot3", ModuleType("uproot3"))
from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator  # noqa: E402


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Args:
        hidden: units of each hidden layer.
        epochs: passes over the sample.
        batch: rows a step.
        learning_rate: the first one; it falls to a tenth.
        alpha: weight of the score in the loss of ALICES.
        seed: of weights, order and what is held out.
    """

    hidden: tuple[int, ...]
    epochs: int
    batch: int
    learning_rate: float
    alpha: float
    seed: int


@dataclass(frozen=True, slots=True)
class Estimator:
    """A trained network of the method ``method``."""

    method: str
    network: Any

    def log_ratio(self, x: Array, theta: Array, reference: Array) -> Array:
        """Estimate log p(x | theta) / p(x | 0) for rows of ``theta`` and ``x``: (m, n).

        SALLY's is that of its local model, p(x | theta) ~ p(x | 0) exp(t(x) theta) (arXiv:1805.00020,
        section III), normalised over ``reference``: observables of events at theta = 0.
        """
        if self.method in RATIO_METHODS:
            estimate, _ = self.network.evaluate_log_likelihood_ratio(x, theta)
            return np.asarray(estimate)
        norm = np.mean(np.exp(self.score(reference) @ theta.T), axis=0)
        return theta @ self.score(x).T - np.log(norm)[:, None]

    def score(self, x: Array) -> Array:
        """Estimate the score at theta = 0, (n, d)."""
        if self.method in SCORE_METHODS:
            return np.asarray(self.network.evaluate_score(x))
        zero = np.zeros((1, self.network.n_parameters))
        _, score = self.network.evaluate_log_likelihood_ratio(x, zero, evaluate_score=True)
        return np.asarray(score[0])


def train(samples: str, method: str, plan: Plan, folder: str) -> tuple[float, float]:
    """Train on the sample for ``method`` and write the network.

    Returns: the loss of the last epoch in training and validation.
    """
    arrays = read_sample(samples, method)
    torch.set_num_threads(1)  # for networks so small more only cost
    torch.manual_seed(plan.seed)
    np.random.seed(plan.seed)  # noqa: NPY002  madminer splits and shuffles by the global generator
    settings: dict[str, Any] = {"n_epochs": plan.epochs, "batch_size": plan.batch, "n_workers": 0}
    settings |= {"initial_lr": plan.learning_rate, "final_lr": plan.learning_rate / 10}
    if method in RATIO_METHODS:
        network = ParameterizedRatioEstimator(n_hidden=plan.hidden)
        theta = arrays.pop("theta0")
        losses = network.train(method, **arrays, theta=theta, alpha=plan.alpha, **settings)
    else:
        network = ScoreEstimator(n_hidden=plan.hidden)
        losses = network.train(method, **arrays, **settings)
    Path(folder).mkdir(parents=True, exist_ok=True)
    network.save(f"{folder}/{method}")
    training, validation = losses
    return float(training[-1]), float(validation[-1])


def read_estimator(folder: str) -> Estimator:
    """Read the network that ``train`` wrote."""
    found = [
        method
        for method in (*RATIO_METHODS, *SCORE_METHODS)
        if Path(folder, f"{method}_settings.json").is_file()
    ]
    if len(found) != 1:
        raise InputError(
            folder, "holds no trained network, or several", fix="name the folder that 'train' wrote"
        )
    (method,) = found
    network = ParameterizedRatioEstimator() if method in RATIO_METHODS else ScoreEstimator()
    network.load(f"{folder}/{method}")
    return Estimator(method, network)
