"""A `reana.yaml` as data, with the line and column of every piece, checked against the schema.

YAML is read by PyYAML's rules (YAML 1.1), as REANA itself does. Knows no workflow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from hepflow.model.errors import Place, Problem, RecipeError, UnavailableError

Keys: TypeAlias = tuple[str | int, ...]
"""Where a piece is: the keys and positions that lead to it."""

UNREADABLE, MALFORMED, INVALID = "HF100", "HF101", "HF282"

_EXPECTED: Final = {
    "object": "names with values", "array": "a list", "string": "a text", "integer": "a whole number",
    "boolean": "true or false",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Document:
    """A file that is as the schema says.

    Args:
        data: its content.
        places: where each piece stands, a value in a mapping by its key.
    """

    path: Path
    data: Mapping[str, Any]
    places: Mapping[Keys, Place]

    def problem(self, keys: Keys, what: str, *, why: str = "", fix: str = "") -> Problem:
        """A fault of the piece at ``keys``."""
        return Problem(self.place(keys), INVALID, what, why, fix)

    def place(self, keys: Keys) -> Place:
        """Where the piece at ``keys`` stands, or the nearest one around where it was merged in (``<<``)."""
        while keys not in self.places:
            keys = keys[:-1]
        return self.places[keys]


def read_document(path: Path) -> Document:
    """The document in a file.

    Raises:
        RecipeError: it cannot be read, is not YAML, or is not as REANA's schema says: every fault.
        UnavailableError: the library that checks against schemas is not installed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError.of(UNREADABLE, f"cannot be read: {error}", where=str(path)) from error
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        data: Any = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = Place(str(path), mark.line + 1, mark.column + 1) if mark else Place(str(path))
        what = f"not valid YAML: {getattr(error, 'problem', None) or error}"
        raise RecipeError(Problem(place, MALFORMED, what)) from error
    except RecursionError as error:
        raise RecipeError.of(MALFORMED, "it is nested too deeply", where=str(path)) from error
    finally:
        loader.dispose()
    document = Document(
        path, data, {(): Place(str(path), 1, 1), **dict(_places(node, str(path), ()))}
    )
    problems = list(_faults(document))
    if problems:
        raise RecipeError(problems)
    return document


def _places(node: Any, file: str, keys: Keys) -> Iterator[tuple[Keys, Place]]:
    """Where the pieces below a node stand."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            mark = key.start_mark
            here = (*keys, key.value)
            yield here, Place(file, mark.line + 1, mark.column + 1)
            yield from _places(value, file, here)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            mark = value.start_mark
            here = (*keys, position)
            yield here, Place(file, mark.line + 1, mark.column + 1)
            yield from _places(value, file, here)


# --- the schema -----------------------------------------------------------------------------------


def schema() -> Mapping[str, Any]:
    """The form of a `reana.yaml`, as a JSON Schema (draft 7)."""
    text = files("hepflow_reana").joinpath("schema.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


def _faults(document: Document) -> Iterator[Problem]:
    try:
        from jsonschema import Draft7Validator
    except ImportError as error:
        raise UnavailableError.of(
            "HF402", "REANA's files cannot be checked", why=str(error),
            fix="pip install 'hepflow[reana]'",
        ) from error  # fmt: skip
    for fault in Draft7Validator(schema()).iter_errors(document.data):
        yield from _told(document, fault)


def _told(document: Document, fault: Any) -> Iterator[Problem]:
    """What the library says of one fault, in our words."""
    keys = tuple(fault.absolute_path)
    name = ".".join(map(str, keys)) or "the file"
    kind, asked, found = fault.validator, fault.validator_value, fault.instance
    if kind == "additionalProperties":
        known = fault.schema.get("properties", {})
        for key in [key for key in found if key not in known]:
            near = get_close_matches(str(key), known, n=1)
            fix = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}"
            yield document.problem((*keys, key), f"{name} has no key '{key}'", fix=fix)
    elif kind == "required":
        missing = [key for key in asked if key not in found]
        yield document.problem(keys, f"{name} lacks '{missing[0]}'")
    elif kind == "anyOf":
        yield document.problem(keys, f"{name} has neither 'file' nor 'specification'")
    elif kind == "type":
        got = (
            json.dumps(found)
            if isinstance(found, str | int | float | bool)
            else type(found).__name__
        )
        hint = (
            f'write "{found}" in quotes'
            if asked == "string" and not isinstance(found, dict | list)
            else ""
        )
        yield document.problem(keys, f"{name} takes {_EXPECTED[asked]}, gets {got}", fix=hint)
    elif kind == "enum":
        near = get_close_matches(str(found), asked, n=1)
        fix = f"did you mean '{near[0]}'?" if near else ""
        yield document.problem(
            keys, f"{name} takes one of {', '.join(asked)}, gets '{found}'", fix=fix
        )
    elif kind == "pattern":
        yield document.problem(
            keys, f"{name}: '{found}' is malformed", fix=fault.schema.get("description", "")
        )
    else:
        yield document.problem(keys, f"{name}: {fault.message}")
