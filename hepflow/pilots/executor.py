"""The head's side: attempts wait here, go out in bundles, and what comes back becomes events.

Owns which attempt is where. It works on the runner's thread and never blocks; the engine's threads only
leave what they have in a list and ring. Must never know which engine carries the bundles.
"""

from __future__ import annotations

import itertools
import os
import pickle
import secrets
import shutil
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from hepflow import __version__
from hepflow.executors.local import LocalExecutor
from hepflow.model.events import ExecutorEvent, Finished, Lost, Rejected, Started
from hepflow.model.protocols import Sink
from hepflow.model.site import Extent, Site
from hepflow.model.task import Attempt, Outcome, Reason, Resources
from hepflow.pilots.frames import frames_in
from hepflow.pilots.orders import EVENTS, Order, await_foremen, want_no_more
from hepflow.pilots.parcels import Gone, Parcel
from hepflow.pilots.shelf import Keeping, Shelf
from hepflow.pilots.sizes import refusal
from hepflow.pilots.waiting import Shape, Waiting

CAPACITY: Final = 4096
"""Attempts that are taken at a time."""
AHEAD: Final = 2
"""Bundles under way for each that can run: the next is there when one ends."""
SOON_S, SELDOM_S = 0.1, 2.0
"""Seconds between two looks into foremen's files: soon after something began, else seldom."""
UNTAKEN_S: Final = 3.0
"""A cancelled attempt that nothing was heard of for so long waits in the engine, and will not run."""
STUCK_S: Final = 5.0
"""Seconds between two questions whether the engine can do anything at all."""


class Engine(Protocol):
    """What carries bundles to workers; where these keep what bundles leave, it is ``Keeping``."""

    def start(self) -> int:
        """Get ready; returns how many bundles can run at a time.

        Raises:
            UnavailableError: it is not to be had.
        """
        ...

    def carry(
        self, order: Order, resources: Resources, parcels: Sequence[object]
    ) -> Future[Parcel]:
        """Have `carrying.carry_out` called on a worker that has what each attempt asks for.

        Args:
            parcels: handles of what it needs besides; none where the engine is not ``Keeping``.
        """
        ...

    def fault(self) -> str:
        """Why there will be no worker, in one sentence; empty while there is hope."""
        ...

    def explain(self, error: BaseException) -> str:
        """Why a worker was lost, in a sentence; empty where the error says something else."""
        ...

    def recover(self) -> None:
        """End what an earlier head of the same folder has left running."""
        ...

    def close(self) -> None:
        """End every process of ours."""
        ...


class Bundle(NamedTuple):
    """Attempts under way together."""

    order: Order
    shape: Shape
    attempts: dict[str, Attempt]
    parcels: Sequence[object]


class PilotExecutor:
    """Runs attempts on the workers of an engine, in bundles.

    Args:
        folder: the executor's own.
        engine: carries bundles.
        settings: of the local executor that runs tasks on a worker.
        env: the site's variables.
        extent: what the workers have, as far as it is known.
    """

    def __init__(
        self,
        folder: Path,
        engine: Engine,
        settings: Mapping[str, object],
        env: Mapping[str, str],
        extent: Extent,
    ) -> None:
        self.capacity = CAPACITY
        self.extent = extent
        self._folder = folder
        self._engine = engine
        self._shelf = Shelf(engine) if isinstance(engine, Keeping) else None
        self._settings = dict(settings)
        self._env = dict(env)
        self._tag = f"{time.time():.0f}{secrets.token_hex(2)}"
        self._where = os.uname().nodename
        self._slots = 1
        self._numbers = itertools.count()
        self._waiting = Waiting()
        self._live: dict[str, Bundle] = {}
        self._bundles: dict[int, Bundle] = {}
        self._started: set[str] = set()
        self._read: dict[Path, int] = {}
        self._heard: deque[tuple[int, Future[Parcel]]] = deque()
        self._bell, self._ring = os.pipe()
        self._looking = False
        self._look_s = SOON_S
        self._asked = 0.0
        self._closed = False
        self._sink: Sink

    # --- the door ---------------------------------------------------------------------------------

    def start(self, sink: Sink) -> None:
        """Have the engine ready.

        Raises:
            UnavailableError: it is not to be had.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._slots = self._engine.start()
        self._sink = sink
        os.set_blocking(self._ring, False)
        sink.watch(self._bell, self._answered)

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts, and send on as many as are worth it; refuse what no worker can run."""
        refused: list[ExecutorEvent] = []
        for attempt in attempts:
            why = refusal(self.extent, attempt.task.resources)
            if why:
                refused.append(Rejected(attempt.id, why))
            else:
                self._waiting.add(attempt)
        if refused:
            self._sink.put(refused)
        self._dispatch()

    def cancel(self, attempts: Collection[str]) -> None:
        """End attempts: those that wait at once, the others where they are."""
        waiting = self._waiting.drop(attempts)
        if waiting:
            self._sink.put([self._cancelled(name) for name in waiting])
        away = [name for name in attempts if name in self._live]
        if away:
            want_no_more(self._folder, self._tag, away)
            self._sink.call_at(time.monotonic() + UNTAKEN_S, partial(self._give_up, away))
            self._look_soon()

    def recover(self, attempts: Mapping[str, str]) -> Collection[str]:
        """Tell what foremen of earlier heads wrote down; nothing else of theirs goes on."""
        found: set[str] = set()
        if not attempts:
            return found
        tags = {path.parent.name.split("-")[0] for path in self._folder.glob(f"*-*/{EVENTS}")}
        tags.discard(self._tag)
        for tag in tags:
            want_no_more(self._folder, tag)
        self._engine.recover()
        for tag in tags:
            await_foremen(self._folder, tag, _grace(self._settings) + 2.0)
            for path in self._folder.glob(f"{tag}-*/{EVENTS}"):
                # The processes of a foreman that was killed, and what these had done.
                local = LocalExecutor(path.parent, site=Site("local", executor="local"))
                local.start(self._sink)
                found.update(local.recover({a: "" for a in attempts if a not in found}))
                local.close()
        return found

    def close(self, *, settled: bool = False) -> None:
        """End every process of ours; what ran is not told any more."""
        if self._closed:
            return
        self._closed = True
        if self._folder.is_dir():
            want_no_more(self._folder, self._tag)
            await_foremen(self._folder, self._tag, _grace(self._settings) + 2.0)
        self._engine.close()
        if hasattr(self, "_sink"):
            self._sink.unwatch(self._bell)
        os.close(self._bell)
        os.close(self._ring)
        for path in self._folder.glob("*" if settled else f"{self._tag}.*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    # --- sending ----------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while len(self._bundles) < self._slots * AHEAD:
            taken = self._waiting.take(self._slots)
            if taken is None:
                return
            self._send(*taken)

    def _send(self, shape: Shape, taken: Sequence[Attempt]) -> None:
        attempts = {attempt.id: _bare(attempt) for attempt in taken}
        light, parcels = list(attempts.values()), list[object]()
        if self._shelf is not None:
            light, parcels = self._shelf.without(light)
        data = pickle.dumps(light, pickle.HIGHEST_PROTOCOL)
        number = next(self._numbers)
        order = Order(
            __version__, str(self._folder), self._tag, number, self._settings, self._env, data
        )
        bundle = self._bundles[number] = Bundle(order, shape, attempts, parcels)
        self._live.update(dict.fromkeys(attempts, bundle))
        self._engine.carry(order, shape[1], parcels).add_done_callback(partial(self._leave, number))
        self._look_soon()

    # --- hearing ----------------------------------------------------------------------------------

    def _leave(self, number: int, future: Future[Parcel]) -> None:
        """On a thread of the engine's: what came back waits for the runner's thread."""
        self._heard.append((number, future))
        with suppress(OSError):  # full of rings already, or closed
            os.write(self._ring, b"!")

    def _answered(self) -> None:
        os.read(self._bell, 4096)
        events: list[ExecutorEvent] = []
        while self._heard:
            number, future = self._heard.popleft()
            bundle = self._bundles.pop(number, None)
            if bundle is None:
                continue
            events += self._settled(bundle, future)
        self._dispatch()
        if events:
            self._sink.put(events)

    def _settled(self, bundle: Bundle, future: Future[Parcel]) -> list[ExecutorEvent]:
        """The ends of a bundle's attempts, without those told already."""
        error = _error_of(future)
        left = [name for name in bundle.attempts if self._live.get(name) is bundle]
        if error is None:
            ended = self._taken(bundle, future.result(), left)
            walls_s = [e.outcome.usage.wall_s for e in ended if isinstance(e, Finished)]
            self._waiting.learn(bundle.shape, walls_s)
            return self._new(ended)
        if self._shelf is not None:
            self._shelf.left_nothing(bundle.order.number)
            if isinstance(error, Gone):
                self._shelf.forget(bundle.parcels)
                self._send(bundle.shape, [bundle.attempts[name] for name in left])
                return []
        _remove(bundle.order.claim)
        lost = self._engine.explain(error)
        if lost:
            return self._new([Lost(name, Reason.NODE, lost) for name in left])
        outcome = Outcome(Reason.START, str(error) or type(error).__name__, where=self._where)
        return self._new([Finished(name, outcome) for name in left])

    def _taken(self, bundle: Bundle, parcel: Parcel, left: Sequence[str]) -> list[Any]:
        """The events in what came back. What stays on the worker keeps its claim: an engine that makes
        it anew, when that worker is lost, must not run the bundle again."""
        events, stays = list[Any](), False
        if self._shelf is None:
            events = pickle.loads(parcel.said)
        else:
            events, stays = self._shelf.take(bundle.order.number, parcel, left)
        if not stays:
            _remove(bundle.order.claim)
        return events

    def _new(self, events: Sequence[ExecutorEvent]) -> list[ExecutorEvent]:
        """Those events that were not told before."""
        told: list[ExecutorEvent] = []
        for event in events:
            name = event.attempt
            if name not in self._live:
                continue
            if isinstance(event, Started):
                if name in self._started:
                    continue
                self._started.add(name)
            elif isinstance(event, Finished | Lost | Rejected):
                del self._live[name]
                self._started.discard(name)
            told.append(event)
        return told

    def _cancelled(self, name: str) -> Finished:
        message = "cancelled before it started"
        return Finished(name, Outcome(Reason.CANCELLED, message, where=self._where))

    def _give_up(self, names: Sequence[str]) -> None:
        """What is cancelled and was not heard of since has not begun, and will not any more."""
        if self._closed:
            return
        self._look_into_files()
        unheard = [n for n in names if n in self._live and n not in self._started]
        begun = {n for n in unheard if os.path.exists(self._live[n].order.claim)}
        self._sink.put(self._new([self._cancelled(n) for n in unheard if n not in begun]))

    # --- looking ----------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        self._look_s = SOON_S
        if not self._looking:
            self._looking = True
            self._sink.call_at(time.monotonic() + SOON_S, self._look)

    def _look(self) -> None:
        """What foremen have written down, while there is something to hear."""
        self._looking = False
        if self._closed:
            return
        self._look_s = SOON_S if self._look_into_files() else min(self._look_s * 2, SELDOM_S)
        self._ask()
        if self._is_to_hear():
            self._looking = True
            self._sink.call_at(time.monotonic() + self._look_s, self._look)

    def _is_to_hear(self) -> bool:
        """Whether something may be told before the end of its bundle."""
        return min(len(self._started), len(self._bundles)) < len(self._live)

    def _look_into_files(self) -> bool:
        """Take what is new in foremen's files; whether there was anything."""
        events: list[ExecutorEvent] = []
        for path in self._folder.glob(f"{self._tag}-*/{EVENTS}"):
            messages, self._read[path] = frames_in(str(path), self._read.get(path, 0))
            for message in messages:
                events += self._new(message)
        if self._shelf is not None:
            self._shelf.told_early(events)
        if events:
            self._sink.put(events)
        return bool(events)

    def _ask(self) -> None:
        """Fail what is under way where the engine will never have a worker for it."""
        now = time.monotonic()
        if now < self._asked + STUCK_S or self._started:
            return
        self._asked = now
        fault = self._engine.fault()
        if fault:
            waiting = self._waiting.drop(list(self._waiting))
            events = [Rejected(name, fault) for name in [*self._live, *waiting]]
            self._bundles.clear()
            self._live.clear()
            self._sink.put(events)


def _bare(attempt: Attempt) -> Attempt:
    """An attempt without what never leaves the head, or is there already."""
    if attempt.task.memo is None and not attempt.task.inputs:
        return attempt
    return attempt._replace(task=replace(attempt.task, memo=None, inputs={}))


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def _error_of(future: Future[Parcel]) -> BaseException | None:
    if future.cancelled():
        return RuntimeError("the engine cancelled it")
    return future.exception()


def _grace(settings: Mapping[str, object]) -> float:
    """Seconds that a task may take to end."""
    grace = settings.get("grace_s", 10.0)
    return grace if isinstance(grace, (int, float)) else 10.0
