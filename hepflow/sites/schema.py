"""Holds data against ``schema.json``: every fault at its line, with the nearest right word.

Understands the few words of JSON Schema that the schema uses, and two formats of ours: ``memory`` and
``time``, as recipes write them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from hepflow.recipe.faults import Faults, Path, suggestion
from hepflow.recipe.units import mebibytes, seconds

SCHEMA: Final = FilePath(__file__).parent / "schema.json"

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,),
    "array": (list,), "object": (dict,), "null": (type(None),),
}  # fmt: skip
_WORDS: Final = {
    "string": "text", "number": "a number", "integer": "a whole number",
    "boolean": "true or false", "array": "a list", "object": "a mapping",
}  # fmt: skip
_FORMATS: Final = {"memory": mebibytes, "time": seconds}
_SECRET: Final = re.compile(
    r"(.*[_-])?(password|passwd|passphrase|secret|token|credentials?"
    r"|(api|access|secret|private)[_-]?key)",
    re.IGNORECASE,
)


def check(data: object, faults: Faults) -> None:
    """Notes every fault of one site file."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    _Checker(schema["$defs"], faults).check(data, schema, ())


class _Checker:
    """Walks data and schema side by side."""

    def __init__(self, definitions: Mapping[str, Any], faults: Faults) -> None:
        self._definitions = definitions
        self._faults = faults

    def check(self, data: object, schema: Mapping[str, Any], path: Path) -> None:
        """One value and all below it."""
        if "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if not any(_is(data, kind) for kind in kinds):
            fix = f'put it in quotes: "{data}"' if "string" in kinds and _is(data, "number") else ""
            self._fault(path, f"takes {_either(kinds)}, gets {_kind_of(data)}", fix)
        elif isinstance(data, dict):
            self._mapping(data, schema, path)
        elif isinstance(data, list):
            for at, item in enumerate(data):
                self.check(item, schema.get("items", schema), (*path, at))
        elif data is not None:
            self._scalar(data, schema, path)

    def _scalar(self, data: Any, schema: Mapping[str, Any], path: Path) -> None:
        if data not in schema.get("enum", (data,)):
            words = [word for word in schema["enum"] if word is not None]
            self._fault(path, f"does not know '{data}'", suggestion(str(data), words))
        elif _is(data, "number") and data < schema.get("minimum", data):
            self._fault(path, f"takes {schema['minimum']} or more, gets {data}")
        elif "format" in schema:
            try:
                _FORMATS[schema["format"]](data)
            except ValueError as error:
                self._fault(path, f"is wrong: {error}")

    def _mapping(self, data: Mapping[str, Any], schema: Mapping[str, Any], path: Path) -> None:
        known = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        names = schema.get("propertyNames")
        pattern = self._definitions["name"]["pattern"] if names else ""
        for key, value in data.items():
            here = (*path, key)
            if _SECRET.fullmatch(key):
                self._faults.add(
                    "HF252", here, f"'{key}': a site file never holds secrets", key=True,
                    why="it is read by others, and shown by 'hepflow site show'",
                    fix="leave it where the system's own tools look for it, or in the environment",
                )  # fmt: skip
            elif key in known:
                self.check(value, known[key], here)
            elif others is False:
                what = f"there is no key '{key}'" + (f" in '{_dotted(path)}'" if path else "")
                self._faults.add("HF251", here, what, fix=suggestion(key, known), key=True)
            elif pattern and not re.search(pattern, key):
                self._faults.add(
                    "HF251", here, f"'{key}' is not a name", key=True,
                    fix="write letters, digits, '_', '-' and '.'",
                )  # fmt: skip
            elif isinstance(others, dict):
                self.check(value, others, here)
            else:
                self._secrets_in(value, here)

    def _secrets_in(self, value: object, path: Path) -> None:
        """What is free in form may still hold no secret."""
        if isinstance(value, dict):
            self._mapping(value, {}, path)
        elif isinstance(value, list):
            for at, item in enumerate(value):
                self._secrets_in(item, (*path, at))

    def _fault(self, path: Path, what: str, fix: str = "") -> None:
        subject = f"'{_dotted(path)}' " if path else "a site file "
        self._faults.add("HF250", path, subject + what, fix=fix)


def _is(data: object, kind: str) -> bool:
    if isinstance(data, bool):
        return kind == "boolean"
    return isinstance(data, _TYPES[kind])


def _kind_of(data: object) -> str:
    return next((word for kind, word in _WORDS.items() if _is(data, kind)), "nothing")


def _either(kinds: list[str]) -> str:
    return " or ".join(_WORDS[kind] for kind in kinds if kind != "null")


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)
