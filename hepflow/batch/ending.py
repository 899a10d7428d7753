"""Jobs that the batch system is told to end: nobody wants what they do, or they have nothing to do.

Must never know what is in a job.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from hepflow.batch.asking import Answer, Asker

AT_ONCE: Final = 500
"""Jobs that one command ends."""


class Ender:
    """Tells the batch system which jobs are to end.

    Args:
        command: the words that the jobs' handles are added to.
        asker: runs it.
    """

    def __init__(self, command: tuple[str, ...], asker: Asker) -> None:
        self._command = command
        self._asker = asker
        self._asked: set[str] = set()

    @property
    def unanswered(self) -> list[str]:
        """Jobs that the batch system may not have heard about."""
        return sorted(self._asked)

    def end(self, handles: list[str], then: Callable[[], None] = lambda: None) -> None:
        """End jobs; ``then`` is called after each command that has been given."""
        for start in range(0, len(handles), AT_ONCE):
            some = handles[start : start + AT_ONCE]
            self._asked.update(some)
            self._asker.ask([*self._command, *some], partial(self._told, some, then))

    def _told(self, handles: list[str], then: Callable[[], None], _answer: Answer) -> None:
        self._asked.difference_update(handles)
        then()
