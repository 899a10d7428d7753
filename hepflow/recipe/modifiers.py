"""The sections of a step that say how, not what: resources, retries, scatter method, loop words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hepflow.model.task import Resources
from hepflow.model.workflow import Expression, Retry, Scatter
from hepflow.recipe.compiling import compile_text, compile_value
from hepflow.recipe.context import Context, kind_of
from hepflow.recipe.expressions import Literal
from hepflow.recipe.faults import Path, suggestion
from hepflow.recipe.scope import Scope
from hepflow.recipe.templates import Constant, TextTemplate, is_template
from hepflow.recipe.tools import Request, bad_path, resource
from hepflow.recipe.units import seconds

RESOURCE_KEYS: Final = {
    "cpus": "cpus", "memory": "memory_mib", "disk": "disk_mib", "gpus": "gpus", "walltime": "walltime_s",
}  # fmt: skip
GPU_KEYS: Final = {"count": "gpus", "kind": "gpu_kind"}
RETRY_KEYS: Final = ("times", "delay", "memory_factor")
SITE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
METHODS: Final = {
    "dot": Scatter.DOT, "nested": Scatter.NESTED, "flat": Scatter.FLAT,
    **{member.value: member for member in Scatter},
}  # fmt: skip
DEFAULT_KEYS: Final = ("resources", "retries", "env", "container", "cache", "limit", "site")


class Written:
    """A step's modifiers with the file's defaults under them; knows where each was written."""

    __slots__ = ("_defaults", "_path", "_raw")

    def __init__(
        self, raw: Mapping[str, object], path: Path, defaults: Mapping[str, object]
    ) -> None:
        self._raw = raw
        self._path = path
        self._defaults = defaults

    def get(self, key: str) -> tuple[object, Path] | None:
        """A modifier and its place."""
        if key in self._raw:
            return self._raw[key], (*self._path, key)
        if key in self._defaults:
            return self._defaults[key], ("defaults", key)
        return None

    def items(self, context: Context, key: str) -> list[tuple[str, object, Path]]:
        """The entries of a modifier that is a mapping: the step's own over the defaults'."""
        found: dict[str, tuple[object, Path]] = {}
        for source, path in ((self._defaults, ("defaults", key)), (self._raw, (*self._path, key))):
            if key in source:
                for name, value in context.mapping(source[key], path, f"'{key}'").items():
                    found[name] = (value, (*path, name))
        return [(name, value, path) for name, (value, path) in found.items()]


def check_defaults(context: Context, raw: object) -> dict[str, object]:
    """The file's defaults, without what cannot be one."""
    found = context.mapping(raw, ("defaults",), "'defaults'")
    context.unknown_keys(found, DEFAULT_KEYS, ("defaults",), "'defaults'")
    return {key: value for key, value in found.items() if key in DEFAULT_KEYS}


# --- resources -----------------------------------------------------------------------------------


def read_resources(context: Context, written: Written, scope: Scope) -> Request:
    """What a step asks for; fields may be expressions over an invocation's values."""
    fixed: dict[str, object] = {}
    computed: list[tuple[str, Expression]] = []
    entries = written.items(context, "resources")
    for name, value, path in entries:
        if name not in RESOURCE_KEYS:
            context.unknown_keys({name: value}, RESOURCE_KEYS, path[:-1], "'resources'")
        elif name == "gpus" and isinstance(value, dict):
            context.unknown_keys(value, GPU_KEYS, path, "'gpus'")
            for key, part in value.items():
                if key in GPU_KEYS:
                    _field(context, scope, GPU_KEYS[key], part, (*path, key), fixed, computed)
        else:
            _field(context, scope, RESOURCE_KEYS[name], value, path, fixed, computed)
    if not fixed and not computed:
        return Request()
    text = str(sorted((name, str(value)) for name, value, _ in entries))
    return Request(replace(Resources(), **fixed), tuple(computed), text)  # type: ignore[arg-type]


def _field(
    context: Context,
    scope: Scope,
    field: str,
    value: object,
    path: Path,
    fixed: dict[str, object],
    computed: list[tuple[str, Expression]],
) -> None:
    if isinstance(value, str) and is_template(value):
        expression = compile_value(value, scope, context.faults, path)
        if not isinstance(expression, Literal):
            computed.append((field, expression))
            return
        value = expression.value
    try:
        fixed[field] = resource(field, value)
    except ValueError as error:
        what, _, fix = str(error).partition("; ")
        context.faults.add("HF213", path, f"'{path[-1]}': {what}", fix=fix)


# --- retries -------------------------------------------------------------------------------------


def read_retry(context: Context, written: Written) -> Retry:
    """How often, how soon and with how much more memory a failed attempt is tried again."""
    given = written.get("retries")
    if given is None:
        return Retry()
    value, path = given
    if not isinstance(value, dict):
        return Retry(context.whole(value, path, "'retries'"))
    context.unknown_keys(value, RETRY_KEYS, path, "'retries'")
    times = context.whole(value.get("times", 1), (*path, "times"), "'times'")
    delay = 0.0
    try:
        delay = seconds(value.get("delay", 0))
    except ValueError as error:
        what, _, fix = str(error).partition("; ")
        context.faults.add("HF213", (*path, "delay"), f"'delay': {what}", fix=fix)
    factor = value.get("memory_factor", 1.0)
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or factor < 1:
        what = f"'memory_factor' takes a number from 1, gets {kind_of(factor)}"
        context.faults.add("HF213", (*path, "memory_factor"), what)
        factor = 1.0
    return Retry(times, delay, float(factor))


# --- the rest ------------------------------------------------------------------------------------


def read_env(
    context: Context, written: Written, scope: Scope
) -> tuple[tuple[str, TextTemplate], ...]:
    """Environment variables; values are templates, not quoted."""
    found: list[tuple[str, TextTemplate]] = []
    for name, value, path in written.items(context, "env"):
        if isinstance(value, (dict, list)) or value is None:
            what = f"'{name}' takes text or a number, gets {kind_of(value)}"
            context.faults.add("HF113", path, what)
            continue
        if not name or "=" in name or "\0" in name:
            context.faults.add("HF112", path, f"no variable can be called {name!r}", key=True)
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        found.append((name, compile_text(text, "text", scope, context.faults, path)))
    return tuple(found)


def read_container(context: Context, written: Written, scope: Scope) -> TextTemplate:
    """The container image; empty for none."""
    given = written.get("container")
    if given is None or given[0] is None:
        return Constant("")
    value, path = given
    return compile_text(
        context.text(value, path, "'container'"), "text", scope, context.faults, path
    )


def read_checkpoint(context: Context, raw: Mapping[str, object], path: Path) -> tuple[str, ...]:
    """Names in the task's folder that outlast an attempt that had to make way."""
    given = raw.get("checkpoint")
    if given is None:
        return ()
    items = given if isinstance(given, list) else [given]
    found: list[str] = []
    for position, item in enumerate(items):
        where = (*path, "checkpoint", position) if items is given else (*path, "checkpoint")
        name = context.text(item, where, "'checkpoint'").rstrip("/")
        if not isinstance(item, str):
            continue
        wrong = "is a template" if is_template(name) else bad_path(name)
        if wrong:
            fix = "name a file or folder in the task's own folder, such as 'state.npz'"
            context.faults.add("HF211", where, f"'checkpoint': the path {name!r} {wrong}", fix=fix)
        found.append(name)
    return tuple(found)


def read_cache(context: Context, written: Written) -> bool:
    """Whether earlier results may be used."""
    given = written.get("cache")
    return True if given is None else context.flag(*given, "'cache'", True)


def read_limit(context: Context, written: Written) -> int:
    """Invocations in flight at a time; 0 for no limit."""
    given = written.get("limit")
    return 0 if given is None else context.whole(*given, "'limit'")


def read_site(context: Context, written: Written) -> str:
    """The site a step's tasks go to; empty for any."""
    given = written.get("site")
    if given is None or given[0] in (None, ""):
        return ""
    value, path = given
    name = context.text(value, path, "'site'").strip()
    if not SITE_NAME.fullmatch(name):
        what = f"'site' takes the name of a site, gets '{name}'"
        fix = "'hepflow site list' has the names; a site file is named with --site"
        context.faults.add("HF113", path, what, fix=fix)
        return ""
    return name


def read_method(context: Context, raw: Mapping[str, object], path: Path) -> Scatter:
    """How several scattered ports combine."""
    word = raw.get("method")
    if word is None:
        return Scatter.DOT
    if not raw.get("scatter"):
        context.faults.add("HF215", (*path, "method"), "'method' without 'scatter'", key=True)
    if isinstance(word, str) and word in METHODS:
        return METHODS[word]
    fix = suggestion(str(word), METHODS, "words")
    context.faults.add(
        "HF113", (*path, "method"), f"'method' does not take {kind_of(word)}", fix=fix
    )
    return Scatter.DOT
