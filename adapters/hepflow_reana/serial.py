"""The serial type: steps that run one after another in one workspace.

Each step is a task that starts with a copy of the workspace as it was and leaves the workspace as it
is: so a step is done once for the same commands and the same workspace, and one that was interrupted
starts anew from a workspace nobody has touched. (docs/decisions/0017)
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import normpath
from string import Template
from typing import Any, Final

from hepflow.model.errors import Problem, RecipeError
from hepflow.model.task import Container, Outcome, Output, Resources, Shell, Staged, Task
from hepflow.model.types import Type
from hepflow.model.values import Directory, File, Values, canonical
from hepflow.model.workflow import Binding, PlanContext, Port, Ref, Step, Workflow
from hepflow_reana.document import Document, Keys
from hepflow_reana.hints import BadHint, resources_of
from hepflow_reana.interface import WORKSPACE, Entry, Interface, as_name, nearest

STEPS: Final[Keys] = ("workflow", "specification", "steps")


@dataclass(frozen=True, slots=True)
class StepTool:
    """One step.

    Args:
        commands: each is run by a shell of its own, as on REANA; parameters stand in them as ``${name}``.
        parameters: the names in them.
        brings: the files and directories that the user brings, for the first step.
        outputs: what it must leave.
    """

    commands: tuple[str, ...]
    parameters: tuple[str, ...]
    brings: tuple[Entry, ...]
    outputs: tuple[Output, ...]
    image: str
    resources: Resources

    def fingerprint(self, inputs: Values) -> str:
        lines = ["reana=serial", *(f"command={line!r}" for line in self.commands)]
        lines.append(f"container={self.image}")
        lines += [f"outputs={output.path}" for output in self.outputs]
        lines += [f"parameters.{name}={canonical(inputs[name])}" for name in self.parameters]
        lines += [f"{item.path}={canonical(inputs[item.port])}" for item in self.brings]
        if not self.brings:
            lines.append(f"workspace={canonical(inputs.get(WORKSPACE))}")
        return "\n".join(lines)

    def plan(self, inputs: Values, context: PlanContext) -> Task:
        values = {name: inputs[name] for name in self.parameters}
        shells = [
            f"bash -c {shlex.quote(Template(line).substitute(values))}" for line in self.commands
        ]
        return Task(
            Shell("\n".join([f"cd {WORKSPACE}", *shells])),
            self.outputs,
            self.resources,
            stage=tuple(self._staged(inputs)),
            container=Container(self.image) if self.image else None,
        )

    def _staged(self, inputs: Values) -> Iterator[Staged]:
        """The workspace, of which each step has a copy that it may change."""
        before = inputs.get(WORKSPACE, Directory(""))
        if isinstance(before, Directory):
            yield Staged(before, WORKSPACE, writable=bool(before.location))
        for item in self.brings:
            what = inputs[item.port]
            if isinstance(what, File | Directory):
                yield Staged(what, normpath(f"{WORKSPACE}/{item.path}"), writable=True)

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        return outcome.outputs


def serial_workflow(document: Document, interface: Interface, name: str) -> Workflow:
    """The workflow of a serial specification.

    Raises:
        RecipeError: a command asks for a parameter that is not there, or a hint cannot be read: every
            fault.
    """
    specification = document.data["workflow"].get("specification")
    if specification is None:
        problem = document.problem(
            ("workflow", "file"), "a serial workflow in a file of its own is not read",
            fix="write its steps under 'specification'",
        )  # fmt: skip
        raise RecipeError(problem)
    steps: Sequence[Mapping[str, Any]] = specification["steps"]
    problems = [
        problem
        for position, step in enumerate(steps)
        for problem in _faults(document, step, position, interface)
    ]
    if problems:
        raise RecipeError(problems)
    made = tuple(_steps(document, steps, interface))
    last = made[-1].name
    ports = [entry.port for entry in interface.outputs] or [WORKSPACE]
    return Workflow(
        name,
        interface.inputs,
        made,
        {port: Binding((Ref(last, port),)) for port in ports},
        source=str(document.path),
    )


def _steps(
    document: Document, steps: Sequence[Mapping[str, Any]], interface: Interface
) -> Iterator[Step]:
    before = ""
    taken: set[str] = set()
    for position, step in enumerate(steps):
        name = as_name(str(step.get("name") or f"step{position + 1}"), taken)
        is_last = position == len(steps) - 1
        tool = _tool(step, interface, first=not before, last=is_last)
        inputs = {port: Binding((Ref("", port),)) for port in tool.parameters}
        inputs |= {item.port: Binding((Ref("", item.port),)) for item in tool.brings}
        if before:
            inputs[WORKSPACE] = Binding((Ref(before, WORKSPACE),))
        outputs = tuple(_port(output) for output in tool.outputs)
        place = document.place((*STEPS, position))
        yield Step(name, tool, inputs, outputs, place=place)
        before = name


def _tool(step: Mapping[str, Any], interface: Interface, *, first: bool, last: bool) -> StepTool:
    commands = tuple(step["commands"])
    names = {name for line in commands for name in Template(line).get_identifiers()}
    outputs = [Output(WORKSPACE, WORKSPACE, directory=True)]
    if last:
        outputs += [
            Output(
                entry.port, f"{WORKSPACE}/{entry.path}", directory=entry.directory, many=entry.many
            )
            for entry in interface.outputs
        ]
    return StepTool(
        commands,
        tuple(sorted(names)),
        interface.brought if first else (),
        tuple(outputs),
        step.get("environment", ""),
        resources_of(step),
    )


def _port(output: Output) -> Port:
    kind = Type("Directory" if output.directory else "File")
    return Port(output.port, Type("array", items=kind) if output.many else kind)


def _faults(
    document: Document, step: Mapping[str, Any], position: int, interface: Interface
) -> Iterator[Problem]:
    where = (*STEPS, position)
    for number, line in enumerate(step["commands"]):
        at = (*where, "commands", number)
        template = Template(line)
        if not template.is_valid():
            what = f"'{_invalid(line)}' in a command is no parameter"
            fix = "write ${name} for a parameter, $$ for a dollar sign that is the shell's"
            yield document.problem(at, what, fix=fix)
            continue
        for name in template.get_identifiers():
            if name not in interface.parameters:
                what = f"the command asks for a parameter '{name}' that there is not"
                fix = (
                    nearest(name, interface.parameters)
                    or "add it to inputs.parameters, or write $$ for the shell's own $"
                )
                yield document.problem(at, what, fix=fix)
    try:
        resources_of(step)
    except BadHint as error:
        yield document.problem((*where, error.name), str(error))


def _invalid(line: str) -> str:
    """The first dollar sign of a command that begins no parameter, with what follows."""
    for match in re.finditer(r"\$(\$|[A-Za-z_]\w*|\{[A-Za-z_]\w*\}|)", line):
        if not match[1]:
            return line[match.start() : match.start() + 12]
    return line
