"""The memory of processes and all beneath them, as stand-ins hold jobs to their limits."""

from __future__ import annotations

import os
from pathlib import Path


def memory_kib(roots: list[int]) -> dict[int, int]:
    """The resident memory of each process and all beneath it."""
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
    total = dict.fromkeys(roots, 0)
    for pid, used in resident.items():
        above = pid
        while above and above not in total:
            above = parent.get(above, 0)
        if above:
            total[above] += used
    return total
