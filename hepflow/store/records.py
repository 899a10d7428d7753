"""What a reader of the store gets: small frozen records, with nothing left to look up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from hepflow.model.values import Value

_INDEX: Final = re.compile(r"\[\d+\]|@\d+")


class RunState(Enum):
    """The state of a run. ``INTERRUPTED`` is never written: it is a run left ``RUNNING`` by a
    head that is no longer alive, and it can be resumed."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class TaskState(Enum):
    """The state of an invocation, ranked: a state never changes to one of lower rank."""

    SUBMITTED = 1
    RUNNING = 2
    LOST = 3
    FAILED = 4
    CANCELLED = 5
    SUCCEEDED = 6
    REUSED = 7
    SKIPPED = 8


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run, as ``hepflow list`` shows it. Times are seconds since the epoch, 0 when not yet."""

    id: int
    name: str
    recipe: str
    state: RunState
    started: float
    ended: float
    host: str
    pid: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class StepStatus:
    """How far one step is. ``width`` is -1 while nobody knows how many invocations there will be."""

    path: str
    width: int
    running: int = 0
    succeeded: int = 0
    reused: int = 0
    skipped: int = 0
    failed: int = 0

    @property
    def finished(self) -> int:
        return self.succeeded + self.reused + self.skipped + self.failed


@dataclass(frozen=True, slots=True)
class TaskReport:
    """One attempt at a task, with all the store knows of it.

    Args:
        id: ``simulate[3]#1``.
        folder: where it ran, empty when it needed no folder.
        where: host and what finds it there (for a running one also the files it prints to).
        stdout: the end of what it printed. stderr: likewise.
        site: the site it was sent to; empty for one that was never sent.
    """

    id: str
    run: int
    step: str
    index: int
    number: int
    state: TaskState
    reason: str = ""
    message: str = ""
    command: str = ""
    exit_code: int = 0
    folder: str = ""
    where: str = ""
    submitted: float = 0.0
    started: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    gpu_s: float = 0.0
    gpu_peak_bytes: int = 0
    outputs: Mapping[str, Value] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run as a whole: its steps in the order they were opened, and what needs a person's eye.

    Args:
        parts: the runs that tasks of it drove, the oldest first: a Snakefile's jobs.
    """

    run: RunSummary
    steps: tuple[StepStatus, ...]
    failures: tuple[TaskReport, ...] = ()
    running: tuple[TaskReport, ...] = ()
    parts: tuple[RunStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One component of a fingerprint that differs from the last time."""

    component: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task ran, was reused, waits or failed.

    Args:
        task: its id without the attempt, ``simulate[3]``.
        verdict: one sentence.
        changes: what is different from the earlier result it is compared with.
        compared_with: the run of that earlier result; 0 when there is none.
        components: the whole fingerprint, component by component.
        attempts: every attempt of this run, oldest first.
    """

    task: str
    verdict: str
    changes: tuple[Change, ...] = ()
    compared_with: int = 0
    components: Mapping[str, str] = field(default_factory=dict)
    attempts: tuple[TaskReport, ...] = ()


def step_of(task: str) -> str:
    """The step an invocation belongs to: its name without indices and rounds."""
    return _INDEX.sub("", task) if "[" in task or "@" in task else task
