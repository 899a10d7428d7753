"""Turn a verdict into the metrics file: plain JSON, the two means first."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from hepflow_lfi import __version__
from hepflow_lfi.c2st import FOLDS, SEED, UNITS_PER_DIMENSION
from hepflow_lfi.judging import Verdict

FORMAT = "hepflow-lfi metrics 2"
_LIBRARIES = ("numpy", "scipy", "torch", "sbi", "matplotlib")


def write_metrics(
    path: str | os.PathLike[str], verdict: Verdict, timings_s: Mapping[str, float]
) -> None:
    """Write the metrics; ``timings_s`` are added to those the verdict knows."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(describe_verdict(verdict, timings_s), indent=2) + "\n")
    partial.replace(path)


def describe_verdict(verdict: Verdict, timings_s: Mapping[str, float]) -> dict[str, object]:
    """Return the content of the metrics file."""
    values = [score.c2st.score for score in verdict.scores]
    published = verdict.published
    reasons = verdict.reasons_not_to_compare()
    return {
        "format": FORMAT,
        "c2st_mean": round(verdict.mean, 5),
        "published_c2st_mean": published.mean if published else None,
        "comparable": not reasons,
        "not_comparable_because": reasons,
        "c2st_sd_over_observations": round(statistics.pstdev(values), 5),
        "published_c2st_sd_over_observations": (
            published.sd_over_observations if published else None
        ),
        "published_source": published.source if published else None,
        "task": verdict.subject.problem.name,
        "method": verdict.subject.method,
        "simulations": verdict.subject.simulations,
        "seed": verdict.subject.seed,
        "samples_a_side": verdict.trial.samples,
        "classifier": {
            "folds": FOLDS,
            "seed": SEED,
            "hidden_units_a_layer": UNITS_PER_DIMENSION * verdict.subject.problem.prior.dim,
        },
        "observations": [
            {
                "observation": score.observation,
                "c2st": round(score.c2st.score, 5),
                "folds": [round(value, 5) for value in score.c2st.folds],
                "epochs": list(score.c2st.epochs),
                "inside_prior": round(score.kept, 5),
                "sampling_s": round(score.sampling_s, 3),
                "scoring_s": round(score.scoring_s, 3),
            }
            for score in verdict.scores
        ],
        "jobs": verdict.trial.jobs,
        "device": verdict.trial.device,
        "timings_s": {name: round(value, 2) for name, value in timings_s.items()},
        "versions": describe_versions(),
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of what the figures depend on."""
    versions = {"hepflow_lfi": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            versions[library] = "not installed"
    return versions
