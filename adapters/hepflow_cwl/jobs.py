"""The inputs of a run before its first step sees them (``Workflow.prepare``).

Secondary files are found, types and formats checked, all by the library's own code
(``preparing.py``), but only where a workflow or a value has any of that. (CWL v1.2, section "Input
objects" and "secondaryFiles": they are looked for here and nowhere later.)
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hepflow.model.errors import RecipeError
from hepflow.model.types import Type
from hepflow.model.values import Directory, File, Values, files_in
from hepflow_cwl.definition import Definition
from hepflow_cwl.orders import read_order
from hepflow_cwl.setup import Setup
from hepflow_cwl.types import type_of

if TYPE_CHECKING:
    from cwltool.process import Process


@dataclass(frozen=True, slots=True)
class Intake:
    """Makes the inputs of a run ready.

    Args:
        outside: the process's inputs and requirements.
        plain: hepflow's own checks of types suffice, as long as no value has anything to it.
    """

    outside: Definition
    setup: Setup
    plain: bool

    def __call__(self, values: Values) -> Values:
        """The values as the first steps get them.

        Raises:
            RecipeError: one is not as the document wants it, or a secondary file is missing.
        """
        if self.plain and not any(map(_has_more, files_in(list(values.values())))):
            return values
        from hepflow_cwl.preparing import prepared

        return prepared(self.outside, self.setup, values)


def _has_more(item: File | Directory) -> bool:
    """Whether a file or directory is a literal, or has a format or secondary files."""
    return not item.location or (isinstance(item, File) and bool(item.format or item.secondary))


def read_job(path: str) -> Values:
    """The inputs in a job file (``Workflow.read``).

    Raises:
        RecipeError: it cannot be read, or asks for more than to be read.
    """
    order = read_order(path)
    if order.requirements:
        raise RecipeError.of(
            "HF244", "the inputs file has 'cwl:requirements'", where=path,
            why="the document is loaded before its inputs are read",
            fix="use 'hepflow cwl-runner', or '--set requirements=' with the same as JSON",
        )  # fmt: skip
    return order.values


def intake_of(process: Process, setup: Setup) -> Intake:
    """What makes inputs ready for a process."""
    plain = all(
        _is_exact(type_of(entry["type"], process.schemaDefs))
        and not ("secondaryFiles" in entry or "format" in entry)
        for entry in process.tool["inputs"]
    )
    return Intake(Definition(_outside(process)), setup, plain)


def _is_exact(declared: Type) -> bool:
    """Whether the model's type says all that CWL's does."""
    if declared.name == "array":
        return declared.items is not None and _is_exact(declared.items)
    return declared.name not in ("any", "record")


def _outside(process: Process) -> Process:
    """The process without what it runs. As a workflow it asks for no resources or folders."""
    from ruamel.yaml.comments import CommentedMap  # dear, and only a first load comes here

    outside = copy(process)
    outside.tool = CommentedMap(
        {"class": "Workflow", "id": process.tool["id"], "inputs": process.tool["inputs"], "outputs": []}
    )  # fmt: skip
    for inner in ("steps", "parent_wf"):
        vars(outside).pop(inner, None)
    return outside
