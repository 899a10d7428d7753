"""What can go wrong by the user's hand, told without a traceback."""

from __future__ import annotations


class WeakError(Exception):
    """A mistake to mend: ``where`` it is, ``what`` is wrong, and the ``fix``."""

    def __init__(self, where: object, what: str, fix: str) -> None:
        super().__init__(f"{where}: {what}\n  fix: {fix}")
