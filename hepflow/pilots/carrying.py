"""What the engine's worker does with a bundle: hands it to the foreman beside it and waits.

Runs in the worker's process, in as many threads as the engine likes. Must never run a task itself.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from hepflow import __version__
from hepflow.model.events import ExecutorEvent, Lost
from hepflow.model.task import Attempt, Reason
from hepflow.pilots.frames import frame, unframed
from hepflow.pilots.orders import UNWANTED, Order
from hepflow.pilots.parcels import Parcel, put_together


class Unfit(Exception):
    """This worker cannot carry out any bundle; the text says why and what to do."""


def carry_out(
    order: Order, here: Mapping[str, object], parcels: Sequence[Parcel] = ()
) -> list[ExecutorEvent]:
    """Run a bundle and return the events that end its attempts.

    Args:
        order: the bundle.
        here: settings that this worker knows better than the head (its cores, its memory).
        parcels: what the engine brought for it, with the large values of its arguments.

    Raises:
        Unfit: it cannot be done on this worker.
        Gone: a value is in no parcel; nothing was begun.
    """
    host = os.uname().nodename
    if order.version != __version__:
        raise Unfit(
            f"the worker on {host} has hepflow {__version__} and the head {order.version}: install"
            f" the same version there ({sys.executable})"
        )
    attempts = put_together(pickle.loads(order.attempts), parcels)
    try:
        os.close(os.open(order.claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        # The engine began it before, on a worker that is gone.
        message = "the worker that ran it was lost"
        return [Lost(attempt.id, Reason.NODE, message) for attempt in attempts]
    except OSError as error:
        raise Unfit(
            f"the worker on {host} cannot write into {order.folder} ({error.strerror}): head and"
            " workers must see one file system"
        ) from None
    while True:
        foreman = _foreman(order, here)
        try:
            return foreman.run(order.number, attempts)
        except BrokenPipeError:  # it went, for want of work, before it took this
            continue


class _Foreman:
    """A foreman's process, as the threads of its worker see it."""

    def __init__(self, order: Order, here: Mapping[str, object]) -> None:
        self._host = os.uname().nodename
        folder = f"{order.folder}/{order.tag}-{self._host}-{os.getpid()}-{next(_serial)}"
        unwanted = f"{order.folder}/{order.tag}{UNWANTED}"
        settings = {**order.settings, **here}
        words = [folder, unwanted, json.dumps(settings), json.dumps(dict(order.env))]
        self._log = Path(f"{folder}.log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hepflow.pilots.foreman", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                bufsize=0,
            )
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[list[ExecutorEvent]]] = {}
        self._taken: set[int] = set()
        self.gone = False
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self, number: int, attempts: list[Attempt]) -> list[ExecutorEvent]:
        """Have a bundle run, and wait for its end.

        Raises:
            BrokenPipeError: it was not taken.
            Unfit: the foreman does not start.
        """
        future: Future[list[ExecutorEvent]] = Future()
        data = memoryview(frame((number, attempts)))
        assert self._process.stdin is not None
        with self._lock:
            if self.gone:
                raise BrokenPipeError
            self._waiting[number] = future
            with suppress(BrokenPipeError):  # whoever listens will hear why
                while data:
                    data = data[self._process.stdin.write(data) :]
        try:
            return future.result()
        except EOFError as end:
            message = f"the process on {self._host} that ran it ended ({end})"
            return [Lost(attempt.id, Reason.NODE, message) for attempt in attempts]

    def _listen(self) -> None:
        """Take its answers, on a thread of their own, until it ends."""
        unread, heard = b"", False
        assert self._process.stdout is not None
        while data := self._process.stdout.read(1 << 20):
            messages, unread = unframed(unread + data)
            for number, events in messages:
                heard = True
                if events is None:
                    self._taken.add(number)
                else:
                    self._taken.discard(number)
                    self._waiting.pop(number).set_result(events)
        code = self._process.wait()
        with self._lock:
            self.gone = True
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
        for number, future in self._waiting.items():
            if number in self._taken:
                future.set_exception(EOFError(_end(code)))
            elif heard or not code:
                future.set_exception(BrokenPipeError())
            else:
                future.set_exception(Unfit(self._why()))
        self._taken.clear()

    def _why(self) -> str:
        said = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
        return f"no task can be started on {self._host}: {said}"


def _end(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


_foremen: dict[str, _Foreman] = {}
_making = threading.Lock()
_serial = itertools.count()


def _foreman(order: Order, here: Mapping[str, object]) -> _Foreman:
    with _making:
        found = _foremen.get(order.tag)
        if found is None or found.gone:
            found = _foremen[order.tag] = _Foreman(order, here)
        return found
