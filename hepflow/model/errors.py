"""Every error hepflow raises on purpose, drawn here so that one sees at once what to catch.

    HepflowError                 carries one or several Problems
    ├── RecipeError        HF1xx-HF2xx   a recipe, a configuration or an input is wrong     exit 3
    ├── UsageError         HF3xx   the command or call itself is wrong                      exit 2
    ├── UnavailableError   HF4xx   a site, executor, language or library is not there       exit 4
    ├── StoreError         HF5xx   the store cannot be read or written                      exit 4
    └── ExecutionError     HF6xx   a step cannot be planned, or a task failed               exit 1

A message answers, in this order: where, what, why, how to mend it. The first line alone suffices.
A user's mistake never shows a traceback; anything that is not a HepflowError is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: a file with line and column (from 1; 0 when unknown), or a task."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault: where, what, why, how to mend it.

    Args:
        place: the file position or the task at fault.
        code: stable identifier such as ``HF203``.
        what: one sentence that suffices alone.
        why: the facts behind it; may be empty.
        fix: what to do; may be empty.
    """

    place: Place
    code: str
    what: str
    why: str = ""
    fix: str = ""

    def __str__(self) -> str:
        where = str(self.place)
        head = f"{where}  {self.code}  {self.what}" if where else f"{self.code}  {self.what}"
        why = f"\n  why: {self.why}" if self.why else ""
        fix = f"\n  fix: {self.fix}" if self.fix else ""
        return head + why + fix


class HepflowError(Exception):
    """Root of all errors on purpose; its text is the list of its problems, sorted by place."""

    exit_code = 1

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        found = [problems] if isinstance(problems, Problem) else list(problems)
        self.problems: tuple[Problem, ...] = tuple(sorted(found))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def of(cls, code: str, what: str, *, why: str = "", fix: str = "", where: str = "") -> Self:
        """The common case of one problem that stands at no line of a file."""
        return cls(Problem(Place(where), code, what, why, fix))


class RecipeError(HepflowError):
    """A recipe, a configuration file or an input value is wrong."""

    exit_code = 3


class UsageError(HepflowError):
    """The command line or the call is wrong: an unknown run, an option that makes no sense."""

    exit_code = 2


class UnavailableError(HepflowError):
    """Something the request needs is not there: a site, an executor, a language, a library."""

    exit_code = 4


class StoreError(HepflowError):
    """The store cannot be opened, read or written: permissions, disk full, a foreign version."""

    exit_code = 4


class ExecutionError(HepflowError):
    """A step could not be planned, or its task failed for good."""

    exit_code = 1
