"""Published scores: one row of the benchmark's table for a task, an algorithm and a budget.

The table in ``data/`` was aggregated from the results of Lueckmann et al., PMLR 130:343 (MIT
licence, repository sbi-benchmark/results).  For gaussian_mixture it holds the rerun made after a
defect in that simulator was mended; the rows of the paper itself are not comparable.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

_RERUN_TASKS = ("gaussian_mixture",)


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """Mean C2ST over the observations, and its standard deviation among them."""

    mean: float
    sd_over_observations: float
    source: str


def find_published(task: str, algorithm: str, simulations: int) -> PublishedScore | None:
    """Return the published score, or nothing if that budget was not in the benchmark."""
    table = resources.files("hepflow_lfi").joinpath("data", "published_c2st.csv")
    with table.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = (row["task"], row["algorithm"], int(row["num_simulations"]))
            is_rerun = row["source"] != "main_paper"
            if key == (task, algorithm, simulations) and is_rerun == (task in _RERUN_TASKS):
                mean, sd = row["c2st_mean"], row["c2st_std_over_observations"]
                return PublishedScore(float(mean), float(sd), row["source"])
    return None
