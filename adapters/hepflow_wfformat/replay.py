"""A recorded run as a workflow: each task takes its time and writes files of the recorded names.

Files that came from outside are not made up: nobody reads what is in a file.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hepflow.model.task import Outcome, Output, Resources, Shell, Staged, Task
from hepflow.model.types import Type
from hepflow.model.values import File, Values, canonical
from hepflow.model.workflow import Binding, PlanContext, Port, Ref, Step, Workflow
from hepflow_wfformat.instance import Instance, Recorded, figures_of

SLEEP, COMPUTE = "sleep", "cpu"
DONE: Final = "done"
"""The output of a task that only says that it is done, for those that wait and read none of its files."""

OPTIONS: Final = (
    Port("replay", Type("float"), doc="seconds that a replayed second takes; 1 with --replay, 0 for no time at all"),
    Port("work", Type("enum", symbols=(SLEEP, COMPUTE)), SLEEP, "how tasks spend their time: cpu computes for the recorded share of it"),
    Port("bytes", Type("float"), 0.0, "bytes that are written for a recorded byte"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReplayTool:
    """One task of a replay.

    Args:
        reads: port -> path of a file another task writes.
        writes: what it writes, with the recorded size in bytes.
    """

    recorded: Recorded
    reads: Mapping[str, str]
    writes: tuple[tuple[Output, int], ...]

    @property
    def resources(self) -> Resources:
        return Resources(cpus=self.recorded.cores)

    @property
    def seconds(self) -> float:
        return self.recorded.runtime_s

    def fingerprint(self, inputs: Values) -> str:
        task = self.recorded
        lines = [f"replay={task.id}", f"seconds={task.runtime_s!r}", f"cpu={task.cpu!r}"]
        lines += [f"writes={output.path}:{size}" for output, size in self.writes]
        lines += [f"inputs.{name}={canonical(value)}" for name, value in sorted(inputs.items())]
        return "\n".join(lines)

    def plan(self, inputs: Values, context: PlanContext) -> Task:
        return Task(
            Shell("\n".join([*self._time(inputs), *self._files(inputs)]) or "true"),
            tuple(output for output, _ in self.writes),
            self.resources,
            stage=tuple(self._staged(inputs)),
        )

    def _time(self, inputs: Values) -> Iterator[str]:
        """The lines that let the time pass."""
        seconds = self.recorded.runtime_s * _number(inputs, "replay")
        computed = seconds * self.recorded.cpu if inputs["work"] == COMPUTE else 0.0
        if computed:
            # Status 124 is how `timeout` says that the time has passed.
            yield f"timeout {computed:.6f} bash -c 'while :; do :; done' || test $? -eq 124"
        if seconds > computed:
            yield f"sleep {seconds - computed:.6f}"

    def _files(self, inputs: Values) -> Iterator[str]:
        """The lines that write the files."""
        for output, size in self.writes:
            path = shlex.quote(output.path)
            if "/" in output.path:
                yield f"mkdir -p {shlex.quote(posixpath.dirname(output.path))}"
            yield f"head -c {round(size * _number(inputs, 'bytes'))} /dev/zero > {path}"

    def _staged(self, inputs: Values) -> Iterator[Staged]:
        for port, path in self.reads.items():
            what = inputs[port]
            if isinstance(what, File):
                yield Staged(what, path)

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        return {**outcome.outputs, DONE: True}


def _number(inputs: Values, name: str) -> float:
    value = inputs[name]
    assert isinstance(value, int | float)
    return float(value)


def replay_of(instance: Instance, source: Path) -> Workflow:
    """The workflow that replays an instance."""
    names = _Names()
    steps = {task: names.of(task) for task in instance.tasks}
    paths = {file: _inside(file) for task in instance.tasks.values() for file in task.writes}
    ports = _Names(DONE, *(port.name for port in OPTIONS))
    outputs = {file: Output(ports.of(file), path) for file, path in paths.items()}
    writer = {file: task.id for task in instance.tasks.values() for file in task.writes}
    made = []
    for task in instance.tasks.values():
        inputs = {port.name: Binding((Ref("", port.name),)) for port in OPTIONS}
        reads: dict[str, str] = {}
        for file in task.reads:
            if writer.get(file, task.id) != task.id:
                port = outputs[file].port
                reads[port] = paths[file]
                inputs[port] = Binding((Ref(steps[writer[file]], port),))
        fed = {writer.get(file) for file in task.reads}
        for number, parent in enumerate(parent for parent in task.parents if parent not in fed):
            inputs[f"after{number}"] = Binding((Ref(steps[parent], DONE),))
        writes = tuple((outputs[file], instance.sizes.get(file, 0)) for file in task.writes)
        left = (*(Port(output.port, Type("File")) for output, _ in writes), Port(DONE))
        made.append(Step(steps[task.id], ReplayTool(task, reads, writes), inputs, left))
    doc = str(figures_of(instance))
    return Workflow(instance.name, OPTIONS, tuple(made), doc=doc, source=str(source))


class _Names:
    """Ids as names of steps and ports, each its own.

    Args:
        taken: names that are in use.
    """

    def __init__(self, *taken: str) -> None:
        self._taken = set(taken)

    def of(self, text: str) -> str:
        """The name for an id."""
        name = plain = re.sub(r"[^A-Za-z0-9_-]", "_", text)
        count = 1
        while name in self._taken:
            count += 1
            name = f"{plain}_{count}"
        self._taken.add(name)
        return name


def _inside(file: str) -> str:
    """The path of a file in its task's folder, which is like its id but never leads out of it."""
    parts = [part for part in file.split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or "file"
