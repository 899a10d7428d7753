"""From links and expressions to the values of an invocation's ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hepflow.engine.gather import combine, coordinate, width_of
from hepflow.engine.state import Scope, StepRun
from hepflow.model.values import UNKNOWN, Value, Values, is_unknown
from hepflow.model.workflow import Binding, Expression, Scatter, Step


class Binder:
    """Evaluates bindings.

    Args:
        planning: values may be unknown; what is computed from them is unknown as well.
    """

    def __init__(self, *, planning: bool) -> None:
        self._planning = planning

    def evaluate(self, expression: Expression, values: Values) -> Value:
        """An expression's value.

        Raises:
            ValueError: it failed.
        """
        if self._planning and any(is_unknown(values.get(name)) for name in expression.names):
            return UNKNOWN
        return expression.evaluate(values)

    def bind(self, run: StepRun) -> None:
        """Gathers what is the same for all invocations of a step, and finds its width.

        Raises:
            ValueError: an expression failed, or what should be scattered over is no array.
        """
        step, scope = run.step, run.scope
        once = scope.graph.once.get(run.place, ())
        streamed = {stream.port: stream for stream in run.streams}
        links = step.inputs.items()
        if streamed:
            links = {port: step.inputs[port] for port in step.inputs.keys() - streamed}.items()
        raw = {port: gather(scope, binding) for port, binding in links}
        if not step.scatter and not once:
            run.constant = raw
            run.width = 1
            return
        constant = dict(raw)
        for port in once:
            constant[port] = self._computed(step, port, raw)
        run.constant = constant
        if not step.scatter:
            run.width = 1
            return
        arrays: dict[str, Sequence[Value]] = {}
        unknown: list[str] = []
        for port in step.scatter:
            if port in streamed:
                stream = streamed[port]
                arrays[port] = scope.runs[stream.producer].slots(stream.source)
                continue
            value = constant.pop(port)
            if step.inputs[port].expression is not None:
                value = self._computed(step, port, raw)
            if value is UNKNOWN:
                unknown.append(port)
                continue
            if not isinstance(value, (list, tuple, range)):
                raise ValueError(f"scatter over '{port}' needs an array, gets {value!r:.80}")
            arrays[port] = value
        if unknown:
            length = self._guess(run, arrays)
            arrays = {port: arrays.get(port, [UNKNOWN] * length) for port in step.scatter}
        run.arrays = arrays
        run.sizes = [len(arrays[port]) for port in step.scatter]
        run.width = width_of(run.sizes, step.method)

    def _guess(self, run: StepRun, known: Mapping[str, Sequence[Value]]) -> int:
        """How long an array is that is not known yet: as long as those it is paired with, else one."""
        if run.step.method is Scatter.DOT and known:
            return len(next(iter(known.values())))
        run.counts.guessed += 1
        return 1

    def bound(self, run: StepRun, index: int) -> Values:
        """The values of one invocation's ports.

        Raises:
            ValueError: an expression failed.
        """
        step = run.step
        if not step.scatter:
            return run.constant  # without scatter variables no expression varies
        values = dict(run.constant)
        for axis, port in enumerate(step.scatter):
            values[port] = run.arrays[port][coordinate(index, run.sizes, axis, step.method)]
        varying = run.scope.graph.varying.get(run.place)
        if varying:
            raw = dict(values)
            for port in varying:
                values[port] = self._computed(step, port, raw)
        return values

    def outputs(self, scope: Scope) -> dict[str, Value]:
        """The outputs of a scope whose steps are complete.

        Raises:
            ValueError: nothing could be picked, or an expression failed.
        """
        return {
            name: self._output(scope, binding) for name, binding in scope.workflow.outputs.items()
        }

    def _output(self, scope: Scope, binding: Binding) -> Value:
        if binding.expression is None:
            return gather(scope, binding)
        values = {
            f"{ref.step or 'inputs'}.{ref.port}": gather(scope, Binding((ref,)))
            for ref in binding.sources
        }
        return self.evaluate(binding.expression, values)

    def _computed(self, step: Step, port: str, raw: Mapping[str, Value]) -> Value:
        expression = step.inputs[port].expression
        assert expression is not None
        return self.evaluate(expression, {**raw, "self": raw.get(port)})


def gather(scope: Scope, binding: Binding) -> Value:
    """What a binding's sources give together.

    Raises:
        ValueError: nothing is left to pick, or too much is.
    """
    sources, merge, pick, default, _expression = binding
    if len(sources) == 1 and merge is None and pick is None:
        step, port = sources[0]  # the usual link, without a list of one
        value = scope.output(step, port) if step else scope.inputs.get(port)
        return default if value is None else value
    values = [
        scope.output(ref.step, ref.port) if ref.step else scope.inputs.get(ref.port)
        for ref in sources
    ]
    return combine(values, merge, pick, default)
