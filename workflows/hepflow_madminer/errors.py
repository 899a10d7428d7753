"""What can go wrong by the user's hand, told without a traceback."""

from __future__ import annotations

import os


class InputError(Exception):
    """A file or an option that does not fit: ``where`` it is, ``what`` is wrong, and the ``fix``."""

    def __init__(self, where: str | os.PathLike[str], what: str, fix: str) -> None:
        self.where, self.what, self.fix = os.fspath(where), what, fix
        super().__init__(self.where, what, fix)

    def __str__(self) -> str:
        return f"{self.where}: {self.what}\n  fix: {self.fix}"
