"""The ``outputs`` of a step: what it leaves behind, as files or as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from hepflow.model.task import Output, Read
from hepflow.model.types import ANY, Type
from hepflow.model.workflow import Port
from hepflow.recipe.compiling import compile_text
from hepflow.recipe.context import Context
from hepflow.recipe.faults import Path, suggestion
from hepflow.recipe.inputs import read_type
from hepflow.recipe.scope import Scope
from hepflow.recipe.templates import TextTemplate, is_template
from hepflow.recipe.tools import Products, bad_path

KEYS: Final = ("path", "glob", "directory", "read", "type", "optional", "returns", "doc")
_GLOB: Final = frozenset("*?[")
_FILE: Final = Type("File")
_FILES: Final = Type("array", items=_FILE)
_DIRECTORY: Final = Type("Directory")


class Declared(NamedTuple):
    """The outputs of one step before the templates in their paths are compiled."""

    outputs: tuple[Output, ...]
    ports: Mapping[str, Port]
    templates: tuple[tuple[int, str, Path], ...] = ()


NOTHING: Final = Declared((), {})


def declare(context: Context, raw: object, path: Path, *, python: bool) -> Declared:
    """The outputs as written. A Python step without any returns one ``result``."""
    if raw is None:
        if not python:
            return NOTHING
        return Declared((Output("result"),), {"result": Port("result")})
    if isinstance(raw, list):
        raw = _from_list(context, raw, path, python)
    outputs: list[Output] = []
    ports: dict[str, Port] = {}
    templates: list[tuple[int, str, Path]] = []
    for name, form in context.mapping(raw, path, "'outputs'").items():
        where = (*path, name)
        if not context.good_name(name, where, "an output"):
            continue
        if isinstance(form, str):
            output, found = _at_path(name, form), None
        elif isinstance(form, dict):
            output, found, where = _long(context, name, form, where, python)
        else:
            what = f"output '{name}' takes a file name, gets {form!r}"
            context.faults.add("HF113", where, what, fix=f"write '{name}: {name}.txt'")
            continue
        if is_template(output.path):
            templates.append((len(outputs), output.path, where))
        elif output.path or isinstance(form, str):
            _check_path(context, output, where)
        outputs.append(output)
        ports[name] = Port(name, found if found is not None else _implied(output))
    _check_twice(context, outputs, path)
    return Declared(tuple(outputs), ports, tuple(templates))


def _from_list(context: Context, raw: list[object], path: Path, python: bool) -> dict[str, object]:
    if not python:
        fix = "write 'name: file.txt' for each"
        context.faults.add("HF207", path, "a list of outputs is for 'python' steps", fix=fix)
        return {}
    names = [name for name in raw if isinstance(name, str)]
    if len(names) != len(raw):
        context.faults.add("HF113", path, "a list of outputs holds names of returned values")
    return {name: {"returns": True} for name in names}


def _at_path(name: str, path: str) -> Output:
    if is_template(path):
        return Output(name, path)
    if path.endswith("/") and len(path) > 1:
        return Output(name, path.rstrip("/"), directory=True)
    return Output(name, path, many=not _GLOB.isdisjoint(path))


def _long(
    context: Context, name: str, form: dict[str, object], path: Path, python: bool
) -> tuple[Output, Type | None, Path]:
    what = f"output '{name}'"
    context.unknown_keys(form, KEYS, path, what)
    found = read_type(context, form, path, what)
    optional = "optional" in form and context.flag(
        form["optional"], (*path, "optional"), "'optional'", False
    )
    kinds = [key for key in ("path", "glob", "directory", "returns") if key in form]
    if len(kinds) > 1:
        context.faults.add(
            "HF207", (*path, kinds[1]), f"{what} has both '{kinds[0]}' and '{kinds[1]}'", key=True
        )
    read = _read(context, form, path, what)
    if not kinds or kinds[0] == "returns":
        if not python:
            fix = "say where it is: 'path', 'glob' or 'directory'"
            context.faults.add("HF207", path, f"{what} names no file", fix=fix, key=True)
        return Output(name, optional=optional), found or ANY, path
    key = kinds[0]
    where = (*path, key)
    file = context.text(form[key], where, f"'{key}' of {what}")
    plain = _at_path(name, file)
    many = key == "glob" or (key == "path" and plain.many)
    directory = key == "directory" or plain.directory
    if many and read is not Read.FILE:
        fix = "read one file with 'path', or take the files and read them in the next step"
        context.faults.add(
            "HF207", (*path, "read"), f"{what}: several files cannot be read as one value", fix=fix
        )
    output = Output(name, plain.path, many, directory, read, optional)
    if optional and found is not None:
        found = Type(found.name, found.items, found.symbols, found.name != "any")
    return output, found, where


def _read(context: Context, form: dict[str, object], path: Path, what: str) -> Read:
    if "read" not in form:
        return Read.FILE
    word = form["read"]
    for member in Read:
        if member.value == word:
            return member
    words = [member.value for member in Read]
    fix = suggestion(str(word), words, "words")
    context.faults.add(
        "HF113", (*path, "read"), f"{what}: 'read' takes {', '.join(words)}", fix=fix
    )
    return Read.FILE


def _implied(output: Output) -> Type:
    """The type an output has when the recipe does not say."""
    if not output.path or output.read is Read.JSON:
        return ANY
    if output.read is Read.TEXT:
        base = Type("string")
    elif output.many:
        return _FILES
    else:
        base = _DIRECTORY if output.directory else _FILE
    return Type(base.name, None, (), True) if output.optional else base


def _check_path(context: Context, output: Output, path: Path) -> None:
    wrong = bad_path(output.path)
    if wrong:
        fix = "name a file in the task's own folder, such as 'result.txt'"
        what = f"output '{output.port}': the path {output.path!r} {wrong}"
        context.faults.add("HF211", path, what, fix=fix)


def _check_twice(context: Context, outputs: list[Output], path: Path) -> None:
    seen: dict[tuple[str, Read], str] = {}
    for output in outputs:
        if not output.path:
            continue
        first = seen.setdefault((output.path, output.read), output.port)
        if first != output.port:
            what = f"outputs '{first}' and '{output.port}' are the same file {output.path!r}"
            context.faults.add(
                "HF212", (*path, output.port), what, fix="give each its own name", key=True
            )


def complete(context: Context, declared: Declared, scope: Scope) -> Products:
    """The outputs with the templates of their paths compiled."""
    types = {name: port.type for name, port in declared.ports.items() if port.type.name != "any"}
    if not declared.templates:
        return Products(declared.outputs, (), types)
    compiled: list[tuple[int, TextTemplate]] = []
    for position, text, path in declared.templates:
        compiled.append((position, compile_text(text, "text", scope, context.faults, path)))
    return Products(declared.outputs, tuple(compiled), types)
