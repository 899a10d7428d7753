"""Steps and links of a recipe as a CWL Workflow, and what is known of every value on the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import Final

from hepflow.model.portable import Attribute, Feed, Formula, Graph, Input, Node, Rounds, Work
from hepflow.model.types import ANY
from hepflow.model.workflow import From, Merge, Pick, Port, Ref, Required, Scatter
from hepflow_cwl.export.code import Js, member
from hepflow_cwl.export.document import Document, Mapped, expression
from hepflow_cwl.export.javascript import Names
from hepflow_cwl.export.tools import ToolWriter
from hepflow_cwl.export.types import (
    NULL,
    Known,
    array,
    cwl_type,
    join,
    numbers,
    of_value,
    optional,
    parameter,
    required,
)

Ports = Mapping[str, tuple[str, Known]]
"""Of each port: the id it has in the document, and what is known of it."""

_NOTHING: Final = "$(null)"
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class WorkflowWriter:
    """Writes one workflow.

    Args:
        given: what is known of its inputs.
        ids: of its inputs, where these cannot have their own names.
    """

    def __init__(
        self,
        graph: Graph,
        given: Mapping[str, Known],
        document: Document,
        ids: Mapping[str, str] = _NONE,
    ) -> None:
        self._graph = graph
        self._document = document
        self._given = given
        self._input_ids = {port.name: ids.get(port.name, port.name) for port in graph.inputs}
        self._known: dict[Ref, Known] = {}
        self._steps: dict[str, Mapped] = {}
        # Inputs, outputs and steps of a workflow share one set of names in CWL.
        taken = {*self._input_ids.values(), *graph.outputs}
        self._ids: dict[str, str] = {}
        for node in graph.nodes:
            own = f"{node.name}_step" if node.name in taken else node.name
            self._ids[node.name] = _unused(own, taken)
            taken.add(self._ids[node.name])
        self._taken = taken

    def write(self) -> tuple[Mapped, dict[str, Known]]:
        """The workflow, and what is known of its outputs."""
        inputs = {self._input_ids[port.name]: self._input(port) for port in self._graph.inputs}
        for port in self._graph.inputs:
            self._known[Ref("", port.name)] = self._given[port.name]
        for node in _in_order(self._graph):
            self._node(node)
        outputs: Mapped = {}
        known: dict[str, Known] = {}
        for name, feed in self._graph.outputs.items():
            outputs[name], known[name] = self._output(name, feed)
        written: Mapped = {"class": "Workflow"}
        if self._graph.doc:
            written["doc"] = self._graph.doc
        written.update(inputs=inputs, outputs=outputs, steps=self._ordered())
        return written, known

    def _ordered(self) -> Mapped:
        """The steps in the order of the recipe, what was added for one before it."""
        found: Mapped = {}
        for node in self._graph.nodes:
            own = self._ids[node.name]
            for name in [name for name in self._steps if name.startswith(f"{own}.")] + [own]:
                found[_plain_id(name)] = self._steps[name]
        for name, step in self._steps.items():
            found.setdefault(_plain_id(name), step)
        return found

    # --- inputs and outputs -----------------------------------------------------------------------

    def _input(self, port: Port) -> object:
        found: Mapped = {"type": cwl_type(self._given[port.name].type)}
        if not isinstance(port.default, Required | From) and port.default is not None:
            found["type"] = cwl_type(required(self._given[port.name].type))
            found["default"] = self._document.value(port.default)
        if port.doc:
            found["doc"] = port.doc
        return parameter(self._given[port.name].type) if len(found) == 1 else found

    def _output(self, name: str, feed: Feed) -> tuple[Mapped, Known]:
        if feed.formula is None and feed.default is None:
            known = self._gathered(feed)
            return {"type": cwl_type(known.type), **self._sources(feed, "outputSource")}, known
        if feed.formula is None:
            ports: dict[str, tuple[str, Known]] = {"value": ("value", self._gathered(feed))}
            entries: Mapped = {"value": self._entry(feed)}
            value = Js("inputs.value", ports["value"][1].type)
        else:
            refs = {f"{ref.step or 'inputs'}.{ref.port}": Feed((ref,)) for ref in feed.sources}
            ports = self._named(refs)
            entries = {ports[port][0]: self._entry(one) for port, one in refs.items()}
            value = self._document.formula(feed.formula, _names(ports))
        source = self._expression_step(f"{name}_output", entries, ports, value)
        known = Known(value.type, numbers(value.type) in ("int", "float", "none"))
        return {"type": cwl_type(value.type), "outputSource": source}, known

    # --- links ------------------------------------------------------------------------------------

    def _reference(self, ref: Ref) -> str:
        return f"{self._ids[ref.step]}/{ref.port}" if ref.step else self._input_ids[ref.port]

    def _sources(self, feed: Feed, key: str) -> Mapped:
        found: Mapped = {}
        names = [self._reference(ref) for ref in feed.sources]
        if len(names) > 1 or feed.merge is not None:
            self._document.features.add("MultipleInputFeatureRequirement")
            found[key] = names
            found["linkMerge"] = (feed.merge or Merge.NESTED).value
        elif names:
            found[key] = names[0]
        if feed.pick is not None:
            found["pickValue"] = feed.pick.value
        return found

    def _entry(self, feed: Feed) -> object:
        """What feeds an input of a step."""
        found = self._sources(feed, "source")
        if feed.default is not None:
            found["default"] = self._document.value(feed.default)
        if not found:
            self._document.features.add("StepInputExpressionRequirement")
            found["valueFrom"] = _NOTHING
        return found["source"] if list(found) == ["source"] and len(feed.sources) == 1 else found

    def _gathered(self, feed: Feed) -> Known:
        """What is known of the value that links and default give (as the engine gathers it)."""
        if not feed.sources:
            return Known(of_value(feed.default))
        sources = [self._known[ref] for ref in feed.sources]
        whole = sources[0].type
        several = len(sources) > 1 or feed.merge is not None
        for known in sources if several else ():
            one = known.type
            if feed.merge is Merge.FLATTENED and required(one).items is not None:
                one = one.items or ANY
            whole = one if known is sources[0] else join(whole, one)
        if several:
            whole = array(whole)
        if feed.pick is not None:
            items = ANY if whole.items is None else required(whole.items)
            whole = array(items) if feed.pick is Pick.ALL_NON_NULL else items
        if feed.default is not None:
            whole = join(required(whole), of_value(feed.default))
        return Known(whole, all(known.exact for known in sources))

    # --- steps ------------------------------------------------------------------------------------

    def _node(self, node: Node) -> None:
        kept = _inner_ids(node.run) if isinstance(node.run, Graph) else {}
        ports = self._named(node.inputs, kept, {port.name for port in node.outputs})
        entries: Mapped = {ports[port][0]: self._entry(feed) for port, feed in node.inputs.items()}
        self._scatter(node, ports, entries)
        raw = dict(ports)
        for port, feed in node.inputs.items():
            if feed.formula is not None and port not in node.scatter:
                value, code, exact = self._computed(feed.formula, raw)
                self._document.features.add("StepInputExpressionRequirement")
                entries[ports[port][0]] = {"valueFrom": code}
                ports[port] = (ports[port][0], Known(value.type, exact))
        step: Mapped = {"in": entries}
        if node.doc:
            step["doc"] = node.doc
        if node.scatter:
            self._document.features.add("ScatterFeatureRequirement")
            names = [ports[port][0] for port in node.scatter]
            step["scatter"] = names if len(names) > 1 else names[0]
            if len(names) > 1:
                step["scatterMethod"] = node.method.value
        if node.when is not None:
            step["when"] = expression(self._document.formula(node.when, _names(ports)).truth)
        step["run"], outputs = self._run(node, ports)
        step["out"] = [output.name for output in node.outputs]
        for output in node.outputs:
            known = outputs.get(output.name, Known(ANY))
            self._known[Ref(node.name, output.name)] = _from_outside(node, known)
        self._steps[self._ids[node.name]] = step

    def _named(
        self,
        feeds: Mapping[str, Feed],
        kept: Mapping[str, str] = _NONE,
        taken: Collection[str] = (),
    ) -> dict[str, tuple[str, Known]]:
        """For each port an id that CWL takes, and what its links give.

        Args:
            kept: the ids of those ports that are inputs of the workflow that is run.
            taken: names that no other may have.
        """
        used = {*kept.values(), *taken}
        found: dict[str, tuple[str, Known]] = {}
        for port, feed in feeds.items():
            name = kept.get(port) or _unused(_plain_id(port), used)
            used.add(name)
            found[port] = (name, self._gathered(feed))
        return found

    def _scatter(self, node: Node, ports: dict[str, tuple[str, Known]], entries: Mapped) -> None:
        """Scattered ports stand for their elements; arrays that are computed get a step for that."""
        whole = dict(ports)
        for port in node.scatter:
            name, known = ports[port]
            found = node.inputs[port].formula
            if found is not None:
                value = self._document.formula(found, _names(whole))
                needed = {one: whole[one] for one in found.names}
                feeds: Mapped = {needed[one][0]: self._entry(node.inputs[one]) for one in needed}
                helper = f"{self._ids[node.name]}.{name}"
                entries[name] = self._expression_step(helper, feeds, needed, value)
                known = Known(value.type, numbers(value.type) != "unknown")
            ports[port] = (name, Known(known.type.items or ANY, known.exact))

    def _computed(self, found: Formula, ports: Ports) -> tuple[Js, str, bool]:
        """A value, how the document gives it, and whether its numbers stay as they were."""
        names = _names(ports)
        if isinstance(found.value, Input):
            value = names.ports[found.value.port]
            return value, expression(value.code), ports[found.value.port][1].exact
        value = self._document.formula(found, names)
        return value, expression(value.result), numbers(value.type) != "unknown"

    def _expression_step(self, name: str, entries: Mapped, ports: Ports, value: Js) -> str:
        """A step that computes one value; gives the link to it."""
        own = name if "." in name else _unused(name, self._taken)
        self._taken.add(_plain_id(own))
        result = _unused("value", {name for name, _ in ports.values()})
        tool: Mapped = {
            "class": "ExpressionTool",
            "inputs": {name: parameter(known.type) for name, known in ports.values()},
            "outputs": {result: parameter(value.type)},
            "expression": f"${{ return {{{result}: {value.result}}}; }}",
        }
        if "\n" in value.result:
            tool["expression"] = expression(f"{{{result}: {value.result}}}")
        self._steps[own] = {"in": entries, "run": tool, "out": [result]}
        return f"{_plain_id(own)}/{result}"

    # --- what a step runs -------------------------------------------------------------------------

    def _run(self, node: Node, ports: Ports) -> tuple[Mapped, dict[str, Known]]:
        if node.loop is None:
            return self._process(node, ports, self._document)
        return self._looped(node, node.loop, dict(ports))

    def _process(
        self, node: Node, ports: Ports, document: Document
    ) -> tuple[Mapped, dict[str, Known]]:
        """The tool or workflow of one invocation, and what is known of its outputs."""
        if isinstance(node.run, Work):
            return ToolWriter(node, node.run, ports, document).write()
        document.features.add("SubworkflowFeatureRequirement")
        given = {}
        for port in node.run.inputs:
            known = ports[port.name][1] if port.name in ports else Known(NULL)
            if not isinstance(port.default, Required | From):
                fallback = of_value(port.default)
                known = Known(join(required(known.type), fallback), known.exact)
                if ports.get(port.name, ("", Known(NULL)))[1].type == NULL:
                    known = Known(fallback)
            given[port.name] = known
        return WorkflowWriter(node.run, given, document, _inner_ids(node.run)).write()

    def _looped(
        self, node: Node, loop: Rounds, ports: dict[str, tuple[str, Known]]
    ) -> tuple[Mapped, dict[str, Known]]:
        """A workflow around the step: CWL's loops go together with neither scatter nor `when`."""
        document = self._document
        document.features |= {"cwltool", "SubworkflowFeatureRequirement"}
        outputs = self._settled(node, loop, ports)
        process, _ = self._process(node, ports, document)
        names = _names(ports)
        taken = {name for name, _ in ports.values()} | {port.name for port in node.outputs}
        step, counter = _unused("rounds", taken), _unused("number", taken)
        if outputs:
            document.features |= {"MultipleInputFeatureRequirement"}
        document.features.add("StepInputExpressionRequirement")
        inner = replace(names, ports={**names.ports, **_of_round(outputs)})
        carried: list[Mapped] = []
        for port, found in loop.carry.items():
            value = document.formula(found, inner)
            code = value.code if _is_output(found) else value.result
            one: Mapped = {"id": ports[port][0], "valueFrom": expression(code)}
            if outputs:
                one["loopSource"] = [f"{step}/{name}" for name in outputs]
                one["linkMerge"] = "merge_nested"
            carried.append(one)
        carried.append({"id": counter, "valueFrom": f"$(inputs.{counter} + 1)"})
        again = document.formula(loop.condition, names).truth
        condition = expression(f"hep.goesOn({again}, inputs.{counter}, {loop.limit})")
        requirement: Mapped = {
            "loopWhen": condition,
            "loop": carried,
            "outputMethod": "all" if loop.keep_all else "last",
        }
        entries: Mapped = {name: name for name, _ in ports.values()}
        entries[counter] = {"default": 0}
        rounds: Mapped = {
            "in": entries,
            "run": process,
            "out": list(outputs),
            "requirements": {"cwltool:Loop": requirement},
        }
        known = {
            name: Known(array(one.type) if loop.keep_all else optional(one.type), one.exact)
            for name, one in outputs.items()
        }
        written: Mapped = {
            "class": "Workflow",
            "inputs": {name: parameter(one.type) for name, one in ports.values()},
            "outputs": {
                name: {"type": cwl_type(one.type), "outputSource": f"{step}/{name}"}
                for name, one in known.items()
            },
            "steps": {step: rounds},
        }
        return written, known

    def _settled(
        self, node: Node, loop: Rounds, ports: dict[str, tuple[str, Known]]
    ) -> dict[str, Known]:
        """Widens what is known of the ports until it holds in every round; what is known of outputs."""
        while True:
            scratch = Document(self._document.locate)
            _, outputs = self._process(node, ports, scratch)
            names = _names(ports)
            names = replace(names, ports={**names.ports, **_of_round(outputs)})
            before = dict(ports)
            for port, found in loop.carry.items():
                value = scratch.formula(found, names).type
                name, known = ports[port]
                exact = known.exact and (numbers(value) != "unknown" or _is_output(found))
                ports[port] = (name, Known(join(known.type, value), exact))
            if before == ports:
                return outputs


# --- small things ---------------------------------------------------------------------------------


def _in_order(graph: Graph) -> list[Node]:
    """The steps, each after those it takes something from."""
    nodes = {node.name: node for node in graph.nodes}
    needs = {
        node.name: [ref.step for feed in node.inputs.values() for ref in feed.sources if ref.step]
        for node in graph.nodes
    }
    return [nodes[name] for name in TopologicalSorter(needs).static_order()]


def _inner_ids(graph: Graph) -> dict[str, str]:
    """The ids of the inputs of a workflow inside another: none is also that of an output."""
    taken = set(graph.outputs)
    found: dict[str, str] = {}
    for port in graph.inputs:
        found[port.name] = _unused(port.name, taken)
        taken.add(found[port.name])
    return found


def _names(ports: Ports) -> Names:
    return Names(
        {port: Js(member("inputs", name), known.type) for port, (name, known) in ports.items()}
    )


def _of_round(outputs: Mapping[str, Known]) -> dict[str, Js]:
    """The outputs of a finished round, which a loop hands over as one array."""
    return {
        f"outputs.{name}": Js(f"self[{position}]", known.type)
        for position, (name, known) in enumerate(outputs.items())
    }


def _is_output(found: Formula) -> bool:
    """Whether an expression hands on an output of a round as it is."""
    return isinstance(found.value, Attribute) and found.value.of == Input("outputs")


def _from_outside(node: Node, known: Known) -> Known:
    """What others see of an output: null where nothing ran, arrays where it is scattered."""
    found = optional(known.type) if node.when is not None else known.type
    if node.scatter:
        depth = len(node.scatter) if node.method is Scatter.NESTED else 1
        for _ in range(depth):
            found = array(found)
    return Known(found, known.exact)


def _plain_id(name: str) -> str:
    return name.replace(".", "_")


def _unused(name: str, taken: set[str]) -> str:
    """A name that nobody has yet, as like the given one as can be."""
    found, count = name, 1
    while _plain_id(found) in taken:
        count += 1
        found = f"{name}_{count}"
    return found
