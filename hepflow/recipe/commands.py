"""The work of a step: its command, script or Python function as a tool."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from glob import glob
from hashlib import sha256
from pathlib import Path as FilePath
from typing import Final

from hepflow.model.workflow import Tool
from hepflow.recipe.compiling import compile_text
from hepflow.recipe.context import Context, kind_of
from hepflow.recipe.faults import Path, suggestion
from hepflow.recipe.modifiers import (
    Written,
    read_checkpoint,
    read_container,
    read_env,
    read_resources,
)
from hepflow.recipe.products import Declared, complete
from hepflow.recipe.scope import Scope
from hepflow.recipe.source_digest import NotFound, source_of
from hepflow.recipe.spelling import json_line
from hepflow.recipe.templates import Constant, TextTemplate
from hepflow.recipe.tools import (
    ArgvForm,
    CommandForm,
    CommandTool,
    Fingerprint,
    Products,
    PythonTool,
    Request,
    ScriptForm,
    ShellForm,
    digest,
    labelled,
)

LONGEST_SHOWN: Final = 160
"""Characters of a command that stand in a fingerprint as they are; longer ones by digest."""
SCRIPT_KEYS: Final = ("interpreter", "text", "file")
_FUNCTION: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_ENDINGS: Final = {
    "python": "py",
    "Rscript": "R",
    "R": "R",
    "julia": "jl",
    "perl": "pl",
    "ruby": "rb",
    "root": "C",
}


def build_tool(
    context: Context,
    kind: str,
    raw: Mapping[str, object],
    path: Path,
    declared: Declared,
    scope: Scope,
    own: Sequence[str],
    variables: Sequence[str],
) -> Tool:
    """The tool of a step that is not a workflow. Faults are noted; the tool is then of no use."""
    written = Written(raw, path, context.defaults)
    values = Scope(scope.around, own=scope.own, variables=scope.variables, hidden=scope.hidden)
    products = complete(context, declared, values)
    extra = raw.keys() - {"command", "inputs", "outputs", "scatter"} or context.defaults
    request = read_resources(context, written, values) if extra else Request()
    env = read_env(context, written, scope) if extra else ()
    container = read_container(context, written, scope) if extra else Constant("")
    kept = read_checkpoint(context, raw, path)
    head = _sources(context, raw, path) if extra and "sources" in raw else []
    head += setting_lines(env, container)
    if kind == "python":
        function = context.text(raw["python"], (*path, "python"), "'python'")
        head = [f"tool=python {function}", *code_lines(context, function, (*path, "python")), *head]
        arguments = tuple(name for name in own if name not in variables or name in scope.own)
        offered = tuple(name for name in variables if name not in arguments)
        templates = [*(template for _, template in env), container]
        print_ = _fingerprint(head, products, own, variables, templates, request)
        folder = (context.folder,)
        return PythonTool(
            print_, function, arguments, offered, folder, products, request, env, container, kept
        )
    form = _form(context, kind, raw, path, scope)
    interpreter = " ".join(form.interpreter) if isinstance(form, ScriptForm) else ""
    head = [form_line(kind, interpreter, raw.get(kind)), *head]
    templates = [*form.templates, *(template for _, template in env), container]
    print_ = _fingerprint(head, products, own, variables, templates, request)
    return CommandTool(print_, form, products, request, env, container, kept)


def setting_lines(env: Iterable[tuple[str, TextTemplate]], container: TextTemplate) -> list[str]:
    """The lines of what a recipe sets around a command: environment and container."""
    lines = [f"env.{name}={template.text}" for name, template in env]
    return [*lines, f"container={container.text}"] if container.text else lines


def _fingerprint(
    head: list[str],
    products: Products,
    own: Sequence[str],
    variables: Sequence[str],
    templates: Sequence[TextTemplate],
    request: Request,
) -> Fingerprint:
    """All own ports count, and of the others those the task itself is made from."""
    ports = dict.fromkeys((*own, *variables))
    for template in templates:
        ports.update(dict.fromkeys(template.ports))
    for _, template in products.templates:
        ports.update(dict.fromkeys(template.ports))
    if any(template.resources for template in templates):
        ports.update(dict.fromkeys(request.ports))
        head = [*head, f"resources={digest(request.text)}"]
    return fingerprint_of(head, products, ports)


def fingerprint_of(head: list[str], products: Products, ports: Iterable[str]) -> Fingerprint:
    """The fingerprint from its first lines; sorted, for the order of keys in a recipe means nothing."""
    lines = [*head, outputs_line(products), ""]
    return Fingerprint("\n".join(lines), labelled(sorted(ports)))


def form_line(kind: str, interpreter: str, written: object) -> str:
    """The line of a command or script: its text where that is short, so that ``explain`` shows it."""
    text = json_line(written)  # type: ignore[arg-type]
    shown = text if len(text) <= LONGEST_SHOWN else digest(text)
    return f"tool={kind} {interpreter}{' ' if interpreter else ''}{shown}"


def outputs_line(products: Products) -> str:
    """The line of the declared outputs."""
    paths = {position: template.text for position, template in products.templates}
    parts: list[str] = []
    for position, output in enumerate(products.outputs):
        marks = f"{'*' if output.many else ''}{'/' if output.directory else ''}{'?' if output.optional else ''}"
        parts.append(f"{output.port}:{paths.get(position, output.path)}{marks}:{output.read.value}")
    text = ",".join(parts)
    return f"outputs={text if len(text) <= LONGEST_SHOWN else digest(text)}"


# --- commands and scripts ------------------------------------------------------------------------


def _form(
    context: Context, kind: str, raw: Mapping[str, object], path: Path, scope: Scope
) -> CommandForm:
    value = raw.get(kind)
    where = (*path, kind)
    if kind == "nothing":
        return ShellForm(Constant(""))
    if kind == "script":
        return _script(context, value, where, scope)
    if isinstance(value, list):
        return _argv(context, value, where, scope)
    if isinstance(value, str) and value.strip():
        return ShellForm(compile_text(value, "shell", scope, context.faults, where))
    fix = "write the shell command, or a list of a program and its arguments"
    context.faults.add(
        "HF217", where, f"'command' takes text, gets {kind_of(value or None)}", fix=fix
    )
    return ShellForm(Constant(""))


def _argv(context: Context, words: list[object], path: Path, scope: Scope) -> CommandForm:
    templates: list[TextTemplate] = []
    for position, word in enumerate(words):
        where = (*path, position)
        if isinstance(word, (dict, list)) or word is None:
            context.faults.add(
                "HF113", where, f"an argument takes text or a number, gets {kind_of(word)}"
            )
            continue
        text = str(word).lower() if isinstance(word, bool) else str(word)
        templates.append(compile_text(text, "words", scope, context.faults, where))
    if not words:
        context.faults.add(
            "HF217", path, "'command' is empty", fix="name a program and its arguments"
        )
    return ArgvForm(tuple(templates))


def _script(context: Context, value: object, path: Path, scope: Scope) -> CommandForm:
    interpreter, file, where = "", "", path
    if isinstance(value, dict):
        context.unknown_keys(value, SCRIPT_KEYS, path, "'script'")
        interpreter = context.text(
            value.get("interpreter", "bash"), (*path, "interpreter"), "'interpreter'"
        )
        file = context.text(value.get("file", ""), (*path, "file"), "'file'")
        where = (*path, "text")
        value = value.get("text")
    if not isinstance(value, str) or not value.strip():
        fix = "write the lines below 'script: |'"
        context.faults.add(
            "HF217", where, f"'script' takes text, gets {kind_of(value or None)}", fix=fix
        )
        return ShellForm(Constant(""))
    if not interpreter and value.startswith("#!"):
        interpreter = value[2:].partition("\n")[0].strip().removeprefix("/usr/bin/env ").strip()
        interpreter = interpreter.removeprefix("-S ").strip()
    words = tuple(interpreter.split()) or ("bash",)
    program = FilePath(words[0]).name
    if program == "bash" and len(words) == 1:
        return ShellForm(compile_text(value, "shell", scope, context.faults, where))
    language = re.sub(r"[0-9.]+$", "", program)
    mode = (
        "shell"
        if language in _SHELLS
        else "python"
        if language in ("python", "pypy", "ipython")
        else "json"
    )
    name = file or f"script.{_ENDINGS.get(language, 'sh' if mode == 'shell' else 'txt')}"
    return ScriptForm(compile_text(value, mode, scope, context.faults, where), words, name)


# --- code that counts ----------------------------------------------------------------------------


def code_lines(context: Context, function: str, path: Path) -> list[str]:
    """The line with the digest of a Python function's source; notes it when it is not there."""
    if _FUNCTION.fullmatch(function) is None:
        if function:
            fix = "write 'package.module:function'"
            context.faults.add("HF221", path, f"'{function}' is not a Python function", fix=fix)
        return []
    try:
        return [f"code={source_of(function, context.folder).digest}"]
    except NotFound as error:
        fix = suggestion(error.wanted, error.known) if error.known else ""
        fix = fix or "install it, or put it beside the recipe"
        context.faults.add("HF221", path, str(error), why=f"'python: {function}'", fix=fix)
        return []


def _sources(context: Context, raw: Mapping[str, object], path: Path) -> list[str]:
    """A line for each file of code that the step depends on."""
    written = raw["sources"]
    items = written if isinstance(written, list) else [written]
    lines: list[str] = []
    base = FilePath(context.folder)
    for position, item in enumerate(items):
        where = (*path, "sources", position) if isinstance(written, list) else (*path, "sources")
        pattern = context.text(item, where, "'sources'")
        if not pattern:
            continue
        found = sorted(glob(pattern, root_dir=base, recursive=True))
        files = [name for name in found if (base / name).is_file()]
        files += [str(sub.relative_to(base)) for name in found if (base / name).is_dir()
                  for sub in sorted((base / name).rglob("*")) if sub.is_file()]  # fmt: skip
        if not files:
            fix = "paths are relative to the recipe's folder"
            context.faults.add("HF222", where, f"'sources': there is no file '{pattern}'", fix=fix)
        lines += [f"source.{name}={_file_digest(base / name)}" for name in files]
    return lines


def _file_digest(file: FilePath) -> str:
    try:
        return sha256(file.read_bytes()).hexdigest()[:32]
    except OSError as error:
        return f"unreadable {error.errno}"
