"""The SQLite file itself: where it lies, its tables, and its errors in words.

WAL mode with ``synchronous=NORMAL``: a killed process loses nothing it committed; a power cut may
lose the last commits but never damages the file. Readers never block the writer.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from hepflow.model.errors import StoreError, UsageError

VERSION: Final = 2
FOLDER: Final = ".hepflow"
LITERALS: Final = "literals"

_TABLES: Final = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY, name TEXT, recipe TEXT, options TEXT, inputs TEXT, outputs TEXT,
    state TEXT, message TEXT DEFAULT '', started REAL,
    ended REAL DEFAULT 0, host TEXT, pid INTEGER, steps TEXT DEFAULT '[]');
-- One row an attempt. Its id is the run's number times 2^32 plus a serial, so that a run's attempts
-- lie together. `key` is the digest of `what`, the fingerprint, one component a line.
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY, task TEXT, number INTEGER, state INTEGER, key BLOB, what TEXT,
    folder TEXT, command TEXT, submitted REAL, site TEXT, handle TEXT, place TEXT, log TEXT, started REAL,
    wall REAL, cpu REAL, peak INTEGER, gpu REAL, gpu_peak INTEGER, exit INTEGER, reason TEXT, message TEXT,
    outputs TEXT, stdout TEXT,
    stderr TEXT);
CREATE INDEX attempt_key ON attempt (key);
-- What a run took from earlier attempts: a row a batch, names by line beside 64-bit attempt ids.
CREATE TABLE reuse (run INTEGER, tasks TEXT, attempts BLOB);
CREATE INDEX reuse_run ON reuse (run);
-- Digests of files outside the store, remembered while path, size, time and inode stay the same.
CREATE TABLE digest (path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, inode INTEGER, sha256 TEXT)
    WITHOUT ROWID;
"""


class Place:
    """The folders of one project's store, below ``.hepflow/``."""

    __slots__ = ("folder", "project")

    def __init__(self, project: Path) -> None:
        self.project = project
        self.folder = project / FOLDER

    @property
    def database(self) -> Path:
        return self.folder / "store.sqlite"

    def work(self, run: int) -> Path:
        """Where the tasks of a run have their folders."""
        return self.folder / "work" / str(run)

    def sites(self, run: int) -> Path:
        """Where the executors of a run have their own folders, one for each site."""
        return self.work(run) / ".sites"

    def lock(self, run: int) -> Path:
        return self.folder / "locks" / str(run)

    def exists(self) -> bool:
        return self.database.exists()


@contextmanager
def errors_in_words(place: Place) -> Iterator[None]:
    """Turns what SQLite and the system say into a StoreError a person can act on."""
    try:
        yield
    except sqlite3.Error as error:
        raise _store_error(str(error), place) from error
    except OSError as error:
        if isinstance(error, (BlockingIOError, InterruptedError, ChildProcessError)):
            raise
        raise _store_error(error.strerror or str(error), place) from error


def _store_error(said: str, place: Place) -> StoreError:
    known = (
        (("full", "no space", "too large", "quota", "disk i/o"), "HF502",
         "the disk is full, or does not take what is written",
         "free some space, then 'hepflow resume': nothing that finished is lost"),
        (("readonly", "read-only", "permission", "unable to open", "not permitted"), "HF503",
         "the store's folder cannot be written",
         "make the folder writable, or name another project folder with --dir"),
        (("locked", "busy"), "HF504", "another process holds the store for too long",
         "wait for it to end, or look for a suspended hepflow process"),
        (("malformed", "not a database", "corrupt"), "HF505", "the store's file is damaged",
         f"move {place.folder} away and run again: published results are not touched"),
    )  # fmt: skip
    lower = said.lower()
    for words, code, what, fix in known:
        if any(word in lower for word in words):
            return StoreError.of(code, what, why=said, fix=fix, where=str(place.folder))
    return StoreError.of("HF501", "the store cannot be used", why=said, where=str(place.folder))


def connect(place: Place, *, create: bool = False) -> sqlite3.Connection:
    """Opens the store, making it first if asked to.

    Raises:
        UsageError: there is none yet.
        StoreError: it cannot be opened, is damaged, or was written by another version.
    """
    with errors_in_words(place):
        if create:
            (place.folder / "locks").mkdir(parents=True, exist_ok=True)
            ignore = place.folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            if not place.exists():
                _create(place)
        elif not place.exists():
            raise UsageError.of(
                "HF300", "there is no store here, so nothing was run yet",
                fix="'hepflow run RECIPE' makes one; --dir names another project folder",
                where=str(place.project),
            )  # fmt: skip
        connection = sqlite3.connect(
            place.database, timeout=30.0, isolation_level=None, cached_statements=64
        )
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA cache_size=-8192")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found != VERSION:
        connection.close()
        raise StoreError.of(
            "HF507", f"the store has format {found}, this hepflow writes format {VERSION}",
            fix="use the hepflow that made it, or another project folder (--dir)",
            where=str(place.database),
        )  # fmt: skip
    return connection


def _create(place: Place) -> None:
    """Makes the store, one process at a time, under another name: whoever looks finds it whole or not
    at all, also when this process is killed in the middle."""
    with open(place.folder / "locks" / "store", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            return  # another process was first while this one waited
        fresh = place.folder / "fresh.sqlite"
        for stale in place.folder.glob(f"{fresh.name}*"):
            stale.unlink()
        with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN")
            for statement in _TABLES.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={VERSION}")
            connection.execute("COMMIT")
        fresh.rename(place.database)


def hold(place: Place, run: int) -> int:
    """Takes the lock that says a run's head is alive; the kernel lets go of it whatever happens.

    Raises:
        BlockingIOError: another process has it.
    """
    fileno = os.open(place.lock(run), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fileno)
        raise
    return fileno


def is_alive(place: Place, run: int) -> bool:
    """Whether some process is the head of a run right now."""
    try:
        fileno = os.open(place.lock(run), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fileno, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fileno)
    return False
