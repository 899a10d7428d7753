"""What a workflow gives in the end: its own entry in a tree, what its stages published, their folders."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hepflow.model.values import Directory, Value, Values
from hepflow_yadage.packtivities import WORKDIR
from hepflow_yadage.reading import INIT
from hepflow_yadage.specs import JSON, Kind, Scope
from hepflow_yadage.stages import NODES


@dataclass(frozen=True, slots=True)
class Entry:
    """An expression for the entry of a whole workflow, as ``view`` has it.

    Args:
        scope: the workflow.
        values: its registered expressions by name, each with the stage that registers it.
        listed: as a list of one.
    """

    scope: Scope
    values: Mapping[str, tuple[str, JSON]]
    listed: bool = False

    @property
    def names(self) -> Collection[str]:
        return [f"{name}.{NODES}" for name in (INIT, *(stage.name for stage in self.scope.stages))]

    def evaluate(self, values: Values) -> Value:
        stages = {name.removesuffix(f".{NODES}"): values[name] for name in self.names}
        registered = {
            key: value for key, (stage, value) in self.values.items() if stages[stage] is not None
        }
        single = [stage.name for stage in self.scope.stages if stage.scheduler.kind is Kind.SINGLE]
        entry: Value = {"stages": stages, "values": registered, "single": single}
        return [entry] if self.listed else entry


@dataclass(frozen=True, slots=True)
class Published:
    """An expression for what a stage has published: one result, or (of several nodes) a list."""

    stage: str
    single: bool

    @property
    def names(self) -> Collection[str]:
        return [f"{self.stage}.{NODES}"]

    def evaluate(self, values: Values) -> Value:
        return _published(values[f"{self.stage}.{NODES}"], self.single)


@dataclass(frozen=True, slots=True)
class Folders:
    """An expression for the folders of all nodes, named and nested as yadage has them on disk.

    Args:
        entry: that of the workflow.
    """

    entry: Entry

    @property
    def names(self) -> Collection[str]:
        return self.entry.names

    def evaluate(self, values: Values) -> Value:
        return {folder.name: folder for folder in _folders(self.entry.evaluate(values))}


def _published(entries: Value, single: bool) -> Value:
    if entries is None:
        return None
    found = [_result(entry) for entry in _list(entries) if entry is not None]
    return (found[0] if found else None) if single else found


def _result(entry: Any) -> Value:
    if "stages" not in entry:
        return entry["result"]  # type: ignore[no-any-return]
    return {
        name: _published(entries, name in entry["single"])
        for name, entries in entry["stages"].items()
        if name != INIT
    }


def _folders(scope: Any) -> Iterator[Directory]:
    for stage, entries in scope["stages"].items():
        if stage == INIT:
            continue
        single = stage in scope["single"]
        for index, entry in enumerate(_list(entries)):
            name = stage if single else f"{stage}_{index}"
            folder = _folder(entry, name)
            if folder is not None:
                yield folder


def _folder(entry: Any, name: str) -> Directory | None:
    if entry is None:
        return None
    if "stages" in entry:
        return Directory("", basename=name, listing=tuple(_folders(entry)))
    workdir = entry[WORKDIR]
    if workdir is None:
        return None
    return Directory(workdir.location, workdir.digest, workdir.size, name)


def _list(entries: Value) -> Sequence[Value]:
    return entries if isinstance(entries, (list, tuple)) else ()
