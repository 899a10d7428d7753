"""A made-up world around the engine: tools that compute, a reference that waits at barriers."""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from random import Random

from hepflow.engine import Policy, Scheduler
from hepflow.model.events import (
    Accepted,
    Action,
    Answered,
    Cancel,
    CancelRequested,
    Conclude,
    Event,
    Finished,
    Lost,
    Plan,
    Planned,
    Started,
    Submit,
)
from hepflow.model.task import Outcome, Reason, Shell, Task
from hepflow.model.values import Value, Values, canonical
from hepflow.model.workflow import PlanContext, Planning, Port, Scatter, Step, Workflow

OUT = (Port("out"),)


@dataclass(frozen=True)
class Compute:
    """A tool whose output is a number that depends on its name and all its inputs."""

    name: str

    def fingerprint(self, inputs: Values) -> str:
        return self.name + canonical(inputs)

    def plan(self, inputs: Values, context: PlanContext) -> Planning:
        return Task(Shell(self.fingerprint(inputs)))

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        return outcome.outputs


def result(text: str) -> int:
    return zlib.crc32(text.encode())


@dataclass(frozen=True)
class Expr:
    """An expression given as a Python function of the values of the named ports."""

    names: Collection[str]
    function: Callable[..., Value]

    def evaluate(self, values: Values) -> Value:
        return self.function(**{name: values[name] for name in self.names})


def reference(step: Step, bound: Mapping[str, Value]) -> Value:
    """The gathered output of a step by the simplest means: everything is there, one after another."""

    def one(inputs: Mapping[str, Value]) -> Value:
        if step.when is not None and not step.when.evaluate(inputs):
            return None
        assert isinstance(step.run, Compute)
        return result(step.run.fingerprint(inputs))

    if not step.scatter:
        return one(bound)
    arrays: list[Sequence[Value]] = [bound[port] for port in step.scatter]  # type: ignore[misc]
    if step.method is Scatter.DOT:
        return [
            one({**bound, **dict(zip(step.scatter, row, strict=True))})
            for row in zip(*arrays, strict=True)
        ]
    flat = [
        one({**bound, **dict(zip(step.scatter, row, strict=True))})
        for row in itertools.product(*arrays)
    ]
    if step.method is Scatter.FLAT or len(arrays) == 1:
        return flat
    return _fold(flat, [len(array) for array in arrays])


def _fold(flat: list[Value], sizes: list[int]) -> Value:
    """Rows of the last size, then rows of such rows, and so on; there may be rows without elements."""
    for axis in range(len(sizes) - 1, 0, -1):
        size, rows = sizes[axis], prod(sizes[:axis])
        flat = [flat[row * size : (row + 1) * size] for row in range(rows)]
    return flat


class World:
    """Runs a scheduler against executors that answer late, twice, in any order, and fail.

    Args:
        fate: attempt id -> 'ok', 'fail' or 'lost'.
        cancel_after: events after which the user cancels.
    """

    def __init__(
        self,
        workflow: Workflow,
        inputs: Values,
        policy: Policy,
        random: Random,
        fate: Callable[[str], str] = lambda _: "ok",
        cancel_after: int | None = None,
    ) -> None:
        self.scheduler = Scheduler(workflow, inputs, policy)
        self.policy = policy
        self.random = random
        self.fate = fate
        self.cancel_after = cancel_after
        self.now = 0.0
        self.flying: dict[str, Submit] = {}
        self.planned: Counter[str] = Counter()
        self.submitted: Counter[str] = Counter()
        self.succeeded: Counter[str] = Counter()
        self.told: list[Event] = []
        self.most_flying = 0
        self.conclusion: Conclude | None = None

    def run(self) -> Conclude:
        events: list[Event] = []
        for count in range(1, 100_000):
            answers = self.perform(self.scheduler.handle(events, self.now))
            if self.conclusion is not None:
                assert not self.flying, "a run ends when nothing is in flight"
                return self.conclusion
            if count == self.cancel_after:
                answers.append(CancelRequested())
            events = answers or self.happen()
            if not events:
                wake = self.scheduler.next_wake
                assert wake is not None, "nothing in flight, nothing to wait for, and no conclusion"
                self.now = max(self.now, wake)
        raise AssertionError("the run does not end")

    def perform(self, actions: Sequence[Action]) -> list[Event]:
        answers: list[Event] = []
        for action in actions:
            if isinstance(action, Plan):
                self.planned[action.name] += 1
                planning = action.tool.plan(action.inputs, PlanContext(lambda file: file.location))
                assert isinstance(planning, Task)
                answers.append(Planned(action.invocation, planning))
            elif isinstance(action, Submit):
                assert action.attempt not in self.submitted, "an attempt is submitted once"
                self.submitted[action.attempt] += 1
                self.flying[action.attempt] = action
                self.most_flying = max(self.most_flying, len(self.flying))
            elif isinstance(action, Cancel):
                if action.attempt in self.flying:
                    del self.flying[action.attempt]
                    answers.append(Finished(action.attempt, Outcome(Reason.CANCELLED, "cancelled")))
            else:
                self.conclusion = action
        return answers

    def happen(self) -> list[Event]:
        """Some attempts end; some old news comes again."""
        events: list[Event] = []
        for attempt in self.random.sample(
            sorted(self.flying), k=min(len(self.flying), self.random.randint(1, 4))
        ):
            events.extend(self.end(attempt))
        if self.told and self.random.random() < 0.3:
            events.insert(self.random.randrange(len(events) + 1), self.random.choice(self.told))
        return events

    def end(self, attempt: str) -> list[Event]:
        submit = self.flying.pop(attempt)
        fate = self.fate(attempt)
        events: list[Event] = [Accepted(attempt, "h"), Started(attempt, "here")]
        if fate == "ok":
            assert isinstance(submit.task.command, Shell)
            name = attempt.rpartition("#")[0]
            self.succeeded[name] += 1
            events.append(
                Finished(attempt, Outcome(outputs={"out": result(submit.task.command.text)}))
            )
        elif fate == "lost":
            events.append(Lost(attempt, Reason.NODE, "the node is gone"))
        else:
            events.append(Finished(attempt, Outcome(Reason.PROGRAM, "exit code 1", 1)))
        self.told.extend(events)
        if self.random.random() < 0.2:
            events.append(events[-1])
        return events


__all__ = ["OUT", "Answered", "Compute", "Expr", "World", "reference", "result"]
