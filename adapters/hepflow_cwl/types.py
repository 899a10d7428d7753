"""CWL's types as the model's, so that inputs on a command line are read as what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hepflow.model.types import ANY, Type

_PLAIN: Final = {
    "boolean": "boolean",
    "int": "int",
    "long": "int",
    "string": "string",
    "File": "File",
    "Directory": "Directory",
}
"""``float`` and ``double`` are any: the model would make 3.0 of 3, and a tool then prints it so."""


def type_of(declared: Any, named: Mapping[str, Any]) -> Type:
    """The model's type for a CWL type; unions of several types are any.

    Args:
        declared: a type as the library normalises it: a name, a mapping, or a list (a union).
        named: the types of SchemaDefRequirement by name.
    """
    if isinstance(declared, list):
        others = [item for item in declared if item != "null"]
        found = type_of(others[0], named) if len(others) == 1 else ANY
        return Type(found.name, found.items, found.symbols, len(others) < len(declared))
    if isinstance(declared, str):
        if declared in named:
            return type_of(named[declared], named)
        name = declared.rpartition(".")[2]  # in a SchemaDef: org.w3id.cwl.cwl.File
        return Type(_PLAIN[name]) if name in _PLAIN else ANY
    kind = declared["type"]
    if kind == "array":
        return Type("array", items=type_of(declared["items"], named))
    if kind == "enum":
        symbols = (str(symbol).rpartition("#")[2] for symbol in declared["symbols"])
        return Type("enum", symbols=tuple(symbol.rpartition("/")[2] for symbol in symbols))
    if kind == "record":
        return Type("record")
    return type_of(kind, named)


def may_hold_files(declared: Any, named: Mapping[str, Any]) -> bool:
    """Whether values of a CWL type can have files or directories in them."""
    if isinstance(declared, list):
        return any(may_hold_files(item, named) for item in declared)
    if isinstance(declared, str):
        if declared in named:
            return may_hold_files(named[declared], named)
        return declared.rpartition(".")[2] in ("File", "Directory", "Any")
    kind = declared["type"]
    if kind == "array":
        return may_hold_files(declared["items"], named)
    if kind == "record":
        return any(may_hold_files(field["type"], named) for field in declared["fields"])
    return kind != "enum" and may_hold_files(kind, named)
