"""What the dataflow remembers: scopes, the slots of their steps, the rounds of loops, counts.

A run may have a hundred thousand steps, so a step has an object of its own only while it is open:
from when all it waits for is there until nobody needs its values any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence, ValuesView
from types import MappingProxyType
from typing import Final

from hepflow.engine.gather import coordinate, nested
from hepflow.engine.graph import Graph, Stream, gathers_flat
from hepflow.model.events import Invocation
from hepflow.model.values import UNKNOWN, Value, Values, is_unknown
from hepflow.model.workflow import Expression, Loop, Step, Workflow

UNOPENED: Final = -1
NOTHING: Final[Mapping[str, Value]] = MappingProxyType({})
NO_ARRAYS: Final[Mapping[str, Sequence[Value]]] = MappingProxyType({})
NONE_FRESH: Final = range(0)
ONE_FRESH: Final = range(1)
_NO_SLOTS: Final = bytearray()

# What a slot is to those who follow it element by element.
WAITING: Final = 0
OFFERED: Final = 1
FILLED: Final = 2


class _NotKnown(dict[str, Value]):
    """Outputs of what was not run: any port has the unknown value."""

    def get(self, _port: str, _default: object = None) -> Value:
        return UNKNOWN

    def values(self) -> ValuesView[Value]:  # type: ignore[override]
        return {"": UNKNOWN}.values()


NOT_KNOWN: Final[Values] = _NotKnown()


class Counts:
    """How far all instances of one step are; shared by them, because a person sees them as one."""

    __slots__ = (
        "failed", "group", "guessed", "indexed", "label", "reused", "running", "skipped", "succeeded",
        "unknown", "unopened", "waits_for", "width",
    )  # fmt: skip

    def __init__(self, label: str, indexed: bool = False) -> None:
        self.label = label
        # Whether it counts steps that are one to a person (`trial[3]`): how many is known from the start.
        self.indexed = indexed
        self.group = False
        self.unopened = self.guessed = self.width = self.running = 0
        # Of planning only: invocations whose inputs are not known, and the port where that shows, if
        # it is the same for all of them.
        self.unknown = 0
        self.waits_for = ""
        self.succeeded = self.reused = self.skipped = self.failed = 0

    @property
    def known_width(self) -> int:
        """How many invocations there are in all; -1 while nobody knows."""
        if self.unopened and not self.indexed:
            return -1
        return self.width + self.unopened

    def note_unknown(self, port: str) -> None:
        """Planning: an invocation waits for what will come in at a port."""
        if not self.unknown:
            self.waits_for = port
        elif self.waits_for != port:
            self.waits_for = ""
        self.unknown += 1


class Round:
    """A loop's state at one invocation: the coming round's number and inputs, and what was kept."""

    __slots__ = ("inputs", "kept", "number")

    def __init__(self, inputs: Values) -> None:
        self.number = 0
        self.inputs = inputs
        self.kept: list[Values] = []

    def goes_on(
        self, loop: Loop, outputs: Values, evaluate: Callable[[Expression, Values], Value]
    ) -> bool:
        """Ends a round: carries its outputs into the next one's inputs; whether there is one.

        Raises:
            ValueError: an expression failed, or the loop reached its limit.
        """
        seen = {**self.inputs, "outputs": outputs}
        carried = {port: evaluate(expression, seen) for port, expression in loop.carry.items()}
        self.inputs = {**self.inputs, **carried}
        self.number += 1
        if loop.keep_all:
            self.kept.append(outputs)
        again = evaluate(loop.condition, self.inputs)
        if not again or again is UNKNOWN:
            return False
        if self.number >= loop.limit:
            raise ValueError(f"the loop did not end within its limit of {loop.limit} rounds")
        return True

    def result(self, step: Step, last: Values) -> Values:
        """What the loop gives as a whole."""
        assert step.loop is not None
        if not step.loop.keep_all:
            return last
        return {port.name: [kept.get(port.name) for kept in self.kept] for port in step.outputs}


class Scope:
    """One instance of a workflow.

    Args:
        above: the instance that it is part of.
        prefix: of the paths of its steps' invocations. label: the same without indices.
        first, level: what the number and the level of its first step begin with.
        counts: where each step is counted.
    """

    __slots__ = (
        "abandoned", "above", "beyond", "counts", "first", "graph", "inputs", "label", "level", "parent",
        "prefix", "runs", "unfinished", "waiting", "workflow",
    )  # fmt: skip

    def __init__(
        self,
        workflow: Workflow,
        graph: Graph,
        inputs: Values,
        parent: Invocation | None,
        above: Scope | None,
        prefix: str,
        label: str,
        first: int,
        level: int,
        counts: Sequence[Counts],
    ) -> None:
        self.workflow = workflow
        self.graph = graph
        self.inputs = inputs
        self.parent = parent
        self.above = above
        self.abandoned = False
        self.prefix = prefix
        self.label = label
        self.first = first
        self.level = level
        self.counts = counts
        # By position: how many producers each step still waits for, and those that are open.
        self.waiting = graph.waiting[:]
        self.runs: dict[int, StepRun] = {}
        # Planning: whether it is complete and nothing is known of its outputs.
        self.beyond = bytearray(len(workflow.steps))
        self.unfinished = len(workflow.steps)

    @property
    def is_abandoned(self) -> bool:
        """Whether something in it, or around it, failed and was tolerated: nobody waits for it."""
        scope: Scope | None = self
        while scope is not None and not scope.abandoned:
            scope = scope.above
        return scope is not None

    def output(self, step: str, port: str) -> Value:
        """The gathered value of an output port of a complete step."""
        place = self.graph.position[step]
        return UNKNOWN if self.beyond[place] else self.runs[place].output(port)

    def beyond_at(self, step: Step) -> str:
        """The port of a step, the shortest of them, at which a plain link brings what is not known; none
        where there is no such, or where only the values can tell."""
        found = ""
        position, beyond = self.graph.position, self.beyond
        for port, (sources, merge, pick, _default, expression) in step.inputs.items():
            if len(sources) > 1 or merge or pick or expression is not None:
                return ""
            for owner, output in sources:
                lacks = beyond[position[owner]] if owner else is_unknown(self.inputs.get(output))
                if lacks and (not found or len(port) < len(found)):
                    found = port
        return found


class StepRun:
    """One open step in one scope, with its slots.

    What is the same for most steps stands once, in the class.
    """

    width = UNOPENED
    sizes: Sequence[int] = ()
    constant: Values = NOTHING
    arrays: Mapping[str, Sequence[Value]] = NO_ARRAYS
    values: Values = NOTHING
    slot = _NO_SLOTS
    finished = 0
    active = 0
    listed = False
    # Ready elements: the untouched rest of a range, and those that came one by one.
    fresh = NONE_FRESH
    returned: deque[int] | None = None
    rounds: dict[int, Round] | None = None
    # What it follows element by element, and who follows it.
    streams: Sequence[Stream] = ()
    followers: Sequence[tuple[int, str]] = ()

    def __init__(self, scope: Scope, place: int) -> None:
        graph = scope.graph
        self.scope = scope
        self.place = place
        self.number = scope.first + place
        self.step = scope.workflow.steps[place]
        self.level = scope.level + graph.levels[place]
        self.users = graph.users[place]
        self.counts = scope.counts[place]
        if self.step.scatter:
            self.streams = graph.streams.get(place, ())
            self.followers = graph.stream_consumers.get(place, ())

    @property
    def path(self) -> str:
        return self.scope.prefix + self.step.name

    def name(self, index: int) -> str:
        """The readable name of an invocation: ``fit[3]/train``, with ``@2`` in a loop's round 2."""
        name = f"{self.path}[{index}]" if self.step.scatter else self.path
        if self.rounds is not None and index in self.rounds:
            return f"{name}@{self.rounds[index].number}"
        return name

    def is_ready(self) -> bool:
        if not self.fresh and not self.returned:
            return False
        limit = self.step.limit
        return not limit or self.active < limit

    def take(self) -> int | None:
        """A ready element, which is now at work; none when there is none."""
        limit = self.step.limit
        if limit and self.active >= limit:
            return None
        if self.returned:
            index = self.returned.popleft()
        elif self.fresh:
            index = self.fresh.start
            self.fresh = self.fresh[1:] if len(self.fresh) > 1 else NONE_FRESH
        else:
            return None
        self.active += 1
        return index

    def streams_filled(self, index: int) -> bool:
        """Whether every streamed port has its element for an invocation."""
        step = self.step
        for stream in self.streams:
            axis = step.scatter.index(stream.port)
            element = coordinate(index, self.sizes, axis, step.method)
            if self.scope.runs[stream.producer].slot[element] != FILLED:
                return False
        return True

    def slots(self, port: str) -> list[Value]:
        """The slots of an output port of a scattered step, filled or not.

        Raises:
            ValueError: the step has no such port.
        """
        value = self.values.get(port)
        if isinstance(value, list):
            return value
        raise ValueError(f"step '{self.path}' has no output '{port}' to scatter over")

    def output(self, port: str) -> Value:
        """The gathered value of an output port of a complete step."""
        value = self.values.get(port)
        if self.step.scatter and isinstance(value, list) and not gathers_flat(self.step):
            return nested(value, self.sizes)
        return value
