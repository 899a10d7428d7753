"""Looking up what earlier attempts left: the content cache, and remembered digests. Never writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from hepflow.store.codec import parse_all
from hepflow.store.database import Place, connect, errors_in_words
from hepflow.store.records import TaskState

RUN_SHIFT: Final = 32
"""An attempt's id is its run's number times 2**RUN_SHIFT, plus a serial."""

CHUNK: Final = 500
"""Keys in one query; SQLite takes a limited number of parameters."""


class Stored(NamedTuple):
    """A result the store has; ``outputs`` as :func:`hepflow.store.codec.revive` takes them."""

    id: int
    task: str
    outputs: Mapping[str, object]

    @property
    def run(self) -> int:
        return self.id >> RUN_SHIFT


class Results:
    """The successful results of all runs of a project, by key.

    Args:
        database: where to read; nothing is found without.
    """

    def __init__(self, place: Place, database: sqlite3.Connection | None) -> None:
        self._place = place
        self._database = database

    @classmethod
    def of(cls, place: Place) -> Results:
        """Those of a project, over a connection of their own; none where there is no store."""
        return cls(place, connect(place) if place.exists() else None)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, list[Stored]]:
        """Results under these keys, the newest last."""
        found: dict[bytes, list[Stored]] = {}
        if self._database is None:
            return found
        with errors_in_words(self._place):
            for start in range(0, len(keys), CHUNK):
                chunk = keys[start : start + CHUNK]
                marks = ",".join("?" * len(chunk))
                rows = self._database.execute(
                    f"SELECT key, id, task, outputs FROM attempt WHERE key IN ({marks}) AND state=?",
                    (*chunk, TaskState.SUCCEEDED.value),
                )
                got = rows.fetchall()
                if not got:
                    continue
                outputs = parse_all([row[3] for row in got])
                for (key, number, task, _), data in zip(got, outputs, strict=True):
                    found.setdefault(key, []).append(Stored(number, task, data))
        return found

    def digests(self, paths: Iterable[str]) -> dict[str, tuple[int, int, int, str]]:
        """Remembered digests of outside files: path -> (size, mtime, inode, sha256)."""
        found: dict[str, tuple[int, int, int, str]] = {}
        if self._database is None:
            return found
        with errors_in_words(self._place):
            for path in paths:
                row = self._database.execute(
                    "SELECT size, mtime, inode, sha256 FROM digest WHERE path=?", (path,)
                ).fetchone()
                if row:
                    found[path] = row
        return found

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
