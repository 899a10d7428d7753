"""cwltool's workflows as the model's: steps, links, scatter, conditions and loops.

Owns how CWL's rules for values on their way (CWL v1.2, Workflow, section 2.1) are said in the
model's words. Runs nothing and evaluates nothing.

A step's input with ``valueFrom`` becomes two ports: a hidden one, ``raw.x``, for what comes along
its links, and ``x``, computed from the raw values of all inputs of the step. What only expressions
see, because the tool has no such input, is a hidden port as well, ``only.x``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from sys import maxsize
from typing import Any, Final

from cwltool.process import Process, shortname
from cwltool.utils import aslist
from cwltool.workflow import Workflow as CwlWorkflow
from cwltool.workflow import WorkflowStep

from hepflow.model.errors import Place, Problem, RecipeError
from hepflow.model.values import Value
from hepflow.model.workflow import (
    REQUIRED,
    Binding,
    Loop,
    Merge,
    Pick,
    Port,
    Ref,
    Required,
    Scatter,
    Step,
    Tool,
    Workflow,
)
from hepflow_cwl.expressions import CARRIED, Carry, Evaluation, needed
from hepflow_cwl.jobs import intake_of, read_job
from hepflow_cwl.places import place_of
from hepflow_cwl.scripts import Listing, Reading, Script
from hepflow_cwl.setup import Setup
from hepflow_cwl.tools import tool_for
from hepflow_cwl.types import type_of
from hepflow_cwl.values import from_cwl

RAW: Final = "raw."
ONLY: Final = "only."


def workflow_of(process: Process, source: str, setup: Setup) -> Workflow:
    """The model's workflow for a loaded process; a tool becomes a workflow of one step.

    Args:
        source: the document's path or URL, with ``#id`` where one was asked for.

    Raises:
        RecipeError: it needs what it does not declare, or what cannot be had here.
    """
    name = Path(source.partition("#")[0]).stem
    if isinstance(process, CwlWorkflow):
        translation = _Translation(process, setup)
        steps, outputs = translation.steps(), translation.outputs()
        if translation.problems:
            raise RecipeError(translation.problems)
    else:
        step = _only_step(process, name, setup)
        steps = (step,)
        outputs = {port.name: Binding((Ref(step.name, port.name),)) for port in step.outputs}
    return Workflow(
        name, _ports(process), steps, outputs, _doc(process.tool), source,
        prepare=intake_of(process, setup), read=read_job,
    )  # fmt: skip


def _only_step(process: Process, name: str, setup: Setup) -> Step:
    inputs = {port.name: Binding((Ref("", port.name),)) for port in _ports(process)}
    tool = process.tool
    return Step(
        name, tool_for(process, setup), inputs, _outputs(process, tool["outputs"]),
        cache=_may_be_cached(process), doc=_doc(tool), place=place_of(tool),
    )  # fmt: skip


def _ports(process: Process) -> tuple[Port, ...]:
    return tuple(
        Port(
            shortname(entry["id"]),
            type_of(entry["type"], process.schemaDefs),
            _default(entry),
            _doc(entry),
            place_of(entry),
        )
        for entry in process.tool["inputs"]
    )


def _default(entry: Mapping[str, Any]) -> Value | Required:
    if entry.get("default") is not None:
        return from_cwl(entry["default"])
    return None if "null" in aslist(entry["type"]) else REQUIRED


def _outputs(process: Process, entries: list[Any]) -> tuple[Port, ...]:
    return tuple(
        Port(
            shortname(entry["id"]),
            type_of(entry["type"], process.schemaDefs),
            place=place_of(entry),
        )
        for entry in entries
    )


def _doc(entry: Mapping[str, Any]) -> str:
    text = entry.get("doc") or entry.get("label") or ""
    return "\n".join(text) if isinstance(text, list) else str(text)


def _may_be_cached(process: Process) -> bool:
    """CWL v1.2, WorkReuse. (An expression there is the tool's to evaluate.)"""
    requirement, _ = process.get_requirement("WorkReuse")
    return requirement is None or requirement.get("enableReuse") is not False


class _Translation:
    """One workflow of cwltool on its way into the model."""

    def __init__(self, process: CwlWorkflow, setup: Setup) -> None:
        self.problems: list[Problem] = []
        self._process = process
        self._setup = setup
        self._inputs = {entry["id"]: entry for entry in process.tool["inputs"]}
        self._refs = {uri: Ref("", shortname(uri)) for uri in self._inputs}
        for step in process.steps:
            for entry in step.tool["outputs"]:
                self._refs[entry["id"]] = Ref(shortname(step.id), shortname(entry["id"]))
        self._several = self._declared("MultipleInputFeatureRequirement")
        self._computed = self._declared("StepInputExpressionRequirement")

    def steps(self) -> tuple[Step, ...]:
        """All steps, in the document's order (the library shuffles them)."""
        order = {entry["id"]: number for number, entry in enumerate(self._process.tool["steps"])}
        found = sorted(self._process.steps, key=lambda step: order[step.id])
        return tuple(_StepTranslation(self, step).step() for step in found)

    def outputs(self) -> dict[str, Binding]:
        """The workflow's outputs and what feeds them."""
        return {
            shortname(entry["id"]): self.binding(entry, "outputSource")
            for entry in self._process.tool["outputs"]
        }

    def binding(self, entry: Any, field: str) -> Binding:
        """What feeds a step's input or a workflow's output (CWL v1.2, Workflow, "Merging")."""
        uris = _uris(entry, field)
        if len(uris) > 1 and not self._several:
            self._missing("MultipleInputFeatureRequirement", "several sources", entry, field)
        default = from_cwl(entry["default"]) if entry.get("default") is not None else None
        merge, pick = merging(entry, len(uris))
        return Binding(tuple(self._refs[uri] for uri in uris), merge, pick, default)

    def run(self, process: Process) -> Tool | Workflow:
        """What a step runs."""
        if not isinstance(process, CwlWorkflow):
            return tool_for(process, self._setup)
        inner = _Translation(process, self._setup)
        steps, outputs = inner.steps(), inner.outputs()
        self.problems.extend(inner.problems)
        name = shortname(process.tool["id"])
        return Workflow(name, _ports(process), steps, outputs, _doc(process.tool))

    def script(self, text: str, what: str, place: Place, step: WorkflowStep) -> Script:
        """An expression of a step. JavaScript is allowed, and its library given, by the workflow;
        else by the step."""
        library: tuple[str, ...] | None = None
        requirements: list[Any] = [*step.requirements, *self._process.requirements]
        for requirement in requirements:
            if requirement["class"] == "InlineJavascriptRequirement":
                library = tuple(requirement.get("expressionLib", ()))
        setup = self._setup
        return Script(text, what, place, library, setup.js_timeout_s, setup.js_console)

    def computes(self, entry: Any) -> None:
        """Note it where a step computes an input without saying that it needs to."""
        if not self._computed:
            self._missing("StepInputExpressionRequirement", "'valueFrom'", entry, "valueFrom")

    def contents(self, uris: list[str]) -> bool:
        """Whether one of these sources is an input of the workflow that comes with its contents."""
        entries = [self._inputs[uri] for uri in uris if uri in self._inputs]
        return any(
            entry.get("loadContents") or (entry.get("inputBinding") or {}).get("loadContents")
            for entry in entries
        )

    def listing(self, uris: list[str]) -> Listing:
        """How far directories from these sources come with their listing."""
        entries = [self._inputs[uri] for uri in uris if uri in self._inputs]
        requirement, _ = self._process.get_requirement("LoadListingRequirement")
        asked = [entry.get("loadListing") for entry in entries] if uris else []
        asked.append((requirement or {}).get("loadListing"))
        return next((Listing(word) for word in asked if word), Listing.NONE)

    def _declared(self, requirement: str) -> bool:
        return self._process.get_requirement(requirement)[0] is not None

    def _missing(self, requirement: str, what: str, entry: Any, field: str) -> None:
        self.problems.append(
            Problem(
                place_of(entry, field), "HF243", f"{what} of '{shortname(entry['id'])}' without {requirement}",
                "CWL wants a workflow to declare what it uses",
                f"add '{requirement}: {{}}' to the workflow's requirements",
            )
        )  # fmt: skip


class _StepTranslation:
    """One step on its way into the model."""

    def __init__(self, workflow: _Translation, step: WorkflowStep) -> None:
        self._workflow = workflow
        self._step = step
        self._entries: dict[str, Any] = {shortname(e["id"]): e for e in step.tool["inputs"]}
        self._name = shortname(step.id)
        self._raw = tuple(
            self._reading(name, self._raw_port(name), entry)
            for name, entry in self._entries.items()
        )

    def step(self) -> Step:
        """The model's step."""
        tool, process = self._step.tool, self._step.embedded_tool
        scatter = [shortname(uri) for uri in _uris(tool, "scatter")]
        loop = self._loop() if tool.get("loop") else None
        return Step(
            name=self._name,
            run=self._workflow.run(process),
            inputs={**self._unfed(), **dict(self._fed()), **self._carried_only(loop)},
            outputs=_outputs(process, tool["outputs"]),
            scatter=tuple(self._raw_port(name) for name in scatter),
            method=Scatter(tool.get("scatterMethod", Scatter.DOT.value)),
            when=self._condition() if "when" in tool and loop is None else None,
            loop=loop,
            cache=_may_be_cached(process),
            doc=_doc(tool),
            place=place_of(tool),
        )

    # --- ports --------------------------------------------------------------------------------

    def _is_computed(self, name: str) -> bool:
        return name in self._entries and "valueFrom" in self._entries[name]

    def _port(self, name: str) -> str:
        """The port that has the value of an input as the tool and conditions see it."""
        entry = self._entries.get(name)
        return name if entry is not None and not entry.get("not_connected") else ONLY + name

    def _raw_port(self, name: str) -> str:
        """The port that has the value of an input as expressions of inputs see it."""
        return RAW + name if self._is_computed(name) else self._port(name)

    def _reading(self, name: str, port: str, entry: Any) -> Reading:
        uris = _uris(entry, "source")
        contents = bool(entry.get("loadContents")) or self._workflow.contents(uris)
        # The library loads the whole listing for whatever has a valueFrom.
        deep = "valueFrom" in entry
        listing = Listing.DEEP if deep else self._workflow.listing(uris)
        return Reading(name, port, contents, listing)

    def _fed(self) -> Iterator[tuple[str, Binding]]:
        for name, entry in self._entries.items():
            yield self._raw_port(name), self._workflow.binding(entry, "source")
            if self._is_computed(name):
                self._workflow.computes(entry)
                itself = self._reading(name, RAW + name, entry)
                computed = self._evaluation(
                    entry, "valueFrom", f"valueFrom of '{name}'", self._raw, itself
                )
                yield self._port(name), Binding(expression=computed)

    def _unfed(self) -> dict[str, Binding]:
        """Inputs of the tool that the step leaves to their defaults: as bindings, so that files
        among them are digested like any other input."""
        entries = self._step.embedded_tool.tool["inputs"]
        found = {shortname(entry["id"]): entry.get("default") for entry in entries}
        return {
            name: Binding(default=from_cwl(default))
            for name, default in found.items()
            if default is not None and name not in self._entries
        }

    # --- expressions --------------------------------------------------------------------------

    def _evaluation(
        self,
        entry: Any,
        field: str,
        what: str,
        reads: tuple[Reading, ...],
        itself: Reading | None = None,
    ) -> Evaluation:
        script = self._workflow.script(
            str(entry[field]), f"{what} of step '{self._name}'", place_of(entry, field), self._step
        )
        return Evaluation(script, needed(script, reads), itself)

    def _visible(self, also: tuple[str, ...] = ()) -> tuple[Reading, ...]:
        """What conditions and loops see: the values as the tool gets them."""
        names = dict.fromkeys([*self._entries, *also])
        nothing: dict[str, Any] = {}
        return tuple(
            self._reading(name, self._port(name), self._entries.get(name, nothing))
            for name in names
        )

    def _condition(self, also: tuple[str, ...] = ()) -> Evaluation:
        found = self._evaluation(self._step.tool, "when", "'when'", self._visible(also))
        return replace(found, truth=True)

    def _loop(self) -> Loop:
        tool = self._step.tool
        entries = {shortname(entry["id"]): entry for entry in tool["loop"]}
        return Loop(
            self._condition(tuple(entries)),
            {self._port(name): self._carry(name, entry) for name, entry in entries.items()},
            keep_all=tool.get("outputMethod") == "all_iterations",
            limit=maxsize,  # CWL knows no limit
        )

    def _carry(self, name: str, entry: Any) -> Carry:
        uris = _uris(entry, "outputSource")
        then = None
        if "valueFrom" in entry:
            itself = Reading(name, CARRIED, listing=Listing.DEEP)
            then = self._evaluation(
                entry, "valueFrom", f"valueFrom of '{name}' in the loop", self._visible(), itself
            )
        merge, pick = merging(entry, len(uris))
        default = from_cwl(entry["default"]) if "default" in entry else None
        return Carry(tuple(shortname(uri) for uri in uris), merge, pick, default, then)

    def _carried_only(self, loop: Loop | None) -> dict[str, Binding]:
        """Ports for what a loop carries on though the step has no such input."""
        if loop is None:
            return {}
        known = {self._port(name) for name in self._entries}
        return {port: Binding() for port in loop.carry if port not in known}


def _uris(entry: Any, field: str) -> list[str]:
    """The identifiers in a field that takes one, several or none."""
    return list(aslist(entry[field])) if field in entry else []


def merging(entry: Any, sources: int) -> tuple[Merge | None, Pick | None]:
    """How an entry's sources become one value: nested, where there are several and nothing is said
    (CWL v1.2, LinkMergeMethod)."""
    word = entry.get("linkMerge", Merge.NESTED.value if sources > 1 else None)
    return (
        Merge(word) if word and sources else None,
        Pick(entry["pickValue"]) if "pickValue" in entry else None,
    )
