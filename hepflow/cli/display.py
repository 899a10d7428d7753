"""How a run in progress is shown: drawn on a terminal, told in plain lines elsewhere.

A display never ends a run: when nobody reads it any more, it falls silent.
"""

from __future__ import annotations

from typing import Protocol, TextIO

from hepflow.cli.late import api
from hepflow.cli.live import Live
from hepflow.cli.progress import Lines


class Display(Protocol):
    """Shows progress; also knows which run it was about."""

    run: int

    def __call__(self, progress: api.Progress) -> None:
        """Take the newest state."""
        ...

    def close(self) -> None:
        """Show the last state and end."""
        ...


def display_for(stream: TextIO, quiet: bool) -> Display:
    """The display that suits a stream."""
    if quiet:
        return Silent()
    if stream.isatty():
        return Live()
    return Lines()


class Silent:
    """Shows nothing; remembers the run."""

    run = 0

    def __call__(self, progress: api.Progress) -> None:
        self.run = progress.run

    def close(self) -> None:
        pass
