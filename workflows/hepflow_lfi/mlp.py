"""Train several equal-sized binary classifiers at once, with the arithmetic of scikit-learn.

Owns the classifier inside the two-sample test: two hidden ReLU layers, logistic output, Adam,
stop when the training loss stalls.  It repeats ``sklearn.neural_network.MLPClassifier`` operation
by operation (same generator, same batches, same roundings), but carries a stack of ``k`` data sets
through every numpy call, which divides the interpreter's cost by ``k``.  A test holds the result
against scikit-learn bit for bit.  It must never know what is being classified, or why.

Shapes: ``k`` networks, ``n`` examples each, ``d`` features; ``h`` hidden units a layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, xlogy

BATCH = 200
L2_PENALTY = 1e-4
LEARNING_RATE = 1e-3
DECAY_MEAN, DECAY_VARIANCE, EPSILON = 0.9, 0.999, 1e-8
TOLERANCE = 1e-4
PATIENCE_EPOCHS = 10

FloatArray = NDArray[Any]


@dataclass(frozen=True, slots=True)
class FittedStack:
    """Weights of ``k`` trained networks (one row each) and how long each trained."""

    weights: FloatArray
    layers: tuple[int, ...]
    epochs: NDArray[np.int64]

    def classify(self, network: int, features: FloatArray) -> NDArray[np.bool_]:
        """Say for each of the ``features`` (m, d) whether ``network`` takes it for class 1."""
        net = _Network(self.weights[network : network + 1], self.layers)
        return np.asarray(net.forward(features[None])[-1][0, :, 0] > 0.5)


@dataclass(slots=True)
class _Network:
    """A stack of networks whose weights live in one flat array (k, p), read through views."""

    flat: FloatArray
    layers: tuple[int, ...]
    matrices: list[FloatArray] = field(init=False)
    biases: list[FloatArray] = field(init=False)
    matrices_end: int = field(init=False)

    def __post_init__(self) -> None:
        k, self.matrices, self.biases, start = len(self.flat), [], [], 0
        pairs = list(pairwise(self.layers))
        for fan_in, fan_out in pairs:
            stop = start + fan_in * fan_out
            self.matrices.append(self.flat[:, start:stop].reshape(k, fan_in, fan_out))
            start = stop
        self.matrices_end = start
        for _, fan_out in pairs:
            self.biases.append(self.flat[:, start : start + fan_out].reshape(k, 1, fan_out))
            start += fan_out

    def forward(self, features: FloatArray) -> list[FloatArray]:
        """Return the activations of every layer, the input first; the last is a probability."""
        activations = [features]
        for matrix, bias in zip(self.matrices, self.biases, strict=True):
            activations.append(np.matmul(activations[-1], matrix))
            activations[-1] += bias
            if matrix is not self.matrices[-1]:
                np.maximum(activations[-1], 0, out=activations[-1])
        expit(activations[-1], out=activations[-1])
        return activations

    def backward(
        self, activations: list[FloatArray], labels: FloatArray, gradient: _Network
    ) -> None:
        """Write the gradient of the penalised log loss into ``gradient`` (same layout)."""
        delta = activations[-1] - labels
        for layer in range(len(self.matrices) - 1, -1, -1):
            source = activations[layer]
            np.matmul(source.swapaxes(1, 2), delta, out=gradient.matrices[layer])
            np.add.reduce(delta, axis=1, keepdims=True, out=gradient.biases[layer])
            if layer:
                transposed = self.matrices[layer].swapaxes(1, 2)
                # One output makes this an outer product: multiply is faster and rounds alike.
                single = delta.shape[2] == 1
                delta = delta * transposed if single else np.matmul(delta, transposed)
                delta *= source > 0
        end = self.matrices_end
        gradient.flat[:, :end] += L2_PENALTY * self.flat[:, :end]
        gradient.flat /= labels.shape[1]

    def penalty(self) -> FloatArray:
        """Return the sum of squared matrix entries of each network, shape (k,)."""
        total: FloatArray = np.zeros(len(self.flat), self.flat.dtype)
        for matrix in self.matrices:
            row = matrix.reshape(len(matrix), 1, -1)
            total = total + np.matmul(row, row.swapaxes(1, 2))[:, 0, 0]
        return total


@dataclass(slots=True)
class _Adam:
    """First and second moments of the gradients, and the step they lead to."""

    mean: FloatArray
    variance: FloatArray
    steps: int = 0

    def step(self, weights: FloatArray, gradient: FloatArray) -> None:
        self.steps += 1
        self.mean *= DECAY_MEAN
        self.mean += (1 - DECAY_MEAN) * gradient
        self.variance *= DECAY_VARIANCE
        self.variance += (1 - DECAY_VARIANCE) * np.square(gradient)
        # The rate is a numpy double on purpose: scikit-learn's update is in double precision too.
        rate = np.float64(LEARNING_RATE * np.sqrt(1 - DECAY_VARIANCE**self.steps))
        rate = rate / (1 - DECAY_MEAN**self.steps)
        update = -rate * self.mean / (np.sqrt(self.variance) + EPSILON)
        np.add(weights, update, out=weights, casting="same_kind")


def fit_stack(
    features: FloatArray, labels: FloatArray, hidden: int, seed: int, max_epochs: int = 10_000
) -> FittedStack:
    """Train one network for each of the ``k`` data sets.

    ``features`` (k, n, d) and ``labels`` (k, n) hold 0 or 1; both in the precision to compute in.
    Every network starts from the same weights and sees its examples in the same order, as ``k``
    scikit-learn classifiers with the same ``random_state`` would.
    """
    k, n, d = features.shape
    layers = (d, hidden, hidden, 1)
    generator = np.random.RandomState(seed)
    start = draw_initial_weights(layers, generator).astype(features.dtype)
    done = np.empty((k, start.size), features.dtype)
    epochs = np.zeros(k, np.int64)
    active = np.arange(k)
    flat = np.tile(start, (k, 1))
    adam = _Adam(np.zeros_like(flat), np.zeros_like(flat))
    best = np.full(k, np.inf)
    stalled = np.zeros(k, np.int64)
    order = np.arange(n)
    for epoch in range(1, max_epochs + 1):
        shuffled = np.arange(n)
        generator.shuffle(shuffled)
        order = order[shuffled]
        loss = _run_epoch(flat, layers, adam, features.take(order, 1), labels.take(order, 1))
        stalled = np.where(loss > best - TOLERANCE, stalled + 1, 0)
        best = np.minimum(best, loss)
        stop = (stalled > PATIENCE_EPOCHS) | (epoch == max_epochs)
        if not stop.any():
            continue
        done[active[stop]], epochs[active[stop]] = flat[stop], epoch
        keep = ~stop
        if not keep.any():
            break
        active, flat, best, stalled = active[keep], flat[keep], best[keep], stalled[keep]
        features, labels = features[keep], labels[keep]
        adam = _Adam(adam.mean[keep], adam.variance[keep], adam.steps)
    return FittedStack(done, layers, epochs)


def draw_initial_weights(layers: tuple[int, ...], generator: np.random.RandomState) -> FloatArray:
    """Return the weights (p,) that scikit-learn starts from: matrices first, then biases."""
    matrices, biases = [], []
    for fan_in, fan_out in pairwise(layers):
        bound = np.sqrt(6.0 / (fan_in + fan_out))
        matrices.append(generator.uniform(-bound, bound, (fan_in, fan_out)).ravel())
        biases.append(generator.uniform(-bound, bound, fan_out))
    return np.concatenate(matrices + biases)


def _run_epoch(
    flat: FloatArray,
    layers: tuple[int, ...],
    adam: _Adam,
    features: FloatArray,
    labels: FloatArray,
) -> FloatArray:
    """Update ``flat`` in place over one pass; return the mean training loss of each network."""
    k, n, _ = features.shape
    network = _Network(flat, layers)
    gradient = _Network(np.empty_like(flat), layers)
    probability = np.empty((k, n), flat.dtype)
    penalties = []
    for start in range(0, n, BATCH):
        part = slice(start, min(start + BATCH, n))
        activations = network.forward(features[:, part])
        probability[:, part] = activations[-1][:, :, 0]
        penalties.append(network.penalty())
        network.backward(activations, labels[:, part, None], gradient)
        adam.step(flat, gradient.flat)
    return _epoch_loss(probability, labels, penalties)


def _epoch_loss(
    probability: FloatArray, labels: FloatArray, penalties: list[FloatArray]
) -> FloatArray:
    """Return the mean loss (k,) from the probabilities (k, n) each batch gave when it was seen."""
    tiny = np.finfo(probability.dtype).eps
    clipped = np.clip(probability, tiny, 1 - tiny)
    likelihood = xlogy(labels, clipped) + xlogy(1 - labels.astype(np.float64), 1 - clipped)
    n = labels.shape[1]
    total = np.zeros(len(labels))
    for batch, penalty in enumerate(penalties):
        part = likelihood[:, batch * BATCH : (batch + 1) * BATCH]
        size = part.shape[1]
        total = total + (-part.mean(axis=1) + 0.5 * L2_PENALTY * penalty / size) * size
    return np.asarray(total / n)
