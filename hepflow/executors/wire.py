"""Tasks and outcomes as lines of JSON, the language of the worker processes.

Owns both directions on the head's side; `report.py` is the other end. Must never know a process, a
lane or a resource pool.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hepflow.executors.folder import (
    DIRECTORIES_KIND,
    DIRECTORY,
    DIRECTORY_KIND,
    FILE_KIND,
    JSON,
    MANY,
    OPTIONAL,
    TEXT,
)
from hepflow.model.events import Finished
from hepflow.model.task import Argv, Attempt, Call, Outcome, Output, Read, Reason, Shell, Usage
from hepflow.model.values import Directory, File, Value

REASONS: Final = {reason.value: reason for reason in Reason}
Stamp = tuple[int, int, int]

Route = Callable[[Shell | Argv, Mapping[str, str]], tuple[int, Any]]
"""Says how a command runs, and gives the body that needs."""


def _plain(value: object) -> object:
    """What JSON does not know of the data model: files become their paths."""
    if isinstance(value, File | Directory):
        return value.location
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be handed to a task")


encode = json.JSONEncoder(separators=(",", ":"), check_circular=False, default=_plain).encode


# --- to the workers -------------------------------------------------------------------------------


def command_task(attempt: Attempt, env: int, route: Route) -> list[Any]:
    """An attempt at a command, as the launcher reads it."""
    task = attempt.task
    command = task.command
    assert not isinstance(command, Call)
    how, body = route(command, task.env)
    resources = task.resources
    return [
        attempt.id,
        how,
        body,
        env,
        attempt.folder,
        [_output(output) for output in task.outputs],
        resources.walltime_s,
        resources.memory_mib,
        task.texts,
        [(file.location, name) for file, name in task.stage] if task.stage else (),
    ]


def call_task(attempt: Attempt, number: int) -> list[Any]:
    """An attempt at a Python function, as the Python worker reads it."""
    task = attempt.task
    call = task.command
    assert isinstance(call, Call)
    outputs = task.outputs
    return [
        number,
        attempt.id,
        call.function,
        call.arguments,
        call.offered,
        attempt.folder,
        [_output(output) for output in outputs if output.path],
        task.texts,
        [(file.location, name) for file, name in task.stage] if task.stage else (),
        [(output.port, output.optional) for output in outputs if not output.path],
    ]


def _output(output: Output) -> tuple[str, str, int]:
    flags = 0
    if output.many:
        flags |= MANY
    if output.directory:
        flags |= DIRECTORY
    if output.optional:
        flags |= OPTIONAL
    if output.read is not Read.FILE:
        flags |= JSON if output.read is Read.JSON else TEXT
    return output.port, output.path, flags


# --- from the workers -----------------------------------------------------------------------------


def decode_lines(data: bytes) -> list[list[Any]]:
    """Whole lines of messages, at once: the text of one message holds no line break."""
    text = data[:-1].replace(b"\n", b",").decode()  # of bytes json would first guess the encoding
    messages: list[list[Any]] = json.loads(f"[{text}]")
    return messages


def finished(message: list[Any], where: str) -> Finished:
    """The event for one result."""
    count = len(message)
    started, wall_s, cpu_s, peak = message[3]
    usage = Usage(started, wall_s, cpu_s, peak)
    values: dict[str, Value] = (message[4] or {}) if count > 4 else {}
    if count <= 5:
        return Finished(message[1], Outcome(outputs=values, usage=usage, where=where))
    stamps: dict[str, Stamp] = {}
    for found in message[5] or ():
        _add(found, values, stamps)
    outcome = Outcome(
        reason=REASONS[message[2]] if message[2] else None,
        message=message[6] if count > 6 else "",
        exit_code=message[7] if count > 7 else 0,
        outputs=values,
        usage=usage,
        where=where,
        stdout=message[8] if count > 8 else "",
        stderr=message[9] if count > 9 else "",
        stamps=stamps,
    )
    return Finished(message[1], outcome)


def _add(found: list[Any], values: dict[str, Any], stamps: dict[str, Stamp]) -> None:
    port, kind, path, digest, size, facts = found
    entry: File | Directory
    if kind >= DIRECTORY_KIND:
        entry = Directory(path, digest, size)
        for name, stamp in facts.items():
            stamps[name] = tuple(stamp)
    else:
        entry = File(path, digest, size)
        stamps[path] = tuple(facts)
    if kind in (FILE_KIND, DIRECTORY_KIND):
        values[port] = entry
    else:
        assert kind <= DIRECTORIES_KIND
        values.setdefault(port, []).append(entry)
