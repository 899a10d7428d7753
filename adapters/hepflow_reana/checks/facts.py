"""What is known of a run, as feature files ask for it: status, workspace, logs, times."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hepflow.cli.late import api
from hepflow.model.errors import UsageError
from hepflow.model.values import Directory, File, Value, files_in
from hepflow_reana.interface import WORKSPACE, Entry, Interface

STATUS: Final = {
    "succeeded": "finished", "failed": "failed", "cancelled": "stopped", "interrupted": "stopped",
    "running": "running",
}  # fmt: skip
"""REANA's words for the states of a run."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A run.

    Args:
        run: its number.
        status: in REANA's words.
        promised: the paths of the outputs that the analysis promises.
        files: those of the workspace, by path.
        logs: what its steps have printed, by their names.
        took_s: how long it took; steps_s: its steps.
    """

    run: int
    status: str
    promised: tuple[str, ...]
    files: Mapping[str, Path]
    logs: Mapping[str, str]
    took_s: float
    steps_s: Mapping[str, float]


def facts_of(path: Path, interface: Interface, project: api.Project, run: int | None) -> Facts:
    """What is known of a run of an analysis.

    Args:
        path: the `reana.yaml`.
        run: its number; ``None`` for the latest of this file.

    Raises:
        UsageError: there is no such run.
    """
    source = str(path.absolute())
    found = next(
        (each for each in api.runs(project) if each.recipe == source and run in (None, each.id)),
        None,
    )
    if found is None:
        what = f"there is no run {run} of {path}" if run else f"{path} was not run here yet"
        raise UsageError.of("HF301", what, fix=f"hepflow run {path}")
    reports = [*api.reused(project, found.id), *api.tasks(project, found.id)]
    ended = [report for report in reports if report.state is api.TaskState.SUCCEEDED]
    logs: dict[str, str] = {}
    steps: dict[str, float] = {}
    for report in reports:
        name = report.step.rpartition("/")[2]
        logs[name] = logs.get(name, "") + report.stdout + report.stderr
        steps[name] = max(steps.get(name, 0.0), report.wall_s)
    workspaces = [report.outputs[WORKSPACE] for report in ended if WORKSPACE in report.outputs]
    files = dict(_below(workspaces[-1], "")) if workspaces else {}
    if not workspaces:
        files = dict(_declared(path.absolute().parent, interface, api.outputs(project, found.id)))
    took = max(0.0, found.ended - found.started)
    promised = tuple(entry.path for entry in interface.outputs)
    status = STATUS[found.state.value]
    return Facts(found.id, status, promised, files, logs, took, steps)


def _declared(
    folder: Path, interface: Interface, outputs: Mapping[str, Value]
) -> Iterator[tuple[str, Path]]:
    """The workspace of an analysis that has none here: what it brings, and what it promises."""
    for entry in interface.brought:
        kind = Directory if entry.directory else File
        yield from _below(kind(str(folder / entry.path)), entry.path)
    yield from _kept(interface.outputs, outputs)


def _kept(entries: Iterable[Entry], outputs: Mapping[str, Value]) -> Iterator[tuple[str, Path]]:
    for entry in entries:
        for item in files_in(outputs.get(entry.port)):
            yield from _below(item, entry.path)


def _below(item: Value, path: str) -> Iterator[tuple[str, Path]]:
    """The files of a file or directory, by path in the workspace."""
    if isinstance(item, File):
        yield path, Path(item.location)
    elif isinstance(item, Directory):
        for place, _, names in os.walk(item.location):
            inner = os.path.relpath(place, item.location)
            for name in sorted(names):
                yield os.path.normpath(os.path.join(path, inner, name)), Path(place, name)
