"""What an engine and a local executor would do with one step, as far as these tests need it."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow.model.task import Argv, Call, Outcome, Shell, Task
from hepflow.model.values import Value
from hepflow.model.workflow import PlanContext, Required, Step, Workflow

CONTEXT = PlanContext(lambda file: file.location)


def step(workflow: Workflow, name: str) -> Step:
    """A step by name."""
    return next(found for found in workflow.steps if found.name == name)


def values(
    workflow: Workflow, name: str, links: Mapping[str, Value] | None = None, **scattered: Value
) -> dict[str, Value]:
    """The values of one invocation's ports.

    Args:
        links: values of other steps' outputs, by ``step.port``.
        scattered: the elements of scattered ports.
    """
    found = step(workflow, name)
    defaults = {port.name: port.default for port in workflow.inputs}
    given: dict[str, Value] = {}
    for port, binding in found.inputs.items():
        sources: list[Value] = []
        for ref in binding.sources:
            value = (links or {})[f"{ref.step}.{ref.port}"] if ref.step else defaults[ref.port]
            assert not isinstance(value, Required)
            sources.append(value)
        several = len(sources) > 1 or binding.merge is not None
        given[port] = sources if several else sources[0] if sources else binding.default
    raw = {**given, **scattered}
    for port, binding in found.inputs.items():
        if binding.expression is not None and port not in scattered:
            given[port] = binding.expression.evaluate(raw)
    return {**given, **scattered}


def planned(
    workflow: Workflow, name: str, links: Mapping[str, Value] | None = None, **scattered: Value
) -> Task:
    """The task of one invocation."""
    tool = step(workflow, name).run
    assert not isinstance(tool, Workflow)
    task = tool.plan(values(workflow, name, links, **scattered), CONTEXT)
    assert isinstance(task, Task)
    return task


def shell(
    workflow: Workflow, name: str, links: Mapping[str, Value] | None = None, **scattered: Value
) -> str:
    """The shell text of one invocation."""
    command = planned(workflow, name, links, **scattered).command
    assert isinstance(command, Shell)
    return command.text


def argv(workflow: Workflow, name: str, **scattered: Value) -> tuple[str, ...]:
    """The program and arguments of one invocation."""
    command = planned(workflow, name, None, **scattered).command
    assert isinstance(command, Argv)
    return command.words


def call(workflow: Workflow, name: str, **scattered: Value) -> Call:
    """The Python call of one invocation."""
    command = planned(workflow, name, None, **scattered).command
    assert isinstance(command, Call)
    return command


def fingerprint(
    workflow: Workflow, name: str, links: Mapping[str, Value] | None = None, **scattered: Value
) -> str:
    """The fingerprint of one invocation."""
    tool = step(workflow, name).run
    assert not isinstance(tool, Workflow)
    return tool.fingerprint(values(workflow, name, links, **scattered))


def collected(workflow: Workflow, name: str, outputs: Mapping[str, Value]) -> Mapping[str, Value]:
    """The step's outputs from what its task left behind."""
    tool = step(workflow, name).run
    assert not isinstance(tool, Workflow)
    return tool.collect(planned(workflow, name), Outcome(outputs=outputs), "/work")
