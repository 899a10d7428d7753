"""What a step asks of its compute backend, as resources of the model.

Each backend has hints of its own; those of any backend are understood, whatever `compute_backend`
says, because it is the site that chooses the backend here. Sizes are written as each backend writes
them (Kubernetes: `resource.Quantity`; HTCondor: `condor_submit`, whose K, M, G and T are binary).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from hepflow.model.task import Resources

_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")

_QUANTITY: Final = {
    "": 1, "k": 1000,
    **{letter: 1000**power for power, letter in enumerate("KMGTPE", 1)},
    **{f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)},
}  # fmt: skip

FLAVOURS: Final = {
    "espresso": 1200, "microcentury": 3600, "longlunch": 7200, "workday": 28800,
    "tomorrow": 86400, "testmatch": 259200, "nextweek": 604800,
}  # fmt: skip
"""CERN's names for times in the queue, in seconds (batchdocs.web.cern.ch, "Job flavours")."""


def _quantity_mib(text: str) -> int:
    return _mib(text, _QUANTITY, "256Mi or 1G")


def _condor_mib(unit: int) -> Callable[[str], int]:
    """Reads a size of HTCondor's; one without a letter counts in ``unit`` bytes."""
    sizes = {"": unit}
    for power, letter in enumerate("KMGT", 1):
        for spelling in (letter, letter.lower(), f"{letter}B", f"{letter}b", f"{letter.lower()}b"):
            sizes[spelling] = 1024**power
    return lambda text: _mib(text, sizes, "4000 or 4 GB")


def _mib(text: str, units: Mapping[str, int], example: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2] not in units:
        raise ValueError(f"'{text}' is not a size; write one as {example}")
    return math.ceil(float(match[1]) * units[match[2]] / 1024**2)


def _cpus(text: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(m?)", text.strip())
    if match is None or not float(match[1]):
        raise ValueError(f"'{text}' is not a number of cores; write one as 2, 0.5 or 500m")
    return float(match[1]) / (1000 if match[2] else 1)


def _condor_seconds(text: str) -> float:
    if text in FLAVOURS:
        return float(FLAVOURS[text])
    if not text.isdigit():
        names = ", ".join(FLAVOURS)
        raise ValueError(f"'{text}' is neither a number of seconds nor one of {names}")
    return float(text)


def _minutes(text: str) -> float:
    if not text.isdigit():
        raise ValueError(f"'{text}' is not a number of minutes")
    return float(text) * 60


class _Hint(NamedTuple):
    field: str
    read: Callable[[str], float]


HINTS: Final = {
    "kubernetes_cpu_limit": _Hint("cpus", _cpus),
    "kubernetes_cpu_request": _Hint("cpus", _cpus),
    "kubernetes_memory_limit": _Hint("memory_mib", _quantity_mib),
    "kubernetes_memory_request": _Hint("memory_mib", _quantity_mib),
    "kubernetes_job_timeout": _Hint("walltime_s", float),
    "htcondor_request_cpus": _Hint("cpus", _cpus),
    "htcondor_request_memory": _Hint("memory_mib", _condor_mib(1024**2)),
    "htcondor_request_disk": _Hint("disk_mib", _condor_mib(1024)),
    "htcondor_max_runtime": _Hint("walltime_s", _condor_seconds),
    "slurm_time": _Hint("walltime_s", _minutes),
    "c4p_cpu_cores": _Hint("cpus", _cpus),
    "c4p_memory_limit": _Hint("memory_mib", _condor_mib(1024**2)),
}
"""Hints by name; of two for one field the first that is given counts, a limit before a request."""

IGNORED: Final = (
    "compute_backend", "htcondor_accounting_group", "htcondor_requirements", "kubernetes_uid",
    "slurm_partition", "c4p_additional_requirements", "kerberos", "voms_proxy", "rucio", "unpacked_img",
)  # fmt: skip
"""What the site decides here: where jobs run, on whose account, with which of the user's tokens."""


def resources_of(step: Mapping[str, object]) -> Resources:
    """What a step asks for.

    Raises:
        BadHint: a hint is not as its backend wants it.
    """
    found: dict[str, float] = {}
    for name, hint in HINTS.items():
        value = step.get(name)
        if value is None or hint.field in found or value == "":
            continue
        try:
            found[hint.field] = hint.read(str(value))
        except ValueError as error:
            raise BadHint(name, str(error)) from error
    return replace(Resources(), **found)  # type: ignore[arg-type]


class BadHint(ValueError):
    """A hint that cannot be read.

    Args:
        name: the hint.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


def left_out(data: Mapping[str, Any]) -> list[str]:
    """What an analysis asks for that has no meaning here, by the names in its file."""
    workflow = data["workflow"]
    steps = (workflow.get("specification") or {}).get("steps") or ()
    found = {name for step in steps for name in IGNORED if step.get(name)}
    found |= {f"workflow.resources.{name}" for name in workflow.get("resources") or ()}
    found |= {f"workspace.{name}" for name in data.get("workspace") or ()}
    return sorted(found)
