"""The command that calibrates a posterior on simulations it has not seen."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hepflow_lfi.archives import read_simulations
from hepflow_lfi.calibration import INTERVALS, Calibration
from hepflow_lfi.calibration import calibrate as rank_truth
from hepflow_lfi.options import CalibrateOptions
from hepflow_lfi.posteriors import Posterior, read_posterior, sample_posterior
from hepflow_lfi.simulate import seed_generator
from hepflow_verbs import InputError

FEWEST_SIMULATIONS = 20
PROGRESS_INTERVAL_S = 5.0
_STREAM = 2**32 - 2  # keeps these random numbers apart from those of simulations

Say = Callable[[str], None]


def calibrate(options: CalibrateOptions, say: Say) -> Calibration:
    """Rank the parameters of fresh simulations among posterior draws; write metrics and figure."""
    posterior = read_posterior(options.posterior)
    data = read_simulations(options.simulations, posterior.problem)
    if data.rounds > 1:
        raise InputError(
            options.simulations[0],
            "holds simulations of later rounds",
            why="calibration is defined for parameters drawn from the prior",
            fix="pass simulations of the first round",
        )
    theta, x = data.theta[: options.most], data.x[: options.most]
    if len(theta) < FEWEST_SIMULATIONS:
        raise InputError(
            options.simulations[0],
            f"{len(theta)} simulations are too few to calibrate with",
            fix=f"pass {FEWEST_SIMULATIONS} or more; 300 tell a width that is off by a tenth",
        )
    draws = _draw_for_each(posterior, x, options, say)
    generator = seed_generator(posterior.problem, _STREAM, options.seed)
    found = rank_truth(posterior.problem.prior.names, theta.astype(np.float64), draws, generator)
    content: dict[str, object] = {
        "method": posterior.method_name,
        "trained_on": posterior.simulations,
    }
    content |= describe_calibration(found)
    Path(options.metrics).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if options.plot is not None:
        from hepflow_lfi.calibration_figure import draw_calibration  # matplotlib, only if wanted

        draw_calibration(options.plot, found)
    say(
        f"{options.metrics}: {'' if found.calibrated else 'NOT '}calibrated; smallest p of "
        f"{len(found.names)} rank tests {found.uniformity.min():.3g}, p of the distance test "
        f"{found.distance_uniformity:.3g}, expected coverage off by {found.area_to_curve:+.3f}"
    )
    return found


def _draw_for_each(
    posterior: Posterior, x: NDArray[np.float32], options: CalibrateOptions, say: Say
) -> NDArray[np.float64]:
    torch.set_num_threads(1)
    if x.shape[1] != posterior.data_dim:
        raise InputError(
            options.simulations[0],
            f"has data of {x.shape[1]} numbers, the posterior was trained on {posterior.data_dim}",
            fix="pass simulations of the same simulator",
        )
    started = said = time.perf_counter()
    drawn = []
    for number, row in enumerate(x):
        seed = options.seed * 1_000_003 + number
        drawn.append(sample_posterior(posterior, row, options.draws, seed)[0])
        if time.perf_counter() - said > PROGRESS_INTERVAL_S:
            said = time.perf_counter()
            say(f"{number + 1} of {len(x)} simulations  {said - started:.0f} s")
    return np.stack(drawn).astype(np.float64)


def describe_calibration(found: Calibration) -> dict[str, object]:
    """Return the figures of a calibration as plain data, those to look at first on top."""
    coverage = found.interval_coverage(np.array(INTERVALS))
    return {
        "calibrated": found.calibrated,
        "smallest_rank_p": float(found.uniformity.min()),
        "distance_p": found.distance_uniformity,
        "area_to_curve": round(found.area_to_curve, 5),
        "simulations": len(found.ranks),
        "draws": found.draws,
        "parameters": {
            name: {
                "rank_p": float(found.uniformity[index]),
                **{
                    f"coverage_{round(100 * level)}": round(float(row[index]), 4)
                    for level, row in zip(INTERVALS, coverage, strict=True)
                },
            }
            for index, name in enumerate(found.names)
        },
    }
