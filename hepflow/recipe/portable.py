"""A compiled recipe in the neutral form of `hepflow.model.portable`, each piece with its place.

Goes through the workflow that compiling gave and, beside it, through the file it came from, which
knows lines and columns. All that cannot be described is told at once.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path as FilePath
from typing import Final

from hepflow.model import portable
from hepflow.model.errors import Place, RecipeError
from hepflow.model.protocols import LoadOptions
from hepflow.model.task import Output
from hepflow.model.types import ANY, Type
from hepflow.model.values import Directory, File
from hepflow.model.workflow import Binding, Expression, Loop, Port, Step, Workflow
from hepflow.recipe.document import Document, claims, read_document
from hepflow.recipe.faults import Path
from hepflow.recipe.plain_tools import PlainTool
from hepflow.recipe.portable_text import At, Indescribable, formula, text_of
from hepflow.recipe.source_digest import source_of
from hepflow.recipe.studies import StudyTool
from hepflow.recipe.templates import Constant, TextTemplate
from hepflow.recipe.tools import ArgvForm, CommandTool, Products, PythonTool, Request, ShellForm

_RESOURCE_KEYS: Final = {
    "cpus": ("cpus",), "memory_mib": ("memory",), "disk_mib": ("disk",), "walltime_s": ("walltime",),
    "gpus": ("gpus", "count"), "gpu_kind": ("gpus", "kind"),
}  # fmt: skip


def describe(workflow: Workflow, options: LoadOptions = LoadOptions()) -> portable.Graph:
    """What a recipe means, for exporters.

    Args:
        workflow: as the native language loaded it.
        options: those it was loaded with.

    Raises:
        RecipeError: it is of another language, uses a file of another, or its templates use more of
            Jinja than expressions, `if`, `for` and `set`; every such place is told.
    """
    path = FilePath(workflow.source)
    if not workflow.source or not claims(path):
        raise RecipeError.of(
            "HF130", "only native recipes can be exported", where=workflow.source,
            fix="a hepflow recipe begins with 'hepflow: v1'",
        )  # fmt: skip
    describer = _File(read_document(path, options), {})
    graph = describer.graph(workflow, ())
    problems = [problem for one in describer.files.values() for problem in one.faults.problems]
    if problems:
        raise RecipeError(dict.fromkeys(problems))
    return graph


class _File:
    """One recipe file and, in ``files``, all that are used from it."""

    def __init__(self, document: Document, files: dict[str, Document]) -> None:
        self._document = document
        self.files = files
        files[str(document.path)] = document

    # --- places and faults ------------------------------------------------------------------------

    def _at(self, path: Path, needle: str = "", line: int = 0, *, key: bool = False) -> Place:
        assert self._document.finder is not None
        return self._document.finder.at(path, key=key, needle=needle, line=line)

    def _raw(self, path: Path) -> object:
        """What is written at a path; nothing where that is less than the path says."""
        found: object = self._document.data
        for key in path:
            found = found.get(str(key)) if isinstance(found, dict) else None
        return found

    def _under_defaults(self, step: Path, *keys: str) -> Path:
        """Where a modifier of a step is written: in the step, else under the file's defaults."""
        return (*step, *keys) if self._raw((*step, *keys)) is not None else ("defaults", *keys)

    def _formula(self, expression: Expression, path: Path) -> portable.Formula:
        at: At = partial(self._at, path)
        try:
            return formula(expression, str(self._raw(path)), at)
        except Indescribable as error:
            self._note(error, path)
            return portable.Formula(portable.Literal(None), (), "", at("", 0))

    def _text(self, template: TextTemplate, path: Path) -> portable.Text:
        at: At = partial(self._at, path)
        try:
            return text_of(template, at)
        except Indescribable as error:
            self._note(error, path)
            return portable.Text((), (), at("", 0))

    def _note(self, error: Indescribable, path: Path) -> None:
        self._document.faults.add(
            "HF131", path, str(error), fix=error.fix, needle=error.needle, line=error.line
        )

    # --- the graph --------------------------------------------------------------------------------

    def graph(self, workflow: Workflow, path: Path) -> portable.Graph:
        """A workflow whose keys stand at a path of this file."""
        nodes = [self._node(step, (*path, "steps", step.name)) for step in workflow.steps]
        outputs = {
            name: self._feed(binding, (*path, "outputs", name))
            for name, binding in workflow.outputs.items()
        }
        return portable.Graph(workflow.name, workflow.inputs, nodes, outputs, workflow.doc)

    def _node(self, step: Step, path: Path) -> portable.Node:
        variables = self._raw((*path, "scatter"))
        inputs = {}
        for port, binding in step.inputs.items():
            section = "scatter" if isinstance(variables, dict) and port in variables else "inputs"
            inputs[port] = self._feed(binding, (*path, section, port))
        return portable.Node(
            step.name,
            self._run(step, path),
            inputs,
            step.outputs,
            step.scatter,
            step.method,
            None if step.when is None else self._formula(step.when, (*path, "when")),
            None if step.loop is None else self._rounds(step.loop, (*path, "loop")),
            step.retry,
            step.cache,
            step.limit,
            step.doc,
            self._at(path, key=True),
        )

    def _feed(self, binding: Binding, path: Path) -> portable.Feed:
        sources, merge, pick, default, expression = binding
        where = (*path, "from") if self._raw((*path, "from")) is not None else path
        found = None if expression is None else self._formula(expression, where)
        return portable.Feed(sources, merge, pick, default, found, self._at(path))

    def _rounds(self, loop: Loop, path: Path) -> portable.Rounds:
        carry = {
            port: self._formula(expression, (*path, "next", port))
            for port, expression in loop.carry.items()
        }
        condition = self._formula(loop.condition, (*path, "while"))
        return portable.Rounds(condition, carry, loop.keep_all, loop.limit)

    # --- what a step runs -------------------------------------------------------------------------

    def _run(self, step: Step, path: Path) -> portable.Work | portable.Graph:
        run = step.run
        if isinstance(run, Workflow):
            if self._raw((*path, "workflow")) is not None:
                return self.graph(run, (*path, "workflow"))
            used = FilePath(run.source)
            if claims(used):
                return self._used(used).graph(run, ())
        elif isinstance(run, PlainTool | CommandTool | PythonTool):
            return self._work(run.whole() if isinstance(run, PlainTool) else run, step, path)
        elif isinstance(run, StudyTool):
            what = f"step '{step.name}' is a study, which only hepflow runs"
            fix = "put the best parameters in its place, or leave it to hepflow"
            self._document.faults.add("HF131", (*path, "study"), what, fix=fix, key=True)
            return portable.Graph(step.name, (), (), {})
        what = f"step '{step.name}' uses a file of another language"
        fix = "use a native recipe there, or leave that step to the other system"
        self._document.faults.add("HF130", (*path, "uses"), what, fix=fix)
        return portable.Graph(step.name, (), (), {})

    def _used(self, path: FilePath) -> _File:
        known = self.files.get(str(path))
        return _File(known or read_document(path, LoadOptions()), self.files)

    def _work(self, tool: CommandTool | PythonTool, step: Step, path: Path) -> portable.Work:
        container = None
        if not (isinstance(tool.container, Constant) and not tool.container.text):
            container = self._text(tool.container, self._under_defaults(path, "container"))
        return portable.Work(
            self._does(tool, path),
            self._products(tool.products, step.outputs, path),
            tool.request.fixed,
            tuple(self._computed(tool.request, path)),
            tuple(
                (name, self._text(template, self._under_defaults(path, "env", name)))
                for name, template in tool.env
            ),
            container,
        )

    def _does(
        self, tool: CommandTool | PythonTool, path: Path
    ) -> portable.Command | portable.Program | portable.Script | portable.Function:
        if isinstance(tool, PythonTool):
            modules = _beside(tool.function, self._document.folder)
            return portable.Function(tool.function, tool.arguments, tool.offered, modules)
        form = tool.form
        if isinstance(form, ArgvForm):
            words = enumerate(form.templates)
            return portable.Program(
                tuple(self._text(word, (*path, "command", position)) for position, word in words)
            )
        kind = "script" if self._raw((*path, "script")) is not None else "command"
        where = (*path, kind)
        if isinstance(self._raw(where), dict):
            where = (*where, "text")
        text = self._text(form.template, where)
        if isinstance(form, ShellForm):
            return portable.Command(text)
        return portable.Script(text, form.interpreter, form.file)

    def _products(
        self, products: Products, ports: tuple[Port, ...], path: Path
    ) -> tuple[portable.Product, ...]:
        templates = dict(products.templates)
        types = {port.name: port.type for port in ports}
        found = []
        for position, output in enumerate(products.outputs):
            where = self._product_path((*path, "outputs", output.port))
            template = templates.get(position, Constant(output.path))
            name = self._text(template, where) if output.path else None
            found.append(_product(output, name, types.get(output.port, ANY), self._at(where)))
        return tuple(found)

    def _product_path(self, path: Path) -> Path:
        for key in ("path", "glob", "directory"):
            if self._raw((*path, key)) is not None:
                return (*path, key)
        return path

    def _computed(self, request: Request, path: Path) -> list[tuple[str, portable.Formula]]:
        found = []
        for field, expression in request.computed:
            keys = _RESOURCE_KEYS[field]
            where = self._under_defaults(path, "resources", *keys)
            if len(keys) > 1 and self._raw(where) is None:
                where = self._under_defaults(path, "resources", keys[0])
            found.append((field, self._formula(expression, where)))
        return found


def _product(
    output: Output, path: portable.Text | None, type_: Type, place: Place
) -> portable.Product:
    return portable.Product(
        output.port, path, output.many, output.directory, output.read, output.optional, type_, place
    )


def _beside(function: str, folder: str) -> tuple[File | Directory, ...]:
    """The modules and packages of a recipe's folder that a function needs."""
    base = FilePath(folder)
    tops = {
        base / file.relative_to(base).parts[0]
        for file in source_of(function, folder).files
        if file.is_relative_to(base) and "site-packages" not in file.parts
    }
    return tuple(
        Directory(str(path)) if path.is_dir() else File(str(path)) for path in sorted(tops)
    )
