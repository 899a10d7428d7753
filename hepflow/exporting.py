"""Writing a recipe down in another language: finds the exporter, says where files are, packs a folder.

Knows no target language: an exporter gets the recipe's neutral form and a way to name files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hepflow import plugins
from hepflow.inputs import read_inputs
from hepflow.model.errors import UsageError
from hepflow.model.protocols import Exporter, Frame, LoadOptions, RunExporter
from hepflow.model.types import Type
from hepflow.model.values import Directory, File, Value
from hepflow.model.workflow import From, Port, Required, Workflow

FILES = "files"
"""The folder of a package for what does not stand below the recipe's own folder."""


@dataclass(frozen=True, slots=True)
class Exported:
    """An export.

    Args:
        documents: name -> text; the first is the one to run.
        missing: inputs that have no value yet.
        folder: where it was written; ``None`` if it was not.
    """

    documents: Mapping[str, str]
    missing: tuple[str, ...]
    folder: Path | None


def takes_runs(target: str) -> bool:
    """Whether an exporter writes runs down, and not recipes.

    Raises:
        UnavailableError: there is no such exporter.
    """
    return isinstance(plugins.load(plugins.EXPORTERS, target)(), RunExporter)


def export(
    workflow: Workflow,
    target: str,
    *,
    load_options: LoadOptions = LoadOptions(),
    files: Sequence[Path] = (),
    values: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Exported:
    """Writes a recipe in another language.

    Args:
        target: the name of the exporter, such as ``cwl``.
        load_options: those the workflow was loaded with.
        files, values: inputs given, as for a run; none need be.
        folder: where to write it together with the files it needs, so that it can be carried away;
            without it the documents name the files where they are.

    Raises:
        RecipeError: it cannot be exported faithfully, at every such place; or an input is wrong.
        UnavailableError: there is no such exporter.
        UsageError: the folder cannot be written, there is something in it, or the exporter takes
            runs only.
    """
    from hepflow.recipe.portable import describe

    found = plugins.load(plugins.EXPORTERS, target)()
    if isinstance(found, RunExporter):
        fix = f"run it, and name the run: hepflow export RUN --to {target} --out DIR"
        what = f"'{target}' is written from a run, not from a recipe"
        raise UsageError.of("HF314", what, fix=fix)
    frame = found if isinstance(found, Frame) else None
    if frame is not None and folder is None:
        what = f"'{target}' takes a folder, for the workflow and its files"
        raise UsageError.of("HF314", what, fix=f"--to {target} --out DIR")
    exporter: Exporter = plugins.load(plugins.EXPORTERS, frame.inner)() if frame else found
    recipe = describe(workflow, load_options)
    inputs, missing = _given(workflow, files, values)
    if folder is None:
        return Exported(exporter.export(recipe, inputs, _absolute), missing, None)
    package = _Package(folder, Path(workflow.source).resolve().parent)
    documents = exporter.export(recipe, inputs, package.place)
    if frame is not None:
        name, text = frame.around(list(documents), *package.brought)
        documents = {name: text, **documents}
    package.write(documents)
    return Exported(documents, missing, folder)


def _given(
    workflow: Workflow, files: Sequence[Path], values: Mapping[str, str] | None
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """The inputs there are, checked as for a run, and the names of those there are not."""
    lenient = replace(workflow, inputs=tuple(map(_lenient, workflow.inputs)))
    found = read_inputs(lenient, files, values)
    needed = {port.name for port in workflow.inputs if isinstance(port.default, Required | From)}
    missing = tuple(name for name in found if name in needed and found[name] is None)
    return {name: value for name, value in found.items() if name not in missing}, missing


def _lenient(port: Port) -> Port:
    if not isinstance(port.default, Required | From):
        return port
    return replace(
        port, default=None, type=Type(port.type.name, port.type.items, port.type.symbols, True)
    )


def _absolute(file: File | Directory) -> str:
    location = file.location
    return location if "://" in location else Path(location).absolute().as_uri()


@dataclass(slots=True)
class _Package:
    """A folder that holds an export and all it needs.

    Args:
        folder: to be made.
        home: the recipe's own folder; what stands below it keeps its place.
    """

    folder: Path
    home: Path
    _places: dict[Path, str] = field(default_factory=dict)

    def place(self, file: File | Directory) -> str:
        """The reference of a file that will be copied: relative to the folder."""
        if "://" in file.location:
            return file.location
        source = Path(os.path.abspath(file.location))
        if source not in self._places:
            self._places[source] = self._unused(source)
        return self._places[source]

    @property
    def brought(self) -> tuple[list[str], list[str]]:
        """The files and the directories that will be in it, by relative paths."""
        names = sorted((name, source.is_dir()) for source, name in self._places.items())
        return [name for name, is_dir in names if not is_dir], [
            name for name, is_dir in names if is_dir
        ]

    def _unused(self, source: Path) -> str:
        if source.is_relative_to(self.home):
            return source.relative_to(self.home).as_posix()
        taken = set(self._places.values())
        found, count = f"{FILES}/{source.name}", 1
        while found in taken:
            count += 1
            found = f"{FILES}/{count}/{source.name}"
        return found

    def write(self, documents: Mapping[str, str]) -> None:
        """Makes the folder.

        Raises:
            UsageError: there is something in it, or it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()):
                fix = "name a new folder, or remove it first"
                raise UsageError.of("HF312", f"the folder '{self.folder}' is not empty", fix=fix)
            for source, name in self._places.items():
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copyfile(source, target)
            for name, text in documents.items():
                (self.folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            what = f"cannot write '{error.filename or self.folder}': {error.strerror or error}"
            raise UsageError.of("HF307", what) from None
