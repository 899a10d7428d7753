"""What can go wrong by the user's hand, told without a traceback.

LfiError
├── UsageError   the request makes no sense (exit status 2)
└── InputError   a file is missing, unreadable or does not fit (exit status 1)
"""

from __future__ import annotations

import os
from typing import ClassVar


class LfiError(Exception):
    """A mistake to mend: ``where`` it is, ``what`` is wrong, ``why``, and the ``fix``."""

    exit_status: ClassVar[int] = 1

    def __init__(
        self, where: str | os.PathLike[str], what: str, why: str = "", fix: str = ""
    ) -> None:
        self.where, self.what, self.why, self.fix = os.fspath(where), what, why, fix
        super().__init__(self.where, what, why, fix)

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}"]
        lines += [f"  why: {self.why}"] if self.why else []
        lines += [f"  fix: {self.fix}"] if self.fix else []
        return "\n".join(lines)


class UsageError(LfiError):
    """An option, a task name or a combination of them that cannot be meant."""

    exit_status = 2


class InputError(LfiError):
    """A file that is missing, malformed, or made for something else."""

    exit_status = 1
