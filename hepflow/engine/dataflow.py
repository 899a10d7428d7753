"""Readiness: which invocation has all its inputs, element by element, and what becomes of outputs.

Knows nothing of tasks, attempts, limits or time: that is the scheduler's.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import NamedTuple

from hepflow.engine.binding import Binder
from hepflow.engine.flow import Opened
from hepflow.engine.gather import invocations
from hepflow.engine.graph import Graph, analyse
from hepflow.engine.state import (
    FILLED,
    NO_ARRAYS,
    NOT_KNOWN,
    NOTHING,
    OFFERED,
    ONE_FRESH,
    UNOPENED,
    WAITING,
    Counts,
    Round,
    Scope,
    StepRun,
)
from hepflow.model.events import Invocation
from hepflow.model.values import UNKNOWN, Value, Values, is_unknown
from hepflow.model.workflow import From, Required, Step, Workflow


class Fault(NamedTuple):
    """A step that could not be opened, or a scope that could not be closed: where, and why."""

    name: str
    message: str
    scope: Scope


class Dataflow:
    """All scopes of a run. ``take`` gives ready invocations; ``fill`` makes others ready.

    Args:
        planning: values may be unknown; what is computed from them is unknown as well.
    """

    expects_more = False  # what will come is known from what is there

    def __init__(self, workflow: Workflow, inputs: Values, *, planning: bool = False) -> None:
        self._planning = planning
        self._binder = Binder(planning=planning)
        self.runs: dict[int, StepRun] = {}
        self.counts: dict[str, Counts] = {}
        self._faults: list[Fault] = []
        self.outputs: Values | None = None
        self._numbered = 0
        self._graphs: dict[Workflow, Graph] = {}
        self._ready: list[tuple[int, int]] = []
        # Work lists instead of recursion: a chain of any length must not meet Python's stack limit.
        self._to_open: deque[tuple[Scope, int]] = deque()
        self._complete_scopes: list[Scope] = []
        self._open_scope(workflow, inputs, None)
        self._settle()

    # --- asking -------------------------------------------------------------------------------

    def take(self) -> Invocation | None:
        """The ready invocation that is deepest in the graph, or none."""
        while (invocation := self._take()) is not None:
            scope = self.runs[invocation.step].scope
            if scope.above is None or not scope.is_abandoned:
                return invocation
            self.release(invocation)
        return None

    def _take(self) -> Invocation | None:
        while self._ready:
            run = self.runs.get(self._ready[0][1])
            index = run.take() if run is not None else None
            if run is not None and index is not None and run.is_ready():
                return Invocation(run.number, index)
            heappop(self._ready)
            if run is not None:
                run.listed = False
                if index is not None:
                    return Invocation(run.number, index)
        return None

    def put_back(self, invocation: Invocation) -> None:
        """Undo a ``take``."""
        run = self.runs[invocation.step]
        run.active -= 1
        self._make_ready(run, invocation.element)

    def inputs(self, invocation: Invocation) -> Values | None:
        """The values of an invocation's ports; ``None`` when it has nothing to run and is filled
        already: its ``when`` is false, or its loop has no round.

        Raises:
            ValueError: an expression failed.
        """
        run = self.runs[invocation.step]
        step = run.step
        if run.rounds is not None and invocation.element in run.rounds:
            return run.rounds[invocation.element].inputs
        values = self._binder.bound(run, invocation.element)
        if step.when is not None and not self._binder.evaluate(step.when, values):
            self._skip(run, invocation.element, {})
            return None
        if step.loop is not None:
            if not self._binder.evaluate(step.loop.condition, values):
                empty: Value = [] if step.loop.keep_all else None
                self._skip(run, invocation.element, {port.name: empty for port in step.outputs})
                return None
            if run.rounds is None:
                run.rounds = {}
            run.rounds[invocation.element] = Round(values)
        return values

    # --- telling ------------------------------------------------------------------------------

    def fill(self, invocation: Invocation, outputs: Values) -> bool:
        """Outputs of an invocation are there. False when its loop goes round once more.

        Raises:
            ValueError: an expression of its loop failed.
        """
        finished = self._fill(invocation, outputs)
        self._settle()
        return finished

    def release(self, invocation: Invocation) -> None:
        """An invocation is over without outputs: nothing will fill it, but its place is free."""
        self._let_go(self.runs[invocation.step])

    def fail(self, invocation: Invocation, _message: str) -> bool:
        """An invocation failed for good. Whether nobody tolerates that, it or what it is part of: then
        nothing will fill it."""
        run = self.runs[invocation.step]
        if run.step.tolerant:
            self._fill_null(invocation)
            return False
        self._let_go(run)
        return self._fail_scope(run.scope)

    def _fail_scope(self, scope: Scope) -> bool:
        """Something in a scope failed for good: the same."""
        if scope.is_abandoned:
            return False
        inside: Scope | None = scope
        while inside is not None and inside.parent is not None:
            run = self.runs[inside.parent.step]
            if run.step.tolerant:
                inside.abandoned = True
                run.counts.failed += 1
                self._fill_null(inside.parent)
                return False
            inside = inside.above
        return True

    @property
    def has_faults(self) -> bool:
        return bool(self._faults)

    def take_faults(self) -> list[tuple[str, str, bool]]:
        """Steps that could not even be opened (an expression failed, or there is no array) since this was
        last asked: name, why, and whether nobody tolerates that."""
        faults, self._faults = self._faults, []
        return [(name, message, self._fail_scope(scope)) for name, message, scope in faults]

    def expand(self, invocation: Invocation, workflow: Workflow, inputs: Values) -> None:
        """Put a workflow in an invocation's place: its outputs will fill the slot.

        Raises:
            ValueError: the workflow's links are not sound.
        """
        self.runs[invocation.step].counts.group = True
        self._open_scope(workflow, inputs, invocation)
        self._settle()

    # --- scopes and steps ---------------------------------------------------------------------

    def _open_scope(self, workflow: Workflow, given: Values, parent: Invocation | None) -> None:
        graph = self._graphs.get(workflow)
        if graph is None:
            graph = self._graphs[workflow] = analyse(workflow)
        prefix, label, base, above = "", "", 0, None
        if parent is not None:
            run = self.runs[parent.step]
            prefix, label = run.name(parent.element) + "/", run.counts.label + "/"
            base, above = run.level + 1, run.scope
        inputs = {
            port.name: _or_default(given.get(port.name), port.default) for port in workflow.inputs
        }
        counted = [self._counts_of(label + step.name) for step in workflow.steps]
        scope = Scope(
            workflow, graph, inputs, parent, above, prefix, label, self._numbered, base, counted
        )
        self._numbered += len(workflow.steps)
        for place, waiting in enumerate(scope.waiting):
            if not waiting:
                self._to_open.append((scope, place))
        if not scope.unfinished:
            self._complete_scopes.append(scope)

    def _counts_of(self, path: str) -> Counts:
        """Where a step that is to be opened is counted."""
        name, index, _ = path.partition("[")
        counts = self.counts.get(name)
        if counts is None:
            counts = self.counts[name] = Counts(name, bool(index))
        counts.unopened += 1
        return counts

    def _settle(self) -> None:
        """Open every step and close every scope that became free to."""
        while self._to_open or self._complete_scopes:
            while self._to_open:
                scope, place = self._to_open.popleft()
                if self._planning and self._pass_over(scope, place):
                    continue
                run = scope.runs[place] = StepRun(scope, place)
                self.runs[run.number] = run
                try:
                    self._binder.bind(run)
                except ValueError as error:
                    self._faults.append(Fault(run.path, str(error), scope))
                else:
                    self._open(run)
            if self._complete_scopes:
                self._close(self._complete_scopes.pop())

    def _open(self, run: StepRun) -> None:
        """All a step needed as a whole is there, and its width is known."""
        run.counts.unopened -= 1
        run.counts.width += run.width
        if run.step.scatter:
            run.slot = bytearray(run.width)
            run.values = {port.name: [None] * run.width for port in run.step.outputs}
        for consumer, _ in run.followers:
            self._one_less(run.scope, consumer)
        if not run.width:
            self._complete(run)
        elif run.streams:
            for index in range(run.width):
                self._offer(run, index)
        else:
            run.fresh = range(run.width) if run.width > 1 else ONE_FRESH
            self._list(run)

    def _pass_over(self, scope: Scope, place: int) -> bool:
        """Planning: whether a step need not even be opened, for it is one invocation of what has not run
        before it. Most of a plan that begins with nothing ends here."""
        step = scope.workflow.steps[place]
        port = scope.beyond_at(step) if is_plain(step) else ""
        if not port:
            return False
        counts = scope.counts[place]
        counts.unopened -= 1
        counts.width += 1
        counts.note_unknown(port)
        scope.beyond[place] = True
        self._pass_on(scope, place)
        return True

    def _close(self, scope: Scope) -> None:
        """Hand the outputs of a finished scope to the slot it stands in for."""
        try:
            outputs = self._binder.outputs(scope)
            if scope.parent is None:
                self.outputs = outputs
            else:
                counts = self.runs[scope.parent.step].counts
                if self._fill(scope.parent, outputs):
                    counts.succeeded += 1
        except ValueError as error:
            name = scope.prefix.rstrip("/") or scope.workflow.name
            self._faults.append(Fault(name, str(error), scope))
        for run in scope.runs.values():
            del self.runs[run.number]
        scope.runs.clear()

    # --- slots --------------------------------------------------------------------------------

    def _fill_null(self, invocation: Invocation) -> None:
        run = self.runs[invocation.step]
        if run.rounds is not None:
            run.rounds.pop(invocation.element, None)
        self._fill_slot(run, invocation.element, {})
        self._settle()

    def _skip(self, run: StepRun, index: int, outputs: Values) -> None:
        run.counts.skipped += 1
        self._fill_slot(run, index, outputs)
        self._settle()

    def _fill(self, invocation: Invocation, outputs: Values) -> bool:
        run = self.runs[invocation.step]
        index = invocation.element
        loop = run.step.loop
        if loop is not None:
            assert run.rounds is not None
            if run.rounds[index].goes_on(loop, outputs, self._binder.evaluate):
                run.active -= 1
                self._make_ready(run, index)
                return False
            outputs = run.rounds.pop(index).result(run.step, outputs)
        self._fill_slot(run, index, outputs)
        return True

    def _fill_slot(self, run: StepRun, index: int, outputs: Values) -> None:
        if run.step.scatter:
            run.slot[index] = FILLED
            for port in run.values:
                run.slots(port)[index] = outputs.get(port)
        else:
            run.values = outputs
            run.scope.beyond[run.place] = outputs is NOT_KNOWN
        run.finished += 1
        self._let_go(run)
        for consumer, port in run.followers:
            self._feed(run.scope.runs.get(consumer), port, index)
        if run.finished == run.width:
            self._complete(run)

    def _feed(self, run: StepRun | None, port: str, element: int) -> None:
        """A stream's producer filled one slot: whoever needs just that one may be ready now."""
        if run is None or run.width == UNOPENED:
            return
        step = run.step
        axis = step.scatter.index(port)
        for index in invocations(element, run.sizes, axis, step.method):
            self._offer(run, index)

    def _offer(self, run: StepRun, index: int) -> None:
        """Make an invocation ready if its streams have all its elements; once, though several may
        bring the last one at the same time."""
        if run.slot[index] == WAITING and run.streams_filled(index):
            run.slot[index] = OFFERED
            self._make_ready(run, index)

    def _complete(self, run: StepRun) -> None:
        run.constant = NOTHING
        run.arrays = NO_ARRAYS
        if not run.users:
            self._forget(run)
        for stream in run.streams:
            self._one_user_less(run.scope.runs[stream.producer])
        self._pass_on(run.scope, run.place)

    def _pass_on(self, scope: Scope, place: int) -> None:
        """A step is complete, for those that wait for it and those it took values from."""
        for consumer in scope.graph.whole_consumers.of(place):
            self._one_less(scope, consumer)
        # What nobody will read any more is let go: a long run must not grow with its history.
        for producer in scope.graph.whole.of(place):
            run = scope.runs.get(producer)
            if run is not None:
                self._one_user_less(run)
        scope.unfinished -= 1
        if not scope.unfinished:
            self._complete_scopes.append(scope)

    def _one_user_less(self, run: StepRun) -> None:
        run.users -= 1
        if not run.users and run.finished == run.width:
            self._forget(run)

    def _forget(self, run: StepRun) -> None:
        """A step is complete and nobody will read its values, unless the workflow's outputs do."""
        if run.place not in run.scope.graph.kept:
            del self.runs[run.number]
            del run.scope.runs[run.place]

    def _one_less(self, scope: Scope, place: int) -> None:
        scope.waiting[place] -= 1
        if not scope.waiting[place]:
            self._to_open.append((scope, place))

    def _make_ready(self, run: StepRun, index: int) -> None:
        if run.returned is None:
            run.returned = deque()
        run.returned.append(index)
        self._list(run)

    def _let_go(self, run: StepRun) -> None:
        run.active -= 1
        if run.step.limit:
            self._list(run)

    def _list(self, run: StepRun) -> None:
        if not run.listed and run.is_ready():
            run.listed = True
            heappush(self._ready, (-run.level, run.number))


def is_plain(step: Step) -> bool:
    """Whether a step is one invocation of a tool, whatever its values are."""
    return not (step.scatter or step.when or step.loop or isinstance(step.run, Workflow))


def is_beyond(run: Opened, inputs: Values) -> bool:
    """Whether what an invocation is depends on what has not run (then its outputs do as well); it is
    counted."""
    waits = [port for port, value in inputs.items() if value is UNKNOWN or is_unknown(value)]
    if not waits:
        return False
    run.counts.note_unknown(min(waits, key=len) if len(waits) > 1 else waits[0])
    return True


def _or_default(value: Value, default: Value | Required | From) -> Value:
    return default if value is None and not isinstance(default, Required | From) else value
