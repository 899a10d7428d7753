"""Prior densities over parameters, as plain data with two questions: draw, and contains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Prior(Protocol):
    """A density over ``dim`` parameters."""

    @property
    def dim(self) -> int:
        """Number of parameters."""

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        """Return ``count`` independent parameter vectors, shape (count, dim)."""

    def contains(self, theta: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Say for each row of ``theta`` (n, dim) whether the density there is above zero."""


@dataclass(frozen=True, slots=True)
class BoxPrior:
    """Uniform between ``-bound`` and ``bound`` in each parameter."""

    dim: int
    bound: float

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        return generator.uniform(-self.bound, self.bound, (count, self.dim))

    def contains(self, theta: NDArray[np.floating]) -> NDArray[np.bool_]:
        return np.asarray((np.abs(theta) <= self.bound).all(axis=1))


@dataclass(frozen=True, slots=True)
class NormalPrior:
    """Independent normals of mean zero and the same ``variance``."""

    dim: int
    variance: float

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        return generator.normal(0.0, np.sqrt(self.variance), (count, self.dim))

    def contains(self, theta: NDArray[np.floating]) -> NDArray[np.bool_]:
        return np.isfinite(theta).all(axis=1)
