"""The plan: the engine run with nothing executed, and why each task would run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from hepflow.engine import Policy, Scheduler
from hepflow.engine.state import NOT_KNOWN, Counts
from hepflow.model.events import Answered, Conclude, Event, Expanded, Plan, Planned, Unplannable
from hepflow.model.task import Task
from hepflow.model.values import Values
from hepflow.model.workflow import Ref, Sized, Step, Workflow, label_of, within
from hepflow.runner.placing import Need, Offer, Placement, place
from hepflow.runner.planner import Identity, Planner
from hepflow.store.reader import Fingerprints, compare
from hepflow.store.records import Change, step_of

REASONS: Final = 5
"""Different reasons that are told for one step."""

_LENGTH: Final = 60


class PlannedStep(NamedTuple):
    """What would become of one step.

    Args:
        width: invocations; -1 while that depends on something that has not run.
        reused, to_run: how many results are there, how many tasks would run.
        unknown: of ``to_run``, those whose inputs do not exist yet.
        reasons: why tasks would run, in words, with how many each concerns; most first.
        places: where its tasks go, and why not elsewhere, in words; empty where there is no choice.
    """

    path: str
    width: int
    reused: int
    to_run: int
    unknown: int
    depends_on: tuple[str, ...] = ()
    reasons: tuple[tuple[str, int], ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a run would do. ``problems`` are steps that could not even be planned."""

    name: str
    steps: tuple[PlannedStep, ...]
    problems: tuple[str, ...] = ()

    @property
    def tasks(self) -> int:
        return self.reused + self.to_run

    @property
    def reused(self) -> int:
        return sum(step.reused for step in self.steps)

    @property
    def to_run(self) -> int:
        return sum(step.to_run for step in self.steps)

    @property
    def unknown(self) -> int:
        return sum(step.unknown for step in self.steps)


class _Tally:
    """The tasks of one step that would run. Most steps have one reason: only others are counted."""

    __slots__ = ("first", "others", "to_run")

    def __init__(self) -> None:
        self.to_run = 0
        self.first = ""
        self.others: Counter[str] | None = None

    def note(self, reason: str, tasks: int = 1) -> None:
        """Counts tasks."""
        if not self.to_run:
            self.first = reason
        elif reason != self.first:
            if self.others is None:
                self.others = Counter()
            self.others[reason] += tasks
        self.to_run += tasks

    def reasons(self) -> tuple[tuple[str, int], ...]:
        """The reasons with their tasks, most first."""
        if self.others is None:
            return ((self.first, self.to_run),) if self.to_run else ()
        all_ = Counter({self.first: self.to_run - self.others.total()})
        all_.update(self.others)
        return tuple(all_.most_common(REASONS))


class Preview:
    """Plans a workflow against the store.

    Args:
        offers: the sites to choose from; none where nobody asks.
    """

    def __init__(
        self, planner: Planner, before: Fingerprints, offers: Sequence[Offer] = ()
    ) -> None:
        self._planner = planner
        self._before = before
        self._offers = offers
        self._placed: dict[str, dict[tuple[object, ...], Placement]] = {}
        self._steps: Mapping[str, Step] = {}
        self._tallies: dict[str, _Tally] = {}

    def plan(self, workflow: Workflow, inputs: Values) -> PlanReport:
        """The report.

        Raises:
            ValueError: the workflow's links are not sound.
        """
        counts, problems = self._played(workflow, inputs)
        edges = folded(links(workflow), counts)
        if self._offers:
            self._steps = dict(_steps(workflow, ""))
        steps: list[PlannedStep] = []
        for label in tuple(counts):  # each makes room for what is made of it
            each, depends_on = counts.pop(label), edges.pop(label, ())
            if not each.group:
                steps.append(self._planned(each, depends_on))
        problems += [
            f"{step}: {placement.why}"
            for step, placements in self._placed.items()
            for placement in placements.values()
            if not placement.site
        ]
        return PlanReport(workflow.name, tuple(steps), tuple(problems))

    def _played(self, workflow: Workflow, inputs: Values) -> tuple[dict[str, Counts], list[str]]:
        """The engine run with nothing executed: what it counted, and what could not be planned.

        Apart, so that nothing of a large workflow's engine is kept beside the report on it.
        """
        scheduler = Scheduler(workflow, inputs, Policy(planning=True, keep_going=True, window=4096))
        actions = scheduler.handle((), 0.0)
        while not any(isinstance(action, Conclude) for action in actions):
            plans = [action for action in actions if isinstance(action, Plan)]
            actions = scheduler.handle(self._answers(plans), 0.0)
        failures = [f"{failure.name}: {failure.message}" for failure in scheduler.failures]
        return dict(scheduler.counts), failures

    def _planned(self, counts: Counts, depends_on: tuple[str, ...]) -> PlannedStep:
        """What would become of a step whose tasks are all counted."""
        width = -1 if counts.guessed else counts.known_width
        tally = self._tallies.pop(counts.label, None)
        to_run, unknown = counts.unknown, counts.unknown
        if tally is None:
            # Most steps of a large workflow: their reasons are the same few, and kept once.
            reasons = _only(_waiting(counts.waits_for), unknown) if unknown else ()
        else:
            if unknown:
                tally.note(_waiting(counts.waits_for), unknown)
            to_run, reasons = tally.to_run, tally.reasons()
        places = self._places(counts.label) if self._offers else ()
        return PlannedStep(
            counts.label, width, counts.reused, to_run, unknown, depends_on, reasons, places
        )

    def _answers(self, plans: Sequence[Plan]) -> list[Event]:
        events: list[Event] = []
        by_invocation = {plan.invocation: plan for plan in plans}
        for event in self._planner.answer(plans):
            if isinstance(event, Planned):
                plan = by_invocation[event.invocation]
                identity = self._planner.identities.pop(event.invocation)
                if self._offers:
                    need = Need(event.task.resources, identity.site, identity.data)
                    self._place(step_of(plan.name), need)
                self._note(plan.name, self._why(identity))
                events.append(Answered(plan.invocation, NOT_KNOWN))
            else:
                assert isinstance(event, (Answered, Expanded, Unplannable))
                events.append(event)
        return events

    def _place(self, step: str, need: Need) -> None:
        """Looks for a site, once for all tasks of a step that need the same."""
        placements = self._placed.setdefault(step, {})
        key = (need.resources, *need.data.items())
        if key not in placements:
            placements[key] = place(need, self._offers)

    def _places(self, path: str) -> tuple[str, ...]:
        """Where the tasks of a step go, and why not elsewhere; also where none could be planned yet."""
        if len(self._offers) < 2:
            return ()
        step = self._steps.get(path)
        if path not in self._placed and step is not None and isinstance(step.run, Sized):
            resources = step.run.resources
            if resources is not None:
                self._place(path, Need(resources, step.site))
        placements = self._placed.get(path, {}).values()
        return tuple(dict.fromkeys(found.why for found in placements if found.site))

    def _note(self, name: str, reason: str) -> None:
        label = step_of(name)
        tally = self._tallies.get(label)
        if tally is None:
            tally = self._tallies[label] = _Tally()
        tally.note(reason)

    def _why(self, identity: Identity) -> str:
        if any(name == identity.name for name, _, _ in self._planner.broken):
            return "its stored outputs are gone or were changed"
        if not identity.cache:
            return "it is not cached (cache: false)"
        last = self._before.last(identity.name)
        if last is None:
            return "never run before"
        changes = compare(last[0], identity.what)
        if not changes:
            return f"run {last[1]} did not finish it"
        return ", ".join(describe(change) for change in changes[:3]) + f" (since run {last[1]})"


def _steps(workflow: Workflow, prefix: str) -> Iterator[tuple[str, Step]]:
    """Every step that runs a tool, by its path."""
    for step in workflow.steps:
        inner = within(step)
        if inner is not None:
            yield from _steps(inner, f"{prefix}{label_of(step)}/")
        else:
            yield prefix + label_of(step), step


def first_tasks(workflow: Workflow, inputs: Values, planner: Planner) -> list[tuple[str, Task]]:
    """The tasks a run would submit first, with their names; none where nothing is to be run."""
    scheduler = Scheduler(workflow, inputs, Policy(planning=True, keep_going=True, window=4096))
    actions = scheduler.handle((), 0.0)
    while plans := [action for action in actions if isinstance(action, Plan)]:
        events = planner.answer(plans)
        names = {plan.invocation: plan.name for plan in plans}
        tasks = [
            (names[event.invocation], event.task) for event in events if isinstance(event, Planned)
        ]
        if tasks:
            return tasks
        actions = scheduler.handle(events, 0.0)
    return []


@cache
def _only(reason: str, tasks: int) -> tuple[tuple[str, int], ...]:
    return ((reason, tasks),)


@cache
def _waiting(port: str) -> str:
    return f"its input '{port}' will be made first" if port else "its inputs will be made first"


def describe(change: Change) -> str:
    """A change of one component in words, short enough for a line."""
    before, after = change.before, change.after
    if not before or not after:
        return f"{change.component} {'added' if after else 'removed'}"
    if len(before) + len(after) > _LENGTH or "file:" in after or "dir:" in after:
        return f"{change.component} changed"
    return f"{change.component} changed: {before} -> {after}"


def links(
    workflow: Workflow, prefix: str = "", given: Mapping[str, Sequence[str]] | None = None
) -> dict[str, tuple[str, ...]]:
    """Which steps each step takes values from, by paths without indices.

    A sub-workflow is not a step of its own here: what it takes and gives are its steps' links.

    Args:
        given: the steps outside that feed each of the workflow's inputs.
    """
    if not prefix and not any(within(step) for step in workflow.steps):
        return {step.name: _owners(step) for step in workflow.steps}
    steps = {step.name: step for step in workflow.steps}
    edges: dict[str, tuple[str, ...]] = {}
    for step in workflow.steps:
        feeds = {
            port: [
                name
                for ref in binding.sources
                for name in _feeding(ref, steps, prefix, given or {})
            ]
            for port, binding in step.inputs.items()
        }
        inner = within(step)
        if inner is not None:
            # What an expression hands in comes from wherever the ports it reads come from.
            for port, binding in step.inputs.items():
                for name in binding.expression.names if binding.expression is not None else ():
                    feeds[port] += feeds.get(name, []) if name != port else []
            edges.update(links(inner, f"{prefix}{label_of(step)}/", feeds))
        else:
            edges[prefix + label_of(step)] = tuple(
                dict.fromkeys(name for names in feeds.values() for name in names)
            )
    return edges


def folded(edges: dict[str, tuple[str, ...]], known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The same links, between steps that are known: what is within a step that has not been opened yet
    is that step."""
    if all(name in known for name in edges):
        return edges

    def shown(name: str) -> str:
        while name not in known and "/" in name:
            name = name.rpartition("/")[0]
        return name

    found: dict[str, dict[str, None]] = {}
    for name, sources in edges.items():
        owner = shown(name)
        others = (shown(source) for source in sources)
        found.setdefault(owner, {}).update((other, None) for other in others if other != owner)
    return {name: tuple(sources) for name, sources in found.items()}


def _owners(step: Step) -> tuple[str, ...]:
    """The steps whose outputs a step names, each once."""
    found = [name for binding in step.inputs.values() for name, _ in binding.sources if name]
    return tuple(dict.fromkeys(found)) if len(found) > 1 else tuple(found)


def _feeding(
    ref: Ref, steps: Mapping[str, Step], prefix: str, given: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """The steps a source comes from, looking into sub-workflows."""
    if not ref.step:
        yield from given.get(ref.port, ())
        return
    label = prefix + label_of(steps[ref.step])
    inner = within(steps[ref.step])
    if inner is None:
        yield label
        return
    below = {step.name: step for step in inner.steps}
    binding = inner.outputs.get(ref.port)
    for source in binding.sources if binding else ():
        if source.step:
            yield from _feeding(source, below, f"{label}/", {})
