"""What the ``resources`` of an environment ask of the machine: REANA's hints, as far as hepflow has the like."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hepflow.model.task import Resources

_AMOUNT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(m|[KMGTPE]i?)?B?\s*")
_UNITS: Final = {
    unit: factor
    for n, letter in enumerate("KMGTPE", 1)
    for unit, factor in ((letter, 1000**n), (f"{letter}i", 1024**n))
}
MIB: Final = 1024**2


def resources_of(environment: Mapping[str, Any]) -> Resources:
    """What an environment asks for; a hint that hepflow has no counterpart of is passed over.

    Kubernetes' requests and limits of memory and cpus, and its time limit of a job, in REANA's spelling
    (``kubernetes_memory_limit: 2Gi``).

    Raises:
        ValueError: an amount cannot be read; a sentence.
    """
    hints = dict(_hints(environment.get("resources") or ()))
    cpus = hints.get("kubernetes_cpu_request") or hints.get("kubernetes_cpu_limit")
    memory = hints.get("kubernetes_memory_limit") or hints.get("kubernetes_memory_request")
    seconds = hints.get("kubernetes_job_timeout")
    return Resources(
        cpus=_amount(cpus) if cpus else 1.0,
        memory_mib=int(-(-_amount(memory) // MIB)) if memory else 0,
        walltime_s=_amount(seconds) if seconds else 0.0,
    )


def _hints(resources: Any) -> Iterator[tuple[str, str]]:
    for hint in resources:
        if isinstance(hint, Mapping):
            for key, value in hint.items():
                yield str(key), str(value)


def _amount(text: str) -> float:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' in 'resources' is no amount, such as 2Gi or 500m")
    number, unit = float(match[1]), match[2]
    return number / 1000 if unit == "m" else number * _UNITS.get(unit, 1)
