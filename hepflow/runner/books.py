"""The books of a run: what each attempt in flight is in the store, and the batch to be written."""

from __future__ import annotations

import re
import time
from typing import Final

from hepflow.model.events import Submit
from hepflow.model.task import Argv, Attempt, Call, Outcome, Reason, Shell, Task
from hepflow.runner.planner import Identity
from hepflow.store.codec import encode
from hepflow.store.records import TaskState
from hepflow.store.writer import Batch, Ending, Intent

COMMAND_LIMIT: Final = 4000
"""Characters of a command that are kept for people to read."""

SHARD: Final = 1000
"""Elements of a scatter that share a folder: file systems slow down in folders of a million."""

_PLACES: Final = re.compile(r"\[(\d+)\]")
# Numbers, because an enumeration's value costs a call and there are two a task.
_SUBMITTED: Final = TaskState.SUBMITTED.value
_FAILED: Final = TaskState.FAILED.value
_STATES: Final = {None: TaskState.SUCCEEDED.value, Reason.CANCELLED: TaskState.CANCELLED.value}


class Open:
    """An attempt in flight: what the engine, the executor and the store call it."""

    __slots__ = ("attempt", "folder", "identity", "row", "task")

    def __init__(self, attempt: str, task: Task, identity: Identity, row: int, folder: str) -> None:
        self.attempt = attempt
        self.task = task
        self.identity = identity
        self.row = row
        self.folder = folder


def folder_of(attempt: str) -> str:
    """The relative folder of an attempt: ``fit[3]/train#2`` -> ``fit/3/train~2``."""
    name, _, number = attempt.rpartition("#")
    suffix = "" if number == "1" else f"~{number}"
    if "[" not in name:
        return name + suffix
    return _PLACES.sub(_place, name) + suffix


def _place(match: re.Match[str]) -> str:
    index = match[1]
    return f"/{index}" if len(index) <= 3 else f"/{index[:-3]}k/{index}"


def needs_folder(task: Task) -> bool:
    """Whether a task must have a folder of its own: all commands, and functions that leave or find files."""
    if not isinstance(task.command, Call):
        return True
    return bool(task.texts or task.stage or task.checkpoint) or any(
        output.path for output in task.outputs
    )


def command_text(task: Task) -> str:
    """A command as a person reads it."""
    command = task.command
    if isinstance(command, Shell):
        return command.text[:COMMAND_LIMIT]
    if isinstance(command, Argv):
        return " ".join(command.words)[:COMMAND_LIMIT]
    return command.function


class Books:
    """Turns what happens to attempts into rows.

    Args:
        work: the run's work folder. root: the store's folder, with a trailing slash.
    """

    def __init__(self, work: str, root: str) -> None:
        self._work = work
        self._below = work.removeprefix(root)
        self._root = root
        self.batch = Batch()
        self.open: dict[str, Open] = {}

    def begin(self, submit: Submit, identity: Identity, row: int, site: str) -> Attempt:
        """Notes the intent to submit, and gives what the executor needs."""
        task = submit.task
        folder = folder_of(submit.attempt) if needs_folder(task) else ""
        place = f"{self._work}/{folder}" if folder else ""
        number = int(submit.attempt.rpartition("#")[2])
        self.batch.intents.append(
            Intent(
                row, identity.name, number, _SUBMITTED, identity.key or None,
                identity.what, f"{self._below}/{folder}" if folder else "", command_text(task),
                time.time(), site,
            )
        )  # fmt: skip
        self.open[submit.attempt] = Open(submit.attempt, task, identity, row, place)
        kept = f"{self._work}/.checkpoints/{folder_of(f'{identity.name}#1')}"
        return Attempt(submit.attempt, task, place, checkpoint=kept if task.checkpoint else "")

    def adopt(self, submit: Submit, identity: Identity, row: int, name: str) -> None:
        """Notes that an attempt goes on which an earlier head began under this name."""
        folder = f"{self._work}/{folder_of(name)}" if needs_folder(submit.task) else ""
        self.open[submit.attempt] = Open(submit.attempt, submit.task, identity, row, folder)

    def started(self, attempt: str, where: str, log: str) -> None:
        entry = self.open.get(attempt)
        if entry is not None:
            self.batch.started.append((time.time(), where, log, entry.row))

    def accepted(self, attempt: str, handle: str) -> None:
        entry = self.open.get(attempt)
        if entry is not None and handle:
            self.batch.handles.append((handle, entry.row))

    def ended(self, attempt: str, outcome: Outcome) -> None:
        """Notes how an attempt ended; its outputs are those the tool collected."""
        entry = self.open.pop(attempt, None)
        if entry is None:
            return
        used = outcome.usage
        reason = outcome.reason
        self.batch.endings.append(
            Ending(
                _STATES.get(reason, _FAILED), used.started, used.wall_s,
                used.cpu_s, used.peak_bytes, used.gpu_s, used.gpu_peak_bytes, outcome.exit_code, reason.value if reason else "",
                outcome.message, encode(outcome.outputs, outcome.stamps, self._root) if reason is None else "",
                outcome.stdout, outcome.stderr, outcome.where, entry.row,
            )
        )  # fmt: skip

    def lost(self, attempt: str, message: str, state: TaskState = TaskState.LOST) -> None:
        """Notes that an attempt vanished, or never was one."""
        entry = self.open.pop(attempt, None)
        if entry is not None:
            self.lost_row(entry.row, message, state)

    def lost_row(self, row: int, message: str, state: TaskState = TaskState.LOST) -> None:
        self.batch.endings.append(
            Ending(
                state.value,
                0.0,
                0.0,
                0.0,
                0,
                0.0,
                0,
                0,
                state.name.lower(),
                message,
                "",
                "",
                "",
                "",
                row,
            )
        )

    def never_begun(self, name: str, row: int, reason: Reason, message: str) -> None:
        """Notes a failure that came before there was anything to submit."""
        now = time.time()
        self.batch.intents.append(Intent(row, name, 0, _FAILED, None, "", "", "", now))
        self.batch.endings.append(
            Ending(_FAILED, 0.0, 0.0, 0.0, 0, 0.0, 0, 0, reason.value, message, "", "", "", "", row)
        )

    def reused_as(self, name: str, row: int) -> None:
        self.batch.reused.append((name, row))

    def take_batch(self) -> Batch:
        batch, self.batch = self.batch, Batch()
        return batch
