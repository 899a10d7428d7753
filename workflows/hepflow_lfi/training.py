"""Train the network of a method on simulations.

The networks are those of the ``sbi`` library; the loop is ours, because a one-cycle learning rate
(Smith and Topin, arXiv:1708.07120) needs half the passes of the library's constant one.
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
from hepflow_lfi.methods import Loss, Method, make_loss_for_rounds
from hepflow_lfi.networks import FEWEST_FOR_MAF, Estimator, Network
from hepflow_lfi.problems import Problem
from hepflow_verbs import UsageError

HELD_OUT_FRACTION = 0.1
LARGEST_GRADIENT_NORM = 5.0
LARGEST_BATCH = 2000
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
class Training:
    """A trained network, and how it went (``held_out_loss``: the method's own, in nats)."""

    estimator: Estimator
    best_epoch: int
    held_out_loss: float
    seconds: float


_SPLINE_FLOW = TrainingPlan(Network("nsf"), epochs=100, batch=1000, peak_learning_rate=6e-3)
_AUTOREGRESSIVE_FLOW = TrainingPlan(Network("maf"), epochs=25, batch=200, peak_learning_rate=2e-3)
_LIKELIHOOD_FLOW = TrainingPlan(
    Network("maf", layers=8), epochs=60, batch=200, peak_learning_rate=5e-3
)
_CLASSIFIER = TrainingPlan(
    Network("resnet", hidden=50, layers=2), epochs=60, batch=200, peak_learning_rate=2e-3
)
_VECTOR_FIELD = TrainingPlan(
    Network("mlp", hidden=100, layers=5), epochs=200, batch=200, peak_learning_rate=2e-3
)
_PLANS = {
    "NPE": _SPLINE_FLOW,
    "NLE": _LIKELIHOOD_FLOW,
    "NRE": _CLASSIFIER,
    "FMPE": _VECTOR_FIELD,
}
# A normal posterior needs no splines.
_PLANS_OF_TASKS = {("NPE", "gaussian_linear"): _AUTOREGRESSIVE_FLOW}


def plan_training(method: Method, problem: Problem, data: Simulations) -> TrainingPlan:
    """Return sensible settings: fewer simulations, more passes over smaller batches."""
    plan = _PLANS_OF_TASKS.get((method.name, problem.name), _PLANS[method.name])
    simulations, data_dim = data.x.shape
    if method.name == "NLE" and data_dim < FEWEST_FOR_MAF:
        plan = _SPLINE_FLOW
    scale = math.sqrt(REFERENCE_SIMULATIONS / simulations)
    epochs = min(max(round(plan.epochs * scale), 20), 2 * plan.epochs)
    batch = min(max(simulations // 10, 50), plan.batch)
    if data.rounds > 1 and method.name == "NPE":
        # Every example is seen with ten candidates: half the passes over larger batches suffice.
        epochs, batch = epochs // 2, max(batch, plan.batch // 5)
    return replace(plan, epochs=epochs, batch=batch)


def train_network(
    method: Method, problem: Problem, data: Simulations, plan: TrainingPlan, say: Say
) -> Training:
    """Fit the method's network to the simulations; keep the weights best on the tenth held out.

    The same data, plan and number of threads give the same weights.
    """
    started = time.perf_counter()
    count = len(data.theta)
    held_out_count = max(1, round(HELD_OUT_FRACTION * count))
    if count - held_out_count < 10:
        raise UsageError(
            "samples", f"{count} simulations are too few to train on", fix="draw 100 or more"
        )
    loss_of = make_loss_for_rounds(method, problem.prior) if data.rounds > 1 else method.loss
    torch.manual_seed(plan.seed)
    theta, x = torch.from_numpy(data.theta), torch.from_numpy(data.x)
    shuffled = torch.randperm(count)
    held_out, kept = shuffled[:held_out_count], shuffled[held_out_count:]
    estimator = method.build(plan.network, theta[kept], x[kept])
    loop = _Loop(estimator, loss_of, plan, theta[kept], x[kept])
    best_loss, best_epoch, best_state = math.inf, 0, deepcopy(estimator.state_dict())
    said = 0.0
    for epoch in range(1, plan.epochs + 1):
        training_loss = loop.run_epoch()
        loss = loop.measure(theta[held_out], x[held_out])
        if loss < best_loss:
            best_loss, best_epoch, best_state = loss, epoch, deepcopy(estimator.state_dict())
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
    estimator.load_state_dict(best_state)
    estimator.train(False)
    return Training(estimator, best_epoch, best_loss, time.perf_counter() - started)


class _Loop:
    """The optimiser, its schedule and the data it walks over."""

    def __init__(
        self, estimator: Estimator, loss: Loss, plan: TrainingPlan, theta: Tensor, x: Tensor
    ) -> None:
        self._estimator, self._loss, self._batch = estimator, loss, plan.batch
        self._theta, self._x = theta, x
        self._optimiser = torch.optim.Adam(estimator.parameters(), lr=plan.peak_learning_rate)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser,
            max_lr=plan.peak_learning_rate,
            total_steps=plan.epochs * math.ceil(len(theta) / plan.batch),
            pct_start=0.1,
        )

    def run_epoch(self) -> float:
        """Walk once over the data in a new order; return the mean loss on the way."""
        self._estimator.train()
        total = 0.0
        for part in torch.randperm(len(self._theta)).split(self._batch):
            self._optimiser.zero_grad()
            loss = self._loss(self._estimator, self._theta[part], self._x[part]).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._estimator.parameters(), LARGEST_GRADIENT_NORM)
            self._optimiser.step()
            self._schedule.step()
            total += loss.item() * len(part)
        return total / len(self._theta)

    def measure(self, theta: Tensor, x: Tensor) -> float:
        """Return the mean loss on examples the optimiser never saw.

        Losses that draw random numbers draw the same every time, so that epochs can be compared.
        """
        self._estimator.train(False)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            parts = zip(theta.split(LARGEST_BATCH), x.split(LARGEST_BATCH), strict=True)
            losses = [self._loss(self._estimator, *part) for part in parts]
        return float(torch.cat(losses).mean())
