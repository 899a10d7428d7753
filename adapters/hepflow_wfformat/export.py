"""`hepflow export RUN --to wfformat`: a run as an instance of WfFormat 1.5.

A task waited for those whose files it read. Where a step took values only, each of its tasks is said to
have waited for the other step's task of the same index, or for all of them where there is none.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from hepflow.model.protocols import Done
from hepflow.model.task import Argv, Call, Shell, Task
from hepflow.model.values import Directory, File, Value, Values, files_in
from hepflow_wfformat.instance import VERSION

DOCUMENT: Final = "instance.json"


class WfFormatExporter:
    """Writes runs as instances."""

    def export_run(
        self, name: str, tasks: Sequence[Done], outputs: Values, folder: Path
    ) -> list[str]:
        """The instance.

        Raises:
            ValueError: there is no task to tell of; a sentence.
        """
        if not tasks:
            raise ValueError("no task was run, and an instance without tasks is none")
        text = json.dumps(_Record(tasks).told(name), indent=1, ensure_ascii=False)
        (folder / DOCUMENT).write_text(text + "\n", encoding="utf-8")
        return [DOCUMENT]


class _Record:
    """A run, while it is written.

    Args:
        tasks: in an order in which they can run.
    """

    def __init__(self, tasks: Sequence[Done]) -> None:
        self._tasks = tasks
        identifiers = _Identifiers()
        self._ids = {task.name: identifiers.of(task.name) for task in tasks}
        self._names = _Identifiers("/:")
        self._writers: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._reads: dict[str, tuple[str, ...]] = {}
        self._parents: dict[str, list[str]] = {}
        self._by_step: dict[str, list[str]] = {}

    def told(self, name: str) -> dict[str, Any]:
        """The whole document."""
        for task in self._tasks:
            self._note_reads(task)
            self._note_writes(task)
            self._by_step.setdefault(_step(task.name), []).append(task.name)
        for task in self._tasks:
            self._parents[task.name] = list(self._waited_for(task))
        return {
            "name": name,
            "description": "a run of hepflow",
            "schemaVersion": VERSION,
            "runtimeSystem": {"name": "hepflow", "version": _version()},
            "workflow": {"specification": self._specification(), "execution": self._execution()},
        }

    # --- the graph

    def _note_writes(self, task: Done) -> None:
        own = self._ids[task.name]
        for item in _located(task.outputs.values()):
            place = item.location.rstrip("/")
            if place not in self._files:
                self._writers[place] = task.name
                self._add(item, f"{own}/{item.name}")

    def _note_reads(self, task: Done) -> None:
        found = []
        for item in _located(_given(task.task)):
            place = self._known(item.location)
            if not place:
                self._add(item, item.name)
                place = item.location.rstrip("/")
            found.append(place)
        self._reads[task.name] = tuple(dict.fromkeys(found))

    def _known(self, location: str) -> str:
        """The file of ours that a location is, or is in; empty if there is none."""
        above = location.rstrip("/")
        while above not in self._files:
            shorter = os.path.dirname(above)
            if shorter == above:
                return ""
            above = shorter
        return above

    def _add(self, item: File | Directory, wanted: str) -> None:
        place = item.location.rstrip("/")
        self._files[place] = self._names.of(wanted)
        self._sizes[place] = max(0, item.size)

    def _waited_for(self, task: Done) -> Iterator[str]:
        """The tasks one waited for, each once."""
        writers = dict.fromkeys(
            self._writers[place] for place in self._reads[task.name] if place in self._writers
        )
        yield from writers
        seen = {_step(writer) for writer in writers}
        index = task.name.removeprefix(_step(task.name))
        for step in task.after:
            if step in seen:
                continue
            every = self._by_step.get(step, [])
            same = [other for other in every if index and other == step + index]
            yield from same or every

    def _specification(self) -> dict[str, Any]:
        children: dict[str, list[str]] = {task.name: [] for task in self._tasks}
        for name, parents in self._parents.items():
            for parent in parents:
                children[parent].append(self._ids[name])
        written: dict[str, list[str]] = {}
        for place, writer in self._writers.items():
            written.setdefault(writer, []).append(self._files[place])
        return {
            "tasks": [
                {
                    "name": _step(task.name),
                    "id": self._ids[task.name],
                    "parents": [self._ids[parent] for parent in self._parents[task.name]],
                    "children": children[task.name],
                    "inputFiles": [self._files[place] for place in self._reads[task.name]],
                    "outputFiles": written.get(task.name, []),
                }
                for task in self._tasks
            ],
            "files": [
                {"id": name, "sizeInBytes": self._sizes[place]}
                for place, name in self._files.items()
            ],
        }

    # --- the times

    def _execution(self) -> dict[str, Any]:
        begun = [task.usage.started for task in self._tasks]
        ended = [task.usage.started + task.usage.wall_s for task in self._tasks]
        hosts = sorted({_host(task) for task in self._tasks} - {""})
        told: dict[str, Any] = {
            "makespanInSeconds": round(max(ended) - min(begun), 6),
            "executedAt": _at(min(begun)),
            "tasks": [self._executed(task) for task in self._tasks],
        }
        return {**told, "machines": [{"nodeName": host} for host in hosts]} if hosts else told

    def _executed(self, task: Done) -> dict[str, Any]:
        used = task.usage
        told: dict[str, Any] = {
            "id": self._ids[task.name],
            "runtimeInSeconds": used.wall_s,
            "executedAt": _at(used.started),
            "command": _command(task.task),
            "coreCount": max(1, math.ceil(task.task.resources.cpus)),
        }
        if used.wall_s:
            told["avgCPU"] = round(100 * used.cpu_s / used.wall_s, 4)
        if used.peak_bytes:
            told["memoryInBytes"] = used.peak_bytes
        host = _host(task)
        return {**told, "machines": [host]} if host else told


class _Identifiers:
    """Texts as WfFormat allows ids, each its own: ``fit[3]`` is ``fit.3``.

    Args:
        signs: that are allowed beside letters, digits and ``_ . # -``.
    """

    def __init__(self, signs: str = "") -> None:
        self._refused = re.compile(rf"[^0-9A-Za-z_.#{signs}-]")
        self._uses: dict[str, int] = {}

    def of(self, text: str) -> str:
        """The id for a text."""
        name = plain = self._refused.sub("_", text.replace("[", ".").replace("]", ""))
        while name in self._uses:
            self._uses[plain] += 1
            name = f"{plain}.{self._uses[plain]}"
        self._uses[name] = 1
        return name


def _located(values: Sequence[Value] | Any) -> Iterator[File | Directory]:
    """Files and directories that stand somewhere."""
    return (item for item in files_in(list(values)) if item.location)


def _given(task: Task) -> list[Value]:
    """All that a task reads."""
    values: list[Value] = [*(item.what for item in task.stage), *task.inputs.values()]
    if isinstance(task.command, Call):
        values += [*task.command.arguments.values(), *task.command.offered.values()]
    return values


def _step(name: str) -> str:
    """The step of a task: its name without indices and rounds."""
    return re.sub(r"\[\d+\]|@\d+", "", name)


def _host(task: Done) -> str:
    """The machine it ran on, as far as that is a name of one."""
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9.-]*", task.where)
    return match[0] if match else ""


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _command(task: Task) -> Mapping[str, Any]:
    command = task.command
    if isinstance(command, Shell):
        return {"program": "bash", "arguments": ["-e", "-o", "pipefail", "-c", command.text]}
    if isinstance(command, Argv):
        arguments = [word for word in command.words[1:] if word]
        return {"program": command.words[0], "arguments": arguments}
    return {"program": "python", "arguments": [command.function]}


def _version() -> str:
    from importlib.metadata import version

    return version("hepflow")
