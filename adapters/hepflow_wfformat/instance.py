"""An instance: the tasks of a run, what each waited for, how long it took and what it wrote.

WfFormat 1.5 (github.com/wfcommons/WfFormat): the graph stands in `workflow.specification`, the times
in `workflow.execution`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hepflow.model.errors import Place, Problem, RecipeError

VERSION: Final = "1.5"
UNREADABLE, MALFORMED, INVALID = "HF100", "HF101", "HF280"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One task.

    Args:
        parents: the tasks it waited for.
        reads, writes: files by their ids.
        runtime_s: how long it took, in seconds.
        cores: how many it asked for.
        cpu: how much of its time it computed, from 0 to 1.
    """

    id: str
    parents: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    runtime_s: float
    cores: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Instance:
    """A recorded run.

    Args:
        tasks: by id, parents before children.
        sizes: of files, in bytes, by id.
    """

    name: str
    tasks: Mapping[str, Recorded]
    sizes: Mapping[str, int]


def read_instance(path: Path) -> Instance:
    """The instance in a file.

    Raises:
        RecipeError: it is not an instance of version 1.5, or its graph makes no sense: every fault.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError.of(UNREADABLE, f"cannot be read: {error}", where=str(path)) from error
    except json.JSONDecodeError as error:
        place = Place(str(path), error.lineno, error.colno)
        raise RecipeError(Problem(place, MALFORMED, f"not JSON: {error.msg}")) from error
    reading = _Reading(str(path))
    version = reading.field(data, "schemaVersion", str, "the file")
    if version != VERSION:
        raise RecipeError.of(
            INVALID, f"it is WfFormat {version}, and only {VERSION} is read", where=str(path),
            fix="WfFormat's repository has a tool that migrates instances",
        )  # fmt: skip
    return reading.instance(data, path.stem)


class _Reading:
    """Reads one file, and notes what is wrong with it."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []

    def instance(self, data: Any, name: str) -> Instance:
        """The whole."""
        workflow = self.field(data, "workflow", dict, "the file")
        specification = self.field(workflow, "specification", dict, "workflow")
        execution = self.field(workflow, "execution", dict, "workflow")
        times = {
            self.field(entry, "id", str, "a task of the execution"): entry
            for entry in self.field(execution, "tasks", list, "workflow.execution")
        }
        tasks: dict[str, Recorded] = {}
        for entry in self.field(specification, "tasks", list, "workflow.specification"):
            task = self._task(entry, times)
            if task.id in tasks:
                self._note(f"there are two tasks '{task.id}'")
            tasks[task.id] = task
        sizes = {
            self.field(entry, "id", str, "a file"): self.field(entry, "sizeInBytes", int, "a file")
            for entry in specification.get("files", ())
        }
        self._check(tasks)
        if self._problems:
            raise RecipeError(self._problems)
        return Instance(name, {task.id: task for task in self._in_order(tasks)}, sizes)

    def field(self, entry: Any, key: str, kind: type, where: str) -> Any:
        """A value that must be there.

        Raises:
            RecipeError: it is not, or is of another kind.
        """
        value = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(value, kind):
            found = "is missing" if value is None else f"is {json.dumps(value)[:40]}"
            name = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}.get(kind, "a number")  # fmt: skip
            what = f"{where}: '{key}' {found}, where {name} belongs"
            raise RecipeError.of(INVALID, what, where=self._file)
        return value

    def _task(self, entry: Any, times: Mapping[str, Any]) -> Recorded:
        own = self.field(entry, "id", str, "a task of the specification")
        where = f"task '{own}'"
        time = times.get(own)
        if time is None:
            self._note(f"{where} was never executed, as far as the file says")
            time = {"runtimeInSeconds": 0}
        runtime = self.field(time, "runtimeInSeconds", (int, float), where)  # type: ignore[arg-type]
        return Recorded(
            own,
            tuple(self.field(entry, "parents", list, where)),
            tuple(entry.get("inputFiles", ())),
            tuple(entry.get("outputFiles", ())),
            max(0.0, float(runtime)),
            float(time.get("coreCount", 1)),
            min(1.0, float(time.get("avgCPU", 100)) / 100),
        )

    def _check(self, tasks: Mapping[str, Recorded]) -> None:
        writers: dict[str, str] = {}
        for task in tasks.values():
            for parent in task.parents:
                if parent not in tasks:
                    self._note(f"task '{task.id}' has a parent '{parent}' that is no task")
            for file in task.writes:
                if file in writers:
                    self._note(f"both '{writers[file]}' and '{task.id}' write '{file}'")
                writers[file] = task.id

    def _in_order(self, tasks: Mapping[str, Recorded]) -> Iterator[Recorded]:
        """The tasks, parents first.

        Raises:
            RecipeError: some wait for each other.
        """
        missing = {task.id: len(set(task.parents)) for task in tasks.values()}
        children = children_of(tasks.values())
        ready = [task for task, count in missing.items() if not count]
        for own in ready:  # grows
            yield tasks[own]
            for child in children[own]:
                missing[child] -= 1
                if not missing[child]:
                    ready.append(child)
        stuck = sorted(task for task, count in missing.items() if count > 0)
        if stuck:
            what = f"these tasks wait for each other: {', '.join(stuck[:5])}"
            raise RecipeError.of(INVALID, what, where=self._file)

    def _note(self, what: str) -> None:
        self._problems.append(Problem(Place(self._file), INVALID, what))


def children_of(tasks: Collection[Recorded]) -> dict[str, list[str]]:
    """Which tasks waited for each."""
    found: dict[str, list[str]] = {task.id: [] for task in tasks}
    for task in tasks:
        for parent in dict.fromkeys(task.parents):
            found[parent].append(task.id)
    return found


# --- figures --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figures:
    """What a graph is like.

    Args:
        levels: tasks on its longest path.
        widest: tasks that are equally far from the beginning, at most.
        critical_s: the longest path in recorded seconds: no replay can be faster.
        total_s: all recorded seconds.
    """

    tasks: int
    edges: int
    levels: int
    widest: int
    roots: int
    leaves: int
    critical_s: float
    total_s: float

    def __str__(self) -> str:
        return (
            f"{self.tasks:,} tasks, {self.edges:,} edges, {self.levels} levels of at most"
            f" {self.widest} tasks, {self.roots} roots, {self.leaves} leaves;"
            f" critical path {self.critical_s:.1f} s, sum of runtimes {self.total_s:.1f} s"
        )


def figures_of(instance: Instance) -> Figures:
    """The figures of an instance's graph."""
    tasks = list(instance.tasks.values())
    level: dict[str, int] = {}
    end: dict[str, float] = {}
    for task in tasks:
        level[task.id] = 1 + max((level[parent] for parent in task.parents), default=0)
        end[task.id] = task.runtime_s + max((end[parent] for parent in task.parents), default=0.0)
    children = children_of(tasks)
    widths: dict[int, int] = {}
    for depth in level.values():
        widths[depth] = widths.get(depth, 0) + 1
    return Figures(
        len(tasks),
        sum(map(len, children.values())),
        max(level.values(), default=0),
        max(widths.values(), default=0),
        sum(not task.parents for task in tasks),
        sum(not below for below in children.values()),
        max(end.values(), default=0.0),
        sum(task.runtime_s for task in tasks),
    )
