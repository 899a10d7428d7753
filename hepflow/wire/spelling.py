"""Tasks and outcomes as lines of JSON, the language of the worker processes.

Owns both directions on the head's side; `capsule.report` is the other end. Must never know a process, a
lane or a resource pool.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hepflow.capsule.folder import (
    DIRECTORIES_KIND,
    DIRECTORY,
    DIRECTORY_KIND,
    EITHER,
    FILE_KIND,
    JSON,
    MANY,
    OPTIONAL,
    TEXT,
)
from hepflow.capsule.placing import CONFINED, COPY, OPEN, PLACED, Setting
from hepflow.capsule.spawning import ARGV
from hepflow.model.events import Finished
from hepflow.model.task import (
    INPUTS,
    Attempt,
    Call,
    Outcome,
    Output,
    Read,
    Reason,
    Task,
    Usage,
)
from hepflow.model.values import Directory, File, Value
from hepflow.wire.containers import Contained

SUCCESS: Final = (0,)
REASONS: Final = {reason.value: reason for reason in Reason}
Stamp = tuple[int, int, int]

Route = Callable[[Any, Mapping[str, str]], tuple[int, Any]]
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
    return _command(attempt, *route(task.command, task.env), env, setting_of(task))


def contained_task(attempt: Attempt, env: int, wrapped: Contained) -> list[Any]:
    """The same for a command in a container."""
    return _command(attempt, ARGV, wrapped.words, env, trimmed(wrapped.setting))


def _command(attempt: Attempt, how: int, body: Any, env: int, setting: list[Any]) -> list[Any]:
    task = attempt.task
    resources = task.resources
    return [
        attempt.id,
        how,
        body,
        env,
        attempt.folder,
        [_output(output) for output in task.outputs if output.path],
        resources.walltime_s,
        resources.memory_mib,
        *setting,
    ]


def setting_of(task: Task) -> list[Any]:
    """What a task asks for beyond a folder to run in, as `placing.Setting` has it."""
    if not (task.confined or task.folders or task.texts or task.stage or task.stdin or task.stdout
            or task.stderr or task.success != SUCCESS):  # fmt: skip
        return []
    texts, stage = placed(task)
    success = () if task.success == SUCCESS else task.success
    apart = CONFINED if task.confined else PLACED if task.folders else OPEN
    return trimmed(Setting(apart, texts, stage, task.stdin, task.stdout, task.stderr, success))


def trimmed(setting: Setting) -> list[Any]:
    """A setting without the end of it that says nothing."""
    parts = setting.parts()
    while parts and not parts[-1]:
        parts.pop()
    return parts


def placed(task: Task) -> tuple[list[Any], list[Any]]:
    """The texts and the files and directories to be placed for a task; literals are taken apart.

    Raises:
        ValueError: something is to be placed inside a container, and there is none.
    """
    texts: list[Any] = list(task.texts)
    stage: list[Any] = []
    for what, path, writable in task.stage:
        if path.startswith("/") and not path.startswith(INPUTS):
            raise ValueError(f"{path} is no place for an input of a task without a container")
        _place(what, path, writable, texts, stage)
    return texts, stage


def _place(
    what: File | Directory, path: str, writable: bool, texts: list[Any], stage: list[Any]
) -> None:
    if what.location:
        stage.append([what.location, path, COPY] if writable else [what.location, path])
    elif isinstance(what, File):
        texts.append((path, what.contents or ""))
    else:
        stage.append(["", path])
        for item in what.listing or ():
            _place(item, f"{path}/{item.name}", writable, texts, stage)


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
        *(placed(task) if task.texts or task.stage else ((), ())),
        _returns(task),
    ]


def call_parts(task: Task, python: str) -> dict[str, Any]:
    """A Python call as a capsule reads it.

    Args:
        python: the interpreter it is made in.
    """
    call = task.command
    assert isinstance(call, Call)
    return {
        "function": call.function,
        "arguments": call.arguments,
        "offered": call.offered,
        "path": list(call.path),
        "returns": _returns(task),
        "python": python,
    }


def _returns(task: Task) -> list[tuple[str, bool]]:
    return [(output.port, output.optional) for output in task.outputs if not output.path]


def _output(output: Output) -> tuple[str, str, int]:
    flags = 0
    if output.many:
        flags |= MANY
    if output.directory:
        flags |= DIRECTORY
    if output.optional:
        flags |= OPTIONAL
    if output.either:
        flags |= EITHER
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
    usage = Usage(*message[3])
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
    port, kind, path, digest, size, facts, *name = found
    entry: File | Directory
    if kind >= DIRECTORY_KIND:
        entry = Directory(path, digest, size, *name)
        for name, stamp in facts.items():
            stamps[name] = tuple(stamp)
    else:
        entry = File(path, digest, size, *name)
        stamps[path] = tuple(facts)
    if kind in (FILE_KIND, DIRECTORY_KIND):
        values[port] = entry
    else:
        assert kind <= DIRECTORIES_KIND
        values.setdefault(port, []).append(entry)
