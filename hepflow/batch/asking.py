"""Commands of the batch system, run beside the runner's loop.

Owns their processes. Must never know what they are asked for.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import IO, Final, NamedTuple

from hepflow.model.protocols import Sink

PATIENCE_S: Final = 120.0
"""Seconds after which a command that hangs is given up: a controller under load takes long to answer."""


class Answer(NamedTuple):
    """What a command said: its exit code, its standard output and its standard error."""

    code: int
    output: str
    complaint: str


class _Command(NamedTuple):
    """One that runs, and the files that take what it says."""

    process: subprocess.Popen[bytes]
    said: IO[bytes]
    complained: IO[bytes]
    lasts: bool

    def close(self) -> None:
        self.said.close()
        self.complained.close()


class Asker:
    """Runs commands without ever waiting for one.

    Args:
        sink: the runner's loop.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._running: dict[int, _Command] = {}

    def ask(
        self,
        words: Sequence[str],
        then: Callable[[Answer], None],
        output: IO[bytes] | None = None,
    ) -> None:
        """Start a command; ``then`` is called on the runner's thread when it has ended.

        Args:
            output: where its standard output goes, if it must outlive this process.
        """
        said = output or tempfile.TemporaryFile()  # noqa: SIM115 - closed when the command has ended
        complained = tempfile.TemporaryFile()  # noqa: SIM115
        ended, end = os.pipe()
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                pass_fds=(end,),
                start_new_session=True,  # an interrupt at the terminal is meant for the head
            )
        except OSError as error:
            os.close(ended)
            said.close()
            complained.close()
            self._sink.call_at(
                time.monotonic(), partial(then, Answer(127, "", f"{words[0]}: {error.strerror}"))
            )
            return
        finally:
            os.close(end)
        self._running[ended] = _Command(process, said, complained, output is not None)
        self._sink.watch(ended, partial(self._ended, ended, then))
        self._sink.call_at(time.monotonic() + PATIENCE_S, partial(_give_up, process))

    def close(self) -> None:
        """End the commands that are under way, but for those whose output outlives us."""
        for descriptor, command in self._running.items():
            self._sink.unwatch(descriptor)
            os.close(descriptor)
            if not command.lasts:
                command.process.kill()
                command.process.wait()
            command.close()
        self._running.clear()

    def _ended(self, descriptor: int, then: Callable[[Answer], None]) -> None:
        self._sink.unwatch(descriptor)
        os.close(descriptor)
        command = self._running.pop(descriptor)
        code = command.process.wait()
        texts = []
        for file in (command.said, command.complained):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
        command.close()
        then(Answer(code, texts[0], texts[1].strip()))


def _give_up(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
