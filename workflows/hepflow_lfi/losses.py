"""Losses that contrast the true parameters of an example with those of others in its batch.

Both pick, for each example, ``ATOMS - 1`` parameters of other examples, none twice; what is
minimised is minus the log probability of the true one among all.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ATOMS = 10

Evaluate = Callable[[Tensor, Tensor], Tensor]


def contrastive_loss(log_ratio: Evaluate, theta: Tensor, x: Tensor) -> Tensor:
    """Return the loss (batch,) that log p(x | theta) / p(x) minimises, whatever theta's density.

    ``log_ratio`` takes parameters (n, parameters) and data (n, data) and returns (n,).  Durkan,
    Murray, Papamakarios, "On contrastive learning for likelihood-free inference", ICML 2020.
    """
    return atomic_loss(log_ratio, torch.zeros(len(theta)), theta, x)


def atomic_loss(log_posterior: Evaluate, log_prior: Tensor, theta: Tensor, x: Tensor) -> Tensor:
    """Return the loss (batch,) that log p(theta | x) minimises, whatever theta was drawn from.

    ``log_posterior`` takes parameters (n, parameters) and data (n, data) and returns (n,);
    ``log_prior`` (batch,) is the log prior density of ``theta``.  Greenberg, Nonnenmacher, Macke,
    "Automatic posterior transformation", ICML 2019, with atomic proposals.
    """
    choices = _choose_atoms(len(theta))
    candidates = theta[choices].flatten(0, 1)
    repeated = x.repeat_interleave(choices.shape[1], dim=0)
    logits = log_posterior(candidates, repeated).reshape(choices.shape) - log_prior[choices]
    return torch.logsumexp(logits, dim=1) - logits[:, 0]


def _choose_atoms(count: int) -> Tensor:
    """Return indices (count, atoms): each example's own first, then others, none twice."""
    weights = torch.ones(count, count).fill_diagonal_(0.0)
    others = torch.multinomial(weights, min(ATOMS, count) - 1, replacement=False)
    return torch.cat([torch.arange(count)[:, None], others], dim=1)
