"""The memory of processes and all beneath them, as stand-ins hold jobs to their limits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def memory_kib(roots: list[int]) -> dict[int, int]:
    """The resident memory of each process and all beneath it."""
    total = dict.fromkeys(roots, 0)
    for root, _pid, used in _families(roots):
        total[root] += used
    return total


def largest(root: int) -> int:
    """Which has most, of a process and all beneath it."""
    found = [(used, pid) for _root, pid, used in _families([root])]
    return max(found, default=(0, root))[1]


def _families(roots: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """Root, process and its resident memory in KiB, of each process that is beneath one of them or is one."""
    page_kib = os.sysconf("SC_PAGE_SIZE") // 1024
    parent: dict[int, int] = {}
    resident: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parent[int(entry)], resident[int(entry)] = int(fields[1]), int(fields[21]) * page_kib
    heads = set(roots)
    for pid, used in resident.items():
        above = pid
        while above and above not in heads:
            above = parent.get(above, 0)
        if above:
            yield above, pid, used
