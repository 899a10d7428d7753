"""The loop an executor hangs its descriptors and timers on. Sleeps in the kernel; never polls."""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush

from hepflow.model.events import ExecutorEvent


class Loop:
    """The runner's side of an executor (see :class:`hepflow.model.protocols.Sink`)."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._events: deque[ExecutorEvent] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._drain)
        self._waiting = False

    def put(self, events: Sequence[ExecutorEvent]) -> None:
        """Tell what happened; from any thread."""
        self._events.extend(events)
        if self._waiting:
            self.wake()

    def wake(self) -> None:
        """End the current wait; from any thread or a signal handler."""
        try:
            os.write(self._wake_write, b"!")
        except BlockingIOError:
            pass  # it is full of wake-ups already

    def watch(self, fileno: int, callback: Callable[[], None]) -> None:
        self._selector.register(fileno, selectors.EVENT_READ, callback)

    def unwatch(self, fileno: int) -> None:
        self._selector.unregister(fileno)

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        self._serial += 1
        heappush(self._timers, (when, self._serial, callback))

    def wait(self, until: float | None) -> list[ExecutorEvent]:
        """What happened, waiting for something to happen or for ``until`` (``time.monotonic()``)."""
        now = time.monotonic()
        timeout = None if until is None else max(0.0, until - now)
        if self._timers:
            next_timer = max(0.0, self._timers[0][0] - now)
            timeout = next_timer if timeout is None else min(timeout, next_timer)
        if self._events:
            timeout = 0.0
        self._waiting = True
        # A thread may have put events before it could see that we wait.
        ready = self._selector.select(0.0 if self._events else timeout)
        self._waiting = False
        for key, _ in ready:
            key.data()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heappop(self._timers)[2]()
        found = list(self._events)
        for _ in found:
            self._events.popleft()
        return found

    def close(self) -> None:
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _drain(self) -> None:
        os.read(self._wake_read, 4096)
