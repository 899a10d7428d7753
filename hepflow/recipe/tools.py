"""What steps of the native language run: shell commands, scripts, programs, Python functions.

Turns an invocation's values into a frozen task and back into outputs. Touches no file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Final, Protocol, TypeAlias

from hepflow.model.task import (
    Argv,
    Call,
    Container,
    Outcome,
    Output,
    Read,
    Resources,
    Shell,
    Staged,
    Task,
)
from hepflow.model.types import ANY, Type, as_type, mismatch
from hepflow.model.values import LONG_ARRAY, Value, Values, canonical, files_in, from_json
from hepflow.model.workflow import Expression, PlanContext
from hepflow.recipe.scope import RESOURCES
from hepflow.recipe.spelling import PathOf, with_paths, words_of
from hepflow.recipe.templates import Constant, Frame, TextTemplate
from hepflow.recipe.units import mebibytes, seconds

REMEMBERED: Final = 32
"""Long arrays whose digest is kept, so that a wide step does not spell one anew each time."""


def digest(text: str) -> str:
    """A short stable digest of a text."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


_long: dict[int, tuple[Value, str]] = {}


def _shorten(text: str) -> str:
    return f"sha256:{digest(text)}"


def spelled(value: Value) -> str:
    """A value in a fingerprint. Long arrays by digest, remembered while the same object comes."""
    if type(value) is list and len(value) > LONG_ARRAY:
        known = _long.get(id(value))
        if known is not None and known[0] is value:
            return known[1]
        text = canonical(value, _shorten)
        if len(_long) >= REMEMBERED:
            _long.pop(next(iter(_long)))
        _long[id(value)] = (value, text)
        return text
    return canonical(value, _shorten)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a task is, as lines of text.

    Args:
        head: the part that is the same for all invocations, ending in a line break.
        ports: label and name of each port that matters.
    """

    head: str
    ports: tuple[tuple[str, str], ...]

    def of(self, values: Values) -> str:
        get = values.get
        return self.head + "\n".join([label + spelled(get(port)) for label, port in self.ports])


def labelled(ports: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Ports with the words that stand for them in a fingerprint."""
    return tuple((f"{port}=" if "." in port else f"inputs.{port}=", port) for port in ports)


# --- what it asks of the machine -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """Resources, with those fields an expression computes for each invocation.

    Args:
        text: as written, for the fingerprint of tasks that use them.
    """

    fixed: Resources = Resources()
    computed: tuple[tuple[str, Expression], ...] = ()
    text: str = ""

    @property
    def known(self) -> Resources | None:
        """The resources of all invocations; ``None`` where they differ."""
        return None if self.computed else self.fixed

    @property
    def ports(self) -> tuple[str, ...]:
        return tuple(name for _, expression in self.computed for name in expression.names)

    def at(self, values: Values) -> Resources:
        """The resources of one invocation.

        Raises:
            ValueError: an expression failed or gave no sound quantity.
        """
        if not self.computed:
            return self.fixed
        found = {
            name: resource(name, expression.evaluate(values)) for name, expression in self.computed
        }
        return replace(self.fixed, **found)  # type: ignore[arg-type]


def resource(field: str, value: object) -> float | int | str:
    """One field of ``Resources`` from what a person wrote or an expression gave.

    Raises:
        ValueError: with a sentence that shows how to write it.
    """
    if field in ("memory_mib", "disk_mib"):
        return mebibytes(value)
    if field == "walltime_s":
        return seconds(value)
    if field == "gpu_kind":
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not a kind of accelerator; write its name")
        return value
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < 1e6:
        raise ValueError(f"{value!r} is not a number of {field}")
    if field == "gpus":
        if number != int(number):
            raise ValueError(f"{value!r} is not a whole number of gpus")
        return int(number)
    return float(number)


def told(resources: Resources) -> dict[str, Value]:
    """Resources as templates see them: whole numbers without a fraction."""
    found: dict[str, Value] = {}
    for name in RESOURCES:
        value = getattr(resources, name)
        found[name] = int(value) if isinstance(value, float) and value.is_integer() else value
    return found


# --- outputs -------------------------------------------------------------------------------------


def bad_path(path: str) -> str:
    """Why a name cannot be that of an output in the task's folder; empty when it can."""
    if not path or path == ".":
        return "is empty"
    if path.startswith(("/", "~")) or "://" in path:
        return "is not relative to the task's folder"
    if ".." in path.split("/"):
        return "leaves the task's folder"
    return "holds a NUL character" if "\0" in path else ""


@dataclass(frozen=True, slots=True)
class Products:
    """The declared outputs of a step.

    Args:
        outputs: as the executor will look for them; paths that are templates are empty here.
        templates: position -> the template of its path.
        types: port -> declared type.
    """

    outputs: tuple[Output, ...] = ()
    templates: tuple[tuple[int, TextTemplate], ...] = ()
    types: Mapping[str, Type] = ()  # type: ignore[assignment]

    def at(self, values: Values, path_of: PathOf) -> tuple[Output, ...]:
        """The outputs of one invocation.

        Raises:
            ValueError: a path template failed or gave an impossible name.
        """
        if not self.templates:
            return self.outputs
        frame = Frame(values, {}, {}, path_of, [])
        outputs = list(self.outputs)
        for position, template in self.templates:
            path = template.render(frame).strip()
            wrong = bad_path(path)
            if wrong:
                raise ValueError(f"output '{outputs[position].port}': the path {path!r} {wrong}")
            outputs[position] = replace(outputs[position], path=path.rstrip("/"))
        return tuple(outputs)

    def collect(self, task: Task, outcome: Outcome) -> Values:
        """The values of all outputs; contents read as declared.

        Raises:
            ValueError: an output is not as declared.
        """
        values = dict(outcome.outputs)
        changed = False
        for output in task.outputs:
            value = found = values.get(output.port)
            if output.read is not Read.FILE and isinstance(value, str):
                value = _content(output, value)
            expected = self.types.get(output.port, ANY)
            if expected.name != "any":
                value = as_type(value, expected)
                wrong = mismatch(value, expected)
                if wrong and not (value is None and output.optional):
                    where = f" ({output.path})" if output.path else ""
                    raise ValueError(f"output '{output.port}'{where}: {wrong}")
            if value is not found:
                values[output.port] = value
                changed = True
        return values if changed else outcome.outputs


def _content(output: Output, text: str) -> Value:
    if output.read is Read.TEXT:
        return text.rstrip("\n")
    try:
        return from_json(json.loads(text))
    except json.JSONDecodeError as error:
        what = f"output '{output.port}': {output.path} is not JSON: {error.msg}"
        raise ValueError(f"{what} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise ValueError(f"output '{output.port}': {output.path} is nested too deeply") from None


# --- commands ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShellForm:
    """A shell text."""

    template: TextTemplate

    @property
    def templates(self) -> tuple[TextTemplate, ...]:
        return (self.template,)

    def command(self, frame: Frame) -> Shell | Argv:
        return Shell(self.template.render(frame))


@dataclass(frozen=True, slots=True)
class ScriptForm:
    """A text for another interpreter, written beside the task as ``file``."""

    template: TextTemplate
    interpreter: tuple[str, ...]
    file: str

    @property
    def templates(self) -> tuple[TextTemplate, ...]:
        return (self.template,)

    def command(self, frame: Frame) -> Shell | Argv:
        frame.texts.append((self.file, self.template.render(frame)))
        return Argv((*self.interpreter, self.file))


@dataclass(frozen=True, slots=True)
class ArgvForm:
    """A program and its arguments; an argument that is an array becomes several."""

    templates: tuple[TextTemplate, ...]

    def command(self, frame: Frame) -> Shell | Argv:
        words: list[str] = []
        for template in self.templates:
            words += words_of(template.render(frame))
        if not words or not words[0]:
            raise ValueError("the command has no program to run")
        return Argv(tuple(words))


CommandForm: TypeAlias = ShellForm | ScriptForm | ArgvForm


@dataclass(frozen=True, slots=True)
class CommandTool:
    """A step of ``command`` or ``script``.

    Args:
        checkpoint: paths that outlast an attempt that had to make way.
    """

    print: Fingerprint
    form: CommandForm
    products: Products
    request: Request = Request()
    env: tuple[tuple[str, TextTemplate], ...] = ()
    container: TextTemplate = Constant("")
    checkpoint: tuple[str, ...] = ()

    @property
    def resources(self) -> Resources | None:
        return self.request.known

    def fingerprint(self, inputs: Values) -> str:
        return self.print.of(inputs)

    def plan(self, inputs: Values, context: PlanContext) -> Task:
        path_of = context.path_of
        outputs = self.products.at(inputs, path_of)
        resources = self.request.at(inputs)
        names = {output.port: output.path for output in outputs}
        asked = told(resources) if any(t.resources for t in self.form.templates) else {}
        texts: list[tuple[str, str]] = []
        frame = Frame(inputs, names, asked, path_of, texts)
        command = self.form.command(frame)
        image = self.container.render(frame)
        return Task(
            command,
            outputs,
            resources,
            {name: template.render(frame) for name, template in self.env} if self.env else {},
            _mounted(inputs) if image else (),
            tuple(texts),
            Container(image) if image else None,
            checkpoint=self.checkpoint,
            inputs=inputs,
        )

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        return self.products.collect(task, outcome)


def _mounted(inputs: Values) -> tuple[Staged, ...]:
    """The files of a command in a container, which names them by their own paths."""
    found = (file for value in inputs.values() for file in files_in(value))
    return tuple(dict.fromkeys(Staged(file, file.location) for file in found if file.location))


@dataclass(frozen=True, slots=True)
class PythonTool:
    """A step of ``python``: a function called in a warm worker.

    Args:
        arguments: declared inputs, passed by name.
        offered: scatter variables, passed where the function takes them.
        path: folders put in front of the module search path.
        checkpoint: paths that outlast an attempt that had to make way.
    """

    print: Fingerprint
    function: str
    arguments: tuple[str, ...]
    offered: tuple[str, ...]
    path: tuple[str, ...]
    products: Products
    request: Request = Request()
    env: tuple[tuple[str, TextTemplate], ...] = ()
    container: TextTemplate = Constant("")
    checkpoint: tuple[str, ...] = ()

    @property
    def resources(self) -> Resources | None:
        return self.request.known

    def fingerprint(self, inputs: Values) -> str:
        return self.print.of(inputs)

    def plan(self, inputs: Values, context: PlanContext) -> Task:
        path_of = context.path_of
        outputs = self.products.at(inputs, path_of)
        resources = self.request.at(inputs)
        paths = partial(with_paths, path_of=path_of)
        arguments = {name: _argument(inputs.get(name), paths) for name in self.arguments}
        offered: dict[str, Value] = {name: _argument(inputs[name], paths) for name in self.offered}
        for output in outputs:
            if output.path:
                offered[output.port] = output.path
        frame = Frame(inputs, {}, told(resources) if self.env else {}, path_of, [])
        image = self.container.render(frame)
        return Task(
            Call(self.function, arguments, offered, self.path),
            outputs,
            resources,
            {name: template.render(frame) for name, template in self.env} if self.env else {},
            (),
            (),
            Container(image) if image else None,
            checkpoint=self.checkpoint,
            inputs=inputs,
        )

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        return self.products.collect(task, outcome)


class _Paths(Protocol):
    def __call__(self, value: Value) -> Value: ...


SCALARS: Final = frozenset({int, str, float, bool, type(None)})


def _argument(value: Value, paths: _Paths) -> Value:
    """A value as a call has it. What holds no file stays the object that it is: a large one is not copied
    for each call, and who carries calls can see that it is the same."""
    return value if _is_plain(value) else _plain_text(paths(value))


def _is_plain(value: Value) -> bool:
    """Whether a value is JSON data as it stands, with neither a file nor a path that knows its file."""
    kind = type(value)
    if kind is list:
        return _are_plain(value)  # type: ignore[arg-type]
    if kind is dict:
        return _are_plain(list(value.values()))  # type: ignore[union-attr]
    return kind in SCALARS


def _are_plain(items: list[Value]) -> bool:
    return SCALARS.issuperset(map(type, items)) or all(map(_is_plain, items))


def _plain_text(value: Value) -> Value:
    """File paths as ordinary strings: they travel to another process."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list):
        return [_plain_text(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain_text(item) for key, item in value.items()}
    return value
