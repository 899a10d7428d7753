"""What the runner tells: progress to whoever watches, counts by step to the store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Final

from hepflow.engine import Scheduler
from hepflow.store.records import StepStatus

PROGRESS_S: Final = 0.1
STEPS_S: Final = 1.0

_COLUMNS: Final = tuple(field.name for field in fields(StepStatus))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, for whoever watches it.

    Args:
        news: one line each for what a person would want to know since the last time.
    """

    run: int
    name: str
    steps: tuple[StepStatus, ...]
    news: tuple[str, ...]
    elapsed_s: float


class Telling:
    """Keeps news until they are told, and decides when telling is worth its cost.

    Counting a workflow of 100,000 steps takes time: the more it takes, the more seldom it is done.
    """

    def __init__(
        self, scheduler: Scheduler, run: int, name: str, watch: Callable[[Progress], None] | None
    ) -> None:
        self._scheduler = scheduler
        self._run = run
        self._name = name
        self._watch = watch
        self._news: list[str] = []
        self._start = time.monotonic()
        self._next_progress = self._next_steps = self._start

    def note(self, lines: Iterable[str]) -> None:
        """News for the next telling."""
        self._news.extend(lines)

    @property
    def due(self) -> float | None:
        """When to tell again, by ``time.monotonic()``; ``None`` when nobody watches."""
        return (
            None if self._watch is None else max(self._next_progress, time.monotonic() + PROGRESS_S)
        )

    def tell(self, *, last: bool = False) -> None:
        """Tells progress if it is time to."""
        now = time.monotonic()
        if self._watch is None or not (last or now >= self._next_progress):
            return
        news, self._news = tuple(self._news), []
        self._watch(Progress(self._run, self._name, tuple(self._steps()), news, now - self._start))
        self._next_progress = now + max(PROGRESS_S, 10 * (time.monotonic() - now))

    def steps(self, *, last: bool = False) -> str:
        """The counts by step as the store keeps them; empty when it is too early to write again."""
        now = time.monotonic()
        if not last and now < self._next_steps:
            return ""
        # Not dataclasses.astuple: it copies deeply, and there may be 100,000 steps.
        text = json.dumps([[getattr(step, name) for name in _COLUMNS] for step in self._steps()])
        self._next_steps = now + max(STEPS_S, 20 * (time.monotonic() - now))
        return text

    def _steps(self) -> list[StepStatus]:
        return [
            StepStatus(
                counts.label, counts.known_width, counts.running,
                counts.succeeded, counts.reused, counts.skipped, counts.failed,
            )
            for counts in self._scheduler.counts.values()
            if not counts.group
        ]  # fmt: skip
