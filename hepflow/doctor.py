"""What this machine has of what hepflow can use."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hepflow import __version__, plugins
from hepflow.model.errors import HepflowError, UnavailableError
from hepflow.model.site import Runtime
from hepflow.sites.building import faults_of
from hepflow.sites.files import site_files
from hepflow.sites.reading import SiteFile, read_site
from hepflow.store.database import Place

_PROGRAMS = (
    ("bash", "commands run under bash with pipefail; without it sh, where a pipe hides a failure"),
    ("git", "records the version of your recipes"),
)
_LIBRARIES = (
    ("rich", "live progress on a terminal", "rich"),
    ("sbi", "likelihood-free inference (hepflow_lfi)", "hepflow[lfi]"),
    ("torch", "neural networks in the bundled workflows", "hepflow[lfi]"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    group: str
    name: str
    ok: bool
    found: str
    fix: str = ""


def examine(place: Place) -> tuple[Check, ...]:
    """Looks at the interpreter, the machine, the project folder, languages, executors, libraries."""
    return (*_machine(), _project(place), *_plugins(), *_tools())


def _machine() -> list[Check]:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return [
        Check("machine", "hepflow", True, __version__),
        Check("machine", "python", True, f"{platform.python_version()} ({sys.executable})"),
        Check("machine", "sqlite", sqlite3.sqlite_version_info >= (3, 35), sqlite3.sqlite_version),
        Check("machine", "cpus", True, str(cpus)),
        Check("machine", "memory", True, f"{memory} MiB"),
    ]


def _project(place: Place) -> Check:
    folder = place.project
    writable = os.access(folder, os.W_OK)
    free = shutil.disk_usage(folder).free >> 20
    state = "has a store" if place.exists() else "no store yet"
    return Check(
        "project", str(folder), writable and free > 100, f"{state}, {free} MiB free",
        "" if writable else "make the folder writable or name another with --dir",
    )  # fmt: skip


def _plugins() -> list[Check]:
    checks = []
    for group in (plugins.LANGUAGES, plugins.EXECUTORS):
        for name in plugins.names(group):
            try:
                found = plugins.load(group, name)
            except UnavailableError as error:
                problem = error.problems[0]
                checks.append(
                    Check(group.rpartition(".")[2], name, False, problem.why, problem.fix)
                )
            else:
                checks.append(Check(group.rpartition(".")[2], name, True, f"{found.__module__}"))
    return checks


def _tools() -> list[Check]:
    checks = [
        Check(
            "programs", name, shutil.which(name) is not None, shutil.which(name) or "not found", why
        )
        for name, why in _PROGRAMS
    ]
    for name, why, install in _LIBRARIES:
        try:
            checks.append(Check("libraries", name, True, version(name)))
        except PackageNotFoundError:
            checks.append(
                Check("libraries", name, False, f"not installed: {why}", f"pip install '{install}'")
            )
    return checks


# --- sites ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SiteSummary:
    """A site in a line.

    Args:
        installed: whether its executor can be loaded here.
        retired: since when the machine is gone; empty for one that is there.
        problem: why its file cannot be read; empty when it can.
    """

    name: str
    path: Path
    doc: str = ""
    executor: str = ""
    installed: bool = False
    retired: str = ""
    problem: str = ""


def sites() -> tuple[SiteSummary, ...]:
    """Every site, by name; a file with faults is listed with the first of them."""
    known: dict[str, bool] = {}
    found = []
    for name, path in site_files().items():
        try:
            data = read_site(name).data
        except HepflowError as error:
            found.append(SiteSummary(name, path, problem=str(error).split("\n")[0]))
            continue
        executor = str(data.get("executor", ""))
        if executor not in known:
            known[executor] = _executor(executor).ok
        doc, retired = str(data.get("doc", "")), str(data.get("retired", ""))
        found.append(SiteSummary(name, path, doc, executor, known[executor], retired))
    return tuple(found)


def examine_site(file: SiteFile, settings: Mapping[str, str] | None) -> tuple[Check, ...]:
    """Looks at what a site needs of its user and of this host.

    Args:
        settings: those its executor knows; ``None`` where that cannot be told.
    """
    return (
        *(Check("config", str(path), True, "") for path in file.files),
        *(
            Check("config", str(problem.place), False, problem.what, problem.fix)
            for problem in faults_of(file, settings=settings).problems
        ),
        *_retirement(file),
        _executor(str(file.data.get("executor", ""))),
        *_programs(file),
        *_scratch(file),
    )


def _executor(name: str) -> Check:
    try:
        found = plugins.load(plugins.EXECUTORS, name)
    except UnavailableError as error:
        problem = error.problems[0]
        return Check("executor", name, False, f"{problem.what}: {problem.why}", problem.fix)
    return Check("executor", name, True, found.__module__)


def _retirement(file: SiteFile) -> list[Check]:
    since = file.data.get("retired")
    why = "kept to show what ran there; extend it for a machine that is like it"
    return [Check("config", "retired", False, f"gone since {since}", why)] if since else []


def _programs(file: SiteFile) -> list[Check]:
    commands = file.data.get("commands")
    names = list(commands) if isinstance(commands, list) else []
    runtime = str(file.find("container.runtime") or "none")
    if runtime not in (Runtime.NONE.value, Runtime.NATIVE.value):
        names.append(runtime)
    fix = "go where it is installed (a login node, a submit host), or load its module"
    return [
        Check(
            "programs", name, shutil.which(name) is not None, shutil.which(name) or "not found", fix
        )
        for name in names
    ]


def _scratch(file: SiteFile) -> list[Check]:
    """Whether the scratch folder can be written; it can be seen only on a shared file system."""
    said = str(file.data.get("scratch", ""))
    if not said or file.data.get("staging") == "capsule" or "${env:" in said:
        return []
    folder = Path(os.path.expandvars(said))
    if "$" in str(folder):
        fix = (
            "its shells may know it; else name a folder with 'scratch:' in a site file of your own"
        )
        return [Check("scratch", said, False, "a variable of it is not set here", fix)]
    while not folder.exists():
        folder = folder.parent
    writable = os.access(folder, os.W_OK)
    state = "can be written" if writable else f"{folder} cannot be written"
    return [Check("scratch", said, writable, state, "name another with 'scratch:'")]
