"""The classifier two-sample test: can a small network tell two sets of samples apart?

D. Lopez-Paz and M. Oquab, "Revisiting classifier two-sample tests", ICLR 2017.  Settings are those
of the published benchmark (Lueckmann et al., PMLR 130:343): both sets z-scored with the moments of
the reference, two hidden layers of ten units a dimension, five shuffled folds, mean accuracy.
0.5 says the sets cannot be told apart, 1 that they can without fail.  THE COUNT MATTERS: scores
from fewer samples are lower and must not be compared with those from 10,000 a side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow_lfi.mlp import FittedStack, fit_stack

FOLDS = 5
SEED = 1
UNITS_PER_DIMENSION = 10

Pair = tuple[NDArray[Any], NDArray[Any]]
Fit = Callable[[NDArray[Any], NDArray[Any], int, int], FittedStack]


@dataclass(frozen=True, slots=True)
class C2ST:
    """Mean accuracy over the folds, the accuracy of each, and the epochs each trained."""

    score: float
    folds: tuple[float, ...]
    epochs: tuple[int, ...]


def c2st(reference: NDArray[Any], inferred: NDArray[Any], seed: int = SEED) -> C2ST:
    """Compare samples ``reference`` (n, d) with ``inferred`` (m, d)."""
    return c2st_many([(reference, inferred)], seed)[0]


def c2st_many(pairs: Sequence[Pair], seed: int = SEED, fit: Fit = fit_stack) -> list[C2ST]:
    """Compare several pairs of one shape at once; ``fit`` trains all their classifiers together.

    On a processor one pair at a time is as fast; an accelerator wants them all.
    """
    joined = [_join(reference, inferred) for reference, inferred in pairs]
    features = np.stack([one[0] for one in joined])
    labels = np.stack([one[1] for one in joined])
    count, dims = features.shape[1:]
    splits = _split(count, seed)
    accuracy, epochs = np.empty((len(pairs), FOLDS)), np.empty((len(pairs), FOLDS), int)
    for size in {len(train) for train, _ in splits}:
        folds = [fold for fold, (train, _) in enumerate(splits) if len(train) == size]
        trains = np.stack([splits[fold][0] for fold in folds])
        members = [(pair, fold) for pair in range(len(pairs)) for fold in folds]
        stack = fit(
            features[:, trains].reshape(len(members), size, dims),
            labels[:, trains].reshape(len(members), size),
            UNITS_PER_DIMENSION * dims,
            seed,
        )
        for network, (pair, fold) in enumerate(members):
            test = splits[fold][1]
            is_right = stack.classify(network, features[pair, test]) == labels[pair, test].astype(
                bool
            )
            accuracy[pair, fold], epochs[pair, fold] = is_right.mean(), stack.epochs[network]
    return [
        C2ST(float(row.mean()), tuple(row.tolist()), tuple(trained.tolist()))
        for row, trained in zip(accuracy, epochs, strict=True)
    ]


def _join(
    reference: NDArray[Any], inferred: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Z-score both sets, put one after the other, and label them 0 and 1 (single precision)."""
    mean = reference.mean(axis=0, dtype=np.float64).astype(np.float32)
    sd = reference.std(axis=0, ddof=1, dtype=np.float64).astype(np.float32)
    both = np.concatenate([reference, inferred]).astype(np.float32)
    labels = np.concatenate([np.zeros(len(reference)), np.ones(len(inferred))])
    return (both - mean) / sd, labels.astype(np.float32)


def _split(count: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return (train, test) indices of the shuffled folds, as ``sklearn.model_selection.KFold``."""
    order = np.arange(count)
    np.random.RandomState(seed).shuffle(order)
    splits = []
    for part in np.array_split(order, FOLDS):
        is_test = np.zeros(count, bool)
        is_test[part] = True
        splits.append((np.flatnonzero(~is_test), np.flatnonzero(is_test)))
    return splits
