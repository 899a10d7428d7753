"""The local executor: attempts become processes, or calls in warm Python workers, on this machine.

Owns the worker processes and turns what they say into events. It works on the runner's thread and
never blocks; between events it uses no processor time at all. Must never know a workflow, the
engine or the store.

It tells less than a batch system's executor would: no Accepted (a local attempt does not survive the
head, so there is no handle to keep), and Started only for attempts that run longer than 50 ms.

Each executor needs a folder of its own, one for each run. In there are the journals, from which
``recover`` tells the results that a killed head has not heard.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from hepflow.capsule.report import (
    BROKEN,
    READY,
    RECALLED,
    RESULT,
    STARTED,
    last_line,
    memory_verdict,
    oom_kills,
    signal_name,
)
from hepflow.executors.checkpoints import MADE_WAY, keep, restored
from hepflow.executors.crew import Crew, Lane
from hepflow.executors.dispatch import Dispatcher, host_of
from hepflow.executors.journal import clear_journals, read_journal, wait_for_writers
from hepflow.executors.machine import measure
from hepflow.executors.processes import Worker, end_marked
from hepflow.model.events import ExecutorEvent, Finished, Lost, Rejected, Started
from hepflow.model.protocols import Sink
from hepflow.model.site import Container, Extent, Queue, Site, number, words
from hepflow.model.task import Attempt, Call, Outcome, Reason, Usage
from hepflow.wire.spelling import encode, finished

LOOK_S: Final = 0.05
"""Lanes that have been silent for so long are looked after."""
THIS_MACHINE: Final = Site("local", executor="local")
"""This machine, all of it."""


class LocalExecutor:
    """Runs attempts on this machine.

    Args:
        workdir: the executor's own folder, one for each run; made if need be.
        site: of it, ``settings`` and ``env`` are used; what only a batch system can do is refused.
    """

    settings: Final = {
        "cpus": "cores to give away; all this process may use when not said",
        "memory_mib": "mebibytes of memory to give away; all there is when not said",
        "gpus": "list of accelerators to give away, as CUDA_VISIBLE_DEVICES names them; those found"
        " when not said",
        "grace_s": "seconds a task that must end may take between SIGTERM and SIGKILL; 10",
    }

    def __init__(self, workdir: Path, *, site: Site = THIS_MACHINE) -> None:
        _refuse_what_needs_a_batch_system(site)
        env = {**os.environ, **site.env}
        said = site.settings
        self.machine = measure(
            number(said, "cpus", 0) if "cpus" in said else None,
            int(number(said, "memory_mib", 0)) if "memory_mib" in said else None,
            words(said, "gpus") if "gpus" in said else None,
            env,
        )
        has = self.machine
        most = Queue("", cpus=has.cpus, memory_mib=has.memory_mib, gpus=len(has.gpus))
        self.extent = Extent(most, has.cpus)
        self.capacity = 512 + 512 * math.ceil(self.machine.cpus)
        self.journal_fault = ""
        self._workdir = workdir.absolute()
        self._grace_s = number(said, "grace_s", 10.0)
        self._crew = Crew(self._workdir, self.machine, env, self._grace_s)
        self._desk = Dispatcher(self.machine, self._crew, env, self._listen, self._look_later)
        self._where = os.uname().nodename
        self._looking = False
        self._closed = False
        self._kills_before = -1
        self._sink: Sink

    # --- the door ---------------------------------------------------------------------------------

    def start(self, sink: Sink) -> None:
        """Get ready; no process is started before there is work for it."""
        self._sink = self._desk.sink = sink
        self._workdir.mkdir(parents=True, exist_ok=True)
        self._kills_before = oom_kills()

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts: refuse those this machine can never run, start or queue the others."""
        refused: list[ExecutorEvent] = []
        for attempt in attempts:
            if attempt.checkpoint:
                attempt = restored(attempt)
            why = self._desk.ledger.refusal(attempt)
            if why:
                refused.append(Rejected(attempt.id, why))
            elif attempt.task.container is None:
                self._desk.ledger.add(attempt)
            else:
                try:
                    first = self._desk.images.admit(attempt)
                except LookupError as error:
                    refused.append(Rejected(attempt.id, str(error)))
                else:
                    if first is not None:
                        self._desk.ledger.add(first)
        if refused:
            self._sink.put(refused)
        self._desk.dispatch()

    def cancel(self, attempts: Collection[str]) -> None:
        """End attempts; those that wait at once, those that run by SIGTERM and then SIGKILL."""
        names = set(attempts)
        dropped = self._desk.ledger.drop(names) + self._desk.images.drop(names)
        running: dict[int, tuple[Worker, list[str]]] = {}
        for name in names.intersection(self._desk.live):
            lane = self._desk.live[name]
            worker = host_of(lane)
            if not worker.is_python:
                running.setdefault(worker.pid, (worker, []))[1].append(name)
                continue
            dropped += self._desk.take_back(lane, names)
            if name in lane.flight:
                self._doom(lane, name, Reason.CANCELLED, "cancelled while it ran")
        for worker, mine in running.values():
            self._desk.unwanted.update(mine)
            self._desk.post(worker, encode(["cancel", mine]) + "\n")
        if dropped:
            self._sink.put([self._cancelled(name) for name in dropped])
        self._desk.dispatch()

    def _cancelled(self, name: str) -> Finished:
        message = "cancelled before it started"
        return Finished(name, Outcome(Reason.CANCELLED, message, where=self._where))

    def recover(self, attempts: Mapping[str, str]) -> Collection[str]:
        """Tell the results that an earlier head has not heard; nothing else survives it."""
        if not attempts:
            return ()
        if not self._crew.workers:
            wait_for_writers(self._workdir)
            end_marked(self._crew.tag)
        found = {
            name: outcome
            for name, outcome in read_journal(self._workdir).items()
            if name in attempts
        }
        if found:
            self._sink.put([Finished(name, outcome) for name, outcome in found.items()])
        return found.keys()

    def close(self, *, settled: bool = False) -> None:
        """End every process of ours; what ran is not told any more."""
        if self._closed:
            return
        self._closed = self._desk.closed = True
        for worker in self._crew.workers.values():
            self._sink.unwatch(worker.connection.fileno())
        self._crew.end()
        self._desk.live.clear()
        for path in self._workdir.glob("lane-*"):
            path.unlink(missing_ok=True)
        for path in self._workdir.glob("scratch-*"):
            shutil.rmtree(path, ignore_errors=True)
        for pattern in ("worker-*.log", "journal-*.jsonl"):
            for path in self._workdir.glob(pattern):
                if not path.stat().st_size:
                    path.unlink(missing_ok=True)
        if settled:
            clear_journals(self._workdir)

    # --- hearing of it ----------------------------------------------------------------------------

    def _listen(self, worker: Worker) -> None:
        self._sink.watch(worker.connection.fileno(), partial(self._readable, worker))

    def _readable(self, worker: Worker) -> None:
        messages, there = worker.receive()
        events = self._take(worker, messages)
        if not there:
            events += self._gone(worker)
        elif worker.unsent:
            worker.flush()
        self._put(events, dispatch=bool(messages) or not there)

    def _put(self, events: list[ExecutorEvent], *, dispatch: bool) -> None:
        """Tell what happened, but for what concerns us alone; have what may run now run first."""
        told, admitted = self._desk.images.heard(events)
        for attempt in admitted:
            self._desk.ledger.add(attempt)
        if dispatch:
            self._desk.dispatch()
        if told:
            self._sink.put(told)

    def _take(self, worker: Worker, messages: list[list[Any]]) -> list[ExecutorEvent]:
        """Turn messages of one process into events, and keep the books."""
        events: list[ExecutorEvent] = []
        now = time.monotonic()
        spent: dict[Lane, list[float]] = {}
        unwanted = self._desk.unwanted
        for message in messages:
            kind = message[0]
            if kind == RESULT:
                lane = self._desk.live.pop(message[1], None)
                if lane is None:
                    continue
                _, _, attempt = lane.flight.pop(message[1])
                event = finished(message, self._where)
                if lane.verdict is not None and not event.outcome.succeeded:
                    event = _as_told(event, lane.verdict)
                    _kill(worker)  # it went on, and nobody knows with what
                if attempt.checkpoint and event.outcome.reason in MADE_WAY:
                    keep(attempt)
                events.append(event)
                spent.setdefault(lane, []).append(message[3][1])
                if unwanted:
                    unwanted.discard(message[1])
            elif kind == STARTED:
                events.append(self._started(message))
            elif kind == RECALLED:
                back = self._desk.recalled(worker, message[1], message[2])
                events += [self._cancelled(name) for name in back]
            elif kind == READY:
                worker.ready = True
                for lane in self._desk.lanes_of(worker):
                    lane.since = now
            elif kind == BROKEN:
                self.journal_fault = message[1]
        for lane, walls in spent.items():
            lane.since = now
            lane.shape.measured(sum(walls) / len(walls))
            if _needs_look(lane):
                self._look_later()
        return events

    def _started(self, message: list[Any]) -> Started:
        """A launcher tells of a command that takes long: what queues behind it must not wait."""
        _kind, name, pid, log = message
        lane = self._desk.live.get(name)
        if lane is not None:
            lane.told = name
            if len(lane.flight) > 1:
                self._desk.recall(lane)
        return Started(name, f"{self._where} pid {pid}", log)

    # --- looking after the silent -----------------------------------------------------------------

    def _look_later(self) -> None:
        if not self._looking:
            self._looking = True
            self._sink.call_at(time.monotonic() + LOOK_S, self._look)

    def _look(self) -> None:
        """See to lanes that have been silent: tell of long attempts, free what queues behind."""
        self._looking = False
        if self._closed:
            return
        now = time.monotonic()
        events: list[ExecutorEvent] = []
        for lane in list(self._desk.ledger.lanes()):
            if lane.flight and now - lane.since >= LOOK_S * 0.9 and lane.host is not None:
                if lane.host.is_python:
                    events += self._look_at_call(lane, now)
                elif len(lane.flight) > 1:
                    self._desk.recall(lane)
        self._put(events, dispatch=True)
        if any(map(_needs_look, self._desk.ledger.lanes())):
            self._look_later()

    def _look_at_call(self, lane: Lane, now: float) -> list[ExecutorEvent]:
        worker = host_of(lane)
        # It tells its results in company, and cannot tell anything while a function runs.
        events = self._take(worker, worker.written())
        name = lane.front
        if events or not name or name == lane.told or not worker.ready:
            return events
        lane.told = name
        if len(lane.flight) > 1:
            lane.shape.estimate_s = max(lane.shape.estimate_s, now - lane.since)
            self._desk.take_back(lane, set())
        limit = lane.flight[name][2].task.resources.walltime_s if name in lane.flight else 0.0
        if limit:
            message = f"it ran longer than its time limit of {limit:g} s"
            overdue = partial(self._doom, lane, name, Reason.TIMEOUT, message)
            self._sink.call_at(lane.since + limit, overdue)
        log = f"{worker.places.lane_prefix}.out"
        return [*events, Started(name, f"{self._where} pid {worker.pid}", log)]

    def _doom(self, lane: Lane, name: str, reason: Reason, message: str) -> None:
        """End the process that runs a call, unless the call has ended meanwhile."""
        worker = host_of(lane)
        if self._desk.live.get(name) is not lane or lane.verdict is not None or not worker.alive:
            return
        self._desk.take_back(lane, set())
        if name not in lane.flight:  # it had not even started
            self._desk.dispatch()
            return
        lane.verdict = name, reason, message
        worker.signal(signal.SIGTERM)
        self._sink.call_at(time.monotonic() + self._grace_s, partial(_kill, worker))

    # --- a process is gone ------------------------------------------------------------------------

    def _gone(self, worker: Worker) -> list[ExecutorEvent]:
        """Settle the attempts of a process that has ended, whatever ended it."""
        if not worker.alive:
            return []
        self._sink.unwatch(worker.connection.fileno())
        code, peak = worker.reap()
        self._crew.remove(worker)
        events = self._take(worker, worker.written())
        if not worker.is_python:
            end_marked(worker.mark)
        for lane in self._desk.lanes_of(worker):
            if worker.is_python and worker.ready:
                self._desk.take_back(lane, set())
            first = lane.front
            for name in list(lane.flight):
                event = self._settled(lane, name, name == first, code, peak)
                if event is not None:
                    events.append(event)
            self._desk.ledger.close(lane)
        worker.hang_up()
        return events

    def _settled(
        self, lane: Lane, name: str, first: bool, code: int, peak: int
    ) -> ExecutorEvent | None:
        """What becomes of one attempt of a process that has ended; nothing if it waits again."""
        worker, attempt = host_of(lane), lane.flight[name][2]
        started = worker.ready and (worker.is_python or _may_have_started(attempt))
        if not started and not (first and not worker.ready):
            return None if self._desk.put_back(lane, name) else self._cancelled(name)
        del lane.flight[name], self._desk.live[name]
        if not worker.ready:
            return self._not_ready(attempt, worker)
        if worker.is_python:
            return self._call_ended(lane, attempt, code, peak)
        if name in self._desk.unwanted:
            self._desk.unwanted.discard(name)
            return self._cancelled(name)
        return Lost(name, Reason.NODE, f"the launcher that ran it ended ({_end(code)})")

    def _not_ready(self, attempt: Attempt, worker: Worker) -> Finished:
        said = worker.said()
        what = "Python worker" if worker.is_python else "launcher"
        message = f"the {what} could not be started{last_line(said)}"
        return Finished(attempt.id, Outcome(Reason.START, message, where=self._where, stderr=said))

    def _call_ended(self, lane: Lane, attempt: Attempt, code: int, peak: int) -> ExecutorEvent:
        """What became of a call whose worker ended in the middle of it."""
        call = attempt.task.command
        function = call.function if isinstance(call, Call) else ""
        reason = Reason.PROGRAM
        message = f"the Python worker ended while it ran {function} ({_end(code)})"
        if lane.verdict is not None and lane.verdict[0] == attempt.id:
            _name, reason, message = lane.verdict
            if attempt.checkpoint and reason in MADE_WAY:
                keep(attempt)
        elif code in (-signal.SIGKILL, -signal.SIGTERM):
            asked = attempt.task.resources.memory_mib
            killed = memory_verdict(peak, asked, self._kills_before)
            if not killed:
                return Lost(attempt.id, Reason.NODE, message)
            reason, message = Reason.MEMORY, killed
            self._kills_before = oom_kills()
        stdout, stderr = host_of(lane).printed()
        wall = time.monotonic() - lane.since
        outcome = Outcome(
            reason,
            message,
            code,
            usage=Usage(time.time() - wall, wall, 0.0, peak),
            where=self._where,
            stdout=stdout,
            stderr=stderr,
        )
        return Finished(attempt.id, outcome)


def _needs_look(lane: Lane) -> bool:
    if not lane.flight or lane.host is None:
        return False
    if lane.host.is_python:
        return lane.front != lane.told
    return len(lane.flight) > 1 and not lane.recalling


def _may_have_started(attempt: Attempt) -> bool:
    return not attempt.folder or os.path.exists(attempt.folder)


def _as_told(event: Finished, verdict: tuple[str, Reason, str]) -> Finished:
    """A call that ended by itself when we told its worker to end: it failed for our reason."""
    name, reason, message = verdict
    if event.attempt != name:
        return event
    return Finished(name, replace(event.outcome, reason=reason, message=message))


def _kill(worker: Worker) -> None:
    if worker.alive:
        worker.signal(signal.SIGKILL)


def _end(code: int) -> str:
    return f"ended by {signal_name(-code)}" if code < 0 else f"exit code {code}"


def _refuse_what_needs_a_batch_system(site: Site) -> None:
    said = {
        "queues": site.queues, "modules": site.modules, "setup": site.setup, "lines": site.lines,
        "container": site.container != Container(), "scratch": site.scratch,
    }  # fmt: skip
    for name, value in said.items():
        if value:
            raise ValueError(f"the local executor runs tasks as they are and has no '{name}'")
