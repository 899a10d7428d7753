"""Which names an expression may use, and which port each of them reads.

Every name from outside a step becomes a hidden port of the step (its name holds a dot), so that
the engine sees all dependencies as ordinary links.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple, TypeAlias

from hepflow.model.types import Type
from hepflow.model.workflow import Binding, Port, Ref
from hepflow.recipe.faults import nearest, suggestion

FUNCTIONS: Final = frozenset({
    "range", "enumerate", "zip", "len", "min", "max", "sum", "abs", "round", "int", "float", "str",
    "sorted", "dict", "namespace", "joiner", "cycler", "lipsum",
})  # fmt: skip
RESOURCES: Final = ("cpus", "memory_mib", "disk_mib", "gpus", "gpu_kind", "walltime_s")
RESERVED: Final = frozenset(
    {"inputs", "outputs", "resources", "self", "loop", "true", "false", "none"}
)
"""Names that mean something in every expression; no step or scatter variable may take them."""

PORT: Final = 0
OUTPUT: Final = 1
RESOURCE: Final = 2

Chain: TypeAlias = tuple[str, ...]
Report: TypeAlias = Callable[[str, str, str, str], None]
"""Called with a code, the name at fault, what is wrong with it, and how to mend it."""


class Access(NamedTuple):
    """Where a dotted name's value is: a port, an output's file name, or a resource.

    Args:
        attributes: what to take from the value, one after the other.
    """

    kind: int
    name: str
    attributes: Chain = ()


class Shape(NamedTuple):
    """What others see of a step.

    Args:
        outputs: name -> port, with the type of one invocation's value.
        depth: how many arrays its scatter wraps around each output.
        optional: its ``when`` may leave the outputs null.
    """

    outputs: Mapping[str, Port]
    depth: int = 0
    optional: bool = False

    def type_of(self, port: str) -> Type:
        """The type of the gathered value of an output."""
        found = self.outputs[port].type
        if self.optional and found.name != "any":
            found = Type(found.name, found.items, found.symbols, True)
        for _ in range(self.depth):
            found = Type("array", items=found)
        return found


class Surroundings(NamedTuple):
    """What one workflow's links and expressions can reach."""

    inputs: Mapping[str, Type]
    steps: Mapping[str, Shape]


class Scope:
    """The names of one place in a recipe; notes which hidden ports are needed.

    Args:
        own: the step's own inputs, reached as ``inputs.x`` before the workflow's.
        variables: scatter variables, reached by their bare names.
        outputs: names allowed after ``outputs.``; ``None`` where there are none.
        outputs_are_values: ``outputs`` is a port (in a loop) rather than a file name.
        resources: whether ``resources.cpus`` and the like may be used.
        paths: names of output files that are the same for all invocations.
        hidden: filled with the hidden ports that were needed.
    """

    __slots__ = (
        "around", "hidden", "outputs", "outputs_are_values", "own", "paths", "resources", "variables",
    )  # fmt: skip

    def __init__(
        self,
        around: Surroundings,
        *,
        own: Collection[str] = (),
        variables: Collection[str] = (),
        outputs: Collection[str] | None = None,
        outputs_are_values: bool = False,
        resources: bool = False,
        paths: Mapping[str, str] | None = None,
        hidden: dict[str, Binding] | None = None,
    ) -> None:
        self.around = around
        self.own = own
        self.variables = variables
        self.outputs = outputs
        self.outputs_are_values = outputs_are_values
        self.resources = resources
        self.paths: Mapping[str, str] = paths or {}
        self.hidden: dict[str, Binding] = {} if hidden is None else hidden

    def resolve(self, chain: Chain, report: Report) -> Access | None:
        """What a dotted name reads; ``None`` after reporting why it cannot be read."""
        root = chain[0]
        if root in self.variables:
            return Access(PORT, root, chain[1:])
        if len(chain) > 1:
            if root == "inputs":
                return self._input(chain, report)
            if root in self.around.steps:
                return self._output_of(chain, report)
            if root == "outputs" and self.outputs is not None:
                return self._own_output(chain, self.outputs, report)
            if root == "resources" and self.resources:
                if chain[1] in RESOURCES:
                    return Access(RESOURCE, chain[1], chain[2:])
                fix = suggestion(chain[1], RESOURCES)
                report("HF208", ".".join(chain[:2]), f"no resource '{chain[1]}'", fix)
                return None
        self._unknown(chain, report)
        return None

    def members(self, root: str) -> list[str]:
        """All names that may follow ``root``, for expressions that use it as a whole."""
        if root == "inputs":
            return list(dict.fromkeys((*self.own, *self.around.inputs)))
        if root == "outputs" and self.outputs is not None:
            return list(self.outputs)
        if root == "resources" and self.resources:
            return list(RESOURCES)
        return []

    def _input(self, chain: Chain, report: Report) -> Access | None:
        name = chain[1]
        if name in self.own:
            return Access(PORT, name, chain[2:])
        if name in self.around.inputs:
            hidden = f"inputs.{name}"
            if hidden not in self.hidden:
                self.hidden[hidden] = Binding((Ref("", name),))
            return Access(PORT, hidden, chain[2:])
        if name in self.variables:
            what, fix = f"'{name}' is a scatter variable, not an input", f"write {name} alone"
        else:
            what = f"no input '{name}'"
            fix = suggestion(name, self.members("inputs"), "inputs") or "declare it under 'inputs'"
        report("HF201", f"inputs.{name}", what, fix)
        return None

    def _output_of(self, chain: Chain, report: Report) -> Access | None:
        step, port = chain[0], chain[1]
        shape = self.around.steps[step]
        if port not in shape.outputs:
            fix = suggestion(port, shape.outputs, f"outputs of '{step}'")
            what = f"step '{step}' has no output '{port}'"
            report("HF202", f"{step}.{port}", what, fix or f"'{step}' declares no outputs")
            return None
        hidden = f"{step}.{port}"
        if hidden not in self.hidden:
            self.hidden[hidden] = Binding((Ref(step, port),))
        return Access(PORT, hidden, chain[2:])

    def _own_output(self, chain: Chain, outputs: Collection[str], report: Report) -> Access | None:
        name = chain[1]
        if name not in outputs:
            fix = suggestion(name, outputs, "outputs") or "declare it under 'outputs' of the step"
            report("HF202", f"outputs.{name}", f"the step has no output '{name}'", fix)
            return None
        if self.outputs_are_values:
            return Access(PORT, "outputs", chain[1:])
        return Access(OUTPUT, name, chain[2:])

    def _unknown(self, chain: Chain, report: Report) -> None:
        root = chain[0]
        dotted = ".".join(chain[:2])
        if root in self.own or root in self.around.inputs:
            report("HF204", root, f"the name '{root}' is not known here", f"write inputs.{root}")
            return
        if root in self.around.steps:
            ports = list(self.around.steps[root].outputs)
            fix = f"name an output: {root}.{ports[0]}" if ports else f"'{root}' declares no outputs"
            report("HF204", root, f"'{root}' is a step, not a value", fix)
            return
        if root in ("outputs", "resources", "inputs") and len(chain) > 1:
            report("HF204", dotted, f"'{root}' cannot be used here", "")
            return
        names = [*self.variables, *self.around.steps, *self.members("inputs"), "inputs", *FUNCTIONS]
        near = nearest(root, names)
        if near in self.own or near in self.around.inputs:
            near = f"inputs.{near}"
        if near:
            fix = f"did you mean '{near}'?"
        else:
            known = ", ".join([*list(self.variables)[:10], *(["inputs.NAME"] if self.members("inputs") else []),
                               *(["STEP.OUTPUT"] if self.around.steps else [])])  # fmt: skip
            fix = f"known here: {known}" if known else ""
        report("HF204", root, f"the name '{root}' is not known here", fix)
