"""The second lane: a step bound, run and collected by a warm Python worker, beside its files.

The head then neither reads nor lists a file of the step; it sends the inputs and gets the outputs.
The tool travels as a pickle with each step and is unpickled once by each worker. Owns what an
executor otherwise does for a task: its folders, its files, its process.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from hashlib import file_digest
from typing import Any

from hepflow.model.task import (
    FOLDER,
    INPUTS,
    SCRATCH,
    Argv,
    Call,
    Outcome,
    Output,
    Resources,
    Staged,
    Task,
)
from hepflow.model.values import File, Value, Values, from_json, to_json
from hepflow_cwl.binding import Prepared
from hepflow_cwl.collecting import CUSTOM
from hepflow_cwl.commands import Command
from hepflow_cwl.definition import Definition
from hepflow_cwl.setup import Setup

OUTPUTS = "outputs"
"""The port of the task that has the step's outputs."""


class StepFailed(Exception):
    """A step's command did not end well; the text says how."""


# --- in the head ----------------------------------------------------------------------------------


def packed(definition: Definition, setup: Setup) -> str:
    """A tool as the text that travels to workers."""
    return b64encode(zlib.compress(pickle.dumps((definition, setup)))).decode("ascii")


def step_task(tool: str, inputs: Values, resources: Resources) -> Task:
    """The task that has a worker do a step.

    Args:
        tool: as :func:`packed` gives it.
        inputs: the values of its ports.
        resources: what the step asks for.
    """
    call = Call(f"{__name__}:run_step", {"tool": tool, "inputs": to_json(inputs)})  # type: ignore[dict-item]
    return Task(call, (Output(OUTPUTS), Output(CUSTOM, CUSTOM, optional=True)), resources)


def step_outputs(outcome: Outcome) -> Values:
    """The outputs of a step that a worker did."""
    return from_json(outcome.outputs[OUTPUTS])  # type: ignore[return-value]


# --- in the worker --------------------------------------------------------------------------------


def run_step(tool: str, inputs: object) -> object:
    """Bind, run and collect one step in the current folder.

    Args:
        tool: as :func:`packed` gives it.
        inputs: the values of its ports, as JSON data.

    Returns:
        its outputs, as JSON data.

    Raises:
        StepFailed: the command failed.
        ValueError: it could not be bound, or its outputs are not as declared.
    """
    command = _unpacked(tool)
    task = command.task(from_json(inputs))  # type: ignore[arg-type]
    folder = os.getcwd()
    with _beside(folder) as fill:
        _place(task, folder, fill)
        code = _run(task, folder, fill)
        outputs = command.ports.collect_all(task, Outcome(exit_code=code), folder)
        return to_json({port: _digested(value, folder) for port, value in outputs.items()})


@lru_cache(maxsize=256)
def _unpacked(tool: str) -> Command:
    definition, setup = pickle.loads(zlib.decompress(b64decode(tool)))
    return Command(Prepared(definition.process, setup), setup)


@contextmanager
def _beside(folder: str) -> Iterator[Callable[[str], str]]:
    """Folders for inputs and scratch, and what puts the paths of all three into a text."""
    parent, name = os.path.split(folder)
    with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=parent) as other:
        paths = {FOLDER: folder, SCRATCH: f"{other}/tmp", INPUTS: f"{other}/in"}
        os.mkdir(paths[SCRATCH])

        def fill(text: str) -> str:
            for word, path in paths.items():
                text = text.replace(word, path)
            return text

        yield fill


def _place(task: Task, folder: str, fill: Callable[[str], str]) -> None:
    """Link, copy and write what a task starts with."""
    for item in task.stage:
        _place_one(item, os.path.join(folder, fill(item.path)))
    for path, text in task.texts:
        target = os.path.join(folder, fill(path))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "x", encoding="utf-8", newline="") as file:
            file.write(fill(text))


def _place_one(item: Staged, target: str) -> None:
    source = item.what.location
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not source:
        os.makedirs(target, exist_ok=True)
    elif not item.writable:
        os.symlink(source, target)
    elif isinstance(item.what, File):
        shutil.copy(source, target)
        os.chmod(target, os.stat(target).st_mode | 0o200)
    else:
        shutil.copytree(source, target, symlinks=True)
        for place, _, names in os.walk(target):
            for path in (place, *(f"{place}/{name}" for name in names)):
                os.chmod(path, os.stat(path).st_mode | 0o200)


def _run(task: Task, folder: str, fill: Callable[[str], str]) -> int:
    """Run the command of a task to its end; the exit code, which is one of success."""
    assert isinstance(task.command, Argv)
    words = [fill(word) for word in task.command.words]
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "TMPDIR": fill(SCRATCH)}
    env.update((name, fill(value)) for name, value in task.env.items())
    with ExitStack() as files:

        def opened(path: str, mode: str) -> Any:
            target = os.path.join(folder, fill(path))
            if mode == "wb":
                os.makedirs(os.path.dirname(target), exist_ok=True)
            return files.enter_context(open(target, mode))

        stdin = opened(task.stdin, "rb") if task.stdin else subprocess.DEVNULL
        stdout = opened(task.stdout, "wb") if task.stdout else sys.stdout.fileno()
        same = task.stderr == task.stdout
        stderr = sys.stderr.fileno()
        if task.stderr:
            stderr = subprocess.STDOUT if same else opened(task.stderr, "wb")
        limit = task.resources.walltime_s or None
        try:
            done = subprocess.run(
                words,
                env=env,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StepFailed(f"it ran longer than its time limit of {limit:g} s") from None
        except OSError as error:
            raise StepFailed(f"'{words[0]}' could not be started: {error.strerror}") from None
    if done.returncode not in task.success:
        raise StepFailed(f"command exited with code {done.returncode}: {' '.join(words)}")
    return done.returncode


def _digested(value: Value, folder: str) -> Value:
    """A value whose files below the folder have their digests."""
    if isinstance(value, File):
        secondary: Any = tuple(_digested(item, folder) for item in value.secondary)
        digest = value.digest
        if not digest and value.location.startswith(f"{folder}/"):
            with open(value.location, "rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
        return replace(value, digest=digest, secondary=secondary)
    if isinstance(value, dict):
        return {key: _digested(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_digested(item, folder) for item in value]
    return value
