"""The types cwl, yadage and snakemake: a workflow that another language reads, in REANA's frame.

Its inputs get the values of the file's parameters, and of the files it promises each is looked for
among the outputs of the workflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from hepflow.model.errors import Problem, RecipeError
from hepflow.model.protocols import Loader, LoadOptions
from hepflow.model.types import as_type
from hepflow.model.values import Directory, File, Value, Values, files_in, from_json
from hepflow.model.workflow import Binding, Port, Ref, Step, Workflow
from hepflow_reana.document import INVALID, Document, Keys
from hepflow_reana.interface import Entry, Interface, nearest

YADAGE: Final = "yadage"
FILE_OF_PARAMETERS: Final = "input"
"""The parameter that names a file of parameters: CWL's job object, Snakemake's configuration."""


def other_workflow(
    document: Document, interface: Interface, name: str, options: LoadOptions, load: Loader
) -> Workflow:
    """The workflow a file names, with its values, as one step.

    Args:
        load: reads files of other languages.

    Raises:
        RecipeError: the workflow's own faults; or a parameter that it has no input for.
    """
    section = document.data["workflow"]
    if "file" not in section:
        what = f"a workflow of type {section['type']} is named by 'file'"
        raise RecipeError(document.problem(("workflow", "specification"), what))
    folder = document.path.absolute().parent
    target = folder / section["file"].partition("#")[0]
    if not target.is_file():
        where: Keys = ("workflow", "file")
        raise RecipeError(document.problem(where, f"there is no file {section['file']}"))
    kind = str(section["type"])
    settings = {**_settings(document, kind, folder), **options.settings}
    inner = load(folder / section["file"], LoadOptions(settings=settings))
    given = _parameters(document, interface, folder)
    inputs = _ports(document, inner, given)
    step = Step(
        kind,
        inner,
        {port.name: Binding((Ref("", port.name),)) for port in inputs},
        tuple(Port(port) for port in inner.outputs),
        place=document.places[("workflow",)],
    )
    return Workflow(
        name,
        inputs,
        (step,),
        _outputs(kind, inner, interface),
        doc=inner.doc,
        source=str(document.path),
        prepare=inner.prepare,
        read=inner.read,
    )


def _settings(document: Document, kind: str, folder: Path) -> Mapping[str, str]:
    """What the language of a workflow has to know of the file."""
    if kind != YADAGE:
        return {}
    given = (document.data.get("inputs") or {}).get("options") or {}
    toplevel = {"toplevel": str(folder / given["toplevel"])} if "toplevel" in given else {}
    return {"initdir": str(folder), **toplevel}


def _parameters(document: Document, interface: Interface, folder: Path) -> Mapping[str, Value]:
    """The parameters, and those in the file that one of them names."""
    section = document.data["workflow"]
    if section["type"] == YADAGE:
        return interface.parameters
    own = {key: value for key, value in interface.parameters.items() if key != FILE_OF_PARAMETERS}
    where: Keys = ("inputs", "parameters", FILE_OF_PARAMETERS)
    named = interface.parameters.get(FILE_OF_PARAMETERS)
    if "parameters" in section:
        where, named = ("workflow", "parameters", "file"), section["parameters"]["file"]
    if named is None:
        return {name: _in_workspace(value, folder) for name, value in own.items()}
    found = {**_file_of_parameters(document, where, folder / str(named)), **own}
    return {name: _in_workspace(value, folder) for name, value in found.items()}


def _file_of_parameters(document: Document, where: Keys, path: Path) -> Mapping[str, Value]:
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        problem = document.problem(where, f"the file of parameters cannot be read: {error}")
        raise RecipeError(problem) from error
    except yaml.YAMLError as error:
        raise RecipeError.of(INVALID, f"not valid YAML: {error}", where=str(path)) from error
    if not isinstance(data, dict):
        raise RecipeError.of(INVALID, "it does not hold names with values", where=str(path))
    return {str(name): from_json(value) for name, value in data.items()}


def _in_workspace(value: Value, folder: Path) -> Value:
    """A value whose relative files are those beside the `reana.yaml`, wherever it was written."""
    if isinstance(value, File | Directory):
        location = value.location
        here = location if "://" in location or not location else str(folder / location)
        return replace(value, location=here)
    if isinstance(value, Mapping):
        return {key: _in_workspace(item, folder) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_in_workspace(item, folder) for item in value]
    return value


def _ports(document: Document, inner: Workflow, given: Mapping[str, Value]) -> tuple[Port, ...]:
    """The inputs of the workflow, those with a value no longer required."""
    known = {port.name for port in inner.inputs}
    problems: list[Problem] = []
    for name in given.keys() - known:
        what = f"the workflow has no input '{name}'"
        fix = nearest(name, known) or f"its inputs are {', '.join(sorted(known)) or 'none'}"
        problems.append(document.problem(("inputs", "parameters", name), what, fix=fix))
    if problems:
        raise RecipeError(problems)
    return tuple(
        replace(port, default=as_type(given[port.name], port.type)) if port.name in given else port
        for port in inner.inputs
    )


# --- what it promises -----------------------------------------------------------------------------


def _outputs(kind: str, inner: Workflow, interface: Interface) -> dict[str, Binding]:
    """The promised files; without a promise, all that the workflow gives."""
    if not interface.outputs:
        return {port: Binding((Ref(kind, port),)) for port in inner.outputs}
    sources = tuple(Ref(kind, port) for port in inner.outputs)
    names = tuple(f"{kind}.{port}" for port in inner.outputs)
    return {
        entry.port: Binding(sources, expression=Promised(entry, names))
        for entry in interface.outputs
    }


@dataclass(frozen=True, slots=True)
class Promised:
    """Finds a promised file among the outputs of a workflow: in a directory of theirs if its path leads
    there, else the one whose path agrees from its end.

    Args:
        names: the outputs, as an expression sees them.
    """

    entry: Entry
    names: tuple[str, ...]

    def evaluate(self, values: Values) -> Value:
        """The file.

        Raises:
            ValueError: there is none of that name, or several that fit equally well.
        """
        kind = Directory if self.entry.directory else File
        every = list(files_in([values[name] for name in self.names]))
        first, *rest = self.entry.path.split("/")
        for item in every if rest else ():
            if isinstance(item, Directory) and item.name == first:
                inside = _inside(item, rest, kind)
                if inside is not None:
                    return inside
        there = [item for item in every if isinstance(item, kind)]
        best = max((self._agreement(item) for item in there), default=0)
        found = {item.location: item for item in there if best and self._agreement(item) == best}
        if len(found) == 1:
            return next(iter(found.values()))
        what = f"the promised '{self.entry.path}'"
        if found:
            raise ValueError(f"{what} may be any of {', '.join(sorted(found))}")
        names = ", ".join(sorted({item.name for item in there})) or "none"
        raise ValueError(f"{what} is not among the outputs of the workflow: {names}")

    def _agreement(self, item: File | Directory) -> int:
        """How many parts of the paths are the same, from their ends."""
        ours = self.entry.path.split("/")
        theirs = [*item.location.rstrip("/").split("/")[:-1], item.name]
        count = 0
        for one, other in zip(reversed(ours), reversed(theirs), strict=False):
            if one != other:
                break
            count += 1
        return count


def _inside(
    directory: Directory, parts: Sequence[str], kind: type[File] | type[Directory]
) -> File | Directory | None:
    """What stands at a path below a directory, if that is of the wanted kind."""
    if directory.listing is None:
        path = Path(directory.location, *parts)
        is_there = path.is_dir() if kind is Directory else path.is_file()
        return kind(str(path)) if is_there else None
    for item in directory.listing:
        if item.name == parts[0]:
            if len(parts) == 1:
                return item if isinstance(item, kind) else None
            return _inside(item, parts[1:], kind) if isinstance(item, Directory) else None
    return None
