"""The foreman: a process beside a worker of some engine that runs bundles with the local executor.

Reads frames from its standard input, ``(bundle, attempts)``, and answers with ``(bundle, None)`` when it
has taken one and ``(bundle, events)`` when all of it has ended. What lasts longer it also writes into the
file ``events`` of its folder, where the head can read it meanwhile. Ends when its worker is gone, when
the head wants no more, and after a while without work.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from hepflow.executors.local import LocalExecutor
from hepflow.model.events import ExecutorEvent, Finished, Lost, Rejected
from hepflow.model.site import Site
from hepflow.model.task import Attempt, Reason
from hepflow.pilots.frames import frame, unframed
from hepflow.pilots.orders import ALL, EVENTS
from hepflow.runner.loop import Loop

BUSY_LOOK_S: Final = 0.1
"""Seconds between two looks at what the head wants no more, while there is work."""
IDLE_LOOK_S: Final = 1.0
IDLE_S: Final = 600.0
"""Seconds without work after which a foreman goes."""
DOUBTED_S: Final = 1.0
"""A program that was ended from outside is told of only so much later: a batch system that ends a job
signals all its processes, and then we do not live to tell, so that the attempt is lost and has not failed."""
LATE_S: Final = 0.2
"""A bundle that lasts longer is told of piece by piece."""


class Bundle:
    """Attempts that came together."""

    def __init__(self, number: int, names: Iterable[str]) -> None:
        self.number = number
        self.open = set(names)
        self.ended: list[ExecutorEvent] = []
        self.unwritten: list[ExecutorEvent] = []
        self.began = time.monotonic()


class Foreman:
    """Runs bundles until nobody wants any more.

    Args:
        folder: its own.
        unwanted: the file that says which attempts' end is wanted.
        site: what its local executor may use.
    """

    def __init__(self, folder: Path, unwanted: Path, site: Site) -> None:
        folder.mkdir(parents=True)
        self._loop = Loop()
        self._executor = LocalExecutor(folder, site=site)
        self._unwanted = unwanted
        self._position = 0
        self._refused: set[str] = set()
        self._bundle_of: dict[str, Bundle] = {}
        self._unread = b""
        self._wanted = True
        self._idle_since = time.monotonic()
        self._events = os.open(folder / EVENTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(self._events, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def run(self) -> None:
        """Everything, until the end."""
        self._executor.start(self._loop)
        self._loop.watch(0, self._read)
        self._look()
        while self._wanted:
            for event in self._loop.wait(None):
                self._hear(event)
        self._executor.close()

    def _read(self) -> None:
        data = os.read(0, 1 << 20)
        if not data:
            # The worker is gone. Ended like this, our own processes keep what they have just done.
            os._exit(1)
        messages, self._unread = unframed(self._unread + data)
        for number, attempts in messages:
            self._take(number, attempts)

    def _take(self, number: int, attempts: list[Attempt]) -> None:
        self._say((number, None))
        bundle = Bundle(number, [attempt.id for attempt in attempts])
        if not self._bundle_of:
            self._loop.call_at(bundle.began + BUSY_LOOK_S, self._look_busily)
        self._bundle_of.update(dict.fromkeys(bundle.open, bundle))
        self._executor.submit(attempts)
        self._heed()
        self._executor.cancel(self._refused & bundle.open)

    def _hear(self, event: ExecutorEvent) -> None:
        if _is_ended_from_outside(event):
            self._loop.call_at(time.monotonic() + DOUBTED_S, partial(self._note, event))
        else:
            self._note(event)

    def _note(self, event: ExecutorEvent) -> None:
        bundle = self._bundle_of[event.attempt]
        bundle.unwritten.append(event)
        if isinstance(event, Finished | Lost | Rejected):
            del self._bundle_of[event.attempt]
            bundle.open.discard(event.attempt)
            bundle.ended.append(event)
            if not bundle.open:
                self._say((bundle.number, bundle.ended))
                self._idle_since = time.monotonic()

    def _say(self, message: object) -> None:
        data = memoryview(frame(message))
        while data:
            data = data[os.write(1, data) :]

    # --- looking ----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Whether the head still wants anything, now and then."""
        self._heed()
        now = time.monotonic()
        if not self._bundle_of and now - self._idle_since > IDLE_S:
            self._wanted = False
        if self._wanted:
            self._loop.call_at(now + IDLE_LOOK_S, self._look)

    def _look_busily(self) -> None:
        self._heed()
        now = time.monotonic()
        late = [
            bundle
            for bundle in set(self._bundle_of.values())
            if bundle.unwritten and now - bundle.began > LATE_S
        ]
        for bundle in late:
            os.write(self._events, frame(bundle.unwritten))
            bundle.unwritten = []
        if self._bundle_of:
            self._loop.call_at(now + BUSY_LOOK_S, self._look_busily)

    def _heed(self) -> None:
        """End what is wanted no more."""
        try:
            with open(self._unwanted, "rb") as file:
                file.seek(self._position)
                lines = file.read()
        except FileNotFoundError:
            return
        whole = lines[: lines.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.splitlines():
            what = json.loads(line)
            if what == ALL:
                self._wanted = False
            else:
                self._refused.update(what)
                self._executor.cancel(what)


def _is_ended_from_outside(event: ExecutorEvent) -> bool:
    """Whether a program got a signal that nobody here has sent."""
    if not isinstance(event, Finished) or event.outcome.reason is not Reason.PROGRAM:
        return False
    return event.outcome.exit_code in (-signal.SIGTERM, -signal.SIGKILL)


def main() -> None:
    """Run; arguments: own folder, the file of what is not wanted, settings, variables (both JSON)."""
    folder, unwanted, settings, env = sys.argv[1:]
    site = Site("local", executor="local", settings=json.loads(settings), env=json.loads(env))
    Foreman(Path(folder), Path(unwanted), site).run()


if __name__ == "__main__":
    main()
