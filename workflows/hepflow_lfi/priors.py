"""Prior densities over parameters, as plain data: drawn from, evaluated, written and read again.

Nothing here knows a task.  A prior is told in YAML or JSON as one entry a parameter:

    mass: [100, 150]                       uniform between two bounds
    scale: {normal: [0, 1]}                mean and standard deviation
    rate: {lognormal: [-0.9, 0.5]}         mean and standard deviation of the logarithm

or, for parameters that depend on each other, as ``{names, mean, covariance}`` of a normal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Distribution(Protocol):
    """A density of one parameter."""

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        """Return ``count`` independent values."""

    def log_density(self, values: NDArray[np.floating]) -> Floats:
        """Return the log density at each of the values, minus infinity where it is zero."""

    def describe(self) -> object:
        """Return the plain data that :func:`read_distribution` reads."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Constant from ``low`` to ``high``, both included."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"[{self.low:g}, {self.high:g}] is no range: the low bound comes first"
            )

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        return generator.uniform(self.low, self.high, count)

    def log_density(self, values: NDArray[np.floating]) -> Floats:
        inside = (values >= self.low) & (values <= self.high)
        return np.where(inside, -math.log(self.high - self.low), -np.inf)

    def describe(self) -> object:
        return [self.low, self.high]


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal with this ``mean`` and standard deviation ``sd``."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _check_spread(self.mean, self.sd)

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        return generator.normal(self.mean, self.sd, count)

    def log_density(self, values: NDArray[np.floating]) -> Floats:
        return _normal_log_density(np.asarray(values, float), self.mean, self.sd)

    def describe(self) -> object:
        return {"normal": [self.mean, self.sd]}


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A positive value whose logarithm is normal with ``log_mean`` and ``log_sd``."""

    log_mean: float
    log_sd: float

    def __post_init__(self) -> None:
        _check_spread(self.log_mean, self.log_sd)

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        return generator.lognormal(self.log_mean, self.log_sd, count)

    def log_density(self, values: NDArray[np.floating]) -> Floats:
        positive = np.asarray(values) > 0
        logarithm = np.log(np.where(positive, values, 1.0))
        density = _normal_log_density(logarithm, self.log_mean, self.log_sd) - logarithm
        return np.where(positive, density, -np.inf)

    def describe(self) -> object:
        return {"lognormal": [self.log_mean, self.log_sd]}


def _check_spread(mean: float, sd: float) -> None:
    if not (math.isfinite(mean) and math.isfinite(sd) and sd > 0):
        raise ValueError(f"[{mean:g}, {sd:g}] is no mean and standard deviation above zero")


def _normal_log_density(values: Floats, mean: float, sd: float) -> Floats:
    return -0.5 * ((values - mean) / sd) ** 2 - math.log(sd * math.sqrt(2 * math.pi))


class Prior(Protocol):
    """A density over ``dim`` parameters, each with a name."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the parameters are called, in the order of the columns."""

    @property
    def dim(self) -> int:
        """Number of parameters."""

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        """Return ``count`` independent parameter vectors, shape (count, dim)."""

    def log_density(self, theta: NDArray[np.floating]) -> Floats:
        """Return the log density (n,) at each row of ``theta`` (n, dim)."""

    def contains(self, theta: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Say for each row of ``theta`` (n, dim) whether the density there is above zero."""

    def describe(self) -> dict[str, object]:
        """Return the plain data that :func:`read_prior` reads."""


@dataclass(frozen=True, slots=True)
class IndependentPrior:
    """A distribution for each parameter, none of which depends on another."""

    names: tuple[str, ...]
    distributions: tuple[Distribution, ...]

    @property
    def dim(self) -> int:
        return len(self.names)

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        return np.stack([one.draw(count, generator) for one in self.distributions], axis=1)

    def log_density(self, theta: NDArray[np.floating]) -> Floats:
        columns = zip(self.distributions, theta.T, strict=True)
        return np.asarray(sum(one.log_density(column) for one, column in columns))

    def contains(self, theta: NDArray[np.floating]) -> NDArray[np.bool_]:
        return np.isfinite(self.log_density(theta))

    def describe(self) -> dict[str, object]:
        pairs = zip(self.names, self.distributions, strict=True)
        return {name: one.describe() for name, one in pairs}


@dataclass(frozen=True, slots=True)
class NormalPrior:
    """A normal of several parameters, with their ``covariance`` as rows."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        shape = (self.dim, self.dim)
        covariance = np.array(self.covariance) if len(self.mean) == self.dim else np.empty(0)
        if covariance.shape != shape or not np.allclose(covariance, covariance.T):
            raise ValueError(f"needed are {self.dim} means and a symmetric covariance {shape}")
        try:
            np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            raise ValueError("the covariance is not positive definite") from None

    @property
    def dim(self) -> int:
        return len(self.names)

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        noise = generator.normal(size=(count, self.dim))
        return np.asarray(self.mean + noise @ np.linalg.cholesky(np.array(self.covariance)).T)

    def log_density(self, theta: NDArray[np.floating]) -> Floats:
        root = np.linalg.cholesky(np.array(self.covariance))
        scaled = np.linalg.solve(root, (theta - np.array(self.mean)).T)
        constant = np.log(np.diag(root)).sum() + 0.5 * self.dim * math.log(2 * math.pi)
        return np.asarray(-0.5 * np.square(scaled).sum(axis=0) - constant)

    def contains(self, theta: NDArray[np.floating]) -> NDArray[np.bool_]:
        return np.isfinite(theta).all(axis=1)

    def describe(self) -> dict[str, object]:
        return {
            "names": list(self.names),
            "mean": list(self.mean),
            "covariance": [list(row) for row in self.covariance],
        }


_KINDS = {"uniform": Uniform, "normal": Normal, "lognormal": LogNormal}
_Plain: TypeAlias = Mapping[str, object]


def read_prior(plain: object) -> Prior:
    """Return the prior that ``plain`` data tell (see the module); ``ValueError`` says what is off."""
    if not isinstance(plain, Mapping) or not plain:
        raise ValueError("a prior is a mapping of parameters, such as 'mass: [100, 150]'")
    if set(plain) == {"names", "mean", "covariance"}:
        names, mean, covariance = (
            cast(Sequence[object], plain[key]) for key in ("names", "mean", "covariance")
        )
        try:
            rows = tuple(_read_numbers(row) for row in covariance)
            return NormalPrior(tuple(map(str, names)), _read_numbers(mean), rows)
        except TypeError:
            raise ValueError("names, mean and covariance are lists") from None
    return IndependentPrior(
        tuple(map(str, plain)),
        tuple(_read_named(str(name), told) for name, told in plain.items()),
    )


def _read_named(name: str, told: object) -> Distribution:
    try:
        return read_distribution(told)
    except ValueError as error:
        raise ValueError(f"parameter {name!r}: {error}") from None


def read_distribution(told: object) -> Distribution:
    """Return the distribution that ``told`` describes: ``[low, high]`` or ``{kind: [a, b]}``."""
    kind, numbers = "uniform", told
    if isinstance(told, Mapping) and len(told) == 1:
        ((kind, numbers),) = cast(_Plain, told).items()
    if kind not in _KINDS:
        raise ValueError(f"no distribution is called {kind!r}; there are {', '.join(_KINDS)}")
    values = _read_numbers(numbers)
    if len(values) != 2:
        raise ValueError(f"{kind} takes two numbers, not {len(values)}")
    return cast(Distribution, _KINDS[kind](*values))


def _read_numbers(told: object) -> tuple[float, ...]:
    if not isinstance(told, Sequence) or isinstance(told, str):
        raise ValueError(f"{told!r} is no list of numbers, such as [100, 150]")
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in told):
        raise ValueError(f"{list(told)} holds what is no number")
    return tuple(float(one) for one in told)


def independent(dim: int, distribution: Distribution) -> IndependentPrior:
    """Return the prior of ``dim`` parameters ``theta_1``, ... that share one distribution."""
    return IndependentPrior(number_names(dim), (distribution,) * dim)


def number_names(dim: int) -> tuple[str, ...]:
    """Return ``theta_1`` to ``theta_dim``."""
    return tuple(f"theta_{index + 1}" for index in range(dim))
