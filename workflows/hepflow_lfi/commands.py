"""The two commands that need torch, from checked options to written files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from hepflow_lfi.archives import Simulations, read_reference
from hepflow_lfi.errors import UsageError
from hepflow_lfi.judging import Trial, Verdict, judge_posterior
from hepflow_lfi.posteriors import Posterior, read_posterior, sample_posterior, write_posterior
from hepflow_lfi.problems import Problem
from hepflow_lfi.report import write_metrics
from hepflow_lfi.training import TrainingPlan, plan_training, train_posterior

METHOD = "NPE"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What the command 'train' was asked; ``None`` leaves the choice to the task."""

    out: str
    seed: int = 0
    jobs: int = 1
    epochs: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    network: str | None = None


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
    seed: int
    started: float


def train(problem: Problem, data: Simulations, options: TrainOptions, say: Say) -> None:
    """Train and write the posterior file."""
    torch.set_num_threads(options.jobs)
    plan = _adjust(plan_training(problem, len(data.theta)), options)
    say(
        f"{METHOD} with {plan.network.kind}: {plan.epochs} epochs, batches of {plan.batch}, "
        f"learning rate up to {plan.peak_learning_rate:g}, {options.jobs} threads, "
        f"seed {plan.seed}"
    )
    trained = train_posterior(data, plan, say)
    posterior = Posterior(
        problem,
        data.x.shape[1],
        METHOD,
        plan.network,
        trained.simulations,
        plan.seed,
        trained.density,
    )
    write_posterior(options.out, posterior)
    say(
        f"{options.out}: held-out loss {trained.held_out_loss:.4f} nats at epoch "
        f"{trained.best_epoch}, trained in {trained.seconds:.1f} s"
    )


def _adjust(plan: TrainingPlan, options: TrainOptions) -> TrainingPlan:
    network = plan.network
    if options.network is not None:
        network = replace(network, kind=options.network)
    return replace(
        plan,
        network=network,
        epochs=options.epochs or plan.epochs,
        batch=options.batch or plan.batch,
        peak_learning_rate=options.learning_rate or plan.peak_learning_rate,
        seed=options.seed,
    )


def judge(options: JudgeOptions, say: Say) -> Verdict:
    """Sample, score, write the metrics and the figure."""
    posterior = read_posterior(options.posterior)
    reference = read_reference(options.reference, posterior.problem, posterior.data_dim)
    observations = choose_observations(options.observations, len(reference.observations))
    trial = Trial(observations, options.samples, min(options.jobs, len(observations)))
    torch.set_num_threads(1)  # the other processors are busy scoring
    say(
        f"{posterior.problem.name}, {posterior.method}, {posterior.simulations} simulations: "
        f"{trial.samples} samples a side, {len(observations)} observations, {trial.jobs} processes"
    )

    def sample(observation: int) -> tuple[NDArray[np.float32], float]:
        x = reference.observations[observation - 1]
        seed = options.seed * 1_000_003 + observation
        return sample_posterior(posterior, x, options.samples, seed)

    loading_s = time.perf_counter() - options.started
    verdict = judge_posterior(
        posterior.problem,
        posterior.method,
        posterior.simulations,
        reference,
        trial,
        sample,
        say,
    )
    if options.plot is not None:
        from hepflow_lfi.figure import draw_figure  # matplotlib, only if a figure is wanted

        draw_figure(options.plot, verdict)
    timings = {
        "loading": loading_s,
        "sampling_and_scoring": verdict.wall_s,
        "total": time.perf_counter() - options.started,
    }
    write_metrics(options.metrics, verdict, timings)
    say(_sum_up(verdict, options.metrics))
    return verdict


def choose_observations(text: str | None, available: int) -> tuple[int, ...]:
    """Return the numbers that a list such as ``1,2,5-7`` names, all of them for ``None``."""
    if text is None:
        return tuple(range(1, available + 1))
    chosen: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
            raise UsageError("--observations", f"cannot read {part!r}", fix="write 1,2,5-7")
        chosen.update(range(int(first), int(last) + 1))
    if max(chosen) > available:
        raise UsageError(
            "--observations",
            f"there is no observation {max(chosen)}",
            why=f"the file holds {available}, counted from 1",
            fix=f"choose among 1-{available}",
        )
    return tuple(sorted(chosen))


def _sum_up(verdict: Verdict, metrics: str | os.PathLike[str]) -> str:
    line = f"{metrics}: mean C2ST {verdict.mean:.4f}"
    reasons = verdict.reasons_not_to_compare()
    if reasons:
        return f"{line}; not comparable with published scores: {'; '.join(reasons)}"
    assert verdict.published is not None
    return f"{line}, published {verdict.published.mean:.4f}; {verdict.wall_s:.1f} s"
