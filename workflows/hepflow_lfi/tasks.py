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
from hepflow_lfi.errors import UsageError
from hepflow_lfi.priors import Floats, Normal, Prior, Uniform, independent
from hepflow_lfi.problems import SUFFIXES, Problem, read_problem

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
