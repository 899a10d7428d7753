"""Random numbers: a stream for every task, so that none shares its draws with another."""

from __future__ import annotations

import numpy as np

STAGES = ("shower", "detector", "sample", "evaluate")


def open_stream(seed: int, stage: str, number: int = 0) -> np.random.Generator:
    """Open the stream of one task: the ``number``-th of a stage."""
    # numpy takes [0], [0, 0] and [0, 0, 0] for the same seed: hence the stage comes last, from 1.
    return np.random.default_rng([seed, number, 1 + STAGES.index(stage)])
