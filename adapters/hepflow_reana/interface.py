"""What goes into an analysis and what comes out, by `inputs` and `outputs` of its file.

Ports of the model have plain names. A parameter keeps its own; a file or directory goes by its path
with an underscore for every other character: `results/plot.png` is the port `results_plot_png`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from hepflow.model.errors import Place, Problem, RecipeError
from hepflow.model.types import Type
from hepflow.model.values import Directory, File, Value, from_json
from hepflow.model.workflow import Port
from hepflow_reana.document import Document, Keys

WORKSPACE: Final = "workspace"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory of the workspace.

    Args:
        port: the name of its port.
        path: relative to the workspace.
        many: a pattern of names.
    """

    port: str
    path: str
    directory: bool
    many: bool = False


@dataclass(frozen=True, slots=True)
class Interface:
    """What an analysis takes and gives.

    Args:
        inputs: the ports, one for each parameter, then one for each file and directory.
        parameters: the values in the file.
        brought: the files and directories that the user brings.
        outputs: those that are the result.
    """

    inputs: tuple[Port, ...]
    parameters: Mapping[str, Value]
    brought: tuple[Entry, ...]
    outputs: tuple[Entry, ...]


def interface_of(document: Document) -> Interface:
    """The interface of an analysis.

    Raises:
        RecipeError: a path leads out of the workspace: every such path.
    """
    given: Mapping[str, Any] = document.data.get("inputs") or {}
    promised: Mapping[str, Any] = document.data.get("outputs") or {}
    problems = [*_strays(document, "inputs", given), *_strays(document, "outputs", promised)]
    if problems:
        raise RecipeError(problems)
    parameters = {
        str(key): from_json(value) for key, value in (given.get("parameters") or {}).items()
    }
    taken = {*parameters, WORKSPACE}
    brought = tuple(_entries(_outermost(given), taken))
    outputs = tuple(_entries(_paths(promised), {WORKSPACE}))
    ports = [
        Port(name, default=value, place=document.place(("inputs", "parameters", name)))
        for name, value in parameters.items()
    ]
    folder = document.path.absolute().parent
    named = _named_at(document, given)
    for entry in brought:
        path = str(folder.joinpath(entry.path))
        value = Directory(path) if entry.directory else File(path)
        kind = Type("Directory" if entry.directory else "File")
        ports.append(Port(entry.port, kind, value, entry.path, named[entry.path]))
    return Interface(tuple(ports), parameters, brought, outputs)


def as_name(text: str, taken: set[str]) -> str:
    """A text as a name of a port or step that is not taken yet; it is from now on."""
    name = plain = re.sub(r"[^A-Za-z0-9_-]", "_", text)
    count = 1
    while name in taken:
        count += 1
        name = f"{plain}_{count}"
    taken.add(name)
    return name


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the name that was probably meant; empty where none is near."""
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean '{near[0]}'?" if near else ""


def _paths(section: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Paths of a section, and whether each is a directory."""
    for key, directory in (("directories", True), ("files", False)):
        for path in section.get(key) or ():
            yield posixpath.normpath(path), directory


def _named_at(document: Document, section: Mapping[str, Any]) -> dict[str, Place]:
    """Where the file names each of its inputs."""
    return {
        posixpath.normpath(path): document.place(("inputs", key, position))
        for key in ("files", "directories")
        for position, path in enumerate(section.get(key) or ())
    }


def _outermost(section: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """The same without what lies in a directory that is listed as well."""
    found = list(dict.fromkeys(_paths(section)))
    folders = [path for path, directory in found if directory]
    return [
        (path, directory)
        for path, directory in found
        if not any(path != folder and _is_below(path, folder) for folder in folders)
    ]


def _is_below(path: str, folder: str) -> bool:
    return folder == "." or path.startswith(f"{folder}/")


def _entries(paths: Iterable[tuple[str, bool]], taken: set[str]) -> Iterator[Entry]:
    for path, directory in paths:
        yield Entry(as_name(path, taken), path, directory, bool(re.search(r"[*?\[]", path)))


def _strays(document: Document, section: str, data: Mapping[str, Any]) -> Iterator[Problem]:
    for key in ("files", "directories"):
        for position, path in enumerate(data.get(key) or ()):
            plain = posixpath.normpath(path)
            if not path or plain.startswith(("/", "../")) or plain == "..":
                where: Keys = (section, key, position)
                fix = "paths are relative to the folder of this file, and stay below it"
                yield document.problem(where, f"'{path}' is not in the workspace", fix=fix)
