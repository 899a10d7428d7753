"""Judge a posterior: sample it for each observation, score it against the reference.

Owns the protocol of the published comparison (which samples, how many, which seeds) and the
parallelism over observations.  How samples are drawn and compared is the business of others.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hepflow_lfi.archives import Reference
from hepflow_lfi.c2st import C2ST, c2st, c2st_many
from hepflow_lfi.cpus import one_thread_each
from hepflow_lfi.problems import Problem
from hepflow_lfi.published import PublishedScore, find_published
from hepflow_lfi.simulate import ENTROPY
from hepflow_lfi.tasks import TASKS
from hepflow_verbs import UsageError

PUBLISHED_SAMPLES = 10_000
PUBLISHED_OBSERVATIONS = 10

Say = Callable[[str], None]
Samples = NDArray[np.float32]
Sampler = Callable[[int], tuple[Samples, float]]


@dataclass(frozen=True, slots=True)
class Trial:
    """What to compare: which observations (from 1), how many samples a side, and where.

    ``device`` is torch's name of an accelerator, or ``cpu``: ``jobs`` processes.
    """

    observations: tuple[int, ...]
    samples: int
    jobs: int
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class ObservationScore:
    """The score of one observation, with the samples it compared; ``kept`` is the share of
    draws that fell inside the prior."""

    observation: int
    c2st: C2ST
    reference: Samples
    inferred: Samples
    kept: float
    sampling_s: float
    scoring_s: float


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged: a ``method`` that learned ``problem`` from so many simulations by a seed."""

    problem: Problem
    method: str
    simulations: int
    seed: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """All scores in the order of the observations, and what was published for the like."""

    subject: Subject
    trial: Trial
    scores: tuple[ObservationScore, ...]
    published: PublishedScore | None
    wall_s: float

    @property
    def mean(self) -> float:
        """Mean C2ST over the observations."""
        return statistics.fmean(score.c2st.score for score in self.scores)

    def reasons_not_to_compare(self) -> list[str]:
        """Say why the mean must not be held against the published one; empty if it may be."""
        reasons = []
        if self.published is None:
            reasons.append(
                f"nothing is published for {self.subject.method} at {self.subject.simulations}"
            )
        if self.trial.samples != PUBLISHED_SAMPLES:
            reasons.append(f"{self.trial.samples} samples a side, not {PUBLISHED_SAMPLES}")
        if len(self.scores) != PUBLISHED_OBSERVATIONS:
            reasons.append(f"{len(self.scores)} observations, not {PUBLISHED_OBSERVATIONS}")
        return reasons


def select_reference(
    reference: Reference, problem: Problem, observation: int, count: int
) -> Samples:
    """Return ``count`` reference draws: those of the file, or exact ones if it has too few."""
    stored = reference.posterior[observation - 1]
    if len(stored) >= count:
        return stored[:count]
    task = TASKS.get(problem.name)
    if task is None or task.exact_posterior is None:
        raise UsageError(
            "--samples",
            f"{count} asked, the reference has {len(stored)}",
            why=f"{problem.name} has no exact posterior to draw more from",
            fix=f"ask for {len(stored)} or fewer",
        )
    sequence = np.random.SeedSequence(ENTROPY, spawn_key=(problem.number, 2**32 - observation))
    generator = np.random.default_rng(sequence)
    x = reference.observations[observation - 1]
    return task.exact_posterior(x, count, generator, task.prior).astype(np.float32)


def judge_posterior(
    subject: Subject,
    reference: Reference,
    trial: Trial,
    sampler: Sampler,
    say: Say,
) -> Verdict:
    """Score every observation of the trial; ``sampler(observation)`` gives the inferred draws."""
    started = time.perf_counter()
    drawn = _draw_all(subject.problem, reference, trial, sampler)
    score_all = _score_on_processors if trial.device == "cpu" else _score_on_device
    scores = score_all(drawn, trial, say)
    scores.sort(key=lambda score: score.observation)
    published = find_published(subject.problem.name, subject.method, subject.simulations)
    wall_s = time.perf_counter() - started
    return Verdict(subject, trial, tuple(scores), published, wall_s)


@dataclass(frozen=True, slots=True)
class _Drawn:
    observation: int
    reference: Samples
    inferred: Samples
    kept: float
    sampling_s: float


def _draw_all(
    problem: Problem, reference: Reference, trial: Trial, sampler: Sampler
) -> Iterator[_Drawn]:
    for observation in trial.observations:
        truth = select_reference(reference, problem, observation, trial.samples)
        started = time.perf_counter()
        inferred, kept = sampler(observation)
        yield _Drawn(observation, truth, inferred, kept, time.perf_counter() - started)


_Scoring = Future[tuple[C2ST, float]]


def _score_on_processors(drawn: Iterator[_Drawn], trial: Trial, say: Say) -> list[ObservationScore]:
    """Score in processes of one thread each, while the next observation is drawn."""
    spawn = multiprocessing.get_context("spawn")
    with one_thread_each(), ProcessPoolExecutor(trial.jobs, mp_context=spawn) as pool:
        try:
            waiting = {pool.submit(_score, one.reference, one.inferred): one for one in drawn}
            return _collect_all(waiting, say)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # or leaving would score them all
            raise


def _score_on_device(drawn: Iterator[_Drawn], trial: Trial, say: Say) -> list[ObservationScore]:
    """Score all observations at once; the time of each is its share."""
    from hepflow_lfi import mlp_torch  # torch, which scoring on processors does without

    samples = list(drawn)
    started = time.perf_counter()
    fit = partial(mlp_torch.fit_stack, device=trial.device)
    scored = c2st_many([(one.reference, one.inferred) for one in samples], fit=fit)
    seconds = (time.perf_counter() - started) / len(samples)
    say(f"{len(samples)} observations scored on {trial.device}, {seconds:.1f} s each")
    pairs = zip(samples, scored, strict=True)
    return [_conclude(one, score, seconds) for one, score in pairs]


def _score(reference: Samples, inferred: Samples) -> tuple[C2ST, float]:
    started = time.perf_counter()
    return c2st(reference, inferred), time.perf_counter() - started


def _collect_all(waiting: dict[_Scoring, _Drawn], say: Say) -> list[ObservationScore]:
    """Gather the scores as they come, with a line on each."""
    scores: list[ObservationScore] = []
    for scoring in as_completed(waiting):
        score, seconds = scoring.result()
        scores.append(_conclude(waiting[scoring], score, seconds))
        say(
            f"observation {scores[-1].observation}  C2ST {score.score:.4f}  "
            f"{max(score.epochs)} epochs  {seconds:.1f} s  ({len(scores)} of {len(waiting)})"
        )
    return scores


def _conclude(drawn: _Drawn, score: C2ST, seconds: float) -> ObservationScore:
    return ObservationScore(
        drawn.observation,
        score,
        drawn.reference,
        drawn.inferred,
        drawn.kept,
        drawn.sampling_s,
        seconds,
    )
