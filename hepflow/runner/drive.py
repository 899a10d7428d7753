"""One run from its first action to its last: the loop around the engine."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Final, assert_never

from hepflow.engine import Scheduler
from hepflow.model.events import (
    Accepted,
    Action,
    Cancel,
    CancelRequested,
    Conclude,
    Event,
    ExecutorEvent,
    Finished,
    Lost,
    Plan,
    Rejected,
    Started,
    Submit,
)
from hepflow.model.task import Attempt, Outcome, Reason
from hepflow.runner.books import Books, Open
from hepflow.runner.fleet import Fleet
from hepflow.runner.loop import Loop
from hepflow.runner.planner import Planner
from hepflow.runner.sharing import Sharing
from hepflow.runner.telling import Telling
from hepflow.staging.checks import settled
from hepflow.store.writer import RunWriter, Unfinished

OTHERS_S: Final = 0.2
"""How often to look whether another run has done what we wait for."""

DEFER_ROWS: Final = 10_000
"""Rows that may wait for the next turn's commit while nothing is to be submitted."""

GATHER_S: Final = 0.010
"""Events within this time are handled together while the executor has enough to do."""


class Runner:
    """Drives one run.

    Args:
        scheduler: the engine, not yet asked anything.
        planner: what answers its Plan actions.
        writer: the run's books in the store.
        books: the run's attempts in flight.
        fleet: the sites that run them.
        telling: whom to tell of progress.
        loop: what executors hang their descriptors on; closed by who made it.
        adopt: go on with what an earlier head left under way, rather than end it.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        planner: Planner,
        writer: RunWriter,
        books: Books,
        fleet: Fleet,
        telling: Telling,
        loop: Loop,
        *,
        adopt: bool = True,
    ) -> None:
        self._scheduler = scheduler
        self._planner = planner
        self._writer = writer
        self._books = books
        self._fleet = fleet
        self._telling = telling
        self._loop = loop
        self._adopts = adopt
        self._sharing = Sharing()
        self._interrupted = False
        self._noted = [0, 0]
        self._conclusion: Conclude | None = None
        self._pending: list[Event] = []
        self._begun: list[Attempt] = []
        self._submits: dict[str, Submit] = {}
        # Attempts of an earlier head that the executor found again, and the names they go by now.
        self._found: dict[tuple[str, bytes], Unfinished] = {}
        self._aliases: dict[str, str] = {}
        self._early: dict[str, ExecutorEvent] = {}

    def run(self) -> Conclude:
        """Everything, until the engine concludes.

        Raises:
            StoreError: the store cannot be written; the run can be resumed.
        """
        settled = False
        try:
            with interruptible(self.interrupt):
                self._fleet.start(self._loop)
                self._recover()
                self._perform(self._scheduler.handle((), time.monotonic()))
                self._write()
                while self._conclusion is None:
                    events = self._next_events()
                    self._perform(self._scheduler.handle(events, time.monotonic()))
                    self._write()
            settled = True
            self._telling.tell(last=True)
            return self._conclusion
        finally:
            self._fleet.close(settled=settled)

    @property
    def failures(self) -> list[str]:
        """What failed for good, a sentence each."""
        return [f"{failure.name}: {failure.message}" for failure in self._scheduler.failures]

    def interrupt(self) -> None:
        """Have the engine end the run; from any thread or a signal handler."""
        self._interrupted = True
        self._loop.wake()

    # --- carrying out -------------------------------------------------------------------------

    def _perform(self, actions: Sequence[Action]) -> None:
        plans: list[Plan] = []
        cancelled: list[str] = []
        for action in actions:
            match action:
                case Plan():
                    plans.append(action)
                case Submit():
                    self._submit(action)
                case Cancel():
                    cancelled.append(action.attempt)
                case Conclude():
                    self._conclusion = action
                case _:
                    assert_never(action)
        if plans:
            self._pending.extend(self._planner.answer(plans))
            self._note_reuse()
        if cancelled:
            self._cancel(cancelled)

    def _submit(self, submit: Submit) -> None:
        identity = self._planner.identities[submit.invocation]
        self._submits[submit.attempt] = submit
        if not self._sharing.leads(submit, identity):
            return
        found = self._found.pop((identity.name, identity.key), None)
        if found is not None:
            self._adopt(submit, found)
        else:
            asked = submit.task.resources
            site = self._fleet.send(submit.attempt, asked, identity.site, identity.data)
            self._begun.append(self._books.begin(submit, identity, self._writer.new_id(), site))

    def _write(self) -> None:
        """One transaction for all that happened; only then is anything submitted."""
        self._note_failures()
        more = self._pending and not self._begun and self._conclusion is None
        if more and self._books.batch.size < DEFER_ROWS:
            return  # planning has more to say at once, so this turn and the next can share a commit
        batch = self._books.take_batch()
        batch.steps = self._telling.steps(last=self._conclusion is not None)
        batch.digests = self._planner.memory.take_learned()
        elsewhere = self._writer.commit(batch)
        begun, self._begun = self._begun, []
        if elsewhere:
            begun = [attempt for attempt in begun if not self._leave(attempt.id, elsewhere)]
        if begun:
            self._fleet.submit(begun)

    def _cancel(self, attempts: list[str]) -> None:
        unsent = {attempt.id for attempt in self._begun}
        self._begun = []
        old_names = {new: old for old, new in self._aliases.items()}
        self._fleet.cancel(
            [old_names.get(a, a) for a in attempts if a in self._books.open and a not in unsent]
        )
        never = Outcome(Reason.CANCELLED, "cancelled before it was submitted")
        for attempt in attempts:
            if attempt in unsent:
                self._fleet.withdraw(attempt)
                self._books.ended(attempt, never)
            if attempt in unsent or attempt not in self._books.open:
                self._pending.append(Finished(attempt, never))

    # --- what comes back ----------------------------------------------------------------------

    def _next_events(self) -> list[Event]:
        """What planning said, and what executors said; waits only when planning said nothing."""
        found: list[ExecutorEvent] = []
        # With nothing under way nobody has anything to say while planning goes on.
        if not self._pending or self._scheduler.in_flight:
            found = self._loop.wait(self._until())
        events, self._pending = self._pending, []
        for event in found:
            events.extend(self._heard(self._fleet.heard(event)))
        if self._interrupted:
            self._interrupted = False
            events.append(CancelRequested())
        events.extend(self._pending)
        self._pending = []
        self._telling.tell()
        return events

    def _until(self) -> float | None:
        """How long to wait for news, by ``time.monotonic()``; ``None`` for ever."""
        if self._pending:
            return 0.0
        if self._scheduler.in_flight > self._fleet.capacity // 2:
            # Enough is submitted: let a few more events come, for fewer and larger transactions.
            time.sleep(GATHER_S)
        times = [
            when for when in (self._scheduler.next_wake, self._telling.due) if when is not None
        ]
        return min(times, default=None)

    def _heard(self, event: ExecutorEvent) -> Iterator[Event]:
        known = self._aliases.get(event.attempt, event.attempt)
        if known not in self._books.open:
            self._early[event.attempt] = event
            return
        if known != event.attempt:
            event = event._replace(attempt=known)
        match event:
            case Finished(attempt, outcome):
                yield self._ended(attempt, outcome)
            case Started(attempt, where, log):
                self._books.started(attempt, where, log)
                yield event
            case Accepted(attempt, handle):
                self._books.accepted(attempt, handle)
            case Lost(attempt, _, message) | Rejected(attempt, message):
                self._telling.note([f"{attempt}: {message}"])
                entry = self._books.open[attempt]
                self._books.lost(attempt, message)
                self._over(attempt, entry, None)
                yield event

    def _ended(self, attempt: str, outcome: Outcome) -> Finished:
        entry = self._books.open[attempt]
        if outcome.reason is None:
            try:
                collected = entry.identity.tool.collect(entry.task, outcome, entry.folder)
                if collected is not outcome.outputs:
                    outputs, stamps = settled(collected, outcome.outputs, outcome.stamps)
                    outcome = replace(outcome, outputs=outputs, stamps=stamps)
            except ValueError as error:
                outcome = replace(outcome, reason=Reason.OUTPUT, message=str(error), outputs={})
        if outcome.reason is not None and outcome.reason is not Reason.CANCELLED:
            self._telling.note([f"{attempt} failed ({outcome.reason.value}): {outcome.message}"])
        self._books.ended(attempt, outcome)
        self._over(attempt, entry, outcome)
        return Finished(attempt, outcome)

    def _over(self, attempt: str, entry: Open, outcome: Outcome | None) -> None:
        """An attempt is over: whoever followed it has its result, or does the work now."""
        submit = self._submits.pop(attempt)
        followers = self._sharing.over(entry.identity.key, attempt)
        if outcome is None or not outcome.succeeded:
            for follower in followers:
                self._submit(follower)
            return
        self._planner.identities.pop(submit.invocation)
        for follower in followers:
            self._books.reused_as(self._planner.identities[follower.invocation].name, entry.row)
            self._answer(follower, outcome)

    def _answer(self, submit: Submit, outcome: Outcome) -> None:
        """An attempt that others made for us."""
        del self._submits[submit.attempt]
        del self._planner.identities[submit.invocation]
        self._pending.append(Finished(submit.attempt, outcome))

    # --- work that another run has in hand ----------------------------------------------------

    def _leave(self, attempt: str, elsewhere: dict[bytes, int]) -> bool:
        entry = self._books.open[attempt]
        run = elsewhere.get(entry.identity.key)
        if run is None:
            return False
        del self._books.open[attempt]
        self._fleet.withdraw(attempt)
        self._telling.note(
            [f"{entry.identity.name}: run {run} is doing the same work; waiting for it"]
        )
        if self._sharing.leave_to(entry.identity.key, run):
            self._loop.call_at(time.monotonic() + OTHERS_S, self._look_elsewhere)
        return True

    def _look_elsewhere(self) -> None:
        """Whether another run has done what we wait for. The only thing that is ever polled."""
        left = False
        for key, run in self._sharing.elsewhere():
            if self._writer.in_hand(key, run):
                left = True
                continue
            attempt = self._sharing.take_back(key)
            submit = self._submits.get(attempt)
            if submit is None:
                continue  # cancelled meanwhile
            outputs = self._planner.find(self._planner.identities[submit.invocation])
            for waiting in [submit, *self._sharing.over(key, attempt)]:
                if outputs is None:
                    self._submit(waiting)
                else:
                    self._answer(waiting, Outcome(outputs=outputs))
        self._note_reuse()
        if left:
            self._loop.call_at(time.monotonic() + OTHERS_S, self._look_elsewhere)

    # --- what an earlier head left ------------------------------------------------------------

    def _recover(self) -> None:
        left = {f"{entry.task}#{entry.number}": entry for entry in self._writer.unfinished()}
        if not left:
            return
        where = {name: (entry.handle, entry.site) for name, entry in left.items()}
        alive = set(self._fleet.recover(where))
        if not self._adopts:
            self._fleet.cancel(alive)
            alive = set()
        for name, entry in left.items():
            if name in alive:
                self._found[entry.task, entry.key or b""] = entry
            else:
                self._books.lost_row(entry.id, "the head of the run was gone")

    def _adopt(self, submit: Submit, found: Unfinished) -> None:
        """The very attempt is under way or done already: go on with it under its new name."""
        identity = self._planner.identities[submit.invocation]
        old = f"{found.task}#{found.number}"
        self._aliases[old] = submit.attempt
        self._books.adopt(submit, identity, found.id, old)
        early = self._early.pop(old, None)
        if early is not None:
            self._pending.extend(self._heard(early))

    # --- telling ------------------------------------------------------------------------------

    def _note_failures(self) -> None:
        """Failures without an attempt are told and kept like any other."""
        for which, failures in enumerate((self._scheduler.failures, self._scheduler.tolerated)):
            for failure in failures[self._noted[which] :]:
                if failure.reason is Reason.PLANNING:
                    self._telling.note([f"{failure.name} failed: {failure.message}"])
                    row = self._writer.new_id()
                    self._books.never_begun(failure.name, row, failure.reason, failure.message)
            self._noted[which] = len(failures)

    def _note_reuse(self) -> None:
        planner = self._planner
        self._books.batch.reused.extend(planner.reused)
        planner.reused = []
        if planner.broken:
            self._telling.note(
                f"{name}: {path} is gone or was changed; it is made again"
                for name, _, path in planner.broken
            )
            self._writer.forget(row for _, row, _ in planner.broken)
            planner.broken = []


@contextmanager
def interruptible(interrupt: Callable[[], None]) -> Iterator[None]:
    """The first interrupt asks the engine to end the run; a second one is Python's own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        interrupt()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {
        number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
