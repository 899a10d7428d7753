"""The one writer of a run: intents before submission, results after, all in batches."""

from __future__ import annotations

import json
import os
import sqlite3
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hepflow.model.errors import UsageError
from hepflow.store.database import Place, connect, errors_in_words, hold, is_alive
from hepflow.store.records import RunState, TaskState
from hepflow.store.results import CHUNK, RUN_SHIFT, Results

_FINAL: Final = (TaskState.SUCCEEDED.value,)
_OPEN: Final = (TaskState.SUBMITTED.value, TaskState.RUNNING.value)


class Intent(NamedTuple):
    """An attempt about to be submitted, in the order of the table's columns."""

    id: int
    task: str
    number: int
    state: int
    key: bytes | None
    what: str
    folder: str
    command: str
    submitted: float
    site: str = ""


class Ending(NamedTuple):
    """How an attempt ended, in the order of the update's columns."""

    state: int
    started: float
    wall: float
    cpu: float
    peak: int
    gpu: float
    gpu_peak: int
    exit: int
    reason: str
    message: str
    outputs: str
    stdout: str
    stderr: str
    place: str
    id: int


class Unfinished(NamedTuple):
    """An attempt an earlier head of this run left without an end."""

    id: int
    task: str
    number: int
    key: bytes
    handle: str
    site: str


@dataclass(slots=True)
class Batch:
    """What one turn of the runner has to write, in one transaction."""

    intents: list[Intent] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    started: list[tuple[float, str, str, int]] = field(default_factory=list)
    handles: list[tuple[str, int]] = field(default_factory=list)
    reused: list[tuple[str, int]] = field(default_factory=list)
    digests: list[tuple[str, int, int, int, str]] = field(default_factory=list)
    steps: str = ""

    @property
    def size(self) -> int:
        """Rows to write."""
        return len(self.intents) + len(self.endings) + len(self.reused)

    def __bool__(self) -> bool:
        return bool(
            self.intents or self.endings or self.started or self.handles or self.reused
            or self.digests or self.steps
        )  # fmt: skip


class RunWriter:
    """Writes one run. Made by :func:`create_run` or :func:`reopen_run`; one a process and run."""

    def __init__(self, place: Place, run: int, database: sqlite3.Connection, *, lock: int) -> None:
        self.place = place
        self.run = run
        self._lock = lock
        self._database = database
        self._first = run << RUN_SHIFT
        with errors_in_words(place):
            row = self._database.execute(
                "SELECT max(id) FROM attempt WHERE id >= ? AND id < ?",
                (self._first, (run + 1) << RUN_SHIFT),
            ).fetchone()
        self._next = (row[0] or self._first) + 1

    def results(self) -> Results:
        """What the store has, read over the writer's own connection: what it wrote last is still in
        memory there, and would have to be read from the file over any other."""
        return Results(self.place, self._database)

    def new_id(self) -> int:
        """An id for the next attempt."""
        self._next += 1
        return self._next - 1

    def commit(self, batch: Batch) -> dict[bytes, int]:
        """Writes a batch. Intents whose work another living run has in hand are left out:
        returned is their key with the number of that run.
        """
        if not batch:
            return {}
        database = self._database
        with errors_in_words(self.place):
            database.execute("BEGIN IMMEDIATE")
            try:
                taken = self._in_other_hands(batch.intents) if batch.intents else {}
                self._write(batch, taken)
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
        return taken

    def _write(self, batch: Batch, taken: Mapping[bytes, int]) -> None:
        many = self._database.executemany
        if batch.intents:
            mine = [i for i in batch.intents if i.key not in taken] if taken else batch.intents
            many(
                "INSERT INTO attempt (id, task, number, state, key, what, folder, command,"
                " submitted, site) VALUES (?,?,?,?,?,?,?,?,?,?)",
                mine,
            )
        if batch.endings:
            many(
                "UPDATE attempt SET state=?, started=?, wall=?, cpu=?, peak=?, gpu=?, gpu_peak=?, exit=?, reason=?,"
                " message=?, outputs=?, stdout=?, stderr=?, place=? WHERE id=?",
                batch.endings,
            )
        if batch.started:
            running = TaskState.RUNNING.value
            many(
                f"UPDATE attempt SET state={running}, started=?, place=?, log=? WHERE id=? AND state<{running}",
                batch.started,
            )
        if batch.handles:
            many("UPDATE attempt SET handle=? WHERE id=?", batch.handles)
        if batch.reused:
            names = "\n".join(name for name, _ in batch.reused)
            ids = array("q", [attempt for _, attempt in batch.reused]).tobytes()
            self._database.execute("INSERT INTO reuse VALUES (?,?,?)", (self.run, names, ids))
        if batch.digests:
            many("INSERT OR REPLACE INTO digest VALUES (?,?,?,?,?)", batch.digests)
        if batch.steps:
            self._database.execute("UPDATE run SET steps=? WHERE id=?", (batch.steps, self.run))

    def _in_other_hands(self, intents: Sequence[Intent]) -> dict[bytes, int]:
        """Which of these keys another living run has submitted, or finished since we looked."""
        others = [
            run
            for (run,) in self._database.execute(
                "SELECT id FROM run WHERE state=? AND id<>?", (RunState.RUNNING.value, self.run)
            )
            if is_alive(self.place, run)
        ]
        taken: dict[bytes, int] = {}
        if not others:
            return taken
        keys = [intent.key for intent in intents]
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start : start + CHUNK]
            marks = ",".join("?" * len(chunk))
            rows = self._database.execute(
                f"SELECT key, id FROM attempt WHERE key IN ({marks}) AND state IN (?,?,?)",
                (*chunk, *_OPEN, *_FINAL),
            )
            for key, attempt in rows:
                if attempt >> RUN_SHIFT in others:
                    taken[key] = attempt >> RUN_SHIFT
        return taken

    def in_hand(self, key: bytes, run: int) -> bool:
        """Whether another run is still alive and at work on a key."""
        with errors_in_words(self.place):
            row = self._database.execute(
                "SELECT 1 FROM attempt WHERE key=? AND state IN (?,?) AND id>=? AND id<?",
                (key, *_OPEN, run << RUN_SHIFT, (run + 1) << RUN_SHIFT),
            ).fetchone()
        return row is not None and is_alive(self.place, run)

    def unfinished(self) -> list[Unfinished]:
        """Attempts an earlier head of this run left open."""
        with errors_in_words(self.place):
            rows = self._database.execute(
                "SELECT id, task, number, key, coalesce(handle,''), site FROM attempt"
                " WHERE id>=? AND id<? AND state IN (?,?)",
                (self._first, (self.run + 1) << RUN_SHIFT, *_OPEN),
            )
            return [Unfinished(*row) for row in rows]

    def attempts_so_far(self) -> dict[str, int]:
        """How many attempts this run has made, by task name."""
        with errors_in_words(self.place):
            return dict(
                self._database.execute(
                    "SELECT task, max(number) FROM attempt WHERE id>=? AND id<? GROUP BY task",
                    (self._first, (self.run + 1) << RUN_SHIFT),
                )
            )

    def forget(self, attempts: Iterable[int]) -> None:
        """Results that turned out not to be there any more: never offered again."""
        with errors_in_words(self.place):
            self._database.executemany(
                "UPDATE attempt SET state=?, message='its outputs are gone or were changed' WHERE id=?",
                [(TaskState.LOST.value, attempt) for attempt in attempts],
            )

    def end_run(self, state: RunState, outputs: str, message: str, now: float) -> None:
        """Closes the books of the run."""
        with errors_in_words(self.place):
            self._database.execute(
                "UPDATE run SET state=?, outputs=?, message=?, ended=? WHERE id=?",
                (state.value, outputs, message, now, self.run),
            )

    def close(self) -> None:
        """Lets the run go; after this it is no longer alive."""
        self._database.close()
        os.close(self._lock)


def create_run(
    place: Place, *, name: str, recipe: str, options: Mapping[str, object], inputs: str, now: float
) -> RunWriter:
    """Starts a new run in the store.

    Raises:
        StoreError: the store cannot be written.
    """
    database = connect(place, create=True)
    with errors_in_words(place):
        cursor = database.execute(
            "INSERT INTO run (name, recipe, options, inputs, state, started, host, pid)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (name, recipe, json.dumps(options), inputs, RunState.RUNNING.value, now,
             os.uname().nodename, os.getpid()),
        )  # fmt: skip
        run = cursor.lastrowid
        assert run is not None
        lock = hold(place, run)
    return RunWriter(place, run, database, lock=lock)


def reopen_run(place: Place, run: int, *, now: float) -> RunWriter:
    """Takes up a run whose head is gone.

    Raises:
        UsageError: another process is running it.
    """
    database = connect(place)
    with errors_in_words(place):
        try:
            lock = hold(place, run)
        except BlockingIOError:
            raise UsageError.of(
                "HF304", f"run {run} is still running in another process",
                fix=f"'hepflow status {run}' follows it; 'hepflow cancel {run}' ends it",
            ) from None  # fmt: skip
        database.execute(
            "UPDATE run SET state=?, message='', ended=0, started=?, host=?, pid=? WHERE id=?",
            (RunState.RUNNING.value, now, os.uname().nodename, os.getpid(), run),
        )
    return RunWriter(place, run, database, lock=lock)
