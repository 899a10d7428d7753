"""Making room: removes old runs and the files that no kept run refers to."""

from __future__ import annotations

import os
import shutil
import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hepflow.model.errors import UsageError
from hepflow.store.database import LITERALS, Place, connect, errors_in_words, is_alive
from hepflow.store.reader import runs
from hepflow.store.records import RunState
from hepflow.store.results import RUN_SHIFT


@dataclass(frozen=True, slots=True)
class GcReport:
    """What was removed, or would be."""

    runs_removed: tuple[int, ...]
    files_removed: int
    bytes_freed: int


def collect_garbage(
    place: Place, *, keep: int, older_than_s: float | None, now: float, dry_run: bool
) -> GcReport:
    """Removes all but the last ``keep`` runs (of those, only runs older than ``older_than_s``).

    What a kept run made or reused stays, whichever run made it. So do runs that are alive or can be
    resumed within the kept ones. Published results are not the store's and are never touched.

    Raises:
        UsageError: a run is under way.
    """
    removed = [
        run.id
        for run in runs(place)[keep:]
        if run.state is not RunState.RUNNING
        and (older_than_s is None or now - (run.ended or run.started) > older_than_s)
    ]
    if not place.exists():
        return GcReport((), 0, 0)
    with closing(connect(place)) as database, errors_in_words(place):
        database.execute("BEGIN IMMEDIATE" if not dry_run else "BEGIN")
        # A run under way may take up any older result, so nothing is removed beneath it.
        for (run,) in database.execute("SELECT id FROM run WHERE state='running'").fetchall():
            if is_alive(place, run):
                raise UsageError.of(
                    "HF312", f"run {run} is under way and may still use what older runs made",
                    fix=f"collect when it has ended, or 'hepflow cancel {run}' first",
                )  # fmt: skip
        needed = _needed(database, set(removed))
        gone = [
            (number, folder)
            for run in removed
            for number, folder in database.execute(
                "SELECT id, folder FROM attempt WHERE id>=? AND id<?",
                (run << RUN_SHIFT, (run + 1) << RUN_SHIFT),
            )
            if number not in needed
        ]
        # Literals are written again by whoever plans with them.
        doomed = _folders(place, [LITERALS, *(folder for _, folder in gone if folder)])
        files, freed = 0, 0
        for folder in doomed:
            count, size = _weigh(folder)
            files, freed = files + count, freed + size
        if dry_run:
            database.execute("ROLLBACK")
            return GcReport(tuple(removed), files, freed)
        # Files before rows: a crash in between leaves rows whose files are gone, which is noticed
        # and made again; the other order would leave files nobody knows of.
        for folder in doomed:
            shutil.rmtree(folder, ignore_errors=True)
        database.executemany("DELETE FROM attempt WHERE id=?", [(number,) for number, _ in gone])
        for run in removed:
            database.execute("DELETE FROM run WHERE id=?", (run,))
            database.execute("DELETE FROM reuse WHERE run=?", (run,))
            place.lock(run).unlink(missing_ok=True)
        database.execute("COMMIT")
        for run in removed:
            shutil.rmtree(place.sites(run), ignore_errors=True)
            _remove_empty(place.work(run))
        if removed:
            database.execute("VACUUM")
    return GcReport(tuple(removed), files, freed)


def _needed(database: sqlite3.Connection, removed: set[int]) -> set[int]:
    """Attempts that kept runs took their results from."""
    needed: set[int] = set()
    for run, ids in database.execute("SELECT run, attempts FROM reuse"):
        if run not in removed:
            numbers = array("q")
            numbers.frombytes(ids)
            needed.update(numbers)
    return needed


def _folders(place: Place, relative: list[str]) -> list[Path]:
    return [path for path in (place.folder / name for name in relative) if path.is_dir()]


def _weigh(folder: Path) -> tuple[int, int]:
    count = size = 0
    for path in _files(folder):
        count += 1
        size += path.stat(follow_symlinks=False).st_size
    return count, size


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            else:
                yield entry


def _remove_empty(folder: Path) -> None:
    """Removes what is left of a run's work folder where nothing kept lies in it."""
    if not folder.is_dir():
        return
    for below in list(folder.iterdir()):
        if below.is_dir() and not below.is_symlink():
            _remove_empty(below)
        elif below.name.startswith(("journal", "lane")):
            below.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
