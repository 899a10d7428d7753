"""The floors: what the machine itself takes for the same work, with nobody in between."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Cost, must_run

SHELL = ("/bin/sh", "-c", "touch x")
PROGRAM = ("/usr/bin/touch", "x")
IN_FLIGHT = 2

POOL = """
import sys, time
from concurrent.futures import ProcessPoolExecutor

def nothing(i):
    pass

if __name__ == "__main__":
    started = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        for future in [pool.submit(nothing, i) for i in range(int(sys.argv[1]))]:
            future.result()
    print(time.perf_counter() - started)
"""


def spawn_floor_ms(argv: tuple[str, ...], tasks: int, folder: Path) -> float:
    """Milliseconds a task for a bare loop over ``posix_spawn`` with two in flight."""
    return spawn_loop_s([argv] * tasks, folder) / tasks * 1000


def spawn_loop_s(commands: Sequence[tuple[str, ...]], folder: Path) -> float:
    """Seconds that a bare loop over ``posix_spawn`` takes for commands, two of them in flight."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        started = time.perf_counter()
        running = 0
        for argv in commands:
            if running == IN_FLIGHT:
                os.wait()
                running -= 1
            os.posix_spawn(argv[0], argv, os.environ)
            running += 1
        for _ in range(running):
            os.wait()
        return time.perf_counter() - started
    finally:
        os.chdir(here)


def pool_floor(tasks: int, folder: Path) -> tuple[Cost, float]:
    """A process pool of two, one ``submit`` a task: the whole program, and its loop alone."""
    script = folder / "pool.py"
    script.write_text(POOL)
    cost = must_run([sys.executable, str(script), str(tasks)], folder)
    return cost, float(cost.output)
