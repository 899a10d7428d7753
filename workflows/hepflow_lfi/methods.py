"""The methods: what each trains, on which loss, and how parameters are drawn from it.

NPE and FMPE learn the posterior and draw from it directly; NLE learns the likelihood and NRE the
ratio of likelihood and evidence, and their draws come from a sampler
(:mod:`hepflow_lfi.tempering`).  All train on the networks of the sbi library.  On simulations of
several rounds NLE and NRE need nothing else, because neither depends on the density that the
parameters were drawn from; NPE changes its loss; FMPE cannot.

- NPE: Papamakarios and Murray, NeurIPS 2016; Greenberg et al., ICML 2019 (its rounds: SNPE-C, APT)
- NLE: Papamakarios, Sterratt, Murray, AISTATS 2019 (its rounds: SNLE)
- NRE: Durkan, Murray, Papamakarios, ICML 2020 (its rounds: SNRE; contrastive, ten candidates)
- FMPE: Wildberger et al., NeurIPS 2023
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from sbi.samplers.ode_solvers import build_neural_ode
from torch import Tensor

from hepflow_lfi.losses import atomic_loss, contrastive_loss
from hepflow_lfi.networks import (
    FLOWS,
    Estimator,
    Network,
    build_classifier,
    build_likelihood_flow,
    build_posterior_flow,
    build_vector_field,
)
from hepflow_lfi.priors import Prior
from hepflow_verbs import UsageError

Build = Callable[[Network, Tensor, Tensor], Estimator]
Loss = Callable[[Estimator, Tensor, Tensor], Tensor]
Draw = Callable[[Estimator, Tensor, int], Tensor]
Evaluate = Callable[[Estimator, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Method:
    """One way of inference.

    ``build(network, theta, x)`` gives the untrained network, ``loss(estimator, theta, x)`` the loss
    of each example of a batch.  Either ``draw(estimator, x, count)`` gives parameters (count,
    parameters) for one observation (data,), or ``log_likelihood(estimator, theta, x)`` what a
    sampler needs, up to a term that does not depend on ``theta`` (n, parameters).  ``rounds`` is
    the method's name when it learns from several rounds, none if it cannot.
    """

    name: str
    rounds: str | None
    networks: tuple[str, ...]
    build: Build
    loss: Loss
    draw: Draw | None = None
    log_likelihood: Evaluate | None = None


def _density_loss(estimator: Estimator, theta: Tensor, x: Tensor) -> Tensor:
    return cast(Tensor, cast(Any, estimator).loss(theta, x))


def _likelihood_loss(estimator: Estimator, theta: Tensor, x: Tensor) -> Tensor:
    return cast(Tensor, cast(Any, estimator).loss(x, theta))


def _ratio_loss(estimator: Estimator, theta: Tensor, x: Tensor) -> Tensor:
    return contrastive_loss(cast(Any, estimator), theta, x)


def _draw_from_flow(estimator: Estimator, x: Tensor, count: int) -> Tensor:
    drawn = cast(Any, estimator).sample(torch.Size((count,)), condition=x[None])
    return cast(Tensor, drawn[:, 0])


def _draw_from_field(estimator: Estimator, x: Tensor, count: int) -> Tensor:
    """Solve the field's differential equation from noise to parameters."""
    field: Any = estimator
    ode = build_neural_ode(
        field.ode_fn,
        field.net,
        field.mean_base,
        field.std_base,
        field.condition_shape,
        t_min=field.t_min,
        t_max=field.t_max,
    )
    return cast(Tensor, ode(x[None]).sample(torch.Size((count,)))[:, 0])


def _flow_log_likelihood(estimator: Estimator, theta: Tensor, x: Tensor) -> Tensor:
    repeated = x.expand(1, len(theta), -1)
    return cast(Tensor, cast(Any, estimator).log_prob(repeated, condition=theta)[0])


def _ratio_log_likelihood(estimator: Estimator, theta: Tensor, x: Tensor) -> Tensor:
    return cast(Tensor, cast(Any, estimator)(theta, x.expand(len(theta), -1)))


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("NPE", "SNPE", FLOWS, build_posterior_flow, _density_loss, draw=_draw_from_flow),
        Method(
            "NRE",
            "SNRE",
            ("resnet",),
            build_classifier,
            _ratio_loss,
            log_likelihood=_ratio_log_likelihood,
        ),
        Method(
            "NLE",
            "SNLE",
            FLOWS,
            build_likelihood_flow,
            _likelihood_loss,
            log_likelihood=_flow_log_likelihood,
        ),
        Method("FMPE", None, ("mlp",), build_vector_field, _density_loss, draw=_draw_from_field),
    )
}


def find_method(name: str) -> Method:
    """Return the method of that name, or of its name when it learns from several rounds."""
    for method in METHODS.values():
        if name in (method.name, method.rounds):
            return method
    known = ", ".join(METHODS)
    raise UsageError("method", f"no method is called {name!r}", fix=f"choose one of: {known}")


def make_loss_for_rounds(method: Method, prior: Prior) -> Loss:
    """Return the loss for parameters that came from proposals, or say that there is none."""
    if method.rounds is None:
        raise UsageError(
            "method",
            f"{method.name} cannot learn from several rounds",
            why="its loss holds for parameters drawn from the prior only",
            fix="train on the first round, or choose NPE, NRE or NLE",
        )
    if method.name != "NPE":
        return method.loss

    def loss(estimator: Estimator, theta: Tensor, x: Tensor) -> Tensor:
        log_prior = torch.from_numpy(prior.log_density(theta.double().numpy())).float()
        # Single precision may have put a draw at a bound just beyond it.
        log_prior = log_prior.clamp(min=float(log_prior[log_prior.isfinite()].min()))

        def log_posterior(candidates: Tensor, repeated: Tensor) -> Tensor:
            return cast(Tensor, cast(Any, estimator).log_prob(candidates[None], repeated)[0])

        return atomic_loss(log_posterior, log_prior, theta, x)

    return loss
