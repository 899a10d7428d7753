"""The stop-watch: one process from start to exit, its time, processor time and memory."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took, its ended children included.

    Args:
        wall_s: from before its start to after its end.
        cpu_s: user and system time.
        peak_mib: largest resident set of the process or of any one child.
        status: exit status; negative for the signal that ended it.
        output: what it printed.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float
    status: int
    output: str = ""


class Failed(Exception):
    """A measured command ended badly, so its figures mean nothing."""


@dataclass(slots=True)
class Series:
    """The repetitions of one measurement."""

    costs: list[Cost] = field(default_factory=list)

    def add(self, cost: Cost) -> None:
        self.costs.append(cost)

    @property
    def wall_s(self) -> float:
        return statistics.median(cost.wall_s for cost in self.costs)

    @property
    def cpu_s(self) -> float:
        return statistics.median(cost.cpu_s for cost in self.costs)

    @property
    def peak_mib(self) -> float:
        return max(cost.peak_mib for cost in self.costs)

    @property
    def spread(self) -> str:
        """Fastest to slowest, in seconds."""
        walls = sorted(cost.wall_s for cost in self.costs)
        return f"{walls[0]:.2f}–{walls[-1]:.2f}"


def run(
    argv: Sequence[str],
    folder: Path,
    *,
    kill_after_s: float = 0.0,
    env: Mapping[str, str] | None = None,
) -> Cost:
    """Run a command to its end, or to ``kill -9`` after some seconds, and say what it took."""
    log = folder / ".bench.log"
    with log.open("w") as sink:
        started = time.perf_counter()
        pid = _spawn(argv, folder, sink.fileno(), env)
        if kill_after_s:
            time.sleep(kill_after_s)
            os.kill(pid, signal.SIGKILL)
        _, wait_status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - started
    return Cost(
        wall,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
        os.waitstatus_to_exitcode(wait_status),
        log.read_text(errors="replace"),
    )


def must_run(argv: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> Cost:
    """Like :func:`run`, for a command whose failure would make the figure worthless.

    Raises:
        Failed: with the end of what it printed.
    """
    cost = run(argv, folder, env=env)
    if cost.status:
        raise Failed(f"{' '.join(argv)} in {folder}: exit {cost.status}\n{cost.output[-2000:]}")
    return cost


def _spawn(argv: Sequence[str], folder: Path, output: int, env: Mapping[str, str] | None) -> int:
    """Start a command in a folder; ``posix_spawn`` has no folder of its own, hence ``env -C``."""
    return os.posix_spawn(
        "/usr/bin/env",
        ["env", "-C", str(folder), *argv],
        {**os.environ, **(env or {})},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ],
    )
