"""Attempts of equal shape as one cluster, and the folder that is kept of it until the run is over.

    batch.json   what is asked for, written first
    log          the event log; empty until the cluster is in the queue
    lock         locked by `condor_submit` while it runs, also if the head does not live so long
    N.json, N    the order for one job, and its result

Owns that folder. Must never know what an event means.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hepflow.model.events import Finished
from hepflow.model.task import Reason
from hepflow.wire.spelling import decode_lines, finished
from hepflow.wire.travel import move_into, restamped, unpack
from hepflow_htcondor.description import KEPT
from hepflow_htcondor.events import EventLog


@dataclass(slots=True)
class Job:
    """One job, as far as we have heard of it."""

    attempt: str
    folder: str
    batch: Batch
    number: int
    checkpoint: str = ""
    """Where its checkpoint belongs; empty where it keeps none, or keeps it there by itself."""
    in_queue: bool = False
    """It was put into the queue, out of the list of its cluster."""
    where: str = ""
    """The slot it runs in; empty while it waits."""
    unwanted: bool = False
    leaving: bool = False
    """HTCondor was told to remove it."""
    lost: tuple[Reason, str] | None = None
    """Why it went back to the queue, from which we remove it."""
    releases: int = 0

    @property
    def handle(self) -> str:
        return f"{self.batch.cluster}.{self.number}"

    def bring_checkpoint(self, came: Path) -> None:
        """Put the checkpoint that came back in the folder ``came``, if one did, where it belongs."""
        if self.checkpoint and (came / KEPT).is_dir() and os.listdir(came / KEPT):
            move_into(came / KEPT, self.checkpoint)

    @property
    def printed(self) -> str:
        """Where what it prints can be read meanwhile; empty where it is far away."""
        return "" if self.batch.travels else f"{self.batch.path}/{self.number}.out"


@dataclass(slots=True)
class Batch:
    """One cluster.

    Args:
        path: its folder.
        travels: its jobs see no file of ours.
        places: where they have what travels with them.
    """

    path: Path
    travels: bool = False
    places: Mapping[str, str] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    """Those that have not ended, by number."""
    cluster: int = 0
    log: EventLog | None = None

    def add(self, attempt: str, folder: str, checkpoint: str = "") -> Job:
        """One more job."""
        number = len(self.jobs)
        self.jobs[number] = Job(attempt, folder, self, number, checkpoint)
        return self.jobs[number]

    def keep(self) -> None:
        """Write down what will be asked for."""
        said = {
            "travels": self.travels,
            "places": self.places,
            "jobs": [[job.attempt, job.folder, job.checkpoint] for job in self.jobs.values()],
        }
        (self.path / "log").touch()
        unfinished = self.path / "batch.json.tmp"
        unfinished.write_text(json.dumps(said), encoding="utf-8")
        unfinished.replace(self.path / "batch.json")

    def lock(self) -> int:
        """A descriptor that holds the lock for as long as anybody has it open."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def open_log(self) -> EventLog:
        """The reader of its log."""
        if self.log is None:
            self.log = EventLog(self.path / "log")
        return self.log

    def result(self, job: Job) -> Finished | None:
        """What the capsule left to tell of a job; nothing where it left nothing."""
        home = self.path / "home" / str(job.number) if self.travels else self.path
        try:
            text = (home / str(job.number)).read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
        if not text:
            return None
        if self.travels:
            text = unpack(home, text, job.folder, self.places)
            job.bring_checkpoint(home)
        message, host = decode_lines(text.encode())
        event = finished(message, job.where or str(host))
        return event._replace(outcome=restamped(event.outcome)) if self.travels else event

    def complaint(self, job: Job) -> str:
        """What a job said that could not even begin."""
        try:
            text = (self.path / f"{job.number}.job").read_text(errors="replace")
        except OSError:
            return ""
        lines = [line for line in text.splitlines() if line.strip()]
        return f": {lines[-1].strip()}" if lines else ""


def batches_in(folder: Path) -> Iterator[Batch]:
    """The batches that an earlier head wrote down, once nobody submits any of them any more."""
    for path in sorted(folder.glob("*/batch.json"), key=lambda path: int(path.parent.name)):
        said = json.loads(path.read_text(encoding="utf-8"))
        batch = Batch(path.parent, said["travels"], said["places"])
        for attempt, home, checkpoint in said["jobs"]:
            batch.add(attempt, home, checkpoint)
        os.close(batch.lock())
        yield batch
