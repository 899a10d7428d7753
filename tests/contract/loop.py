"""A runner reduced to its loop: what an executor needs to be tried out alone."""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections.abc import Callable, Collection, Sequence

from hepflow.model.events import ExecutorEvent, Finished, Lost, Rejected, Started
from hepflow.model.protocols import Executor
from hepflow.model.task import Attempt, Outcome


class Loop:
    """A sink that keeps every event, and turns until something is true."""

    def __init__(self) -> None:
        self.events: list[ExecutorEvent] = []
        self.final: dict[str, Finished | Lost | Rejected] = {}
        self.started: dict[str, Started] = {}
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.wakes = 0

    def forget(self) -> None:
        """Be as new, but for what is watched and what was asked to be called."""
        self.events.clear()
        self.final.clear()
        self.started.clear()
        self.wakes = 0

    def put(self, events: Sequence[ExecutorEvent]) -> None:
        for event in events:
            self.events.append(event)
            if isinstance(event, Started):
                self.started[event.attempt] = event
            elif isinstance(event, Finished | Lost | Rejected):
                assert event.attempt not in self.final, f"two ends: {event}"
                self.final[event.attempt] = event

    def watch(self, fileno: int, callback: Callable[[], None]) -> None:
        self._selector.register(fileno, selectors.EVENT_READ, callback)

    def unwatch(self, fileno: int) -> None:
        self._selector.unregister(fileno)

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._order), callback))

    def turn(self, patience_s: float) -> None:
        """One round: wait for something, and serve it."""
        now = time.monotonic()
        if self._timers:
            patience_s = max(0.0, min(patience_s, self._timers[0][0] - now))
        self.wakes += 1
        for key, _ in self._selector.select(patience_s):
            if key.fileobj in self._selector.get_map():
                key.data()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def until(self, done: Callable[[], bool], patience_s: float = 30.0) -> None:
        deadline = time.monotonic() + patience_s
        while not done():
            left = deadline - time.monotonic()
            assert left > 0, f"nothing happened for {patience_s} s; last: {self.events[-3:]}"
            self.turn(left)

    def idle(self, seconds: float) -> None:
        """Turn for a while, whatever happens."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.turn(left)

    def finish(self, names: Collection[str], patience_s: float = 30.0) -> None:
        self.until(lambda: all(name in self.final for name in names), patience_s)

    def outcome(self, name: str) -> Outcome:
        event = self.final[name]
        assert isinstance(event, Finished), event
        return event.outcome


def run_all(
    executor: Executor, loop: Loop, attempts: Sequence[Attempt], patience_s: float = 60.0
) -> None:
    """Submit like the runner does, no more than the capacity at a time, and wait for the ends."""
    for start in range(0, len(attempts), executor.capacity):
        batch = attempts[start : start + executor.capacity]
        executor.submit(batch)
        loop.finish([attempt.id for attempt in batch], patience_s)
