"""What this machine has of what hepflow can use."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from hepflow import __version__, plugins
from hepflow.model.errors import UnavailableError
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
