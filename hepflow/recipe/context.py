"""What compiling one file needs at hand, and the small checks that every section shares."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from hepflow.model.types import Type, as_type, mismatch
from hepflow.model.values import Directory, File, Value
from hepflow.model.workflow import Workflow
from hepflow.recipe.document import Document
from hepflow.recipe.faults import Faults, Path, nearest, suggestion
from hepflow.recipe.scope import FUNCTIONS, RESERVED

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
SYNONYMS: Final = {
    "run": "command", "shell": "command", "cmd": "command", "exec": "command", "args": "command",
    "image": "container", "docker": "container", "threads": "resources", "cpus": "resources",
    "memory": "resources", "walltime": "resources", "in": "inputs", "out": "outputs",
    "params": "inputs", "parameters": "inputs", "foreach": "scatter", "for": "scatter", "if": "when",
    "needs": "inputs", "depends": "inputs", "retry": "retries", "import": "uses", "include": "uses",
    "description": "doc", "environment": "env", "function": "python", "version": "hepflow",
    "variants": "profiles", "vars": "inputs",
}  # fmt: skip
"""Words other languages use, and ours for the same thing."""


@dataclass(slots=True)
class Context:
    """One file being compiled.

    Args:
        loader: gives the workflow in another file (text as written, path of it in this one).
        defaults: the file's ``defaults`` as written, once checked.
    """

    document: Document
    loader: Callable[[Context, str, Path], Workflow | None]
    defaults: Mapping[str, object] = field(default_factory=dict)

    @property
    def faults(self) -> Faults:
        return self.document.faults

    @property
    def folder(self) -> str:
        return self.document.folder

    def uses(self, text: str, path: Path) -> Workflow | None:
        """The workflow in another file; ``None`` after noting why there is none."""
        return self.loader(self, text, path)

    def mapping(self, value: object, path: Path, what: str) -> dict[str, object]:
        """The value if it is a mapping (nothing counts as empty); else notes the fault."""
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        fix = f"write '{path[-1]}:' and the names below it"
        self.faults.add("HF110", path, f"{what} takes a mapping, gets {kind_of(value)}", fix=fix)
        return {}

    def unknown_keys(
        self, raw: Mapping[str, object], known: Collection[str], path: Path, what: str
    ) -> None:
        """Notes every key that means nothing, with the nearest that does."""
        for key in raw:
            if key in known:
                continue
            synonym = SYNONYMS.get(key, "")
            near = nearest(key, known)
            fix = (
                f"write '{synonym}'"
                if synonym in known and not near
                else suggestion(key, known, "keys")
            )
            self.faults.add("HF111", (*path, key), f"{what} has no key '{key}'", fix=fix, key=True)

    def good_name(self, name: str, path: Path, what: str, *, identifier: bool = False) -> bool:
        """Whether a step, port or variable may be called so; notes it when not."""
        pattern = IDENTIFIER if identifier else NAME
        if pattern.fullmatch(name) is None:
            fix = (
                "letters, digits and '_'"
                + ("" if identifier else " and '-'")
                + ", not a digit first"
            )
            self.faults.add("HF112", path, f"{what} cannot be called '{name}'", fix=fix, key=True)
            return False
        if name in RESERVED or (identifier and name in FUNCTIONS):
            why = f"'{name}' has a meaning of its own in expressions"
            self.faults.add("HF112", path, f"{what} cannot be called '{name}'", why=why, key=True)
            return False
        return True

    def constant(self, value: object, expected: Type, path: Path, what: str) -> Value:
        """A constant as the type asks, notes it when it is not of the type."""
        data = located(as_type(value, expected), self.folder)  # type: ignore[arg-type]
        wrong = mismatch(data, expected)
        if wrong:
            self.faults.add("HF203", path, f"{what} {wrong}")
        return data

    def text(self, value: object, path: Path, what: str) -> str:
        """The value if it is text; else notes the fault and gives an empty one."""
        if isinstance(value, str):
            return value
        self.faults.add("HF113", path, f"{what} takes text, gets {kind_of(value)}")
        return ""

    def flag(self, value: object, path: Path, what: str, default: bool) -> bool:
        """The value if it is true or false; else notes the fault."""
        if isinstance(value, bool):
            return value
        fix = "write true or false" if isinstance(value, str) else ""
        self.faults.add(
            "HF113", path, f"{what} takes true or false, gets {kind_of(value)}", fix=fix
        )
        return default

    def whole(self, value: object, path: Path, what: str, least: int = 0) -> int:
        """The value if it is a whole number not below ``least``; else notes the fault."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        got = kind_of(value) if not isinstance(value, int) else str(value)
        self.faults.add("HF113", path, f"{what} takes a whole number from {least}, gets {got}")
        return least


def located(value: Value, folder: str) -> Value:
    """File paths of a recipe made absolute: they are relative to the recipe's own folder."""
    if isinstance(value, File):
        return File(absolute(value.location, folder)) if type(value) is File else value
    if isinstance(value, Directory):
        return Directory(absolute(value.location, folder))
    if isinstance(value, list):
        return [located(item, folder) for item in value]
    return value


def absolute(location: str, folder: str) -> str:
    """A path made absolute; a URI or an absolute path as it is."""
    if "://" in location:
        return location
    return os.path.normpath(os.path.join(folder, os.path.expanduser(location)))


def kind_of(value: object) -> str:
    """What a piece of data is, in the words of a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return "a list" if isinstance(value, list) else "a mapping"
