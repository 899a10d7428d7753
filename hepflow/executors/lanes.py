"""Which attempt may run now: the waiting queue, the machine's resources, and the lanes.

A lane is a reservation of resources in which attempts of one shape (the same demand, and for Python
calls the same worker) run one after the other. Owns these decisions and does no input or output;
must never know a process or a message.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, islice
from math import ceil
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from hepflow.executors.machine import Machine
from hepflow.model.task import Attempt, Call, Reason

SHORT_S: Final = 0.05
"""Attempts that take longer are never sent to a lane before the one ahead has ended."""

AHEAD_S: Final = 0.025
"""Work that may wait in a lane, so that it does not idle while the head is busy elsewhere."""

MOST_AHEAD: Final = 256
MOST_AHEAD_BYTES: Final = 128 << 10

PASSES: Final = 16
"""So many smaller attempts may be started before a large one that waits for room."""

EPSILON: Final = 1e-6
LEAST_CPUS: Final = 0.05

Entry: TypeAlias = tuple[int, int, Attempt]
"""An attempt with its rank: negative priority, then order of submission. The least goes first."""

Host = TypeVar("Host")


class ShapeKey(NamedTuple):
    """What attempts must have in common to follow each other in one lane."""

    cpus: float
    memory_mib: int
    gpus: int
    python: bool
    path: tuple[str, ...]
    env: tuple[tuple[str, str], ...]


@dataclass(slots=True, eq=False)
class Shape(Generic[Host]):
    """The attempts of one key that wait, and the lanes they run in."""

    key: ShapeKey
    waiting: list[Entry] = field(default_factory=list)
    lanes: list[Lane[Host]] = field(default_factory=list)
    estimate_s: float = -1.0
    bytes_each: float = 0.0
    passed: int = 0

    def measured(self, seconds: float) -> None:
        """Learn how long an attempt of this shape took."""
        old = self.estimate_s
        self.estimate_s = seconds if old < 0 else 0.5 * (old + seconds)

    def depth(self) -> int:
        """How many attempts a lane may hold at a time."""
        if not 0 <= self.estimate_s < SHORT_S:
            return 1
        depth = min(MOST_AHEAD, 1 + int(AHEAD_S / max(self.estimate_s, 1e-6)))
        if self.bytes_each * depth > MOST_AHEAD_BYTES:
            depth = max(1, int(MOST_AHEAD_BYTES / self.bytes_each))
        return depth


@dataclass(slots=True, eq=False)
class Lane(Generic[Host]):
    """One reservation.

    Args:
        shape: whose attempts it runs.
        gpus: the accelerators it holds.
        flight: attempts sent and not yet answered, in the order they run.
        since: when the first of them can have begun, by the monotonic clock.
        told: id of the attempt whose start was told.
        host: the process it is in; set by whoever opens it.
        number: its number within the host.
        recalling: waiting attempts were asked back.
        verdict: attempt, reason and sentence, when we ended the process ourselves.
    """

    shape: Shape[Host]
    gpus: tuple[str, ...]
    flight: dict[str, Entry] = field(default_factory=dict)
    since: float = 0.0
    told: str = ""
    host: Host | None = None
    number: int = 0
    recalling: bool = False
    verdict: tuple[str, Reason, str] | None = None

    @property
    def front(self) -> str:
        return next(iter(self.flight), "")

    @property
    def is_slow(self) -> bool:
        """Whether what runs in it has taken long already: nothing more should wait for that."""
        return self.told in self.flight


class Ledger(Generic[Host]):
    """Everything that waits, and everything the machine has."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._cpus = machine.cpus
        self._memory_mib = machine.memory_mib
        self._gpus = list(machine.gpus)
        self._shapes: dict[ShapeKey, Shape[Host]] = {}
        self._order = count()
        self.closed: list[Lane[Host]] = []

    def refusal(self, attempt: Attempt) -> str:
        """Why an attempt can never run here; nothing if it can."""
        asks, has = attempt.task.resources, self.machine
        task = attempt.task
        if task.container and isinstance(task.command, Call):
            return (
                f"it is a Python function and asks for the container image '{task.container.image}';"
                " only commands run in containers"
            )
        if asks.cpus > has.cpus + EPSILON:
            return f"it asks for {asks.cpus:g} cpus; this machine has {has.cpus:g}"
        if asks.memory_mib > has.memory_mib:
            return f"it asks for {asks.memory_mib} MiB of memory; this machine has {has.memory_mib}"
        if asks.gpus > len(has.gpus):
            return f"it asks for {asks.gpus} gpus; this machine has {len(has.gpus)}"
        return ""

    def add(self, attempt: Attempt) -> None:
        self._push(self._shape(attempt), (-attempt.priority, next(self._order), attempt))

    def requeue(self, shape: Shape[Host], entries: list[Entry]) -> None:
        """Take back attempts that did not start; they keep their rank."""
        for entry in entries:
            self._push(shape, entry)

    def drop(self, names: set[str]) -> list[str]:
        """Forget those of some attempts that still wait; returns which did."""
        dropped = []
        for shape in self._shapes.values():
            mine = [entry[2].id for entry in shape.waiting if entry[2].id in names]
            if mine:
                # A sorted list is a heap.
                shape.waiting = sorted(e for e in shape.waiting if e[2].id not in names)
                dropped += mine
        return dropped

    def lanes(self) -> Iterator[Lane[Host]]:
        for shape in self._shapes.values():
            yield from shape.lanes

    def _push(self, shape: Shape[Host], entry: Entry) -> None:
        heappush(shape.waiting, entry)

    def _shape(self, attempt: Attempt) -> Shape[Host]:
        task = attempt.task
        asks, command = task.resources, task.command
        python = isinstance(command, Call)
        path: tuple[str, ...] = ()
        env: tuple[tuple[str, str], ...] = ()
        if isinstance(command, Call):
            path = command.path
            env = tuple(sorted(task.env.items())) if task.env else ()
        key = max(asks.cpus, LEAST_CPUS), asks.memory_mib, asks.gpus, python, path, env
        # A plain tuple finds its named kin, and is made in half the time.
        shape: Shape[Host] | None = self._shapes.get(key)  # type: ignore[call-overload]
        if shape is None:
            named = ShapeKey(*key)
            shape = self._shapes[named] = Shape(named)
        return shape

    # --- giving -----------------------------------------------------------------------------------

    def assign(self) -> Iterator[tuple[Lane[Host], list[Entry]]]:
        """Say what to send where, best rank first, until nothing more fits.

        Lanes without work are closed on the way and listed in ``closed``; a new lane has no host.
        """
        ready = [shape for shape in self._shapes.values() if shape.waiting]
        if not ready:
            return  # so nobody wants what a lane without work holds, and its next work may be near
        self._close_empty(ready)
        blocked: Shape[Host] | None = None
        while ready:
            ready.sort(key=_rank, reverse=True)
            shape = ready[-1]
            bound = ready[-2].waiting[0] if len(ready) > 1 else None
            lane = self._room(shape, blocked)
            if lane is None:
                ready.pop()
                if blocked is None and not self._fits(shape, None):
                    blocked = shape
                continue
            entries = self._take(shape, lane, bound)
            if blocked is not None:
                blocked.passed += 1
            shape.passed = 0
            if not shape.waiting:
                ready.pop()
            yield lane, entries

    def _take(self, shape: Shape[Host], lane: Lane[Host], bound: Entry | None) -> list[Entry]:
        """Take attempts for one lane: no more than its share, none that ranks behind ``bound``."""
        waiting, flight = shape.waiting, lane.flight
        possible = len(shape.lanes) + self._more_lanes(shape)
        share = max(1, ceil(len(waiting) / possible))
        entries = [heappop(waiting)]
        for _ in range(min(share, shape.depth() - len(flight)) - 1):
            if bound is not None and waiting[0] > bound:
                break
            entries.append(heappop(waiting))
        for entry in entries:
            flight[entry[2].id] = entry
        return entries

    def _room(self, shape: Shape[Host], blocked: Shape[Host] | None) -> Lane[Host] | None:
        """A lane that can take an attempt of a shape now, opened if need be."""
        if blocked is not None and self._must_wait(shape, blocked):
            return None
        best = min(shape.lanes, key=_load, default=None)
        if best is not None and not best.flight:
            return best
        if self._fits(shape, blocked) and not self._too_little(shape):
            return self._open(shape)
        depth = shape.depth()
        if depth > 1:
            best = min((lane for lane in shape.lanes if not lane.is_slow), key=_load, default=None)
            if best is not None and len(best.flight) <= depth // 2:
                return best
        return None

    def _too_little(self, shape: Shape[Host]) -> bool:
        """Whether what waits is not worth another Python worker's start."""
        if not (shape.key.python and shape.lanes and shape.estimate_s >= 0):
            return False
        return len(shape.waiting) * shape.estimate_s < AHEAD_S

    def _must_wait(self, shape: Shape[Host], blocked: Shape[Host]) -> bool:
        """Whether a shape would keep what a better ranked one waits for."""
        asks, wants = shape.key, blocked.key
        lacks_cpus = wants.cpus > self._cpus + EPSILON
        lacks_memory = wants.memory_mib > self._memory_mib
        lacks_gpus = wants.gpus > len(self._gpus)
        competes = (
            lacks_cpus or (lacks_memory and asks.memory_mib > 0) or (lacks_gpus and asks.gpus > 0)
        )
        if not competes:
            return False
        # Only what is smaller may pass: a lane of the same size will do for the one that waits.
        smaller = (lacks_cpus and asks.cpus < wants.cpus) or (
            lacks_memory and asks.memory_mib < wants.memory_mib
        )
        return not smaller or blocked.passed >= PASSES

    def _fits(self, shape: Shape[Host], blocked: Shape[Host] | None) -> bool:
        """Whether a lane of a shape can be opened, beside what a blocked shape has its eye on."""
        asks = shape.key
        cpus, memory, gpus = self._cpus, self._memory_mib, len(self._gpus)
        if blocked is not None and blocked.passed >= PASSES:
            wants = blocked.key
            cpus -= min(wants.cpus, cpus)
            memory -= min(wants.memory_mib, memory)
            gpus -= min(wants.gpus, gpus)
        return asks.cpus <= cpus + EPSILON and asks.memory_mib <= memory and asks.gpus <= gpus

    def _more_lanes(self, shape: Shape[Host]) -> int:
        asks = shape.key
        more = int((self._cpus + EPSILON) / asks.cpus)
        if asks.memory_mib:
            more = min(more, self._memory_mib // asks.memory_mib)
        return min(more, len(self._gpus) // asks.gpus) if asks.gpus else more

    def _open(self, shape: Shape[Host]) -> Lane[Host]:
        asks = shape.key
        self._cpus -= asks.cpus
        self._memory_mib -= asks.memory_mib
        gpus = tuple(self._gpus[: asks.gpus])
        del self._gpus[: asks.gpus]
        lane = Lane(shape, gpus)
        shape.lanes.append(lane)
        return lane

    def close(self, lane: Lane[Host]) -> None:
        """Return what a lane holds."""
        asks = lane.shape.key
        lane.shape.lanes.remove(lane)
        self._cpus += asks.cpus
        self._memory_mib += asks.memory_mib
        self._gpus = sorted([*self._gpus, *lane.gpus], key=self.machine.gpus.index)

    def _close_empty(self, ready: list[Shape[Host]]) -> None:
        """Close lanes that ran dry, unless their own shape is the next to be served."""
        best = min(ready, key=_rank)
        for shape in list(self._shapes.values()):
            empty = [lane for lane in shape.lanes if not lane.flight]
            for lane in empty[len(shape.waiting) :] if shape is best else empty:
                self.close(lane)
                self.closed.append(lane)
            if not shape.lanes and not shape.waiting and len(self._shapes) > 64:
                del self._shapes[shape.key]


def last_entries(lane: Lane[Host], number: int) -> list[Entry]:
    """Take the last so many attempts out of a lane's flight."""
    names = list(islice(reversed(lane.flight), number))
    return [lane.flight.pop(name) for name in names]


def _rank(shape: Shape[Host]) -> Entry:
    return shape.waiting[0]


def _load(lane: Lane[Host]) -> int:
    return len(lane.flight)
