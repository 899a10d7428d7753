"""The commands that need torch, from checked options to written files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hepflow_lfi.archives import (
    Proposal,
    Simulations,
    read_observation,
    read_proposal,
    read_reference,
    write_proposal,
)
from hepflow_lfi.c2st import c2st
from hepflow_lfi.judging import Subject, Trial, Verdict, judge_posterior
from hepflow_lfi.methods import Method
from hepflow_lfi.networks import Network
from hepflow_lfi.options import JudgeOptions, SampleOptions, TrainOptions
from hepflow_lfi.posteriors import Posterior, read_posterior, sample_posterior, write_posterior
from hepflow_lfi.problems import Problem
from hepflow_lfi.report import write_metrics
from hepflow_lfi.tables import write_table
from hepflow_lfi.training import TrainingPlan, plan_training, train_network
from hepflow_verbs import UsageError

Say = Callable[[str], None]


def train(
    method: Method, problem: Problem, data: Simulations, options: TrainOptions, say: Say
) -> None:
    """Train and write the posterior file."""
    torch.set_num_threads(options.jobs)
    plan = _adjust(plan_training(method, problem, data), method, options)
    say(
        f"{method.name} with {plan.network.kind}: {plan.epochs} epochs, batches of {plan.batch}, "
        f"learning rate up to {plan.peak_learning_rate:g}, {options.jobs} threads, "
        f"seed {plan.seed}"
    )
    trained = train_network(method, problem, data, plan, say)
    posterior = Posterior(
        problem=problem,
        data_dim=data.x.shape[1],
        method=method,
        network=plan.network,
        simulations=len(data.theta),
        rounds=data.rounds,
        seed=plan.seed,
        estimator=trained.estimator,
    )
    write_posterior(options.out, posterior)
    if options.metrics is not None:
        metrics = {
            "method": posterior.method_name,
            "simulations": posterior.simulations,
            "held_out_loss": round(trained.held_out_loss, 6),
            "best_epoch": trained.best_epoch,
            "epochs": plan.epochs,
            "training_s": round(trained.seconds, 2),
        }
        Path(options.metrics).write_text(json.dumps(metrics, indent=2) + "\n")
    say(
        f"{options.out}: held-out loss {trained.held_out_loss:.4f} nats at epoch "
        f"{trained.best_epoch}, trained in {trained.seconds:.1f} s"
    )


def _adjust(plan: TrainingPlan, method: Method, options: TrainOptions) -> TrainingPlan:
    kind = options.network or plan.network.kind
    if kind not in method.networks:
        raise UsageError(
            "--network",
            f"{method.name} does not train {kind!r}",
            fix=f"choose one of: {', '.join(method.networks)}",
        )
    network = Network(
        kind, options.hidden or plan.network.hidden, options.layers or plan.network.layers
    )
    return replace(
        plan,
        network=network,
        epochs=options.epochs or plan.epochs,
        batch=options.batch or plan.batch,
        peak_learning_rate=options.learning_rate or plan.peak_learning_rate,
        seed=options.seed,
    )


def sample(path: str, options: SampleOptions, plot: str | None, say: Say) -> None:
    """Draw from a posterior; write a table (CSV) with a column for each parameter, and a figure."""
    posterior = read_posterior(path)
    theta = _sample_one(posterior, options, say)
    write_table(options.out, posterior.problem.prior.names, theta)
    if plot is not None:
        from hepflow_lfi.posterior_figure import draw_posterior  # matplotlib, only if wanted

        draw_posterior(plot, posterior.problem.prior.names, theta)
    say(f"{options.out}: {len(theta)} draws for observation {options.observation}")


def propose(
    path: str, previous: str | None, metrics: str | None, options: SampleOptions, say: Say
) -> None:
    """Draw the parameters of the next round from a posterior, and say how far it moved.

    The distance is the C2ST between these draws and those of the round before.
    """
    posterior = read_posterior(path)
    theta = _sample_one(posterior, options, say)
    proposal = Proposal(theta, posterior.rounds + 1)
    write_proposal(options.out, posterior.problem, proposal)
    change = None
    if previous is not None:
        before = read_proposal(previous, posterior.problem)
        change = round(c2st(before.theta, theta).score, 5)
    if metrics is not None:
        content = {"round": posterior.rounds, "c2st_to_round_before": change}
        Path(metrics).write_text(json.dumps(content, indent=2) + "\n")
    moved = "" if change is None else f", C2ST to the round before {change:.3f}"
    say(f"{options.out}: {len(theta)} parameters for round {proposal.round}{moved}")


def _sample_one(posterior: Posterior, options: SampleOptions, say: Say) -> NDArray[np.float32]:
    torch.set_num_threads(1)
    x = read_observation(options.observations, options.observation, posterior.data_dim)
    started = time.perf_counter()
    theta, kept = sample_posterior(posterior, x, options.draws, options.seed)
    say(
        f"{posterior.problem.name}, {posterior.method_name}: {len(theta)} draws in "
        f"{time.perf_counter() - started:.1f} s, {kept:.1%} of the network's inside the prior"
    )
    return theta


def judge(options: JudgeOptions, say: Say) -> Verdict:
    """Sample, score, write the metrics and the figure."""
    posterior = read_posterior(options.posterior)
    reference = read_reference(options.reference, posterior.problem, posterior.data_dim)
    observations = choose_observations(options.observations, len(reference.observations))
    jobs = min(options.jobs, len(observations))
    trial = Trial(observations, options.samples, jobs, choose_device(options.device))
    torch.set_num_threads(1)  # the other processors are busy scoring
    say(
        f"{posterior.problem.name}, {posterior.method_name}, {posterior.simulations} simulations: "
        f"{trial.samples} samples a side, {len(observations)} observations, "
        f"{trial.jobs} processes on {trial.device}"
    )

    def sample(observation: int) -> tuple[NDArray[np.float32], float]:
        x = reference.observations[observation - 1]
        seed = options.seed * 1_000_003 + observation
        return sample_posterior(posterior, x, options.samples, seed)

    loading_s = time.perf_counter() - options.started
    verdict = judge_posterior(
        Subject(posterior.problem, posterior.method_name, posterior.simulations, posterior.seed),
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


def choose_device(named: str) -> str:
    """Return torch's name of the device: for ``auto`` the accelerator if there is one."""
    if named == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if named != "cpu" and not torch.cuda.is_available():
        raise UsageError("--device", f"torch finds no {named!r} here", fix="choose auto or cpu")
    return named


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
