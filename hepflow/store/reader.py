"""Everything a person or a program asks about runs, read from the store. Never writes."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from hepflow.model.errors import UsageError
from hepflow.model.values import Value
from hepflow.store.codec import decode
from hepflow.store.database import Place, connect, errors_in_words, is_alive
from hepflow.store.records import (
    Change,
    Explanation,
    RunState,
    RunStatus,
    RunSummary,
    StepStatus,
    TaskReport,
    TaskState,
    step_of,
)
from hepflow.store.results import CHUNK, RUN_SHIFT

_SUMMARY: Final = "id, name, recipe, state, started, ended, host, pid, message"
_WHOLE: Final = "coalesce(json_extract(options,'$.within'),0)=0"
"""What is true of a run that is no part of another one."""
LOG_TAIL: Final = 65536
"""Bytes that are shown of what a running task has printed."""

_REPORT: Final = (
    "id, task, number, state, folder, command, submitted, place, started, wall, cpu, peak, gpu, gpu_peak, exit,"
    " reason, message, outputs, stdout, stderr, log, site"
)

AT_ONCE: Final = 500
"""Ids in one question; SQLite takes so many and no unlimited number."""


@contextmanager
def reading(place: Place) -> Iterator[sqlite3.Connection]:
    """A connection for one question."""
    with closing(connect(place)) as database, errors_in_words(place):
        yield database


def _summary(place: Place, row: tuple[object, ...]) -> RunSummary:
    number, name, recipe, said, *rest = row
    state = RunState(said)
    if state is RunState.RUNNING and not is_alive(place, int(number)):  # type: ignore[call-overload]
        state = RunState.INTERRUPTED
    return RunSummary(number, name, recipe, state, *rest)  # type: ignore[arg-type]


def runs(place: Place, *, whole: bool = False) -> tuple[RunSummary, ...]:
    """All runs, the newest first; none where there is no store yet.

    Args:
        whole: leave out those that are parts of others.
    """
    if not place.exists():
        return ()
    where = f"WHERE {_WHOLE}" if whole else ""
    with reading(place) as database:
        rows = database.execute(f"SELECT {_SUMMARY} FROM run {where} ORDER BY id DESC").fetchall()
    return tuple(_summary(place, row) for row in rows)


def parts(place: Place, run: int) -> tuple[RunSummary, ...]:
    """The runs that a run has had as parts of it, the newest first."""
    with reading(place) as database:
        rows = database.execute(
            f"SELECT {_SUMMARY} FROM run WHERE id>? AND json_extract(options,'$.within')=?"
            " ORDER BY id DESC",
            (run, run),
        ).fetchall()
    return tuple(_summary(place, row) for row in rows)


def find_run(place: Place, run: int | None) -> RunSummary:
    """A run by number, or the latest.

    Raises:
        UsageError: there is no such run.
    """
    with reading(place) as database:
        if run is None:
            row = database.execute(
                f"SELECT {_SUMMARY} FROM run WHERE {_WHOLE} ORDER BY id DESC LIMIT 1"
            ).fetchone()
        else:
            row = database.execute(f"SELECT {_SUMMARY} FROM run WHERE id=?", (run,)).fetchone()
        last = database.execute("SELECT max(id) FROM run").fetchone()[0]
    if row is None:
        why = f"the runs here are 1 to {last}" if last else "nothing was run here yet"
        raise UsageError.of(
            "HF301", f"there is no run {run or ''}".rstrip(), why=why, fix="see 'hepflow list'"
        )
    return _summary(place, row)


def stored_request(place: Place, run: int) -> tuple[str, dict[str, object], str]:
    """What a run was asked to do: recipe path, options, inputs as stored text."""
    with reading(place) as database:
        row = database.execute(
            "SELECT recipe, options, inputs FROM run WHERE id=?", (run,)
        ).fetchone()
    return row[0], json.loads(row[1]), row[2]


def outputs(place: Place, run: int) -> dict[str, Value]:
    """The outputs of a finished run; empty when it has none yet."""
    with reading(place) as database:
        row = database.execute("SELECT outputs FROM run WHERE id=?", (run,)).fetchone()
    return decode(row[0], root_of(place)) if row[0] else {}


def inputs(place: Place, run: int) -> dict[str, Value]:
    """The inputs of a run, defaults included."""
    _, _, text = stored_request(place, run)
    return decode(text, root_of(place)) if text else {}


def results(
    place: Place, run: int, words: Sequence[str]
) -> Iterator[tuple[str, str, dict[str, Value]]]:
    """What tasks of a run left, here or in an earlier run it took it from: task, command, outputs.

    Each task once, by its last attempt: a run that was resumed takes from itself as well.

    Args:
        words: only outputs whose stored text holds one of these are read.
    """
    columns = "SELECT id, task, command, outputs FROM attempt WHERE"
    mine = " OR ".join("outputs LIKE ?" for _ in words)
    patterns = [f"%{word}%" for word in words]
    taken: dict[int, list[str]] = {}
    for name, row in reused(place, run).items():
        taken.setdefault(row, []).append(name)
    root = root_of(place)
    with reading(place) as database:
        found = database.execute(
            f"{columns} id>=? AND id<? AND state=? AND ({mine})",
            (*_range(run), TaskState.SUCCEEDED.value, *patterns),
        ).fetchall()
        ids = sorted(row for row in taken if row >> RUN_SHIFT != run)
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            marks = ",".join("?" * len(chunk))
            found += database.execute(
                f"{columns} id IN ({marks}) AND ({mine})", (*chunk, *patterns)
            ).fetchall()
    last: dict[str, tuple[str, str]] = {}
    for number, task, command, text in sorted(found):
        names = taken.get(number, [])
        for name in [task, *names] if number >> RUN_SHIFT == run else names:
            last[name] = (command, text)
    for name, (command, text) in last.items():
        yield name, command, decode(text, root)


def root_of(place: Place) -> str:
    """The folder stored paths are relative to, as :mod:`hepflow.store.codec` wants it."""
    return f"{place.folder}/"


def _range(run: int) -> tuple[int, int]:
    return run << RUN_SHIFT, (run + 1) << RUN_SHIFT


def _report(place: Place, row: tuple[object, ...]) -> TaskReport:
    (number, task, attempt, state, folder, command, submitted, where, started, wall, cpu, peak,
     gpu, gpu_peak, code, reason, message, found, stdout, stderr, log, site) = row  # fmt: skip
    name = str(task)
    if log and TaskState(state) is TaskState.RUNNING:
        stdout, stderr = _so_far(str(log))
    index = re.search(r"\[(\d+)\](?:@\d+)?$", name)
    return TaskReport(
        id=f"{name}#{attempt}",
        run=int(number) >> RUN_SHIFT,  # type: ignore[call-overload]
        step=step_of(name),
        index=int(index[1]) if index else 0,
        number=attempt,  # type: ignore[arg-type]
        state=TaskState(state),
        reason=reason or "",  # type: ignore[arg-type]
        message=message or "",  # type: ignore[arg-type]
        command=command or "",  # type: ignore[arg-type]
        exit_code=code or 0,  # type: ignore[arg-type]
        folder=str(place.folder / str(folder)) if folder else "",
        where=where or "",  # type: ignore[arg-type]
        submitted=submitted or 0.0,  # type: ignore[arg-type]
        started=started or 0.0,  # type: ignore[arg-type]
        wall_s=wall or 0.0,  # type: ignore[arg-type]
        cpu_s=cpu or 0.0,  # type: ignore[arg-type]
        peak_bytes=peak or 0,  # type: ignore[arg-type]
        gpu_s=gpu or 0.0,  # type: ignore[arg-type]
        gpu_peak_bytes=gpu_peak or 0,  # type: ignore[arg-type]
        outputs=decode(str(found), root_of(place)) if found else {},
        stdout=stdout or "",  # type: ignore[arg-type]
        stderr=stderr or "",  # type: ignore[arg-type]
        site=site or "",  # type: ignore[arg-type]
    )


def _so_far(log: str) -> tuple[str, str]:
    """What a running task has printed: the last of it, from where its executor collects it."""
    return _tail(log), _tail(log.removesuffix(".out") + ".err")


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.stat(path).st_size - LOG_TAIL))
            return file.read(LOG_TAIL).decode(errors="replace")
    except OSError:
        return ""  # it has just ended


def tasks(
    place: Place, run: int, pattern: str = "*", state: TaskState | None = None
) -> tuple[TaskReport, ...]:
    """Attempts of a run whose task name matches a shell pattern (or is it, or its step)."""
    condition = "" if state is None else f" AND state={state.value}"
    with reading(place) as database:
        rows = database.execute(
            f"SELECT {_REPORT} FROM attempt WHERE id>=? AND id<?{condition} ORDER BY id",
            _range(run),
        )
        return tuple(_report(place, row) for row in rows if _matches(row[1], row[2], pattern))


def reports(place: Place, attempts: Sequence[int]) -> dict[int, TaskReport]:
    """Attempts by their ids, of whatever runs."""
    found: dict[int, TaskReport] = {}
    with reading(place) as database:
        for first in range(0, len(attempts), AT_ONCE):
            some = attempts[first : first + AT_ONCE]
            marks = ",".join("?" * len(some))
            for row in database.execute(
                f"SELECT {_REPORT} FROM attempt WHERE id IN ({marks})", some
            ):
                found[row[0]] = _report(place, row)
    return found


def _matches(task: str, number: int, pattern: str) -> bool:
    if pattern in ("*", task, f"{task}#{number}") or pattern == step_of(task):
        return True
    # Brackets are part of our names, so only * and ? are wild.
    return fnmatchcase(task, pattern.replace("[", "[[]"))


def status(place: Place, run: int | None) -> RunStatus:
    """How far a run is: counts by step, what failed, what is running.

    Raises:
        UsageError: there is no such run.
    """
    summary = find_run(place, run)
    with reading(place) as database:
        text = database.execute("SELECT steps FROM run WHERE id=?", (summary.id,)).fetchone()[0]
    failed = tasks(place, summary.id, state=TaskState.FAILED)
    succeeded = _names(place, summary.id, TaskState.SUCCEEDED) if failed else set()
    last: dict[str, TaskReport] = {task.id.rsplit("#", 1)[0]: task for task in failed}
    alive = summary.state is RunState.RUNNING
    running = tasks(place, summary.id, state=TaskState.RUNNING) if alive else ()
    by_step = Counter(report.step for report in running)
    return RunStatus(
        summary,
        tuple(
            StepStatus(path, width, by_step[path], *rest)
            for path, width, _running, *rest in json.loads(text)
        ),
        tuple(report for name, report in last.items() if name not in succeeded),
        running,
        tuple(status(place, part.id) for part in reversed(parts(place, summary.id))),
    )


def _names(place: Place, run: int, state: TaskState) -> set[str]:
    with reading(place) as database:
        rows = database.execute(
            "SELECT task FROM attempt WHERE id>=? AND id<? AND state=?", (*_range(run), state.value)
        )
        return {name for (name,) in rows}


def reused(place: Place, run: int) -> dict[str, int]:
    """What a run took from earlier attempts: task name -> attempt id."""
    found: dict[str, int] = {}
    with reading(place) as database:
        for names, ids in database.execute("SELECT tasks, attempts FROM reuse WHERE run=?", (run,)):
            numbers = array("q")
            numbers.frombytes(ids)
            found.update(zip(names.split("\n"), numbers, strict=True))
    return found


class Fingerprints:
    """The last known fingerprint of each task in earlier runs of a recipe, to say what changed."""

    def __init__(self, place: Place, name: str, before: int | None = None) -> None:
        self._found: dict[str, tuple[str, int]] = {}
        if not place.exists():
            return
        with reading(place) as database:
            earlier = [
                run
                for (run,) in database.execute(
                    "SELECT id FROM run WHERE name=? AND (? IS NULL OR id<?) ORDER BY id DESC LIMIT 3",
                    (name, before, before),
                )
            ]
            for run in earlier:
                self._add(database, run)

    def _add(self, database: sqlite3.Connection, run: int) -> None:
        rows = database.execute(
            "SELECT task, what FROM attempt WHERE id>=? AND id<? ORDER BY id DESC", _range(run)
        )
        for task, what in rows:
            self._found.setdefault(task, (what, run))
        for names, ids in database.execute("SELECT tasks, attempts FROM reuse WHERE run=?", (run,)):
            numbers = array("q")
            numbers.frombytes(ids)
            for task, attempt in zip(names.split("\n"), numbers, strict=True):
                if task not in self._found:
                    row = database.execute(
                        "SELECT what FROM attempt WHERE id=?", (attempt,)
                    ).fetchone()
                    if row:
                        self._found[task] = (row[0], run)

    def last(self, task: str) -> tuple[str, int] | None:
        """The fingerprint and the run it is from."""
        return self._found.get(task)


def components(what: str) -> dict[str, str]:
    """A fingerprint, component by component."""
    return dict(line.partition("=")[::2] for line in what.split("\n") if line)


def compare(before: str, after: str) -> tuple[Change, ...]:
    """The components that differ between two fingerprints."""
    old, new = components(before), components(after)
    names = list(dict.fromkeys([*new, *old]))
    return tuple(
        Change(name, old.get(name, ""), new.get(name, ""))
        for name in names
        if old.get(name) != new.get(name)
    )


def explain(place: Place, task: str, run: int | None) -> Explanation:
    """Why a task ran, was reused, or failed, in one run.

    Raises:
        UsageError: there is no such run, or no such task in it.
    """
    summary = find_run(place, run)
    task = task.partition("#")[0]
    attempts = tuple(
        report for report in tasks(place, summary.id, task) if report.id.rpartition("#")[0] == task
    )
    source = reused(place, summary.id).get(task)
    if source is None and not attempts:
        raise _no_such_task(place, summary, task)
    what = _fingerprint(place, source, summary.id, task)
    before = Fingerprints(place, summary.name, summary.id).last(task)
    if source is not None:
        origin = source >> RUN_SHIFT
        where = "an earlier attempt of this run" if origin == summary.id else f"run {origin}"
        verdict = f"reused: {where} did the same work, and its outputs are as they were"
        return Explanation(task, verdict, (), origin, components(what), attempts)
    changes = compare(before[0], what) if before else ()
    return Explanation(
        task, _verdict(attempts, changes, before), changes, before[1] if before else 0,
        components(what), attempts,
    )  # fmt: skip


def _fingerprint(place: Place, source: int | None, run: int, task: str) -> str:
    with reading(place) as database:
        if source is not None:
            row = database.execute("SELECT what FROM attempt WHERE id=?", (source,)).fetchone()
        else:
            row = database.execute(
                "SELECT what FROM attempt WHERE id>=? AND id<? AND task=? ORDER BY id DESC",
                (*_range(run), task),
            ).fetchone()
    return row[0] if row else ""


def _verdict(
    attempts: tuple[TaskReport, ...], changes: tuple[Change, ...], before: tuple[str, int] | None
) -> str:
    last = attempts[-1]
    ended = {
        TaskState.FAILED: f"failed ({last.reason}): {last.message}",
        TaskState.CANCELLED: "cancelled",
        TaskState.LOST: f"lost: {last.message}",
        TaskState.SUBMITTED: "waits for its turn",
        TaskState.RUNNING: "is running",
    }.get(last.state, "ran")
    if changes:
        names = ", ".join(change.component for change in changes)
        return f"{ended}; not reused because {names} changed since run {before[1] if before else 0}"
    if before is None:
        return f"{ended}; no earlier run of this recipe has it"
    return f"{ended}; run {before[1]} had the same work, but no result of it could be reused"


def _no_such_task(place: Place, summary: RunSummary, task: str) -> UsageError:
    with reading(place) as database:
        rows = database.execute(
            "SELECT DISTINCT task FROM attempt WHERE id>=? AND id<?", _range(summary.id)
        )
        known = [name for (name,) in rows] + list(reused(place, summary.id))
    near = get_close_matches(task, known, n=3, cutoff=0.4)
    fix = f"did you mean {' or '.join(near)}?" if near else "see 'hepflow status' for the steps"
    return UsageError.of("HF302", f"run {summary.id} has no task '{task}'", fix=fix)
