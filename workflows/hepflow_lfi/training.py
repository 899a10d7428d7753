"""Train a neural posterior estimate: a conditional density of parameters given data.

One round of NPE (Greenberg, Nonnenmacher, Macke, "Automatic posterior transformation", ICML 2019:
with the prior as proposal its loss is the plain negative log density).  The networks are those of
the ``sbi`` library; the loop is ours, because a one-cycle learning rate (Smith and Topin,
arXiv:1708.07120) needs half the passes of the library's constant one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hepflow_lfi.archives import Simulations
from hepflow_lfi.errors import UsageError
from hepflow_lfi.posteriors import Density, Network, build_density
from hepflow_lfi.problems import Problem

HELD_OUT_FRACTION = 0.1
LARGEST_GRADIENT_NORM = 5.0
PROGRESS_INTERVAL_S = 5.0
REFERENCE_SIMULATIONS = 10_000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How to train: the ``network``, passes over the data, examples a step, highest rate."""

    network: Network
    epochs: int
    batch: int
    peak_learning_rate: float
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TrainedPosterior:
    """A density, and how its training went (losses: mean negative log density, in nats)."""

    density: Density
    plan: TrainingPlan
    simulations: int
    best_epoch: int
    held_out_loss: float
    seconds: float


_PLAN = TrainingPlan(Network("nsf"), epochs=100, batch=1000, peak_learning_rate=6e-3)
_PLANS = {
    "gaussian_linear": TrainingPlan(Network("maf"), epochs=25, batch=200, peak_learning_rate=2e-3),
}


def plan_training(problem: Problem, simulations: int) -> TrainingPlan:
    """Return sensible settings: fewer simulations, more passes over smaller batches."""
    plan = _PLANS.get(problem.name, _PLAN)
    scale = math.sqrt(REFERENCE_SIMULATIONS / simulations)
    epochs = min(max(round(plan.epochs * scale), 20), 200)
    batch = min(max(simulations // 10, 50), plan.batch)
    return replace(plan, epochs=epochs, batch=batch)


def train_posterior(data: Simulations, plan: TrainingPlan, say: Say) -> TrainedPosterior:
    """Fit a density to the simulations, keep the weights best on the tenth held out.

    The same data, plan and number of threads give the same weights.
    """
    started = time.perf_counter()
    count = len(data.theta)
    held_out_count = max(1, round(HELD_OUT_FRACTION * count))
    if count - held_out_count < 10:
        raise UsageError(
            "samples", f"{count} simulations are too few to train on", fix="draw 100 or more"
        )
    torch.manual_seed(plan.seed)
    theta, x = torch.from_numpy(data.theta), torch.from_numpy(data.x)
    shuffled = torch.randperm(count)
    held_out, kept = shuffled[:held_out_count], shuffled[held_out_count:]
    density = build_density(plan.network, theta[kept], x[kept])
    loop = _Loop(density, plan, theta[kept], x[kept])
    best_loss, best_epoch, best_state = math.inf, 0, deepcopy(density.state_dict())
    said = 0.0
    for epoch in range(1, plan.epochs + 1):
        training_loss = loop.run_epoch()
        loss = loop.measure(theta[held_out], x[held_out])
        if loss < best_loss:
            best_loss, best_epoch, best_state = loss, epoch, deepcopy(density.state_dict())
        elapsed = time.perf_counter() - started
        if elapsed - said >= PROGRESS_INTERVAL_S or epoch in (1, plan.epochs):
            said = elapsed
            say(
                f"epoch {epoch}/{plan.epochs}  {elapsed:.0f} s  training loss "
                f"{training_loss:.3f}  held-out loss {loss:.3f}  best {best_loss:.3f}"
            )
    if best_epoch == 0:
        raise UsageError(
            "training",
            "diverged: the held-out loss was never a finite number",
            fix="choose a lower --learning-rate",
        )
    density.load_state_dict(best_state)
    density.train(False)
    seconds = time.perf_counter() - started
    return TrainedPosterior(density, plan, count, best_epoch, best_loss, seconds)


class _Loop:
    """The optimiser, its schedule and the data it walks over."""

    def __init__(self, density: Density, plan: TrainingPlan, theta: Tensor, x: Tensor) -> None:
        self._density, self._theta, self._x, self._batch = density, theta, x, plan.batch
        self._optimiser = torch.optim.Adam(density.parameters(), lr=plan.peak_learning_rate)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser,
            max_lr=plan.peak_learning_rate,
            total_steps=plan.epochs * math.ceil(len(theta) / plan.batch),
            pct_start=0.1,
        )

    def run_epoch(self) -> float:
        """Walk once over the data in a new order; return the mean loss on the way."""
        self._density.train()
        total = 0.0
        for part in torch.randperm(len(self._theta)).split(self._batch):
            self._optimiser.zero_grad()
            loss = self._density.loss(self._theta[part], self._x[part]).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._density.parameters(), LARGEST_GRADIENT_NORM)
            self._optimiser.step()
            self._schedule.step()
            total += loss.item() * len(part)
        return total / len(self._theta)

    def measure(self, theta: Tensor, x: Tensor) -> float:
        """Return the mean loss on examples the optimiser never saw."""
        self._density.train(False)
        with torch.no_grad():
            return float(self._density.loss(theta, x).mean())
