"""Holds the house to its plan: who may import whom, no circles, nothing too big to read.

Reads the source, never imports it, so an arrow inside a function or under ``TYPE_CHECKING`` counts
like any other. The plan itself is `docs/architecture.md`.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# --- the plan -------------------------------------------------------------------------------------

FLOORS: dict[str, set[str]] = {
    "hepflow": set(),  # the package's own face: a version, nothing loaded
    "model": set(),
    "capsule": set(),
    "engine": {"model"},
    "store": {"model"},
    "recipe": {"model"},
    # Both say what a file is by the same digest.
    "staging": {"model", "capsule.digests"},
    # A site file is read as a recipe is: places in the YAML, hints, units; `bundled` finds the shipped.
    "sites": {
        "model",
        "bundled",
        "recipe.yaml_nodes",
        "recipe.faults",
        "recipe.units",
    },
    "wire": {"model", "capsule"},
    "batch": {"model", "capsule", "wire"},
    "executors": {"model", "capsule", "wire"},
    # On a worker, tasks mean what they mean here because the local executor runs them there.
    "pilots": {"hepflow", "model", "executors", "runner.loop"},
    "arrays": {"hepflow", "model", "wire", "plugins"},
    "plugins": {"model"},
    "inputs": {"model"},
    "recording": {"model", "store"},
    "bundled": {"model"},
    "elsewhere": {"model", "store", "staging"},
    "doctor": {"hepflow", "model", "store", "plugins", "sites"},
    "report": {"model", "store.records"},
    "exporting": {"model", "recipe", "plugins", "inputs"},
    "reporting": {"model", "store", "report", "recording", "runner.preview"},
    "surveying": {"model", "store", "sites", "doctor", "runner"},
    "simulating": {"model", "engine", "store", "runner.opening"},
    "tracking": {"model", "store", "plugins", "recording"},
    "runner": {"model", "engine", "store", "staging", "executors", "sites", "recipe", "plugins"},
    "options": {"model", "runner.opening"},
    "head": {"model", "engine", "store", "staging", "runner", "options", "tracking"},
    "api": {
        "model",
        "store",
        "staging",
        "executors",
        "sites",
        "recipe",
        "plugins",
        "inputs",
        "bundled",
        "doctor",
        "elsewhere",
        "exporting",
        "head",
        "options",
        "recording",
        "report",
        "reporting",
        "runner",
        "simulating",
        "surveying",
        "tracking",
    },
    "service": {"model", "api"},
    "cli": {"model", "api", "report", "plugins", "hepflow"},
    "__main__": {"cli", "hepflow"},
}
"""Each part of ``hepflow/`` and the parts it may import (``store.records``: that module alone)."""

ADAPTERS_MAY_IMPORT = {
    "hepflow.arrays",
    "hepflow.batch",
    "hepflow.model",
    "hepflow.capsule",
    "hepflow.pilots",
    "hepflow.wire",
}

VERBS_MAY_IMPORT = ADAPTERS_MAY_IMPORT | {"hepflow", "hepflow.api", "hepflow.cli"}
"""A verb that an adapter brings stands on the top floor. It is a package of its own in the adapter,
the one its entry point names, and nobody else may import it."""

VERBS_OF_SCIENCE = "hepflow_verbs"
"""What the command lines of the science packages share; a science package itself."""

FACES = ("snakemake_executor_plugin_hepflow",)
"""Packages that another program loads as its own plug-in, and that drive hepflow from there: they stand
beside the verbs, by the name that the other program's convention asks for."""

CORE_LIBRARIES = {"click", "jinja2", "yaml", "rich", "markupsafe"}
"""What ``hepflow/`` may import from outside: its declared dependencies."""

STDLIB = sys.stdlib_module_names | {"_sha2"}
"""``_sha2`` is there since Python 3.12."""

IMPORTS_LATE = {"api", "cli", "plugins", "__main__"}
"""Parts where an import inside a function is allowed: a verb loads what it needs when it runs."""

LATE_IMPORTS: dict[str, str] = {
    "hepflow.recipe": "who asks for a status or a log reads the store and needs no language",
    "rich": "most starts draw nothing",
    "yaml": "a recipe written by a program is JSON",
    "hepflow.recipe.yaml_nodes": "a recipe written by a program is JSON",
    "hepflow.recipe.jinja": "a template of plain dotted names needs no Jinja",
    "hepflow.report.page": "it loads jinja2, and the rest of a report does not",
    "hepflow.recipe.portable": "only an export reads templates as trees",
    "hepflow.capsule.afar": "tar files and the web are for jobs far away",
    "hepflow.sites.building": "a run on this machine reads no site file",
    "hepflow.sites.reading": "a run on this machine reads no site file",
    "urllib.request": "dear, and few inputs come from the web",
    "hepflow.capsule.calling": "a capsule for one short command has ended before that is loaded",
    "hepflow.capsule.patterns": "few outputs are patterns, and re and glob are dear",
    "hashlib": "OpenSSL is dear, and most files are small",
    "json": "few outputs are read as values",
    "signal": "enum is dear, and few tasks end by a signal",
    "site": "a capsule needs no package; Python calls do",
}
"""Modules that may be imported inside a function anywhere, and what that spares."""

NEVER_AT_LOAD = {"rich", "yaml", "jinja2"}
"""Libraries dear enough that only modules imported late themselves may load them at the top."""

NOT_IN_ENGINE = {
    "asyncio", "concurrent", "ctypes", "datetime", "fcntl", "glob", "http", "io", "logging",
    "mmap", "multiprocessing", "os", "pathlib", "queue", "random", "secrets", "select",
    "selectors", "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile",
    "threading", "time", "urllib", "uuid",
}  # fmt: skip
"""The engine is a function of its events: no clock, no chance, no file, no thread, no loop."""

BAD_NAMES = {"utils", "util", "base", "common", "helpers", "helper", "manager", "misc"}

FILE_LINES, FUNCTION_LINES, CLASS_LINES, CLASS_METHODS = 500, 60, 300, 20

LARGER_WITH_REASON: dict[str, str] = {
    # "path", "path:function" or "path:Class": "the reason"
    "hepflow/engine/scheduler.py:Scheduler": "a short method for each kind of event, as its table"
    " of handlers asks; they share one state",
    "hepflow/engine/dataflow.py:Dataflow": "what is true of slots (waiting, filled, finished) is"
    " kept true by many short methods over one state",
}

CATCHES_ALL_WITH_REASON: dict[str, str] = {
    "hepflow/tracking.py:_track": "whatever a tracker's library raises is told, and must not cost the run",
    "hepflow/capsule/spawning.py:fork_call": "in a child, above which is the parent's work; it is told",
    # "path:function": "the reason"
}

# --- reading the source ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module: by whom, where, inside which function, and whether for types only."""

    importer: str
    path: str
    line: int
    module: str
    function: str
    types_only: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


@dataclass(frozen=True, slots=True)
class Module:
    """One source file, parsed."""

    name: str
    path: str
    source: str
    tree: ast.Module
    package: bool


@cache
def modules() -> dict[str, Module]:
    """Every module of ours by its dotted name."""
    found = {}
    for base in (ROOT, ROOT / "adapters", ROOT / "workflows"):
        for top in sorted([*base.glob("hepflow*"), *map(base.joinpath, FACES)]):
            for path in sorted(top.rglob("*.py")):
                parts = path.relative_to(base).with_suffix("").parts
                package = parts[-1] == "__init__"
                name = ".".join(parts[:-1] if package else parts)
                source = path.read_text(encoding="utf-8")
                relative = path.relative_to(ROOT).as_posix()
                found[name] = Module(name, relative, source, ast.parse(source, relative), package)
    return found


TYPES_ONLY = "TYPE_CHECKING"


def nodes_within(tree: ast.AST, function: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Every node with the dotted name of the function (or ``TYPE_CHECKING``) it stands in."""
    for node in ast.iter_child_nodes(tree):
        yield node, function
        inner = function
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{function}.{node.name}" if function else node.name
        elif isinstance(node, ast.If) and getattr(node.test, "id", "") == TYPES_ONLY:
            inner = TYPES_ONLY
        yield from nodes_within(node, inner)


def imported_names(module: Module, node: ast.Import | ast.ImportFrom) -> list[str]:
    """The modules one statement imports; ``from a import b`` is ``a.b`` where that is a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    origin = node.module or ""
    if node.level:
        parts = module.name.split(".")
        parts = parts[: len(parts) - node.level + (1 if module.package else 0)]
        origin = ".".join([*parts, origin] if origin else parts)
    names = {f"{origin}.{alias.name}" for alias in node.names}
    return sorted({name if name in modules() else origin for name in names})


@cache
def imports() -> tuple[Import, ...]:
    """Every import statement of ours, wherever it stands."""
    return tuple(
        Import(
            module.name,
            module.path,
            node.lineno,
            name,
            "" if function == TYPES_ONLY else function,
            function == TYPES_ONLY,
        )
        for module in modules().values()
        for node, function in nodes_within(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported_names(module, node)
    )


def part_of(name: str) -> str:
    """``hepflow.store.records`` -> ``store``."""
    return name.split(".")[1] if "." in name else name


def is_core(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] == "hepflow"


def may_import(importer: str, imported: str) -> bool:
    """Whether the plan lets one module of the core import another."""
    own, other = part_of(importer), part_of(imported)
    inner = imported.removeprefix("hepflow.")
    return own == other or other in FLOORS[own] or inner in FLOORS[own]


@cache
def verb_packages() -> tuple[str, ...]:
    """The packages of the verbs that adapters bring, by pyproject's entry points, and the faces."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        verbs = tomllib.load(file)["project"]["entry-points"]["hepflow.verbs"].values()
    return (*FACES, *(target.partition(":")[0].rpartition(".")[0] for target in verbs))


def verb_of(name: str) -> str:
    """The package of the verb a module is part of; empty where it is of none."""
    found = (p for p in verb_packages() if name == p or name.startswith(f"{p}."))
    return next(found, "")


def code_lines(node: ast.AST, source: str) -> int:
    """Lines of a node that bear a token; docstrings, comments and blank lines do not count."""
    lines = bearing_lines(source)
    first = getattr(node, "lineno", 1)
    last = getattr(node, "end_lineno", None) or len(source.splitlines())
    return sum(1 for line in lines if first <= line <= last)


@cache
def bearing_lines(source: str) -> frozenset[int]:
    """The numbers of the lines that bear code."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent and token.type != tokenize.ENDMARKER:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if is_loose_text(node):
            lines.difference_update(range(node.lineno, (node.end_lineno or 0) + 1))
    return frozenset(lines)


def is_loose_text(node: ast.AST) -> bool:
    """Whether a node is a docstring, of a module, class, function or constant."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def complain(faults: list[str]) -> None:
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


# --- the walls ------------------------------------------------------------------------------------


def test_every_part_of_the_core_has_its_floor() -> None:
    unknown = {part_of(name) for name in modules() if is_core(name)} - set(FLOORS)
    assert not unknown, f"say in FLOORS what these may import: {sorted(unknown)}"


def test_the_plan_itself_has_no_circle() -> None:
    graph = {
        part: {other.split(".")[0] for other in below if other in FLOORS or "." in other}
        for part, below in FLOORS.items()
    }
    assert circles(graph) == []


def test_imports_run_downwards_only() -> None:
    complain(
        [
            f"{found}: '{part_of(found.importer)}' may import only"
            f" {sorted(FLOORS[part_of(found.importer)]) or 'nothing of ours'}"
            for found in imports()
            if is_core(found.importer)
            and is_core(found.module)
            and not may_import(found.importer, found.module)
        ]
    )


def test_the_core_never_imports_adapters_or_workflows() -> None:
    complain(
        [
            str(found)
            for found in imports()
            if is_core(found.importer) and found.module.startswith("hepflow_")
        ]
    )


def test_adapters_know_the_model_and_nobody_else() -> None:
    complain(
        [
            f"{found}: this may import only {sorted(allowed)} and its own modules"
            for found in imports()
            for allowed in [VERBS_MAY_IMPORT if verb_of(found.importer) else ADAPTERS_MAY_IMPORT]
            if found.path.startswith("adapters/")
            and found.module.startswith("hepflow")
            and found.module.split(".")[0] != found.importer.split(".")[0]
            and ".".join(found.module.split(".")[:2]) not in allowed
        ]
    )


def test_nobody_but_itself_knows_a_verb_that_an_adapter_brings() -> None:
    complain(
        [
            f"{found}: '{verb_of(found.module)}' is a verb"
            for found in imports()
            if verb_of(found.module) and verb_of(found.module) != verb_of(found.importer)
        ]
    )


def test_a_science_program_runs_without_hepflow() -> None:
    complain(
        [
            str(found)
            for found in imports()
            if found.path.startswith("workflows/")
            and found.module.startswith("hepflow")
            and found.module.split(".")[0] not in {found.importer.split(".")[0], VERBS_OF_SCIENCE}
        ]
    )


def test_the_engine_has_no_clock_no_file_and_no_thread() -> None:
    faults = [
        str(found)
        for found in imports()
        if part_of(found.importer) == "engine" and found.module.split(".")[0] in NOT_IN_ENGINE
    ]
    for module in modules().values():
        if part_of(module.name) != "engine":
            continue
        faults += [
            f"{module.path}:{node.lineno} calls {node.func.id}()"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"open", "print", "input", "exec", "eval"}
        ]
    complain(faults)


def test_the_core_imports_only_its_declared_dependencies() -> None:
    known = set(STDLIB) | CORE_LIBRARIES | {"hepflow"}
    complain(
        [
            str(found)
            for found in imports()
            if is_core(found.importer) and found.module.split(".")[0] not in known
        ]
    )


def test_imports_stand_at_the_top_but_where_they_keep_the_start_fast() -> None:
    complain(
        [
            f"{found} inside {found.function}()"
            for found in imports()
            if is_core(found.importer)
            and found.function
            and part_of(found.importer) not in IMPORTS_LATE
            and not {found.module, found.module.split(".")[0]} & set(LATE_IMPORTS)
        ]
    )


def loaded_early() -> set[str]:
    """What a start may load: all but the modules imported late, and what only these import."""
    needs: dict[str, set[str]] = {}
    for found in imports():
        if is_core(found.importer) and not found.function and not found.types_only:
            needs.setdefault(found.importer, set()).add(found.module)
    imported = {module for modules_ in needs.values() for module in modules_}
    waiting = [name for name in needs if name not in imported and name not in LATE_IMPORTS]
    early: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in early:
            early.add(name)
            waiting += needs.get(name, ())
    return early


def test_a_dear_library_is_loaded_only_by_modules_that_are_loaded_late() -> None:
    early = loaded_early()
    complain(
        [
            f"{found} at load, and is itself imported at load"
            for found in imports()
            if found.importer in early
            and is_core(found.importer)
            and not found.function
            and not found.types_only
            and found.module.split(".")[0] in NEVER_AT_LOAD
        ]
    )


# --- circles --------------------------------------------------------------------------------------


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected groups of more than one member (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for node in graph:
        if node not in order:
            visit(node)
    return groups


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for found in imports():
        if found.module in graph and found.module != found.importer:
            graph[found.importer].add(found.module)
    complain([" <-> ".join(group) for group in circles(graph)])


def test_the_search_for_circles_finds_one() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}
    assert circles(graph) == [["a", "b", "c"]]


# --- sizes and names ------------------------------------------------------------------------------


def too_large(module: Module) -> Iterator[tuple[str, str]]:
    """What of a module exceeds the limits: its address, and by how much."""
    lines = len(bearing_lines(module.source))
    if lines > FILE_LINES:
        yield module.path, f"{lines} code lines, limit {FILE_LINES}"
    for node in ast.walk(module.tree):
        address = f"{module.path}:{getattr(node, 'name', '')}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = code_lines(node, module.source)
            if lines > FUNCTION_LINES:
                yield address, f"{lines} code lines, limit {FUNCTION_LINES}"
        elif isinstance(node, ast.ClassDef):
            lines = code_lines(node, module.source)
            methods = sum(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) for n in node.body)
            if lines > CLASS_LINES:
                yield address, f"{lines} code lines, limit {CLASS_LINES}"
            if methods > CLASS_METHODS:
                yield address, f"{methods} methods, limit {CLASS_METHODS}"


def test_nothing_is_too_large_to_read() -> None:
    large = [pair for module in modules().values() for pair in too_large(module)]
    complain([f"{at}: {why}" for at, why in large if at not in LARGER_WITH_REASON])


def test_exceptions_to_the_rules_are_still_needed() -> None:
    large = {at for module in modules().values() for at, _ in too_large(module)}
    late = {found.module for found in imports() if found.function}
    late |= {name.split(".")[0] for name in late}
    stale = set(LARGER_WITH_REASON) - large
    stale |= set(LATE_IMPORTS) - late
    stale |= set(CATCHES_ALL_WITH_REASON) - {at for at, _ in catch_alls()}
    assert not stale, f"remove from the lists at the head of this file: {sorted(stale)}"


def test_a_module_is_named_after_what_it_is() -> None:
    complain([m.path for m in modules().values() if m.name.split(".")[-1] in BAD_NAMES])


# --- errors ---------------------------------------------------------------------------------------


def catch_alls() -> Iterator[tuple[str, int]]:
    """Handlers that catch everything and do not raise again."""
    for module in modules().values():
        for node, function in nodes_within(module.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {getattr(kind, "id", "") for kind in kinds}
            if node.type is not None and not names & {"Exception", "BaseException"}:
                continue
            if not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
                yield f"{module.path}:{function}", node.lineno


def test_what_catches_everything_raises_again() -> None:
    complain(
        [
            f"{at} (line {line}) swallows every exception"
            for at, line in catch_alls()
            if at not in CATCHES_ALL_WITH_REASON
        ]
    )


# --- the start ------------------------------------------------------------------------------------


@pytest.mark.skipif("hepflow.__main__" not in modules(), reason="there is no command line yet")
def test_asking_for_the_version_loads_next_to_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hepflow", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    dear = {"asyncio", "sqlite3", "yaml", "jinja2", "rich", "multiprocessing", "email", "json"}
    assert not loaded & dear
    assert not {name for name in loaded if name.startswith(("hepflow.api", "hepflow.engine"))}
