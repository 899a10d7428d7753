"""Networks of the sbi library: named, built, and nothing else.

Owns what a network's description means.  It does not know what is trained, nor on which task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from sbi.neural_nets import classifier_nn, likelihood_nn, posterior_flow_nn, posterior_nn
from torch import Tensor

from hepflow_verbs import UsageError

FLOWS = ("nsf", "maf")
FEWEST_FOR_MAF = 3


@dataclass(frozen=True, slots=True)
class Network:
    """A network: its ``kind``, units a hidden layer, and how many ``layers``.

    Kinds: normalising flows (``nsf``, neural splines: Durkan et al., NeurIPS 2019; ``maf``,
    autoregressive: Papamakarios et al., NeurIPS 2017; a layer is one transform), classifiers
    (``resnet``, a layer is one residual block) and vector fields (``mlp``).
    """

    kind: str
    hidden: int = 50
    layers: int = 5


class Estimator(Protocol):
    """What every estimator of sbi is: a torch module."""

    def parameters(self) -> Iterator[torch.nn.Parameter]: ...
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state_dict: dict[str, Tensor]) -> object: ...
    def train(self, mode: bool = True) -> object: ...


def build_posterior_flow(network: Network, theta: Tensor, x: Tensor) -> Estimator:
    """Return an untrained density of parameters given data, z-scored to these examples."""
    _check_flow(network, theta)
    build = posterior_nn(
        model=network.kind, hidden_features=network.hidden, num_transforms=network.layers
    )
    return cast(Estimator, build(theta, x))


def _check_flow(network: Network, modelled: Tensor) -> None:
    # The first dimension of each transform sees no condition in nflows (its masks leave it a bias
    # alone).  The order is shuffled between transforms; of two dimensions one may always be first.
    if network.kind == "maf" and modelled.shape[1] < FEWEST_FOR_MAF:
        raise UsageError(
            "--network",
            f"maf cannot model a density of {modelled.shape[1]} dimensions",
            why="one of them would not depend on what the density is conditioned on",
            fix="choose nsf",
        )


def build_likelihood_flow(network: Network, theta: Tensor, x: Tensor) -> Estimator:
    """Return an untrained density of data given parameters, z-scored to these examples."""
    _check_flow(network, x)
    build = likelihood_nn(
        model=network.kind, hidden_features=network.hidden, num_transforms=network.layers
    )
    return cast(Estimator, build(theta, x))


def build_classifier(network: Network, theta: Tensor, x: Tensor) -> Estimator:
    """Return an untrained log ratio of parameters and data, z-scored to these examples."""
    build = classifier_nn(
        model=network.kind, hidden_features=network.hidden, num_blocks=network.layers
    )
    return cast(Estimator, build(theta, x))


def build_vector_field(network: Network, theta: Tensor, x: Tensor) -> Estimator:
    """Return an untrained vector field that carries noise to parameters given data."""
    build = posterior_flow_nn(
        model=network.kind, hidden_features=network.hidden, num_layers=network.layers
    )
    return cast(Estimator, build(theta, x))
