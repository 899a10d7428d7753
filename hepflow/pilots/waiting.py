"""Attempts that wait for a worker, and how many of them make a bundle.

Must never know an engine or what became of an attempt.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Final, TypeAlias

from hepflow.model.task import Attempt, Call, Resources

BUNDLE_S: Final = 0.2
"""Seconds of work that a bundle holds, as far as that can be known beforehand."""
MOST: Final = 500
"""Attempts in a bundle."""
FIRST_S: Final = 0.02
"""What an attempt of an unknown kind is taken to last."""
SHORTEST_S: Final = 1e-4

Shape: TypeAlias = tuple[str, Resources]
"""What attempts of one bundle have in common: the function, if it is one, and what they ask for."""


class Waiting:
    """Queues of attempts, one for each shape; the greatest priority goes first, then the oldest."""

    def __init__(self) -> None:
        self._queues: dict[Shape, list[tuple[int, int, Attempt]]] = {}
        self._serial = itertools.count()
        self._names: set[str] = set()
        self._dropped: set[str] = set()
        self._lasts_s: dict[Shape, float] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def add(self, attempt: Attempt) -> None:
        """Have an attempt wait."""
        command = attempt.task.command
        shape = command.function if isinstance(command, Call) else "", attempt.task.resources
        entry = (-attempt.priority, next(self._serial), attempt)
        heapq.heappush(self._queues.setdefault(shape, []), entry)
        self._names.add(attempt.id)

    def drop(self, names: Collection[str]) -> set[str]:
        """Forget attempts; returns which of them waited."""
        dropped = self._names.intersection(names)
        self._names -= dropped
        self._dropped |= dropped
        return dropped

    def take(self, workers: int) -> tuple[Shape, list[Attempt]] | None:
        """The attempts of the next bundle, so many that each worker has a share; none if none waits."""
        self._forget_dropped()
        if not self._queues:
            return None
        shape = min(self._queues, key=lambda shape: self._queues[shape][0][:2])
        queue = self._queues[shape]
        share = -(-len(queue) // workers)
        size = max(1, min(int(BUNDLE_S / self._lasts_s.get(shape, FIRST_S)), share, MOST))
        taken: list[Attempt] = []
        while queue and len(taken) < size:
            attempt = heapq.heappop(queue)[2]
            if attempt.id in self._dropped:
                self._dropped.discard(attempt.id)
            else:
                self._names.discard(attempt.id)
                taken.append(attempt)
        return shape, taken

    def learn(self, shape: Shape, walls_s: Sequence[float]) -> None:
        """How long attempts of a shape last: as the slow ones of late, so that few wait for others.

        The slowest tenth is left out: on a busy machine that is chance, and small bundles cost more.
        """
        if walls_s:
            slow_s = sorted(walls_s)[(len(walls_s) - 1) * 9 // 10]
            before = self._lasts_s.get(shape, 0.0)
            self._lasts_s[shape] = max(slow_s, before / 2, SHORTEST_S)

    def _forget_dropped(self) -> None:
        for shape, queue in list(self._queues.items()):
            while queue and queue[0][2].id in self._dropped:
                self._dropped.discard(heapq.heappop(queue)[2].id)
            if not queue:
                del self._queues[shape]
