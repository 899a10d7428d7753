"""The command that holds an observation against predictions; needs no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hepflow_lfi.archives import read_data, read_observation
from hepflow_lfi.options import CheckOptions
from hepflow_lfi.predictive import PredictiveCheck, check_prediction
from hepflow_verbs import InputError

FEWEST_PREDICTIONS = 20

Say = Callable[[str], None]


def check(options: CheckOptions, say: Say) -> PredictiveCheck:
    """Hold an observation against predicted data; write metrics and figure."""
    parts = [read_data(path) for path in options.predicted]
    lengths = {part.shape[1] for part in parts}
    if len(lengths) > 1:
        raise InputError(
            options.predicted[0],
            f"and the other predictions have rows of {sorted(lengths)} numbers",
            fix="pass data of one simulator",
        )
    predicted = np.concatenate(parts)
    if len(predicted) < FEWEST_PREDICTIONS:
        raise InputError(
            options.predicted[0],
            f"{len(predicted)} predictions are too few to compare with",
            fix=f"simulate {FEWEST_PREDICTIONS} draws of the posterior or more",
        )
    observed = read_observation(options.observations, options.observation, predicted.shape[1])
    found = check_prediction(observed, predicted)
    content = {
        "agrees": found.agrees,
        "predictive_p": found.p_value,
        "smallest_tail_p": found.smallest_tail,
        "predictions": len(predicted),
        "tails": found.tails.tolist(),
    }
    Path(options.metrics).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if options.plot is not None:
        from hepflow_lfi.predictive_figure import draw_prediction  # matplotlib, only if wanted

        draw_prediction(options.plot, found)
    say(
        f"{options.metrics}: {'agrees' if found.agrees else 'does NOT agree'} with {len(predicted)} predictions; "
        f"p {found.p_value:.3g}, least of {len(observed)} tails {found.smallest_tail:.3g}"
    )
    return found
