"""Input objects ("job orders"): the inputs of a run as a file says them (CWL v1.2, "Input objects").

Owns how such a file is read: YAML 1.2 or JSON, relative places resolved against the file, what the
runner is told beside the inputs (``cwl:tool``, ``cwl:requirements``). Imports the CWL library only
for files that import others.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from hepflow.model.errors import Place, Problem, RecipeError
from hepflow.model.values import Value
from hepflow_cwl.values import from_cwl, to_uri

STDIN: Final = "-"
_TOOL: Final = "cwl:tool"
_REQUIREMENTS: Final = "cwl:requirements"
_IMPORTS: Final = re.compile(r"\$(import|include|mixin|graph)\b")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class Order:
    """An input object.

    Args:
        source: what it was read from, for messages.
        values: the inputs by name, files at absolute places.
        requirements: requirements that go on top of the document's, as JSON; empty for none.
        tool: the document to run, where the file names one.
    """

    source: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)
    requirements: str = ""
    tool: str = ""


def names_tool(path: str) -> bool:
    """Whether a file may be an input object that names its document."""
    return _TOOL in Path(path).read_text(encoding="utf-8", errors="replace")


def read_order(source: str, basedir: str = "") -> Order:
    """Reads an input object.

    Args:
        source: a path, a ``file://`` URI, a URL, or ``-`` for standard input.
        basedir: what relative places are relative to, if not the folder of the file.

    Raises:
        RecipeError: it cannot be read, or is no input object.
    """
    text, home = _text(source)
    base = f"{to_uri(os.path.abspath(basedir))}/" if basedir else home
    data = _imported(home, source) if _IMPORTS.search(text) else _parsed(text, source)
    if data is None:
        raise _fault(source, "the inputs file is empty", "write '{}' for no inputs")
    if not isinstance(data, Mapping):
        raise _fault(source, "an inputs file is a mapping of input names to values")
    return order_of(data, source, base)


def order_of(data: Mapping[str, Any], source: str, base: str) -> Order:
    """The order that an input object makes.

    Args:
        data: as CWL has it, with places relative to ``base``, a URI.
    """
    namespaces = data.get("$namespaces") or {}
    try:
        values = {
            str(name): from_cwl(_placed(value, base, namespaces))
            for name, value in data.items()
            if not str(name).startswith(("$", "cwl:", "cwltool:", "http://", "https://"))
        }
    except ValueError as error:
        raise _fault(source, str(error)) from error
    tool = str(data.get(_TOOL, ""))
    return Order(
        source, values, _as_list(data.get(_REQUIREMENTS)), _place(tool, base) if tool else ""
    )


def _text(source: str) -> tuple[str, str]:
    """What stands in an inputs file, and the URI its places are relative to."""
    if source == STDIN:
        return sys.stdin.read(), f"{to_uri(os.getcwd())}/"
    if source.startswith(("http://", "https://")):
        from urllib.request import urlopen

        with urlopen(source) as answer:
            return answer.read().decode(), source
    path = unquote(urlsplit(source).path) if source.startswith("file://") else source
    try:
        return Path(path).read_text(encoding="utf-8"), to_uri(os.path.abspath(path))
    except OSError as error:
        raise _fault(path, f"cannot read the inputs file: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _fault(path, "the inputs file is not UTF-8 text") from error


def _parsed(text: str, source: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            pass  # YAML in braces
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.error import MarkedYAMLError

    class Constructor(SafeConstructor):
        """Leaves dates as they are written: CWL has no such type."""

    Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source)
        raise RecipeError(Problem(place, "HF224", f"not valid YAML: {error.problem}")) from error


def _imported(uri: str, source: str) -> Any:
    """An input object with the files it imports in their places."""
    from cwltool.load_tool import jobloaderctx
    from schema_salad.exceptions import SchemaSaladException
    from schema_salad.ref_resolver import Loader

    try:
        return Loader(jobloaderctx).resolve_ref(uri, checklinks=False)[0]
    except SchemaSaladException as error:
        raise _fault(source, " ".join(str(error).split())) from error


def _placed(value: Any, base: str, namespaces: Mapping[str, str]) -> Any:
    """A value whose files have absolute places and whole formats."""
    if isinstance(value, Mapping):
        entry = {name: _placed(item, base, namespaces) for name, item in value.items()}
        if entry.get("class") in ("File", "Directory"):
            if isinstance(entry.get("location"), str):
                entry["location"] = _place(entry["location"], base)
            elif isinstance(entry.get("path"), str):
                entry["location"] = _path(entry.pop("path"), base)
            prefix, colon, name = str(entry.get("format", "")).partition(":")
            if colon and prefix in namespaces:
                entry["format"] = namespaces[prefix] + name
        return entry
    if isinstance(value, list):
        return [_placed(item, base, namespaces) for item in value]
    return value


def _place(location: str, base: str) -> str:
    """A location, which is a URI reference, as an absolute URI."""
    return location if _SCHEME.match(location) else urljoin(base, location)


def _path(path: str, base: str) -> str:
    """A path, in which no character means anything, as an absolute URI."""
    return path if "://" in path else urljoin(base, quote(path))


def _as_list(requirements: Any) -> str:
    if not requirements:
        return ""
    if isinstance(requirements, Mapping):
        requirements = [{"class": name, **body} for name, body in requirements.items()]
    return json.dumps(requirements)


def _fault(source: str, what: str, fix: str = "") -> RecipeError:
    return RecipeError.of("HF223", what, where=source, fix=fix)
