"""Progress told in plain lines, where there is no terminal to draw on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from hepflow.cli.late import api
from hepflow.cli.words import count, duration, say

EVERY_S: Final = 5.0
SCAN_S: Final = 0.5
MOST_LINES: Final = 20


class Lines:
    """A line when a step finishes, at most every five seconds how far all is, and the news."""

    def __init__(
        self,
        tell: Callable[[str], None] = lambda line: say(line, err=True),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run = 0
        self._tell = tell
        self._clock = clock
        self._told = self._scanned = clock()
        self._finished: set[str] = set()
        self._last: api.Progress | None = None
        self._silent = False

    def __call__(self, progress: api.Progress) -> None:
        self.run = progress.run
        self._last = progress
        for line in progress.news[:MOST_LINES]:
            self._say(progress, line)
        self._more(progress, len(progress.news), "piece of news", "pieces of news")
        if self._clock() - self._scanned >= SCAN_S:
            self._scan(progress)
        if self._clock() - self._told >= EVERY_S:
            self._say(progress, overview(progress))

    def close(self) -> None:
        if self._last is not None:
            self._scan(self._last)

    def _scan(self, progress: api.Progress) -> None:
        self._scanned = self._clock()
        new = [
            step
            for step in progress.steps
            if 0 <= step.width <= step.finished and step.path not in self._finished
        ]
        self._finished.update(step.path for step in new)
        for step in new[:MOST_LINES]:
            self._say(progress, f"{step.path}: {finished_words(step)}")
        self._more(progress, len(new), "step finished", "steps finished")

    def _more(self, progress: api.Progress, number: int, one: str, many: str) -> None:
        rest = number - MOST_LINES
        if rest > 0:
            self._say(progress, f"and {rest:,} more {one if rest == 1 else many}")

    def _say(self, progress: api.Progress, line: str) -> None:
        self._told = self._clock()
        if self._silent:
            return
        try:
            self._tell(f"[{duration(progress.elapsed_s):>8}] {line}")
        except OSError:
            self._silent = True


def finished_words(step: api.StepStatus) -> str:
    """``20 done (15 reused, 5 run)`` for a step that is over."""
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (step.succeeded, "run"),
            (step.reused, "reused"),
            (step.skipped, "skipped"),
            (step.failed, "failed"),
        )
        if number
    ]
    return f"{count(step.width, 'task')} done" + (f" ({', '.join(parts)})" if parts else "")


def overview(progress: api.Progress) -> str:
    """How far all is, on one line: the totals, then the steps that are at it."""
    done, known, running, failed = totals(progress)
    parts = [f"{done:,} of {known:,} tasks", f"{running:,} running"]
    if failed:
        parts.append(f"{failed:,} failed")
    busy = [step for step in progress.steps if step.running][:4]
    steps = "; ".join(f"{step.path} {step.finished:,}/{width_words(step)}" for step in busy)
    return ", ".join(parts) + (f" ({steps})" if steps else "")


def totals(progress: api.Progress) -> tuple[int, int, int, int]:
    """Tasks finished, known so far, running and failed, over all steps."""
    done = known = running = failed = 0
    for step in progress.steps:
        done += step.finished
        known += max(step.width, step.finished + step.running)  # of some it is not known how many
        running += step.running
        failed += step.failed
    return done, known, running, failed


def width_words(step: api.StepStatus) -> str:
    """A step's width; ``?`` while nobody knows it."""
    return f"{step.width:,}" if step.width >= 0 else "?"
