"""What inference must know of a simulator: its name and the prior of its parameters.

A benchmark task has one (:mod:`hepflow_lfi.tasks`); for a simulator of one's own it is a small file:

    name: lifetime                     # optional: the file's name without its ending
    parameters:
      tau: [0.5, 5]                    # see hepflow_lfi.priors
      smearing: {normal: [0.1, 0.02]}

How long the data are is seen from the simulations.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hepflow_lfi.priors import Prior, read_prior
from hepflow_verbs import InputError

SUFFIXES = (".yaml", ".yml", ".json")
_KEYS = ("name", "parameters")


@dataclass(frozen=True, slots=True)
class Problem:
    """A prior with a name; ``number`` keeps its random numbers apart from other problems'."""

    name: str
    prior: Prior
    number: int

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return self.prior.dim

    def describe(self) -> dict[str, object]:
        """Return the plain data that :meth:`from_plain` reads."""
        return {"name": self.name, "number": self.number, "parameters": self.prior.describe()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, object]) -> Problem:
        """Return the problem that :meth:`describe` described."""
        return cls(str(plain["name"]), read_prior(plain["parameters"]), cast(int, plain["number"]))


def read_problem(path: str | os.PathLike[str]) -> Problem:
    """Read a problem from its YAML or JSON file; ``InputError`` says what is off."""
    import yaml

    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", fix="check the path")
    fix = "write 'parameters:' and under it one line for each, such as 'mass: [100, 150]'"
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(path, "is not well-formed YAML", why=str(error), fix=fix) from None
    if not isinstance(told, Mapping) or "parameters" not in told:
        raise InputError(path, "tells no prior: there is no 'parameters'", fix=fix)
    for key in told:
        if key not in _KEYS:
            raise InputError(path, f"unknown key {key!r}", fix=f"there are {', '.join(_KEYS)}")
    try:
        prior = read_prior(told["parameters"])
    except ValueError as error:
        raise InputError(path, "its prior cannot be read", why=str(error), fix=fix) from None
    name = str(told.get("name", path.stem))
    return Problem(name, prior, zlib.crc32(name.encode()))
