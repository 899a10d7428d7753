"""A run in virtual time: the very scheduler of real runs, against sites that are only slots and a price.

Pure like the scheduler: no clock, no file, no thread; chance is somebody else's. What a task leaves is what somebody
knows it to have left before, or else made up: files that are nowhere, and no values.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from typing import Final, NamedTuple, Protocol

from hepflow.engine.scheduler import Policy, Scheduler
from hepflow.model.events import (
    Answered,
    Conclude,
    Event,
    Expanded,
    Finished,
    Invocation,
    Lost,
    Plan,
    Planned,
    Started,
    Submit,
    Unplannable,
)
from hepflow.model.site import Price
from hepflow.model.task import RETURNS_TO_QUEUE, Outcome, Output, Read, Reason, Resources, Task
from hepflow.model.values import Directory, File, Value, Values
from hepflow.model.workflow import PlanContext, SubWorkflow, Tool, Workflow

HOUR_S: Final = 3600.0
NOWHERE: Final = "/simulated"
_CONTEXT: Final = PlanContext(lambda file: file.location)


class Knowledge(Protocol):
    """What is known of tasks before they run."""

    def seconds(self, task: str, tool: Tool) -> float:
        """How long the task of that name takes.

        Raises:
            UsageError: nobody knows.
        """
        ...

    def outputs(self, task: str) -> Values | None:
        """The outputs of its step; ``None`` where nobody knows."""
        ...


def _for_nothing(_resources: Resources) -> Price | None:
    return None


@dataclass(frozen=True, slots=True)
class ModelSite:
    """What a simulation knows of a site.

    Args:
        slots: tasks that run there at a time.
        wait_s: seconds from a task's submission to its start.
        preemptions_per_h: how often in an hour a running task loses its slot, on average.
        price: what a task with these resources costs; ``None`` where nobody knows.
    """

    name: str
    slots: int
    wait_s: float = 0.0
    preemptions_per_h: float = 0.0
    price: Callable[[Resources], Price | None] = _for_nothing


class SiteUse(NamedTuple):
    """What a simulated run had of one site.

    Args:
        attempts: tasks sent there, those that were lost included.
        lost: of these, those that lost their slot.
        busy_s: seconds of all slots together that tasks ran.
        cost: in ``unit``; ``None`` where some task's price is not known.
    """

    name: str
    slots: int
    attempts: int
    lost: int
    busy_s: float
    cost: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """How a run went in virtual time.

    Args:
        tasks: tasks that were done.
        work_s: the times of all tasks together.
        critical_s: how long it takes on as many slots as it has use for.
        failures: names and messages of what failed; the run has then ended with them.
        given_up: a task has lost its slot so often that a real run would have failed as well.
    """

    name: str
    makespan_s: float
    tasks: int
    work_s: float
    critical_s: float
    sites: tuple[SiteUse, ...]
    failures: tuple[str, ...] = ()
    given_up: bool = False

    @property
    def slots(self) -> int:
        """Slots of all sites."""
        return sum(site.slots for site in self.sites)

    @property
    def least_s(self) -> float:
        """No order of the tasks is sooner at an end."""
        return max(self.critical_s, self.work_s / self.slots)

    @property
    def most_s(self) -> float:
        """Later at an end is only who leaves slots empty, waits or loses tasks (Graham's bound)."""
        return self.critical_s + self.work_s / self.slots

    @property
    def use(self) -> float:
        """The share of the slots' time that tasks ran."""
        offered = self.makespan_s * self.slots
        return sum(site.busy_s for site in self.sites) / offered if offered else 0.0


def simulate(
    workflow: Workflow,
    inputs: Values,
    sites: Sequence[ModelSite],
    known: Knowledge,
    chance: Callable[[float], float] = lambda _rate: inf,
) -> SimulatedRun:
    """Runs a workflow in virtual time.

    Args:
        sites: where it runs; a task goes to the first of them that has a slot free.
        known: how long tasks take, and what they leave.
        chance: draws the seconds until a task loses its slot, at so many losses in a second.

    Raises:
        ValueError: the workflow's links are not sound.
    """
    run = _VirtualRun(workflow, inputs, sites, known, chance)
    makespan_s = run.play()
    ideal = makespan_s
    if not run.failures:
        widest = ModelSite("", max(1, run.tasks))
        ideal = _VirtualRun(workflow, inputs, [widest], known, chance).play()
    uses = tuple(site.use() for site in run.sites)
    return SimulatedRun(
        workflow.name,
        makespan_s,
        run.tasks,
        run.work_s,
        ideal,
        uses,
        tuple(run.failures),
        run.given_up,
    )


class _Slots:
    """The slots of one site, and what became of them."""

    def __init__(self, site: ModelSite) -> None:
        self.site = site
        self.free = site.slots
        self.attempts = self.lost = 0
        self.busy_s = 0.0
        self.cost: float | None = 0.0
        self.unit = ""

    def charge(self, resources: Resources, ran_s: float) -> None:
        """A task has run for so long."""
        self.busy_s += ran_s
        price = self.site.price(resources)
        if price is None or self.unit not in ("", price.unit):
            self.cost = None
        elif self.cost is not None:
            self.unit = price.unit
            self.cost += price.an_hour_of(resources) * ran_s / HOUR_S

    def use(self) -> SiteUse:
        cost = self.cost if self.attempts else None
        site = self.site
        return SiteUse(
            site.name, site.slots, self.attempts, self.lost, self.busy_s, cost, self.unit
        )


class _Flying(NamedTuple):
    """An attempt that runs, until when and with what end. Ordered by time, then by start."""

    until_s: float
    serial: int
    attempt: str
    slots: _Slots
    lost: bool


class _VirtualRun:
    """One run: the scheduler's actions carried out by moving the time on."""

    def __init__(
        self,
        workflow: Workflow,
        inputs: Values,
        sites: Sequence[ModelSite],
        known: Knowledge,
        chance: Callable[[float], float],
    ) -> None:
        self.sites = [_Slots(site) for site in sites]
        self.tasks = 0
        self.work_s = 0.0
        self.failures: list[str] = []
        self.given_up = False
        self._known = known
        self._chance = chance
        slots = sum(site.slots for site in sites)
        # Planned ahead must be more than runs at a time, or slots would stay empty.
        policy = Policy(in_flight=slots, window=max(1024, 2 * slots))
        self._scheduler = Scheduler(workflow, inputs, policy)
        self._tools: dict[Invocation, Tool] = {}
        self._live: dict[str, tuple[Submit, float]] = {}
        self._flying: list[_Flying] = []
        self._serial = 0

    def play(self) -> float:
        """To the end; returns the time it took."""
        now, events = 0.0, list[Event]()
        while True:
            answers: list[Event] = []
            for action in self._scheduler.handle(events, now):
                if isinstance(action, Plan):
                    answers.append(self._plan(action))
                elif isinstance(action, Submit):
                    self._start(action, now)
                    answers.append(Started(action.attempt, NOWHERE))
                elif isinstance(action, Conclude):
                    failed = self._scheduler.failures
                    self.failures = [f"{failure.name}: {failure.message}" for failure in failed]
                    self.given_up = any(failure.reason in RETURNS_TO_QUEUE for failure in failed)
                    return now
            if not answers:
                now, answers = self._next(now)
            events = answers

    def _plan(self, plan: Plan) -> Event:
        try:
            planning = plan.tool.plan(plan.inputs, _CONTEXT)
        except ValueError as error:
            return Unplannable(plan.invocation, str(error))
        if isinstance(planning, Task):
            self._tools[plan.invocation] = plan.tool
            return Planned(plan.invocation, planning)
        if isinstance(planning, SubWorkflow):
            return Expanded(plan.invocation, planning.workflow, planning.inputs)
        return Answered(plan.invocation, planning)

    def _start(self, submit: Submit, now: float) -> None:
        slots = next(slots for slots in self.sites if slots.free)
        slots.free -= 1
        slots.attempts += 1
        name = submit.attempt.rpartition("#")[0]
        needs_s = self._known.seconds(name, self._tools[submit.invocation])
        rate = slots.site.preemptions_per_h / HOUR_S
        holds_s = self._chance(rate) if rate else inf
        ran_s = min(needs_s, holds_s)
        self._live[submit.attempt] = submit, ran_s
        self._serial += 1
        until_s = now + slots.site.wait_s + ran_s
        flying = _Flying(until_s, self._serial, submit.attempt, slots, holds_s < needs_s)
        heapq.heappush(self._flying, flying)

    def _next(self, now: float) -> tuple[float, list[Event]]:
        """The next time at which something happens, and what."""
        wake = self._scheduler.next_wake
        if wake is not None and (not self._flying or wake < self._flying[0].until_s):
            return max(now, wake), []
        now = self._flying[0].until_s
        events: list[Event] = []
        while self._flying and self._flying[0].until_s <= now:
            events.append(self._end(heapq.heappop(self._flying)))
        return now, events

    def _end(self, flying: _Flying) -> Event:
        slots = flying.slots
        submit, ran_s = self._live.pop(flying.attempt)
        slots.free += 1
        slots.charge(submit.task.resources, ran_s)
        if flying.lost:
            slots.lost += 1
            return Lost(flying.attempt, Reason.PREEMPTED, "it lost its slot")
        self.tasks += 1
        self.work_s += ran_s
        return Finished(flying.attempt, self._outcome(submit))

    def _outcome(self, submit: Submit) -> Outcome:
        """What a task that has had its time leaves."""
        known = self._known.outputs(submit.attempt.rpartition("#")[0])
        if known is not None:
            return Outcome(outputs=known)
        made = Outcome(outputs=dict(_made_up(submit.attempt, submit.task.outputs)))
        try:
            tool = self._tools[submit.invocation]
            return Outcome(outputs=tool.collect(submit.task, made, NOWHERE))
        except (ValueError, OSError) as error:  # it looks into what is not there
            return Outcome(Reason.OUTPUT, str(error))


def _made_up(attempt: str, outputs: Sequence[Output]) -> Iterator[tuple[str, Value]]:
    """What a task leaves that has not run: files that are nowhere, and no values."""
    for output in outputs:
        value: Value = None
        if output.path and output.read is Read.FILE:
            location = f"{NOWHERE}/{attempt}/{output.path}"
            digest = blake2b(location.encode(), digest_size=32).hexdigest()
            value = Directory(location) if output.directory else File(location, digest, 0)
        yield output.port, (value,) if output.many else value
