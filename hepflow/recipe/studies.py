"""The tool of a step with a ``study``: it plans trials.

What a step runs is run once for each trial, with parameters that an optimiser suggests. The tool
answers with a workflow of four kinds of steps: ``ask[n]`` suggests, ``trial[n]`` runs, ``tell[n]``
notes what came of it, ``best`` concludes. ``ask[n]`` reads ``tell[0]`` to ``tell[n - parallel]``: so
as many trials go on at a time, and each suggestion is a function of finished results, which makes
the cache, resuming and every executor serve a study as they serve anything else.

Asking and concluding are Python calls into the library's functions, which are named here as a user
names theirs in ``python:``; nothing of the library is imported.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from hepflow.model.record import TELL
from hepflow.model.task import Call, Outcome, Output, Resources, Task
from hepflow.model.values import Value, Values
from hepflow.model.workflow import (
    Binding,
    Expression,
    Merge,
    PlanContext,
    Port,
    Ref,
    Retry,
    Step,
    SubWorkflow,
    Workflow,
)
from hepflow.recipe.tools import Products, digest, spelled

RESULT: Final = "study"
"""The port with what a study found, beside the outputs of the best trial."""

HERE: Final = "local"
"""The site where a study asks: a suggestion is a matter of milliseconds, not of a batch job."""

ASK, PRUNE, CONCLUDE = (
    f"hepflow_optuna.{name}" for name in ("trials:ask", "trials:prune", "results:conclude")
)
_LIGHT: Final = Resources(cpus=0.0)


class Library(NamedTuple):
    """The optimiser's functions, and what they are told of the study.

    Args:
        code: lines of a fingerprint, about their source.
    """

    definition: Mapping[str, Value]
    code: tuple[str, ...]

    @property
    def prunes(self) -> bool:
        """Whether trials may be ended between rounds."""
        return self.definition["pruner"] is not None


@dataclass(frozen=True, slots=True)
class LibraryCall:
    """A call of one of the library's functions.

    Args:
        arguments: handed on by name; each has a port of its own (:func:`own_port`).
        products: what it returns and writes.
        measure: gives one argument more, ``value``: a number or null, from the ports.
    """

    library: Library
    function: str
    arguments: tuple[str, ...]
    products: Products
    measure: Expression | None = None

    @property
    def resources(self) -> Resources:
        return _LIGHT

    def fingerprint(self, inputs: Values) -> str:
        lines = [f"tool=python {self.function}", *self.library.code]
        lines += [f"study.{key}={spelled(value)}" for key, value in self.library.definition.items()]
        lines += [f"{name}={_told(inputs.get(own_port(name)))}" for name in self.arguments]
        if self.measure is not None:
            lines.append(f"value={self._value(inputs)!r}")
        return "\n".join(lines)

    def plan(self, inputs: Values, context: PlanContext) -> Task:
        arguments = {name: inputs.get(own_port(name)) for name in self.arguments}
        if self.measure is not None:
            arguments["value"] = self._value(inputs)
        outputs = self.products.outputs
        offered: dict[str, Value] = {output.port: output.path for output in outputs if output.path}
        offered["study"] = dict(self.library.definition)
        return Task(Call(self.function, arguments, offered), outputs, _LIGHT)

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        return self.products.collect(task, outcome)

    def _value(self, inputs: Values) -> float | None:
        """What a trial, or a round of one, is worth; null if it failed or gave no finite number.

        Raises:
            ValueError: the expression failed, or gave something that can never be a number.
        """
        assert self.measure is not None
        outputs = inputs["outputs"]
        assert isinstance(outputs, Mapping)
        if all(value is None for value in outputs.values()):
            return None
        found = self.measure.evaluate(inputs)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise ValueError(f"the objective is no number but {found!r:.80}")
        return float(found) if math.isfinite(found) else None


def _told(value: Value) -> str:
    """An argument in a fingerprint; of records only how many there are can be read."""
    if isinstance(value, list):
        return f"{len(value)} records, {digest(spelled(value))}"
    return str(value) if isinstance(value, int) else digest(spelled(value))


@dataclass(frozen=True, slots=True)
class StudyTool:
    """A step of ``study``.

    Args:
        trial: the step that one trial is; its inputs are those that depend on parameters.
        ports: what comes from outside, the same for all trials.
        objective: what a trial is worth, from its outputs.
        report: what a round of a trial is worth, for the pruner.
        trials, parallel: how many, and how many at a time.
    """

    trial: Step
    ports: tuple[str, ...]
    parameters: tuple[str, ...]
    library: Library
    objective: Expression
    report: Expression
    trials: Expression
    parallel: Expression
    plots: bool

    @property
    def sketch(self) -> Workflow:
        """What it plans, with one trial."""
        return self._workflow(1, 1)

    def fingerprint(self, inputs: Values) -> str:
        return ""  # its trials are cached one by one

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        return outcome.outputs

    def plan(self, inputs: Values, context: PlanContext) -> SubWorkflow:
        trials = _whole(self.trials, inputs, "trials")
        return SubWorkflow(
            self._workflow(trials, _whole(self.parallel, inputs, "parallel")), inputs
        )

    def _workflow(self, trials: int, parallel: int) -> Workflow:
        asked = [Ref(f"ask[{n}]", "trial") for n in range(trials)]
        told = [Ref(f"tell[{n}]", "result") for n in range(trials)]
        steps: list[Step] = []
        for n in range(trials):
            history = {
                own_port("asked"): _array(asked[:n]),
                own_port("told"): _array(told[: max(0, n + 1 - parallel)]),
            }
            steps += [self._ask(n, history), self._trial(n, history), self._tell(n)]
        steps.append(self._best(told))
        names = [f"trial[{n}]" for n in range(trials)]
        outputs = {port.name: _of_best(port.name, names) for port in self.trial.outputs}
        found = tuple(Ref("best", port) for port in FOUND)
        outputs[RESULT] = Binding(found, expression=Found())
        ports = tuple(Port(name) for name in self.ports)
        return Workflow(RESULT, ports, tuple(steps), outputs)

    def _ask(self, n: int, history: Mapping[str, Binding]) -> Step:
        state = Binding((Ref(f"ask[{n - 1}]", "state"),)) if n else Binding(default="")
        feeds = {**history, own_port("number"): Binding(default=n), own_port("state"): state}
        call = self._call(ASK, ("number", "told", "asked", "state"), "trial", "state")
        return _step(f"ask[{n}]", call, feeds)

    def _feeds(self, n: int) -> dict[str, Binding]:
        """What a trial sees: what comes from outside, and its parameters by their names."""
        source = (Ref(f"ask[{n}]", "trial"),)
        outside = {port: Binding((Ref("", port),)) for port in self.ports}
        suggested = {name: Binding(source, expression=Parameter(name)) for name in self.parameters}
        computed = {
            port: binding._replace(expression=Computed(binding.expression, self.parameters))
            for port, binding in self.trial.inputs.items()
            if binding.expression is not None
        }
        return {**outside, **suggested, **computed}

    def _trial(self, n: int, history: Mapping[str, Binding]) -> Step:
        step = self.trial._replace(name=f"trial[{n}]", inputs=self._feeds(n))
        if not self.library.prunes:
            return step
        mine = {own_port("trial"): Binding((Ref(f"ask[{n}]", "trial"),)), PROGRESS: Binding()}
        return self._in_rounds(step, {**history, **mine})

    def _in_rounds(self, step: Step, more: Mapping[str, Binding]) -> Step:
        """A trial that the pruner may end after each of its rounds: a loop over the round itself and
        a call of the pruner."""
        assert step.loop is not None
        ports = (*step.inputs, *more)
        given = {port: Binding((Ref("", port),)) for port in ports}
        seen = {port: given[port] for port in step.inputs}
        round_ = step._replace(name="round", inputs=seen, loop=None, tolerant=False)
        call = self._call(PRUNE, ("trial", "told", "asked", "progress"), "progress")
        prune = _step(
            "prune",
            replace(call, measure=self.report),
            {**given, "outputs": _record("round", step.outputs)},
        )
        results = {port.name: Binding((Ref("round", port.name),)) for port in step.outputs}
        results[PROGRESS] = Binding((Ref("prune", "progress"),))
        loop = replace(
            step.loop,
            condition=Unpruned(step.loop.condition),
            carry={**step.loop.carry, PROGRESS: Carried()},
        )
        return step._replace(
            run=Workflow("trial", tuple(Port(port) for port in ports), (round_, prune), results),
            inputs={**step.inputs, **more},
            outputs=(*step.outputs, Port(PROGRESS)),
            loop=loop,
            retry=Retry(),
            cache=True,
        )

    def _tell(self, n: int) -> Step:
        feeds = {**self._feeds(n), own_port("trial"): Binding((Ref(f"ask[{n}]", "trial"),))}
        feeds["outputs"] = _record(f"trial[{n}]", self.trial.outputs)
        arguments: tuple[str, ...] = ("trial",)
        if self.library.prunes:
            arguments = ("trial", "progress")
            assert self.trial.loop is not None
            last = Last() if self.trial.loop.keep_all else None
            feeds[PROGRESS] = Binding((Ref(f"trial[{n}]", PROGRESS),), expression=last)
        call = self._call(TELL, arguments, "result")
        return _step(f"tell[{n}]", replace(call, measure=self.objective), feeds)

    def _best(self, told: Sequence[Ref]) -> Step:
        outputs = [
            Output("best"),
            Output("table", "trials.csv"),
            Output("storage", "study.log"),
        ]
        if self.plots:
            outputs.append(Output("plots", "study.png"))
        call = replace(self._call(CONCLUDE, ("told",)), products=Products(tuple(outputs), (), {}))
        return _step("best", call, {own_port("told"): _array(told)})

    def _call(self, function: str, arguments: tuple[str, ...], *returned: str) -> LibraryCall:
        products = Products(tuple(Output(port) for port in returned), (), {})
        return LibraryCall(self.library, function, arguments, products)


def own_port(argument: str) -> str:
    """The port of an argument of the library's: no name in a recipe can be such a one."""
    return f"study {argument}"


PROGRESS: Final = own_port("progress")


def _step(name: str, call: LibraryCall, inputs: Mapping[str, Binding]) -> Step:
    ports = tuple(Port(output.port) for output in call.products.outputs)
    return Step(name, call, inputs, ports, site=HERE)


def _array(sources: Sequence[Ref]) -> Binding:
    return Binding(tuple(sources), Merge.NESTED) if sources else Binding(default=[])


def _record(step: str, ports: Sequence[Port]) -> Binding:
    """All outputs of a step as one record."""
    sources = tuple(Ref(step, port.name) for port in ports)
    keys = tuple(port.name for port in ports)
    return Binding(sources, Merge.NESTED, expression=Record(keys))


def _of_best(port: str, trials: Sequence[str]) -> Binding:
    """The output of the best trial."""
    sources = (Ref("best", "best"), *(Ref(name, port) for name in trials))
    return Binding(sources, expression=OfBest(port))


def _whole(expression: Expression, inputs: Values, what: str) -> int:
    value = expression.evaluate(inputs)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError(f"'{what}' of the study takes a whole number from 1, gets {value!r:.40}")


# --- expressions that no recipe can write --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter from the record of its trial."""

    name: str
    names: Collection[str] = ("self",)

    def evaluate(self, values: Values) -> Value:
        return _mapping(_mapping(values["self"])["parameters"])[self.name]


@dataclass(frozen=True, slots=True)
class Computed:
    """An input of a trial from its parameters, which stand in the record of the trial by then."""

    expression: Expression
    parameters: tuple[str, ...]

    @property
    def names(self) -> Collection[str]:
        return self.expression.names

    def evaluate(self, values: Values) -> Value:
        read = [name for name in self.parameters if name in self.names]
        suggested = {name: _mapping(_mapping(values[name])["parameters"])[name] for name in read}
        return self.expression.evaluate({**values, **suggested})


@dataclass(frozen=True, slots=True)
class Record:
    """An array as a record with these keys."""

    keys: tuple[str, ...]
    names: Collection[str] = ("self",)

    def evaluate(self, values: Values) -> Value:
        found = values["self"]
        assert isinstance(found, Sequence)
        return dict(zip(self.keys, found, strict=True))


@dataclass(frozen=True, slots=True)
class Last:
    """The last element of an array; null where there is none."""

    names: Collection[str] = ("self",)

    def evaluate(self, values: Values) -> Value:
        found = values["self"]
        return found[-1] if isinstance(found, Sequence) and found else None


@dataclass(frozen=True, slots=True)
class Carried:
    """The progress of a trial after a round."""

    names: Collection[str] = ("outputs",)

    def evaluate(self, values: Values) -> Value:
        return _mapping(values["outputs"])[PROGRESS]


@dataclass(frozen=True, slots=True)
class Unpruned:
    """A loop's condition, as long as the pruner has not ended it."""

    condition: Expression

    @property
    def names(self) -> Collection[str]:
        return (*self.condition.names, PROGRESS)

    def evaluate(self, values: Values) -> Value:
        progress = values[PROGRESS]
        if progress is not None and _mapping(progress)["pruned"]:
            return False
        return self.condition.evaluate(values)


@dataclass(frozen=True, slots=True)
class OfBest:
    """An output of the best trial, among those of all."""

    port: str
    names: Collection[str] = ("best.best",)

    def evaluate(self, values: Values) -> Value:
        best = _mapping(values["best.best"])
        return values[f"trial[{best['trial']}].{self.port}"]


FOUND: Final = ("best", "table", "storage", "plots")


@dataclass(frozen=True, slots=True)
class Found:
    """What a study found, as one record."""

    names: Collection[str] = ("best.best",)

    def evaluate(self, values: Values) -> Value:
        return {port: values[f"best.{port}"] for port in FOUND}


def _mapping(value: Value) -> Mapping[str, Value]:
    assert isinstance(value, Mapping)
    return value
