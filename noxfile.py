"""The project's chores, one session each: ``nox -s lint types tests docs build``."""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests", "docs"]
nox.options.reuse_existing_virtualenvs = True

LOCK = "requirements.lock"


def install(session: nox.Session, *extras: str) -> None:
    """The project with its extras, at the versions of the lock."""
    session.install("-c", LOCK, "hatchling", "editables")
    session.install("-c", LOCK, "--no-build-isolation", "-e", f".[{','.join(extras)}]")


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting and lint, without changing a file."""
    session.install("-c", LOCK, "ruff")
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")


@nox.session
def types(session: nox.Session) -> None:
    """Strict type checking of the core, the adapters and the workflows."""
    install(session, "dev", "lfi")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """The whole test suite; arguments go to pytest."""
    install(session, "services", "test", "lfi")
    session.run("pytest", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Every code block of the documents runs, and every link between them leads somewhere."""
    install(session, "test")
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """A source archive and a wheel, the wheel built from the archive."""
    session.install("build")
    session.run("python", "-m", "build", *session.posargs)
