"""What is planned and waits to be submitted: deeper steps first, then in the order they came."""

from __future__ import annotations

from heapq import heappop, heappush

from hepflow.model.events import Invocation
from hepflow.model.task import Task
from hepflow.model.workflow import Retry


class Live:
    """What is remembered of an invocation between its planning and its end."""

    __slots__ = (
        "faults", "invocation", "level", "losses", "name", "number", "retry", "running", "task",
    )  # fmt: skip

    def __init__(
        self, invocation: Invocation, name: str, task: Task, retry: Retry, number: int, level: int
    ) -> None:
        self.invocation = invocation
        self.name = name
        self.task = task
        self.retry = retry
        self.number = number
        self.level = level
        self.faults = 0
        self.losses = 0
        self.running = False


class Queue:
    """Invocations to submit now, and those to submit at a later time."""

    def __init__(self) -> None:
        self._now: list[tuple[int, int, Live]] = []
        self._later: list[tuple[float, int, Live]] = []
        self._serial = 0

    def push(self, live: Live) -> None:
        self._serial += 1
        heappush(self._now, (-live.level, self._serial, live))

    def push_at(self, when: float, live: Live) -> None:
        self._serial += 1
        heappush(self._later, (when, self._serial, live))

    def pop(self) -> Live:
        return heappop(self._now)[2]

    def release(self, now: float) -> None:
        """Let those whose time has come be submitted."""
        while self._later and self._later[0][0] <= now:
            self.push(heappop(self._later)[2])

    @property
    def next_time(self) -> float | None:
        return self._later[0][0] if self._later else None

    def clear(self) -> None:
        self._now.clear()
        self._later.clear()

    def __len__(self) -> int:
        """How many can be submitted now."""
        return len(self._now)

    def __bool__(self) -> bool:
        """Whether anything waits at all."""
        return bool(self._now or self._later)
