"""Loading native recipes: one file, the files it uses, and every fault of all of them at once."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import TypeAlias

from hepflow.model.errors import HepflowError, Place, Problem, RecipeError
from hepflow.model.protocols import LoadOptions
from hepflow.model.workflow import Workflow
from hepflow.recipe import source_digest
from hepflow.recipe.context import Context
from hepflow.recipe.document import claims, read_document
from hepflow.recipe.faults import Path, suggestion
from hepflow.recipe.workflows import compile_file

MANY_OBJECTS = 200_000
LoadOther: TypeAlias = Callable[[FilePath, LoadOptions], Workflow]


@contextmanager
def _without_collector() -> Iterator[None]:
    """A recipe of 100,000 steps is a million objects, none of them garbage: do not look for any."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > MANY_OBJECTS:
            # The workflow lives as long as the run; looking through it again and again finds nothing.
            gc.freeze()
        if was_on:
            gc.enable()


class Loader:
    """One load: knows which files are open, so that none uses itself."""

    def __init__(self, load_other: LoadOther | None) -> None:
        self._load_other = load_other
        self._open: list[FilePath] = []
        self._done: dict[tuple[FilePath, str], Workflow] = {}

    def load(self, path: FilePath, options: LoadOptions) -> Workflow:
        """The workflow in a file.

        Raises:
            RecipeError: with every fault of it and of the files it uses.
        """
        source_digest.forget()
        with _without_collector():
            return self._load(path, options)

    def _load(self, path: FilePath, options: LoadOptions) -> Workflow:
        document = read_document(path, options)
        if options.target:
            what = f"a native recipe has no part '{options.target}' to run alone"
            document.faults.take(
                [Problem(Place(str(path)), "HF214", what, "", "name the file only")]
            )
        self._open.append(path.resolve())
        context = Context(document, self._uses)
        try:
            workflow = compile_file(context)
        finally:
            self._open.pop()
        problems = document.faults.problems
        if problems:
            raise RecipeError(problems)
        return workflow

    def _uses(self, context: Context, text: str, where: Path) -> Workflow | None:
        """The workflow in another file; ``None`` after noting why there is none."""
        name, _, target = text.partition("#")
        folder = FilePath(context.document.path).parent
        path = FilePath(os.path.normpath(folder / name))
        faults = context.faults
        real = path.resolve()
        if real in self._open:
            files = [*self._open[self._open.index(real) :], real]
            shown = " -> ".join(file.name for file in files)
            faults.add(
                "HF224", where, f"these files use each other: {shown}", fix="break one of the uses"
            )
            return None
        if not path.is_file():
            near = suggestion(FilePath(name).name, _neighbours(path.parent), "in the folder")
            faults.add(
                "HF225", where, f"there is no file '{name}'", why=f"looked for {path}", fix=near
            )
            return None
        key = (real, target)
        if key not in self._done:
            try:
                self._done[key] = self._read(context, path, LoadOptions(target=target))
            except HepflowError as error:
                faults.take(error.problems)
                return None
            except _NoLanguage as error:
                faults.add("HF226", where, str(error), fix=error.fix)
                return None
        return self._done[key]

    def _read(self, context: Context, path: FilePath, options: LoadOptions) -> Workflow:
        if claims(path):
            return self._load(path, options)
        if self._load_other is not None:
            return self._load_other(path, options)
        fix = "begin it with 'hepflow: v1', or load it where its language is installed"
        raise _NoLanguage(f"'{path.name}' is not a native recipe, the only language here", fix)


class _NoLanguage(Exception):
    """Nobody here can read a file."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


def _neighbours(folder: FilePath) -> list[str]:
    try:
        return [item.name for item in folder.iterdir()]
    except OSError:
        return []
