"""Calls that take their time, made on threads, with their answers taken on the runner's."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

from hepflow.model.protocols import Sink

THREADS: Final = 4

Answer = TypeVar("Answer")


class Desk:
    """Makes calls for a runner that must not wait.

    Args:
        sink: whose loop takes the answers.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._threads = ThreadPoolExecutor(THREADS, "hepflow-desk")
        self._due: deque[Callable[[], None]] = deque()
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._ring, False)
        self._closed = False
        sink.watch(self._bell, self._answer)

    def ask(self, call: Callable[[], Answer], then: Callable[[Future[Answer]], None]) -> None:
        """Make a call on a thread; ``then`` gets its end, on the runner's."""
        future = self._threads.submit(call)
        future.add_done_callback(lambda done: self.soon(lambda: then(done)))

    def soon(self, call: Callable[[], None]) -> None:
        """Have something called on the runner's thread; from any thread."""
        if self._closed:
            return
        self._due.append(call)
        with suppress(OSError):  # full of rings already, or closed
            os.write(self._ring, b"!")

    def _answer(self) -> None:
        os.read(self._bell, 4096)
        while self._due and not self._closed:
            self._due.popleft()()

    def close(self) -> None:
        """Let what is being asked come to its end; answers are not taken any more."""
        self._closed = True
        self._sink.unwatch(self._bell)
        self._threads.shutdown(wait=True, cancel_futures=True)
        os.close(self._bell)
        os.close(self._ring)
