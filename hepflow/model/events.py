"""What happened (events) and what to do next (actions): the engine turns the one into the other.

An attempt's id is readable and unique in its run: ``simulate[3]#2`` is the second attempt at
element 3 of step ``simulate``; an executor names its batch job after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from hepflow.model.task import Outcome, Reason, Task
from hepflow.model.values import Value
from hepflow.model.workflow import Tool, Workflow


class Invocation(NamedTuple):
    """One element of one step of one scope: numbers that mean something to the engine only."""

    step: int
    element: int


# --- events: from planning -------------------------------------------------------------------


class Planned(NamedTuple):
    """Planning gave a task to run."""

    invocation: Invocation
    task: Task


class Expanded(NamedTuple):
    """Planning answered with a workflow, whose outputs become the step's outputs."""

    invocation: Invocation
    workflow: Workflow
    inputs: Mapping[str, Value]


class Answered(NamedTuple):
    """Outputs are there without running: computed in place, or reused from the store."""

    invocation: Invocation
    outputs: Mapping[str, Value]
    reused: bool = False


class Unplannable(NamedTuple):
    """Planning failed; ``message`` says why in one sentence."""

    invocation: Invocation
    message: str


# --- events: from executors ------------------------------------------------------------------


class Accepted(NamedTuple):
    """The executor has the attempt; ``handle`` finds it again after a restart."""

    attempt: str
    handle: str


class Rejected(NamedTuple):
    """The executor would not take it; ``transient`` when trying again may help."""

    attempt: str
    message: str
    transient: bool = False


class Started(NamedTuple):
    """It began to run; ``where`` is the host and what finds it there.

    ``log`` is where what it prints can be read meanwhile: a path that ends in ``.out``, with its
    standard error beside it as ``.err``; empty where that cannot be had.
    """

    attempt: str
    where: str
    log: str = ""


class Finished(NamedTuple):
    """It came to its own end, well or badly."""

    attempt: str
    outcome: Outcome


class Lost(NamedTuple):
    """It vanished (node, worker, pre-emption): no failure of the task itself."""

    attempt: str
    reason: Reason
    message: str


class CancelRequested(NamedTuple):
    """The user wants the run to end now."""


ExecutorEvent: TypeAlias = Accepted | Rejected | Started | Finished | Lost
Event: TypeAlias = Planned | Expanded | Answered | Unplannable | ExecutorEvent | CancelRequested

# --- actions ---------------------------------------------------------------------------------


class Plan(NamedTuple):
    """Find out what this invocation is: look it up, or have its tool plan it.

    ``cache`` says whether results of other runs, or of other invocations, may stand in for it;
    ``site`` is where its step wants it to run, empty for anywhere.
    """

    invocation: Invocation
    name: str
    tool: Tool
    inputs: Mapping[str, Value]
    cache: bool = True
    site: str = ""


class Submit(NamedTuple):
    """Start this attempt."""

    attempt: str
    invocation: Invocation
    task: Task


class Cancel(NamedTuple):
    """End this attempt."""

    attempt: str


class Conclude(NamedTuple):
    """The run is over. ``outputs`` is complete only when ``succeeded``."""

    succeeded: bool
    cancelled: bool
    outputs: Mapping[str, Value]


Action: TypeAlias = Plan | Submit | Cancel | Conclude
