"""What this machine has: cores, memory, accelerators.

Owns the questions to the operating system. Loads no library of any vendor; must never know a task.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """What may be given to tasks.

    Args:
        cpus: cores.
        memory_mib: mebibytes of memory.
        gpus: accelerators by the names that ``CUDA_VISIBLE_DEVICES`` takes.
    """

    cpus: float
    memory_mib: int
    gpus: tuple[str, ...] = ()


def measure(
    cpus: float | None, memory_mib: int | None, gpus: Sequence[str] | None, env: Mapping[str, str]
) -> Machine:
    """The machine as it is, but for what the caller says otherwise."""
    return Machine(
        cpus=_cpus() if cpus is None else cpus,
        memory_mib=_memory_mib() if memory_mib is None else memory_mib,
        gpus=_gpus(env) if gpus is None else tuple(gpus),
    )


def _cpus() -> float:
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        count = os.cpu_count() or 1
    return min(float(count), _cpu_quota())


def _cpu_quota() -> float:
    """Cores the control group grants, in either version's spelling; infinite without a limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            folder = Path("/sys/fs/cgroup/cpu")
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return float("inf")
    granted = int(quota) / int(period) if quota.lstrip("-").isdigit() else -1.0
    return max(1.0, granted) if granted > 0 else float("inf")


def _memory_mib() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path("/sys/fs/cgroup", name).read_text()))
        except (OSError, ValueError):
            continue
    return total >> 20


def _gpus(env: Mapping[str, str]) -> tuple[str, ...]:
    visible = env.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name for name in re.split(r"\s*,\s*", visible.strip()) if name)
    try:
        count = len(os.listdir("/proc/driver/nvidia/gpus"))
    except OSError:
        return ()
    return tuple(str(number) for number in range(count))
