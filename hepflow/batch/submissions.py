"""What was handed to the batch system in one go, as a folder that outlives the head.

In ``jobs/7`` are ``attempts.json`` (the intent: which attempts are in which job), the orders ``0.json`` and so
on, ``submit.sh``, ``answer`` (what its submission printed, locked by that while it runs) and ``results``. Owns
those files. Must never run a command or judge an attempt.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from hepflow.model.site import Queue
from hepflow.wire.spelling import decode_lines

PATIENCE_S: Final = 30.0
"""Seconds that the submission of a killed head may take to end."""


class Result(NamedTuple):
    """One result file: the attempt, its line, and the host it ran on."""

    attempt: str
    message: list[Any]
    host: str


class Beat(NamedTuple):
    """A sign of life: the attempt, the host and process, and what it prints into."""

    attempt: str
    where: str
    log: str


@dataclass(slots=True, eq=False)
class Submission:
    """Jobs submitted together: one array, or a single job.

    Args:
        folder: all its files.
        name: the job's name.
        elements: the attempts of each job, by id.
        queue: where it was submitted to.
        job: its number; empty until the batch system has said it.
        asked: what each of the jobs asks for, in words.
        open: attempts without an end, by id -> their number here.
        begun: those that gave a sign of life -> host and process.
        idle: jobs that have nothing to do, for others of the array have taken their tasks.
        over: seconds (monotonic) since when jobs are over without having left all results, by element.
    """

    folder: Path
    name: str
    elements: list[list[str]]
    queue: Queue
    job: str = ""
    asked: str = ""
    open: dict[str, int] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    idle: set[int] = field(default_factory=set)
    over: dict[int, float] = field(default_factory=dict)
    _heard: dict[str, tuple[int, float]] = field(default_factory=dict)
    _places: dict[str, int] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for place, element in enumerate(self.elements):
            for attempt in element:
                self.open[attempt] = len(self.open)
                self._places[attempt] = place

    def write(self, orders: Sequence[str], script: str) -> None:
        """Note the intent, and everything the jobs need.

        Raises:
            OSError: a file cannot be written.
        """
        (self.folder / "results").mkdir(parents=True)
        for number, order in enumerate(orders):
            self._write(f"{number}.json", order)
        self._write("submit.sh", script)
        said = {"name": self.name, "queue": self.queue.name, "elements": self.elements}
        self._write("attempts.json", json.dumps(said))

    def _write(self, name: str, text: str) -> None:
        content = text.encode("utf-8", "surrogateescape")
        (self.folder / name).write_bytes(content)

    def opened_answer(self) -> IO[bytes]:
        """The file for what its submission prints, locked for as long as that runs."""
        file = (self.folder / "answer").open("w+b")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file

    @property
    def was_sent(self) -> bool:
        """Whether the batch system may know of it."""
        return (self.folder / "answer").exists()

    def answered(self) -> str:
        """What its submission printed; empty if it did not come to that."""
        try:
            return (self.folder / "answer").read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def element_of(self, attempt: str) -> int:
        """Which of the jobs an attempt is in: its own, or one that has taken it."""
        return self._places[attempt]

    def still_open(self) -> dict[int, list[str]]:
        """The attempts without an end, by the job that they are in."""
        found: dict[int, list[str]] = {}
        for name in self.open:
            found.setdefault(self._places[name], []).append(name)
        return found

    @property
    def busy(self) -> set[int]:
        """The jobs that have something to do."""
        return {self._places[name] for name in self.open}

    def silence_s(self, attempt: str, now: float) -> float:
        """Seconds since an attempt's last sign of life; by our own clock, for nodes have others."""
        try:
            stamp = os.stat(self.folder / "results" / f"{self.open[attempt]}.beat").st_mtime_ns
        except OSError:
            return 0.0  # it has given none yet, and need not
        before = self._heard.get(attempt)
        if before is None or before[0] != stamp:
            self._heard[attempt] = before = stamp, now
        return now - before[1]

    def log(self, element: int) -> str:
        """What the batch system and the capsule had to say in one of the jobs; empty where it is not readable."""
        try:
            text = (self.folder / f"{element}.log").read_bytes()
        except OSError:
            return ""
        return text[-8192:].decode("utf-8", "replace")

    def ask_for_end(self, attempt: str) -> None:
        """Have the capsule end one of its tasks, or not begin it; where the disk is full it is not told."""
        with suppress(OSError):  # what else ends a job goes on
            (self.folder / "results" / f"{self.open[attempt]}.cancel").touch()

    def news(self) -> tuple[list[Result], list[Beat]]:
        """Results and signs of life since the last time; one look at one folder."""
        names = {str(number): attempt for attempt, number in self.open.items()}
        results, beats = [], []
        with os.scandir(self.folder / "results") as entries:
            found = [entry.name for entry in entries if entry.name not in self._read]
        for name in found:
            element, taken, job = name.partition(".by-")
            if taken:
                self._read.add(name)
                self._taken(int(element), int(job))
        for name in found:
            number, _, kind = name.partition(".")
            attempt = names.get(number)
            if attempt is None or kind not in ("", "beat"):
                continue
            content = (self.folder / "results" / name).read_bytes()
            if not content.endswith(b"\n"):
                continue  # it is being written
            lines = decode_lines(content)
            self._read.add(name)
            if kind:
                where, log = lines[0]
                self.begun[attempt] = where
                beats.append(Beat(attempt, where, log))
            else:
                results.append(Result(attempt, lines[0], str(lines[1])))
        return results, beats

    def _taken(self, element: int, job: int) -> None:
        """One of the jobs carries out what was to be done in another, or its own."""
        if job != element:
            self.idle.add(element)
            self._places.update(dict.fromkeys(self.elements[element], job))


def submissions_in(folder: Path, queues: Mapping[str, Queue]) -> list[Submission]:
    """What earlier heads submitted, oldest first; waits for a submission that still runs."""
    found = []
    for path in sorted(folder.glob("*/attempts.json"), key=lambda path: int(path.parent.name)):
        try:
            said = json.loads(path.read_bytes())
        except ValueError:
            continue  # the head was killed before the intent was whole, so nothing was submitted
        queue = queues.get(said["queue"], Queue(said["queue"]))
        submission = Submission(path.parent, said["name"], said["elements"], queue)
        if submission.was_sent:
            _wait_for(path.parent / "answer")
            found.append(submission)
    return found


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    with path.open("rb") as file:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return
            except OSError:
                time.sleep(0.05)
