"""The types cwl, yadage and snakemake: a workflow that another language reads, in REANA's frame.

Its inputs get the values of the file's parameters, and of the files it promises each is looked for
among the outputs of the workflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hepflow.model.errors import RecipeError
from hepflow.model.protocols import Loader, LoadOptions
from hepflow.model.types import as_type
from hepflow.model.values import Value, Values
from hepflow.model.workflow import Binding, Port, Ref, Step, Workflow
from hepflow_reana.document import Document, Keys
from hepflow_reana.interface import Interface, as_name
from hepflow_reana.parameters import parameters_of
from hepflow_reana.promises import Promised

YADAGE, SNAKEMAKE = "yadage", "snakemake"
REST: Final = "init"
"""The input of a yadage workflow for parameters that no stage names."""
CONFIG, FILES = "config", "files"
"""Inputs of a Snakefile: its configuration, and files by their paths in the working directory."""


def other_workflow(
    document: Document, interface: Interface, name: str, options: LoadOptions, load: Loader
) -> Workflow:
    """The workflow a file names, with its values, as one step.

    Args:
        load: reads files of other languages.

    Raises:
        RecipeError: the workflow's own faults, or it is not there.
    """
    kind = str(document.data["workflow"]["type"])
    folder = document.path.absolute().parent
    settings = {**_settings(document, kind, folder), **options.settings}
    inner = load(folder / _file(document, folder), LoadOptions(settings=settings))
    note = ""
    if kind == SNAKEMAKE:
        inputs, bindings = _as_configuration(interface, parameters_of(document, interface, folder))
    else:
        if kind == YADAGE:
            given = _with_rest(inner, interface.parameters)
        else:
            given = parameters_of(document, interface, folder)
            note = _unread(inner, given)
        inputs = _ports(inner, given)
        bindings = {port.name: Binding((Ref("", port.name),)) for port in inputs}
    left = tuple(Port(port) for port in inner.outputs)
    step = Step(kind, inner, bindings, left, place=document.place(("workflow",)))
    return Workflow(
        name,
        inputs,
        (step,),
        _outputs(kind, inner, interface),
        doc="\n".join(filter(None, [inner.doc, note])),
        source=str(document.path),
        prepare=inner.prepare,
        read=inner.read,
    )


def _file(document: Document, folder: Path) -> str:
    """The workflow's file, relative to the analysis, perhaps with the part of it."""
    section = document.data["workflow"]
    if "file" not in section:
        what = f"a workflow of type {section['type']} is named by 'file'"
        raise RecipeError(document.problem(("workflow", "specification"), what))
    name: str = section["file"]
    if not (folder / name.partition("#")[0]).is_file():
        where: Keys = ("workflow", "file")
        raise RecipeError(document.problem(where, f"there is no file {name}"))
    return name


def _settings(document: Document, kind: str, folder: Path) -> Mapping[str, str]:
    """What the language of a workflow has to know of the file."""
    if kind != YADAGE:
        return {}
    given = (document.data.get("inputs") or {}).get("options") or {}
    toplevel = {"toplevel": str(folder / given["toplevel"])} if "toplevel" in given else {}
    return {"initdir": str(folder), **toplevel}


def _ports(inner: Workflow, given: Mapping[str, Value]) -> tuple[Port, ...]:
    """The inputs of the workflow, those with a value no longer required."""
    return tuple(
        replace(port, default=as_type(given[port.name], port.type)) if port.name in given else port
        for port in inner.inputs
    )


def _with_rest(inner: Workflow, given: Mapping[str, Value]) -> Mapping[str, Value]:
    """Parameters for yadage: those that no stage names go where jq programs may read them."""
    known = {port.name for port in inner.inputs}
    rest = {name: value for name, value in given.items() if name not in known}
    return {**given, REST: rest} if rest and REST in known else given


def _unread(inner: Workflow, given: Mapping[str, Value]) -> str:
    """What is told of parameters that a workflow has no input for: REANA takes them as well."""
    unread = sorted(given.keys() - {port.name for port in inner.inputs})
    return f"parameters that the workflow does not have: {', '.join(unread)}" if unread else ""


# --- a Snakefile's inputs -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gathered:
    """An expression: values of several ports as one record.

    Args:
        ports: by the names they have in it.
    """

    ports: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.ports.values())

    def evaluate(self, values: Values) -> Value:
        return {name: values[port] for name, port in self.ports.items()}


def _as_configuration(
    interface: Interface, given: Mapping[str, Value]
) -> tuple[tuple[Port, ...], dict[str, Binding]]:
    """Parameters as a Snakefile's configuration, the files of the analysis as its working directory."""
    taken = set(given)
    inputs = [Port(name, default=value) for name, value in given.items()]
    bindings: dict[str, Binding] = {}
    config = {name: f"{CONFIG}.{name}" for name in given}
    files: dict[str, str] = {}
    for name, port in config.items():
        bindings[port] = Binding((Ref("", name),))
    brought = {port.name: port for port in interface.inputs}
    for entry in interface.brought:
        own = replace(brought[entry.port], name=as_name(entry.port, taken))
        inputs.append(own)
        files[entry.path] = f"{FILES}.{own.name}"
        bindings[files[entry.path]] = Binding((Ref("", own.name),))
    bindings[CONFIG] = Binding(expression=Gathered(config))
    bindings[FILES] = Binding(expression=Gathered(files))
    return tuple(inputs), bindings


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
