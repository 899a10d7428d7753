"""The table of benchmark tasks: which prior, which simulator, which exact posterior.

Owns the names that the command line, the files and the published table share.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hepflow_lfi import closed_form, simulators
from hepflow_lfi.priors import (
    Floats,
    IndependentPrior,
    LogNormal,
    Normal,
    NormalPrior,
    Prior,
    Uniform,
    independent,
)
from hepflow_lfi.problems import SUFFIXES, Problem, read_problem
from hepflow_verbs import UsageError

Simulator = Callable[[Floats, np.random.Generator], Floats]
ExactPosterior = Callable[[Floats, int, np.random.Generator, Prior], Floats]


@dataclass(frozen=True, slots=True)
class Task:
    """A problem with its simulator. ``number`` seeds it: it never changes once published."""

    name: str
    number: int
    data_dim: int
    prior: Prior
    simulator: Simulator
    exact_posterior: ExactPosterior | None
    doc: str

    @property
    def problem(self) -> Problem:
        """What training and sampling need to know of it."""
        return Problem(self.name, self.prior, self.number)


def _make_glm_prior() -> NormalPrior:
    """Offset of variance 2; a filter whose second differences are small (precision F^T F)."""
    size = simulators.GLM_FILTER
    difference = np.eye(size) - np.eye(size, k=-1)
    smooth = difference @ difference + np.diag(np.sqrt(np.arange(size) / size))
    precision = np.zeros((size + 1, size + 1))
    precision[0, 0] = 0.5
    precision[1:, 1:] = smooth.T @ smooth
    covariance = np.linalg.inv(precision)
    rows = tuple(tuple(row) for row in ((covariance + covariance.T) / 2).tolist())
    names = ("offset", *(f"filter_{delay}" for delay in range(size)))
    return NormalPrior(names, (0.0,) * (size + 1), rows)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="two_moons",
            number=1,
            data_dim=2,
            prior=independent(2, Uniform(-1.0, 1.0)),
            simulator=simulators.two_moons,
            exact_posterior=closed_form.two_moons,
            doc="two crescents: bimodal, curved, thin",
        ),
        Task(
            name="gaussian_linear",
            number=2,
            data_dim=10,
            prior=independent(10, Normal(0.0, math.sqrt(0.1))),
            simulator=simulators.gaussian_linear,
            exact_posterior=closed_form.gaussian_linear,
            doc="ten means of normals: the posterior is normal",
        ),
        Task(
            name="gaussian_mixture",
            number=3,
            data_dim=2,
            prior=independent(2, Uniform(-10.0, 10.0)),
            simulator=simulators.gaussian_mixture,
            exact_posterior=closed_form.gaussian_mixture,
            doc="a common mean of a wide and a narrow normal",
        ),
        Task(
            name="slcp",
            number=4,
            data_dim=8,
            prior=independent(5, Uniform(-3.0, 3.0)),
            simulator=simulators.slcp,
            exact_posterior=None,
            doc="simple likelihood, complex posterior: four modes",
        ),
        Task(
            name="gaussian_linear_uniform",
            number=5,
            data_dim=10,
            prior=independent(10, Uniform(-simulators.LINEAR_BOUND, simulators.LINEAR_BOUND)),
            simulator=simulators.gaussian_linear,
            exact_posterior=closed_form.gaussian_linear_uniform,
            doc="ten means of normals in a box: the posterior is a normal, cut",
        ),
        Task(
            name="bernoulli_glm",
            number=6,
            data_dim=10,
            prior=_make_glm_prior(),
            simulator=simulators.bernoulli_glm,
            exact_posterior=None,
            doc="spikes of a neuron: offset and smooth filter",
        ),
        Task(
            name="sir",
            number=7,
            data_dim=10,
            prior=IndependentPrior(
                ("contact_rate", "recovery_rate"),
                (LogNormal(math.log(0.4), 0.5), LogNormal(math.log(0.125), 0.2)),
            ),
            simulator=simulators.sir,
            exact_posterior=None,
            doc="an epidemic, seen through tests",
        ),
        Task(
            name="lotka_volterra",
            number=8,
            data_dim=20,
            prior=IndependentPrior(
                ("prey_birth", "predation", "predator_death", "predator_growth"),
                (LogNormal(-0.125, 0.5), LogNormal(-3.0, 0.5)) * 2,
            ),
            simulator=simulators.lotka_volterra,
            exact_posterior=None,
            doc="predators and prey, counted with noise",
        ),
    )
}


def find_task(name: str) -> Task:
    """Return the task of that name, or say which there are."""
    if name not in TASKS:
        known = ", ".join(TASKS)
        raise UsageError("task", f"no task is called {name!r}", fix=f"choose one of: {known}")
    return TASKS[name]


def find_problem(named: str | os.PathLike[str]) -> Problem:
    """Return the problem of the task of that name, or the one that a YAML or JSON file tells."""
    if Path(named).suffix in SUFFIXES:
        return read_problem(named)
    return find_task(os.fspath(named)).problem
