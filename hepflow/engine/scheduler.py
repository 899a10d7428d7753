"""The scheduler: attempts, retries, limits, failure policy. ``handle(events, now) -> actions``.

A pure state machine. An attempt is known from its Submit until the one event that ends it
(Finished, Lost or Rejected); an event about any other attempt is late or a duplicate, and ignored.
The runner beside it carries the actions out and does all input and output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from hepflow.engine.dataflow import Dataflow, is_beyond
from hepflow.engine.feed import Feed
from hepflow.engine.flow import Flow
from hepflow.engine.queue import Live, Queue
from hepflow.engine.state import NOT_KNOWN, Counts
from hepflow.model.events import (
    Action,
    Answered,
    Cancel,
    CancelRequested,
    Conclude,
    Event,
    Expanded,
    Finished,
    Invocation,
    Lost,
    Plan,
    Planned,
    Rejected,
    Started,
    Submit,
    Unplannable,
)
from hepflow.model.task import RETURNS_TO_QUEUE, Outcome, Reason
from hepflow.model.values import Values
from hepflow.model.workflow import Workflow

LOST_LIMIT: Final = 10
"""Losses in a row after which a task is suspected to kill its nodes, and fails."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a run is driven.

    Args:
        in_flight: attempts submitted at a time.
        window: invocations planned ahead of their submission.
        keep_going: after a failure go on with what does not depend on it; else start nothing new.
        planning: nothing is executed, so values may be unknown; what depends on those is counted, and
            no Plan is asked for.
        earlier: attempts that an earlier head of the same run made, by invocation name.
    """

    in_flight: int = 256
    window: int = 1024
    keep_going: bool = False
    planning: bool = False
    earlier: Mapping[str, int] = field(default_factory=dict)


class Failure:
    """An invocation that failed for good, as the scheduler tells it."""

    __slots__ = ("message", "name", "reason")

    def __init__(self, name: str, reason: Reason, message: str) -> None:
        self.name = name
        self.reason = reason
        self.message = message


class Scheduler:
    """The state of one run.

    Args:
        work: a workflow to run, or a feed that somebody puts work into.
        inputs: the workflow's; those with defaults may be absent.
        policy: how to drive it.

    Raises:
        ValueError: the workflow's links are not sound.
    """

    def __init__(self, work: Workflow | Feed, inputs: Values, policy: Policy = Policy()) -> None:
        self.policy = policy
        self.failures: list[Failure] = []
        self.tolerated: list[Failure] = []
        self._flow: Flow = (
            work if isinstance(work, Feed) else Dataflow(work, inputs, planning=policy.planning)
        )
        self._planning: dict[Invocation, str] = {}
        self._queue = Queue()
        self._live: dict[str, Live] = {}
        self._cancelled = False
        self._concluded = False

    def handle(self, events: Iterable[Event], now: float) -> list[Action]:
        """What to do next, given what happened. ``now`` is any clock in seconds that never runs back."""
        actions: list[Action] = []
        if self._concluded:
            return actions
        self._now = now
        for event in events:
            handler = self._HANDLERS.get(type(event))
            if handler is not None:  # that an attempt was accepted changes nothing here
                handler(self, event, actions)
        self._take_faults()
        if self._halted:
            self._queue.clear()
        else:
            self._queue.release(now)
            self._plan(actions)
            self._submit(actions)
        under_way = self._planning or self._live or self._queue
        if not under_way and (self._halted or not self._flow.expects_more):
            self._conclude(actions)
        return actions

    @property
    def next_wake(self) -> float | None:
        """When to call ``handle`` again even if nothing happens, for a delayed retry."""
        return self._queue.next_time

    @property
    def counts(self) -> Mapping[str, Counts]:
        """How far each step is, by its path without indices."""
        return self._flow.counts

    @property
    def in_flight(self) -> int:
        return len(self._live)

    @property
    def _halted(self) -> bool:
        return self._cancelled or (bool(self.failures) and not self.policy.keep_going)

    # --- what to do next ----------------------------------------------------------------------

    def _plan(self, actions: list[Action]) -> None:
        flow = self._flow
        while (waiting := len(self._planning) + len(self._queue)) < self.policy.window:
            invocation = flow.take()
            if invocation is None:
                return
            run = flow.runs[invocation.step]
            step = run.step
            tool = step.run
            if isinstance(tool, Workflow) and 0 < waiting >= self.policy.in_flight - len(
                self._live
            ):
                # Scopes cost memory: open another only when there is room to run what is in it.
                flow.put_back(invocation)
                return
            try:
                inputs = flow.inputs(invocation)
                if inputs is None:
                    continue
                if isinstance(tool, Workflow):
                    flow.expand(invocation, tool, inputs)
                    continue
            except ValueError as error:
                self._fail(invocation, Reason.PLANNING, str(error))
                if self._halted:
                    return
                continue
            finally:
                if flow.has_faults:
                    self._take_faults()
            if self.policy.planning and is_beyond(run, inputs):
                self._succeed(invocation, NOT_KNOWN)
                continue
            name = self._planning[invocation] = run.name(invocation.element)
            actions.append(Plan(invocation, name, tool, inputs, step.cache, step.site))

    def _submit(self, actions: list[Action]) -> None:
        while len(self._queue) and len(self._live) < self.policy.in_flight:
            live = self._queue.pop()
            live.number += 1
            attempt = f"{live.name}#{live.number}"
            self._live[attempt] = live
            actions.append(Submit(attempt, live.invocation, live.task))

    def _conclude(self, actions: list[Action]) -> None:
        self._concluded = True
        outputs = self._flow.outputs
        succeeded = outputs is not None and not self.failures and not self._cancelled
        actions.append(Conclude(succeeded, self._cancelled, outputs or {}))

    # --- what planning said -------------------------------------------------------------------

    def _planned(self, event: Planned, _actions: list[Action]) -> None:
        name = self._planning.pop(event.invocation, None)
        if name is None or self._halted:
            return
        run = self._flow.runs[event.invocation.step]
        number = self.policy.earlier.get(name, 0)
        live = Live(event.invocation, name, event.task, run.step.retry, number, run.level)
        self._queue.push(live)

    def _expanded(self, event: Expanded, _actions: list[Action]) -> None:
        if self._planning.pop(event.invocation, None) is not None:
            try:
                self._flow.expand(event.invocation, event.workflow, event.inputs)
            except ValueError as error:
                self._fail(event.invocation, Reason.PLANNING, str(error))

    def _answered(self, event: Answered, _actions: list[Action]) -> None:
        if self._planning.pop(event.invocation, None) is None:
            return
        counts = self._flow.runs[event.invocation.step].counts
        if self._succeed(event.invocation, event.outputs):
            if event.reused:
                counts.reused += 1
            else:
                counts.succeeded += 1

    def _unplannable(self, event: Unplannable, _actions: list[Action]) -> None:
        if self._planning.pop(event.invocation, None) is not None:
            self._fail(event.invocation, Reason.PLANNING, event.message)

    # --- what executors said ------------------------------------------------------------------

    def _started(self, event: Started, _actions: list[Action]) -> None:
        live = self._live.get(event.attempt)
        if live is not None and not live.running:
            live.running = True
            self._flow.runs[live.invocation.step].counts.running += 1

    def _finished(self, event: Finished, _actions: list[Action]) -> None:
        live = self._end(event.attempt)
        if live is None:
            return
        outcome = event.outcome
        if outcome.succeeded:
            counts = self._flow.runs[live.invocation.step].counts
            if self._succeed(live.invocation, outcome.outputs):
                counts.succeeded += 1
        elif outcome.reason in RETURNS_TO_QUEUE:
            self._again_after_loss(live, outcome.reason, outcome.message)
        else:
            self._again_after_fault(live, outcome)

    def _lost(self, event: Lost, _actions: list[Action]) -> None:
        live = self._end(event.attempt)
        if live is not None:
            self._again_after_loss(live, event.reason, event.message)

    def _rejected(self, event: Rejected, _actions: list[Action]) -> None:
        live = self._end(event.attempt)
        if live is None:
            return
        if event.transient:
            live.losses += 1
            self._retry(live, min(60.0, 2.0 ** min(live.losses, 6)), Reason.REJECTED, event.message)
        else:
            self._fail(live.invocation, Reason.REJECTED, event.message)

    def _cancel(self, _event: CancelRequested, actions: list[Action]) -> None:
        if not self._cancelled:
            self._cancelled = True
            actions.extend(Cancel(attempt) for attempt in self._live)

    def _end(self, attempt: str) -> Live | None:
        live = self._live.pop(attempt, None)
        if live is not None and live.running:
            live.running = False
            self._flow.runs[live.invocation.step].counts.running -= 1
        return live

    # --- how an invocation ends, or goes on ---------------------------------------------------

    def _succeed(self, invocation: Invocation, outputs: Values) -> bool:
        try:
            return self._flow.fill(invocation, outputs)
        except ValueError as error:
            self._fail(invocation, Reason.PLANNING, str(error))
            return False

    def _again_after_loss(self, live: Live, reason: Reason, message: str) -> None:
        live.losses += 1
        delay = 0.0 if live.losses == 1 else min(60.0, 0.5 * 2.0**live.losses)
        self._retry(live, delay, reason, message)

    def _again_after_fault(self, live: Live, outcome: Outcome) -> None:
        assert outcome.reason is not None
        if self._cancelled and outcome.reason is Reason.CANCELLED:
            self._flow.release(live.invocation)  # asked for, so no failure
            return
        live.faults += 1
        if live.faults > live.retry.times or outcome.reason is Reason.CANCELLED:
            self._fail(live.invocation, outcome.reason, outcome.message)
            return
        if outcome.reason is Reason.MEMORY and live.retry.memory_factor > 1.0:
            asked = live.task.resources
            had_mib = asked.memory_mib or outcome.usage.peak_bytes >> 20
            more = replace(asked, memory_mib=round(had_mib * live.retry.memory_factor))
            live.task = replace(live.task, resources=more)
        delay = live.retry.delay_s * 2.0 ** (live.faults - 1)
        self._retry(live, delay, outcome.reason, outcome.message)

    def _retry(self, live: Live, delay: float, reason: Reason, message: str) -> None:
        if live.losses > LOST_LIMIT:
            self._fail(live.invocation, reason, f"{message} (for the {live.losses}th time)")
        elif delay:
            self._queue.push_at(self._now + delay, live)
        else:
            self._queue.push(live)

    def _fail(self, invocation: Invocation, reason: Reason, message: str) -> None:
        run = self._flow.runs[invocation.step]
        run.counts.failed += 1
        failure = Failure(run.name(invocation.element), reason, message)
        (self.failures if self._flow.fail(invocation, message) else self.tolerated).append(failure)

    def _take_faults(self) -> None:
        for name, message, matters in self._flow.take_faults():
            failure = Failure(name, Reason.PLANNING, message)
            (self.failures if matters else self.tolerated).append(failure)

    # Of the class: bound to an object, they would tie it into a circle that outlives its use.
    _HANDLERS: ClassVar[Mapping[type, Callable[..., None]]] = {
        Planned: _planned,
        Expanded: _expanded,
        Answered: _answered,
        Unplannable: _unplannable,
        Started: _started,
        Finished: _finished,
        Lost: _lost,
        Rejected: _rejected,
        CancelRequested: _cancel,
    }
