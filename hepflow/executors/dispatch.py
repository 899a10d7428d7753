"""The dispatcher: brings what may run now to the process that runs it.

Owns the way of an attempt from the queue into a lane, onto the wire, and back again if it did not
start. Must never know how an attempt ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from hepflow.executors.crew import Crew, Lane
from hepflow.executors.images import Images
from hepflow.executors.lanes import Entry, Ledger, last_entries
from hepflow.executors.machine import Machine
from hepflow.executors.processes import Worker
from hepflow.model.events import Finished
from hepflow.model.protocols import Sink
from hepflow.model.task import Attempt, Outcome, Reason
from hepflow.wire.commands import Shells
from hepflow.wire.containers import contained
from hepflow.wire.spelling import call_task, command_task, contained_task, encode

RETRY_S: Final = 0.005
"""How soon a message is offered again to a process that was too busy to take it."""


class Dispatcher:
    """Attempts on their way.

    Args:
        machine: what there is to give away.
        crew: the processes.
        env: the executor's own variables.
        listen: called with each process that was started.
        look_later: called when something was sent that must be looked after.
    """

    def __init__(
        self,
        machine: Machine,
        crew: Crew,
        env: Mapping[str, str],
        listen: Callable[[Worker], None],
        look_later: Callable[[], None],
    ) -> None:
        self.ledger: Ledger[Worker] = Ledger(machine)
        self.live: dict[str, Lane] = {}
        self.sink: Sink
        self.closed = False
        self.unwanted: set[str] = set()
        self.images = Images(env)
        self._crew = crew
        self._shells = Shells(env)
        self._listen = listen
        self._look_later = look_later
        self._next_call = 1

    def dispatch(self) -> None:
        """Send what can run now."""
        if self.closed:
            return
        ahead = False
        for lane, entries in self.ledger.assign():
            self._release_closed()
            worker = lane.host or self._crew.host(lane)
            if len(lane.flight) == len(entries):
                lane.since = time.monotonic()
            for entry in entries:
                self.live[entry[2].id] = lane
            try:
                self._give(lane, entries, worker)
            except (TypeError, ValueError, RecursionError):
                for entry in entries:
                    self._give_alone(lane, entry, worker)
            ahead = ahead or worker.is_python or len(lane.flight) > 1
        self._release_closed()
        for worker in self._crew.newcomers():
            self._listen(worker)
        if ahead:
            self._look_later()

    def _release_closed(self) -> None:
        while self.ledger.closed:
            self._crew.release(self.ledger.closed.pop())

    def _give(self, lane: Lane, entries: list[Entry], worker: Worker) -> None:
        """Send attempts to the process of a lane."""
        count = len(entries)
        if worker.is_python:
            first = self._next_call
            tasks = [call_task(entry[2], first + n) for n, entry in enumerate(entries)]
            text = encode(tasks)
            self._next_call += count
            self.post(worker, text + "\n")
            worker.start_tokens(first, count)
        else:
            tasks = []
            for entry in entries:
                attempt = entry[2]
                task = attempt.task
                if task.container is not None:
                    tasks.append(self._contained(lane, attempt, worker))
                    continue
                number = self._variables(lane, task.env, worker, task.confined)
                tasks.append(command_task(attempt, number, self._shells.route))
            text = encode(["run", lane.number, tasks])
            self.post(worker, text + "\n")
        lane.shape.bytes_each = len(text) / count

    def _variables(self, lane: Lane, env: Mapping[str, str], worker: Worker, confined: bool) -> int:
        number, news = self._crew.variables(lane, env, worker, confined)
        if news:
            self.post(worker, news)
        return number

    def _contained(self, lane: Lane, attempt: Attempt, worker: Worker) -> list[Any]:
        task = attempt.task
        env = self._crew.changes(lane, task.env, task.confined)
        wrapped = contained(attempt, self.images.runtime, env, lane.gpus)
        return contained_task(attempt, self._variables(lane, wrapped.env, worker, False), wrapped)

    def _give_alone(self, lane: Lane, entry: Entry, worker: Worker) -> None:
        """Send one attempt, and answer it here if it cannot even be spelt."""
        try:
            self._give(lane, [entry], worker)
        except (TypeError, ValueError, RecursionError) as error:
            name = entry[2].id
            del lane.flight[name], self.live[name]
            outcome = Outcome(Reason.START, f"its arguments cannot be sent: {error}")
            self.sink.put([Finished(name, outcome)])
            self.sink.call_at(time.monotonic(), self.dispatch)

    def post(self, worker: Worker, lines: str) -> None:
        """Send lines to a process, in parts if it is too busy to take them at once."""
        if not worker.send(lines):
            self.sink.call_at(time.monotonic() + RETRY_S, partial(self._post_rest, worker, 2))

    def _post_rest(self, worker: Worker, times: int) -> None:
        """Offer the rest of a long message again, more and more seldom."""
        if worker.alive and not self.closed and not worker.flush():
            when = time.monotonic() + RETRY_S * min(times, 20)
            self.sink.call_at(when, partial(self._post_rest, worker, times * 2))

    # --- back again -------------------------------------------------------------------------------

    def take_back(self, lane: Lane, unwanted: set[str]) -> list[str]:
        """Take back what a Python worker has not started; returns what of it is not wanted."""
        entries = last_entries(lane, host_of(lane).withdraw())
        for entry in entries:
            del self.live[entry[2].id]
        self.ledger.requeue(lane.shape, [e for e in entries if e[2].id not in unwanted])
        return [entry[2].id for entry in entries if entry[2].id in unwanted]

    def recall(self, lane: Lane) -> None:
        """Ask a launcher for what it has not started in a lane."""
        if not lane.recalling:
            lane.recalling = True
            age = time.monotonic() - lane.since
            lane.shape.estimate_s = max(lane.shape.estimate_s, age)
            self.post(host_of(lane), encode(["recall", lane.number]) + "\n")

    def recalled(self, worker: Worker, number: int, names: Iterable[str]) -> list[str]:
        """It gave back these; returns those that were to be cancelled meanwhile."""
        for lane in self.lanes_of(worker):
            if lane.number == number:
                lane.recalling = False
        return [name for name in names if not self.put_back(self.live[name], name)]

    def put_back(self, lane: Lane, name: str) -> bool:
        """Have an attempt that did not start wait again; false if it was to be cancelled."""
        del self.live[name]
        entry = lane.flight.pop(name)
        if name in self.unwanted:
            self.unwanted.discard(name)
            return False
        self.ledger.requeue(lane.shape, [entry])
        return True

    def lanes_of(self, worker: Worker) -> list[Lane]:
        """The lanes in one process."""
        return [lane for lane in self.ledger.lanes() if lane.host is worker]


def host_of(lane: Lane) -> Worker:
    """The process a lane is in."""
    assert lane.host is not None
    return lane.host
