"""What the commands were asked, after the command line has checked it; costs nothing to import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What the command 'train' was asked; ``None`` leaves the choice to the method and task."""

    out: str
    metrics: str | None = None
    seed: int = 0
    jobs: int = 1
    epochs: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    network: str | None = None
    hidden: int | None = None
    layers: int | None = None


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """What the commands 'sample' and 'propose' were asked; observations count from 1."""

    observations: str
    observation: int
    draws: int
    seed: int
    out: str


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """What the command 'judge' was asked; ``started`` is the perf_counter at program start."""

    posterior: str
    reference: str
    metrics: str
    plot: str | None
    samples: int
    observations: str | None
    jobs: int
    device: str
    seed: int
    started: float


@dataclass(frozen=True, slots=True)
class CalibrateOptions:
    """What the command 'calibrate' was asked; ``draws`` are those for each simulation."""

    posterior: str
    simulations: tuple[str, ...]
    metrics: str
    plot: str | None
    draws: int
    most: int | None
    seed: int


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What the command 'check' was asked; observations count from 1."""

    observations: str
    predicted: tuple[str, ...]
    observation: int
    metrics: str
    plot: str | None
