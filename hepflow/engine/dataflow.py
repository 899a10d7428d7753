"""Readiness: which invocation has all its inputs, element by element, and what becomes of outputs.

Owns scopes (one instance of a workflow each), the slots of every step, and loops. Knows nothing of
tasks, attempts, limits or time: that is the scheduler's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final

from hepflow.engine.gather import combine, coordinate, invocations, nested, width_of
from hepflow.engine.graph import Graph, Node, analyse, gathers_flat
from hepflow.model.events import Invocation
from hepflow.model.values import UNKNOWN, Value, Values, is_unknown
from hepflow.model.workflow import Binding, Expression, Loop, Required, Step, Workflow

UNOPENED: Final = -1

# What a slot is to those who follow it element by element.
WAITING: Final = 0
OFFERED: Final = 1
FILLED: Final = 2


class Counts:
    """How far all instances of one step are; shared by them, because a person sees them as one."""

    __slots__ = (
        "failed", "group", "guessed", "label", "reused", "running", "skipped", "succeeded",
        "unopened", "width",
    )  # fmt: skip

    def __init__(self, label: str) -> None:
        self.label = label
        self.group = False
        self.unopened = self.guessed = self.width = self.running = 0
        self.succeeded = self.reused = self.skipped = self.failed = 0


class Round:
    """A loop's state at one invocation: the coming round's number and inputs, and what was kept."""

    __slots__ = ("inputs", "kept", "number")

    def __init__(self, inputs: Values) -> None:
        self.number = 0
        self.inputs = inputs
        self.kept: list[Values] = []


class Scope:
    """One instance of a workflow."""

    __slots__ = ("graph", "inputs", "parent", "prefix", "runs", "unfinished", "workflow")

    def __init__(
        self, workflow: Workflow, graph: Graph, inputs: Values, parent: Invocation | None, prefix: str
    ) -> None:
        self.workflow = workflow
        self.graph = graph
        self.inputs = inputs
        self.parent = parent
        self.prefix = prefix
        self.runs: list[StepRun] = []
        self.unfinished = len(workflow.steps)


class StepRun:
    """One step in one scope: its slots, and how many of its producers it still waits for."""

    __slots__ = (
        "active", "arrays", "constant", "counts", "finished", "fresh", "level", "listed",
        "node", "number", "returned", "rounds", "scope", "sizes", "slot", "users", "values", "waiting", "width",
    )  # fmt: skip

    def __init__(self, number: int, scope: Scope, node: Node, level: int, counts: Counts) -> None:
        self.number = number
        self.scope = scope
        self.node = node
        self.level = level
        self.counts = counts
        self.waiting = len(node.whole) + len(node.streams)
        self.users = len(node.whole_consumers) + len(node.stream_consumers)
        self.width = UNOPENED
        self.sizes: Sequence[int] = ()
        self.constant: dict[str, Value] = {}
        self.arrays: dict[str, Sequence[Value]] = {}
        self.values: Values = {}
        self.slot = bytearray()
        self.finished = 0
        self.active = 0
        self.listed = False
        # Ready elements: the untouched rest of a range, and those that came one by one.
        self.fresh = range(0)
        self.returned: deque[int] | None = None
        self.rounds: dict[int, Round] | None = None

    @property
    def step(self) -> Step:
        return self.node.step

    @property
    def path(self) -> str:
        return self.scope.prefix + self.node.step.name

    def name(self, index: int) -> str:
        """The readable name of an invocation: ``fit[3]/train``, with ``@2`` in a loop's round 2."""
        name = f"{self.path}[{index}]" if self.node.step.scatter else self.path
        if self.rounds is not None and index in self.rounds:
            return f"{name}@{self.rounds[index].number}"
        return name

    def is_ready(self) -> bool:
        limit = self.node.step.limit
        return bool(self.fresh or self.returned) and not (limit and self.active >= limit)

    def streams_filled(self, index: int) -> bool:
        """Whether every streamed port has its element for an invocation."""
        step = self.node.step
        for stream in self.node.streams:
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
        if self.node.step.scatter and isinstance(value, list) and not gathers_flat(self.node.step):
            return nested(value, self.sizes)
        return value


class Dataflow:
    """All scopes of a run. ``take`` gives ready invocations; ``fill`` makes others ready.

    Args:
        planning: values may be unknown; what is computed from them is unknown as well.
    """

    def __init__(self, workflow: Workflow, inputs: Values, *, planning: bool = False) -> None:
        self.planning = planning
        self.runs: dict[int, StepRun] = {}
        self.counts: dict[str, Counts] = {}
        self.faults: list[tuple[str, str]] = []
        self.outputs: Values | None = None
        self._opened = 0
        self._graphs: dict[Workflow, Graph] = {}
        self._ready: list[tuple[int, int]] = []
        # Work lists instead of recursion: a chain of any length must not meet Python's stack limit.
        self._to_open: deque[StepRun] = deque()
        self._complete_scopes: list[Scope] = []
        self._open_scope(workflow, inputs, None)
        self._settle()

    # --- asking -------------------------------------------------------------------------------

    def take(self) -> Invocation | None:
        """The ready invocation that is deepest in the graph, or none."""
        while self._ready:
            run = self.runs.get(self._ready[0][1])
            if run is None or not run.is_ready():
                heappop(self._ready)
                if run is not None:
                    run.listed = False
                continue
            run.active += 1
            if run.returned:
                return Invocation(run.number, run.returned.popleft())
            index = run.fresh.start
            run.fresh = run.fresh[1:]
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
        step = run.node.step
        if run.rounds is not None and invocation.element in run.rounds:
            return run.rounds[invocation.element].inputs
        values = self._bound(run, invocation.element)
        if step.when is not None and not self._evaluate(step.when, values):
            run.counts.skipped += 1
            self._resolve(invocation, None)
            return None
        if step.loop is not None:
            if not self._evaluate(step.loop.condition, values):
                run.counts.skipped += 1
                empty: Value = [] if step.loop.keep_all else None
                self._resolve(invocation, {port.name: empty for port in step.outputs})
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
        """An invocation failed for good: nothing will fill it, but its place is free."""
        self._let_go(self.runs[invocation.step])

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
        prefix, label, base = "", "", 0
        if parent is not None:
            above = self.runs[parent.step]
            prefix, label = above.name(parent.element) + "/", above.counts.label + "/"
            base = above.level + 1
        inputs = {
            port.name: _or_default(given.get(port.name), port.default) for port in workflow.inputs
        }
        scope = Scope(workflow, graph, inputs, parent, prefix)
        for node in graph.nodes:
            name = label + node.step.name
            counts = self.counts.get(name)
            if counts is None:
                counts = self.counts[name] = Counts(name)
            counts.unopened += 1
            run = StepRun(self._opened, scope, node, base + node.level, counts)
            self._opened += 1
            self.runs[run.number] = run
            scope.runs.append(run)
            if not run.waiting:
                self._to_open.append(run)
        if not scope.unfinished:
            self._complete_scopes.append(scope)

    def _settle(self) -> None:
        """Open every step and close every scope that became free to."""
        while self._to_open or self._complete_scopes:
            while self._to_open:
                run = self._to_open.popleft()
                try:
                    self._bind(run)
                except ValueError as error:
                    self.faults.append((run.path, str(error)))
                else:
                    self._open(run)
            if self._complete_scopes:
                self._close(self._complete_scopes.pop())

    def _open(self, run: StepRun) -> None:
        """All a step needed as a whole is there, and its width is known."""
        run.counts.unopened -= 1
        run.counts.width += run.width
        run.slot = bytearray(run.width)
        if run.node.step.scatter:
            run.values = {port.name: [None] * run.width for port in run.node.step.outputs}
        for consumer, _ in run.node.stream_consumers:
            self._one_less(run.scope.runs[consumer])
        if not run.width:
            self._complete(run)
        elif run.node.streams:
            for index in range(run.width):
                self._offer(run, index)
        else:
            run.fresh = range(run.width)
            self._list(run)

    def _bind(self, run: StepRun) -> None:
        """Gather what is the same for all invocations, and find the width."""
        step, node, scope = run.node.step, run.node, run.scope
        streamed = {stream.port: stream for stream in node.streams}
        raw = {
            port: _gather(scope, binding)
            for port, binding in step.inputs.items()
            if port not in streamed
        }
        constant = dict(raw)
        for port in node.once:
            constant[port] = self._computed(step, port, raw)
        for port in step.scatter:
            if port in streamed:
                stream = streamed[port]
                run.arrays[port] = scope.runs[stream.producer].slots(stream.source)
                continue
            value = constant.pop(port)
            if step.inputs[port].expression is not None:
                value = self._computed(step, port, raw)
            if value is UNKNOWN:
                run.counts.guessed += 1
                value = [UNKNOWN]
            if not isinstance(value, (list, tuple, range)):
                raise ValueError(f"scatter over '{port}' needs an array, gets {value!r:.80}")
            run.arrays[port] = value
        run.constant = constant
        if step.scatter:
            run.sizes = [len(run.arrays[port]) for port in step.scatter]
            run.width = width_of(run.sizes, step.method)
        else:
            run.width = 1

    def _bound(self, run: StepRun, index: int) -> Values:
        step = run.node.step
        if not step.scatter:
            values = run.constant
        else:
            values = dict(run.constant)
            for axis, port in enumerate(step.scatter):
                values[port] = run.arrays[port][coordinate(index, run.sizes, axis, step.method)]
        if run.node.varying:
            raw = dict(values)
            for port in run.node.varying:
                values[port] = self._computed(step, port, raw)
        return values

    def _computed(self, step: Step, port: str, raw: dict[str, Value]) -> Value:
        expression = step.inputs[port].expression
        assert expression is not None
        return self._evaluate(expression, {**raw, "self": raw.get(port)})

    def _evaluate(self, expression: Expression, values: Values) -> Value:
        if self.planning and any(is_unknown(values.get(name)) for name in expression.names):
            return UNKNOWN
        return expression.evaluate(values)

    def _close(self, scope: Scope) -> None:
        """Hand the outputs of a finished scope to the slot it stands in for."""
        try:
            outputs = {
                name: self._workflow_output(scope, binding)
                for name, binding in scope.workflow.outputs.items()
            }
            if scope.parent is None:
                self.outputs = outputs
            elif self._fill(scope.parent, outputs):
                self.runs[scope.parent.step].counts.succeeded += 1
        except ValueError as error:
            self.faults.append((scope.prefix.rstrip("/") or scope.workflow.name, str(error)))
        for run in scope.runs:
            del self.runs[run.number]
        scope.runs = []

    def _workflow_output(self, scope: Scope, binding: Binding) -> Value:
        if binding.expression is None:
            return _gather(scope, binding)
        values = {
            f"{ref.step or 'inputs'}.{ref.port}": _gather(scope, Binding((ref,)))
            for ref in binding.sources
        }
        return self._evaluate(binding.expression, values)

    # --- slots --------------------------------------------------------------------------------

    def _resolve(self, invocation: Invocation, outputs: Values | None) -> None:
        self._fill_slot(self.runs[invocation.step], invocation.element, outputs)
        self._settle()

    def _fill(self, invocation: Invocation, outputs: Values) -> bool:
        run = self.runs[invocation.step]
        loop = run.step.loop
        if loop is not None:
            last = self._next_round(run, loop, invocation.element, outputs)
            if last is None:
                return False
            outputs = last
        self._fill_slot(run, invocation.element, outputs)
        return True

    def _next_round(self, run: StepRun, loop: Loop, index: int, outputs: Values) -> Values | None:
        """The loop's outputs if that was its last round, else ``None`` and it goes on."""
        assert run.rounds is not None
        state = run.rounds[index]
        seen = {**state.inputs, "outputs": outputs}
        carried = {port: self._evaluate(next_, seen) for port, next_ in loop.carry.items()}
        state.inputs = {**state.inputs, **carried}
        state.number += 1
        if loop.keep_all:
            state.kept.append(outputs)
        again = self._evaluate(loop.condition, state.inputs)
        if again and again is not UNKNOWN:
            if state.number >= loop.limit:
                raise ValueError(f"the loop did not end within its limit of {loop.limit} rounds")
            run.active -= 1
            self._make_ready(run, index)
            return None
        del run.rounds[index]
        if loop.keep_all:
            return {p.name: [kept.get(p.name) for kept in state.kept] for p in run.step.outputs}
        return outputs

    def _fill_slot(self, run: StepRun, index: int, outputs: Values | None) -> None:
        run.slot[index] = FILLED
        given: Values = {} if outputs is None else outputs
        if run.node.step.scatter:
            for port in run.values:
                run.slots(port)[index] = given.get(port)
        else:
            run.values = given
        run.finished += 1
        self._let_go(run)
        for consumer, port in run.node.stream_consumers:
            self._feed(run.scope.runs[consumer], port, index)
        if run.finished == run.width:
            self._complete(run)

    def _feed(self, run: StepRun, port: str, element: int) -> None:
        """A stream's producer filled one slot: whoever needs just that one may be ready now."""
        if run.width == UNOPENED:
            return
        step = run.node.step
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
        scope = run.scope
        for consumer in run.node.whole_consumers:
            self._one_less(scope.runs[consumer])
        # What nobody will read any more is let go: a long run must not grow with its history.
        for number in (*run.node.whole, *(stream.producer for stream in run.node.streams)):
            producer = scope.runs[number]
            producer.users -= 1
            if not producer.users and not producer.node.kept:
                producer.values = {}
        if not run.users and not run.node.kept:
            run.values = {}
        run.constant = {}
        run.arrays = {}
        scope.unfinished -= 1
        if not scope.unfinished:
            self._complete_scopes.append(scope)

    def _one_less(self, run: StepRun) -> None:
        run.waiting -= 1
        if not run.waiting:
            self._to_open.append(run)

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


def _gather(scope: Scope, binding: Binding) -> Value:
    values = [
        scope.runs[scope.graph.position[ref.step]].output(ref.port)
        if ref.step
        else scope.inputs.get(ref.port)
        for ref in binding.sources
    ]
    return combine(values, binding.merge, binding.pick, binding.default)


def _or_default(value: Value, default: Value | Required) -> Value:
    return default if value is None and not isinstance(default, Required) else value
