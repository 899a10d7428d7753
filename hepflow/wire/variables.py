"""Variables that a task sees because of what it asked for. Must never know where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Variables that keep numerical libraries from taking every core for each task."""


def for_cpus(cpus: float, env: Mapping[str, str]) -> dict[str, str]:
    """What a task with so many cores sees, unless ``env`` says it already."""
    threads = str(max(1, int(cpus)))
    return {"HEPFLOW_CPUS": f"{cpus:g}", **{name: threads for name in THREADS if name not in env}}
