"""Snakemake at work on one Snakefile, as a tool: a task that plans, and hands its jobs to hepflow."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from hepflow.model.task import Argv, Outcome, Output, Read, Resources, Task
from hepflow.model.types import parse_type
from hepflow.model.values import Directory, File, Value, Values, canonical
from hepflow.model.workflow import PlanContext, Port
from hepflow_snakemake.request import ANSWER, MADE, REQUEST

OUTPUTS: Final = (
    Port("targets", parse_type("any"), doc="The files that were asked for, in their order."),
    Port(
        "folder",
        parse_type("Directory"),
        doc="All that was made and is no temporary file, by path.",
    ),
)

PLANNER: Final = Resources(cpus=0.1)
"""Snakemake mostly waits, and its jobs need the cores."""

SHOWN: Final = 2000
"""Characters of a fingerprint's component beyond which its digest stands for it."""


@dataclass(frozen=True, slots=True)
class SnakemakeTool:
    """One Snakefile.

    Args:
        snakefile: absolute path.
    """

    snakefile: str

    @property
    def resources(self) -> Resources:
        return PLANNER

    def fingerprint(self, inputs: Values) -> str:
        """The Snakefile's own folder, the files given, configuration, targets and options."""
        lines = ["tool=snakemake", f"snakefile={os.path.basename(self.snakefile)}"]
        for port, value in sorted(inputs.items()):
            text = canonical(value)
            # One with files nobody has read must stay readable: that is how these are found.
            if len(text) > SHOWN and "file::" not in text and "dir::" not in text:
                text = sha256(text.encode()).hexdigest()
            lines.append(f"{port}={text}")
        return "\n".join(lines)

    def plan(self, inputs: Values, context: PlanContext) -> Task:
        request = {
            "snakefile": self.snakefile,
            "key": sha256(self.fingerprint(inputs).encode()).hexdigest()[:16],
            "config": _with_paths(inputs["config"], context.path_of),
            "targets": _with_paths(inputs["targets"], context.path_of),
            "options": inputs["options"],
            "sources": _with_paths(inputs["sources"], context.path_of),
            "files": _with_paths(inputs["files"], context.path_of),
        }
        return Task(
            Argv((sys.executable, "-m", "hepflow_snakemake.driving")),
            (
                Output("targets", ANSWER, read=Read.JSON),
                Output("folder", MADE, directory=True),
            ),
            PLANNER,
            texts=((REQUEST, json.dumps(request)),),
            inputs=inputs,
        )

    def collect(self, _task: Task, outcome: Outcome, folder: str) -> Values:
        """The targets as files, from the list that was left."""
        listed = outcome.outputs["targets"]
        if not isinstance(listed, list):
            raise ValueError("Snakemake left no list of its targets")
        made = os.path.join(folder, MADE)
        targets = [_as_value(os.path.join(made, str(path))) for path in listed]
        return {"targets": targets, "folder": outcome.outputs["folder"]}


def _as_value(path: str) -> File | Directory:
    return Directory(path) if os.path.isdir(path) else File(path)


def _with_paths(value: Value, path_of: Callable[[File | Directory], str]) -> object:
    """A value with the paths of files in their place."""
    if isinstance(value, (File, Directory)):
        return path_of(value)
    if isinstance(value, dict):
        return {key: _with_paths(item, path_of) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_paths(item, path_of) for item in value]
    return value
