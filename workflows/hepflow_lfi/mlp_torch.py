"""The classifiers of :mod:`hepflow_lfi.mlp` on torch: many at once, where there is an accelerator.

The same network, batches, order and stopping rule; the arithmetic is torch's, so that a score
agrees within its own scatter instead of bit for bit.  A step of one network is far too small for
an accelerator: what pays is to carry the folds of all observations together, and to ask for the
loss once an epoch only.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from hepflow_lfi import mlp

FloatArray = NDArray[Any]


def fit_stack(
    features: FloatArray,
    labels: FloatArray,
    hidden: int,
    seed: int,
    max_epochs: int = 10_000,
    device: str = "cpu",
) -> mlp.FittedStack:
    """Train on ``device`` what :func:`hepflow_lfi.mlp.fit_stack` trains on the processor."""
    k, n, d = features.shape
    layers = (d, hidden, hidden, 1)
    generator = np.random.RandomState(seed)
    start = mlp.draw_initial_weights(layers, generator).astype(features.dtype)
    done, epochs = np.empty((k, start.size), features.dtype), np.zeros(k, np.int64)
    active, best, stalled = np.arange(k), np.full(k, np.inf), np.zeros(k, np.int64)
    x, y = torch.from_numpy(features).to(device), torch.from_numpy(labels).to(device)
    flat = torch.from_numpy(np.tile(start, (k, 1))).to(device)
    mean, variance, steps = torch.zeros_like(flat), torch.zeros_like(flat), 0
    order = np.arange(n)
    for epoch in range(1, max_epochs + 1):
        shuffled = np.arange(n)
        generator.shuffle(shuffled)
        order = order[shuffled]
        rows = torch.from_numpy(order).to(device)
        total = torch.zeros(len(flat), dtype=torch.float64, device=device)
        for part in rows.split(mlp.BATCH):
            loss, gradient = _differentiate(flat, layers, x[:, part], y[:, part])
            total += loss * len(part)
            steps += 1
            _step(flat, gradient, mean, variance, steps)
        loss_now = (total / n).cpu().numpy()
        stalled = np.where(loss_now > best - mlp.TOLERANCE, stalled + 1, 0)
        best = np.minimum(best, loss_now)
        stop = (stalled > mlp.PATIENCE_EPOCHS) | (epoch == max_epochs)
        if not stop.any():
            continue
        done[active[stop]], epochs[active[stop]] = flat.cpu().numpy()[stop], epoch
        if stop.all():
            break
        active, best, stalled = active[~stop], best[~stop], stalled[~stop]
        keep = torch.from_numpy(~stop).to(device)
        x, y, flat, mean, variance = (one[keep] for one in (x, y, flat, mean, variance))
    return mlp.FittedStack(done, layers, epochs)


def _differentiate(
    flat: Tensor, layers: tuple[int, ...], x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the penalised loss (k,) of one batch and its gradient (k, p)."""
    flat = flat.detach().requires_grad_()
    matrices, biases = _view_layers(flat, layers)
    hidden = x
    for matrix, bias in zip(matrices[:-1], biases[:-1], strict=True):
        hidden = torch.relu(torch.baddbmm(bias, hidden, matrix))
    logits = torch.baddbmm(biases[-1], hidden, matrices[-1])[:, :, 0]
    loss = binary_cross_entropy_with_logits(logits, y, reduction="none").mean(dim=1)
    squares = sum(matrix.square().sum(dim=(1, 2)) for matrix in matrices)
    loss = loss + 0.5 * mlp.L2_PENALTY * squares / x.shape[1]
    (gradient,) = torch.autograd.grad(loss.sum(), flat)
    return loss.detach(), gradient


def _view_layers(flat: Tensor, layers: tuple[int, ...]) -> tuple[list[Tensor], list[Tensor]]:
    """Return matrices (k, in, out) and biases (k, 1, out), laid out as in ``mlp``."""
    pairs = list(pairwise(layers))
    sizes = [fan_in * fan_out for fan_in, fan_out in pairs] + [fan_out for _, fan_out in pairs]
    parts = flat.split(sizes, dim=1)
    matrices = [part.reshape(-1, *shape) for part, shape in zip(parts, pairs, strict=False)]
    biases = [part[:, None] for part in parts[len(pairs) :]]
    return matrices, biases


def _step(flat: Tensor, gradient: Tensor, mean: Tensor, variance: Tensor, steps: int) -> None:
    """Move the weights by one step of Adam, in place."""
    mean.mul_(mlp.DECAY_MEAN).add_(gradient, alpha=1 - mlp.DECAY_MEAN)
    variance.mul_(mlp.DECAY_VARIANCE).addcmul_(gradient, gradient, value=1 - mlp.DECAY_VARIANCE)
    rate = mlp.LEARNING_RATE * (1 - mlp.DECAY_VARIANCE**steps) ** 0.5 / (1 - mlp.DECAY_MEAN**steps)
    flat.addcdiv_(mean, variance.sqrt().add_(mlp.EPSILON), value=-rate)
