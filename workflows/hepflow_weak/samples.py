"""The file that passes from step to step: histograms of cos(theta), one a parameter point.

A histogram of 50 bins loses nothing that matters of a density as smooth as 1 + c^2 + a c, and a
million events fit in a kilobyte.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hepflow_verbs import InputError

BINS = 50
EDGES = np.linspace(-1.0, 1.0, BINS + 1)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
AnyPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Sample:
    """Events by parameter point.

    ``s2eff`` (points,): the effective sin^2 of the weak mixing angle each was generated at;
    ``counts`` (points, BINS): events in each bin of cos(theta), the angle between the incoming
    electron and the outgoing mu-; ``seeds`` (points,): of the generator, never the same twice;
    ``low``, ``high``: the flat prior the points were drawn from (equal: all at one value);
    ``energy_gev``: centre-of-mass energy.
    """

    s2eff: Floats
    counts: Counts
    seeds: Counts
    low: float
    high: float
    energy_gev: float

    @property
    def events(self) -> int:
        """All events of all points."""
        return int(self.counts.sum())


def write_sample(path: AnyPath, sample: Sample) -> None:
    """Write one sample as a numpy archive; the same sample gives the same bytes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(
            file,
            s2eff=sample.s2eff,
            counts=sample.counts,
            seeds=sample.seeds,
            low=np.array(sample.low),
            high=np.array(sample.high),
            energy_gev=np.array(sample.energy_gev),
        )


def read_samples(paths: Sequence[AnyPath]) -> Sample:
    """Read and join shards, in the order given.

    Raises ``InputError`` where one is missing or malformed, was made at another energy or over
    another prior, or repeats a seed: points that share a seed are correlated and feign a precision
    that is not there.
    """
    parts = [_read(Path(path)) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if _conditions(part) != _conditions(parts[0]):
            raise InputError(
                path,
                f"was made with {_conditions(part)}, {paths[0]} with {_conditions(parts[0])}",
                fix="generate all shards at one energy and over one prior",
            )
    joined = Sample(
        np.concatenate([part.s2eff for part in parts]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.seeds for part in parts]),
        parts[0].low,
        parts[0].high,
        parts[0].energy_gev,
    )
    if len(np.unique(joined.seeds)) < len(joined.seeds):
        raise InputError(
            paths[0],
            "two points of these shards were generated with one seed",
            fix="give every shard seeds of its own (--first-seed)",
        )
    return joined


def _conditions(sample: Sample) -> str:
    return f"{sample.energy_gev:g} GeV, s2eff {sample.low:g} to {sample.high:g}"


def _read(path: Path) -> Sample:
    try:
        with np.load(path, allow_pickle=False) as file:
            sample = Sample(
                file["s2eff"],
                file["counts"],
                file["seeds"],
                float(file["low"]),
                float(file["high"]),
                float(file["energy_gev"]),
            )
    except FileNotFoundError:
        raise InputError(path, "no such file", fix="check the path") from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            path, f"is no sample ({error})", fix="write one with the command 'generate'"
        ) from error
    if sample.counts.shape != (len(sample.s2eff), BINS):
        raise InputError(
            path,
            f"its histograms are {sample.counts.shape}, needed is ({len(sample.s2eff)}, {BINS})",
            fix="generate it with this version",
        )
    return sample
