"""From a set-up to events: configure, generate, shower, detector, combine.

As in MadGraph's case the events are drawn at a few benchmarks only, and every other hypothesis is
reached by their weights, which the latents give.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hepflow_madminer.latent import Array, draw_latents, log_latent_density, measure
from hepflow_madminer.streams import open_stream
from hepflow_verbs import InputError


@dataclass(frozen=True, slots=True)
class Setup:
    """What is inferred: ``parameters`` (1 or 2), each within ±``span``, and the benchmarks."""

    parameters: int
    span: float
    benchmarks: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One share of the generation: so many ``events`` at the benchmark ``theta``."""

    number: int
    theta: tuple[float, ...]
    events: int
    seed: int


@dataclass(frozen=True, slots=True)
class Events:
    """Events of all jobs.

    Args:
        x: observables (n, d).
        z: latents (n, d).
        log_density: log of the density that each event's z was drawn from (n,), but for a constant:
            the mixture of all jobs.
    """

    x: Array
    z: Array
    log_density: Array

    def weigh(self, theta: Array) -> Array:
        """The probability of each event (n,) under ``theta`` (d,), as a share of the sample."""
        log_weight = log_latent_density(self.z, theta) - self.log_density
        weight: Array = np.exp(log_weight - log_weight.max())
        return weight / weight.sum()


def configure(parameters: int, span: float, benchmarks: int, out: str) -> None:
    """Write the set-up: a benchmark at the reference and the others evenly around it.

    Their distance is ``span``, so that every hypothesis in the region has events like its own.
    """
    around = [2 * math.pi * i / max(benchmarks - 1, 1) for i in range(benchmarks - 1)]
    others: list[tuple[float, ...]]
    if parameters == 2:
        others = [(span * math.cos(angle), span * math.sin(angle)) for angle in around]
    else:
        others = [(float(theta),) for theta in np.linspace(-span, span, benchmarks - 1)]
    setup = Setup(parameters, span, ((0.0,) * parameters, *others))
    Path(out).write_text(json.dumps(asdict(setup), indent=2) + "\n", encoding="utf-8")


def read_setup(path: str) -> Setup:
    """Read what ``configure`` wrote."""
    record = _read_record(path, set(Setup.__dataclass_fields__), "configure")
    benchmarks = tuple(tuple(theta) for theta in record["benchmarks"])
    return Setup(record["parameters"], record["span"], benchmarks)


def generate(setup: Setup, jobs: int, events: int, seed: int, folder: str) -> None:
    """Write a card ``job-NNN.json`` for each job; the benchmarks take turns."""
    if jobs < len(setup.benchmarks):
        raise InputError(
            "--jobs",
            f"{jobs} jobs leave some of {len(setup.benchmarks)} benchmarks without events",
            fix="ask for as many jobs as benchmarks, or configure fewer benchmarks",
        )
    for number in range(jobs):
        theta = setup.benchmarks[number % len(setup.benchmarks)]
        card = json.dumps(asdict(Job(number, theta, events, seed)), indent=2)
        Path(folder, f"job-{number:03}.json").write_text(card + "\n", encoding="utf-8")


def shower(path: str, out: str) -> None:
    """Draw the latents of one job's events."""
    record = _read_record(path, set(Job.__dataclass_fields__), "generate")
    theta = np.array(record["theta"])
    rng = open_stream(record["seed"], "shower", record["number"])
    z = draw_latents(np.tile(theta, (record["events"], 1)), rng)
    np.savez(out, z=z, theta=theta, job=np.array([record["seed"], record["number"]]))


def detect(path: str, out: str) -> None:
    """Measure the events of one job."""
    with _open_arrays(path, {"z", "theta", "job"}, "shower") as job:
        seed, number = job["job"].tolist()
        rng = open_stream(seed, "detector", number)
        np.savez(out, x=measure(job["z"], rng), z=job["z"], theta=job["theta"])


def combine(paths: Sequence[str], out: str) -> int:
    """Put the events of all jobs into one file; return how many."""
    parts = []
    for path in paths:
        with _open_arrays(path, {"x", "z", "theta"}, "detector") as job:
            parts.append((job["x"], job["z"], job["theta"]))
    x, z, thetas = zip(*parts, strict=True)
    latents = np.vstack(z)
    densities = [
        math.log(len(part)) + log_latent_density(latents, theta)
        for part, theta in zip(x, thetas, strict=True)
    ]
    np.savez(out, x=np.vstack(x), z=latents, log_density=np.logaddexp.reduce(densities))
    return len(latents)


def read_events(path: str) -> Events:
    """Read what ``combine`` wrote."""
    with _open_arrays(path, {"x", "z", "log_density"}, "combine") as file:
        return Events(file["x"], file["z"], file["log_density"])


def _read_record(path: str, keys: set[str], maker: str) -> dict[str, Any]:
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        record = None
    if not isinstance(record, dict) or set(record) != keys:
        raise InputError(path, f"not a file that '{maker}' wrote", fix=f"name the one of '{maker}'")
    return record


def _open_arrays(path: str, names: set[str], maker: str) -> np.lib.npyio.NpzFile:
    try:
        file = np.load(path)
    except (ValueError, EOFError):
        file = None
    if not isinstance(file, np.lib.npyio.NpzFile) or set(file.files) != names:
        raise InputError(path, f"not a file that '{maker}' wrote", fix=f"name the one of '{maker}'")
    return file
