"""What becomes of the jobs in the queue: their logs read on, what must go removed, what may go on released.

Owns every job that has been submitted. Works on the runner's thread and never blocks. HTCondor is asked
for nothing while its logs speak. A job that HTCondor would start again is removed instead, and told as
lost once it is gone: what runs again, and where, is the engine's affair, and nothing runs twice.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from htcondor2 import JobEventType as Kind

from hepflow.model.events import ExecutorEvent, Finished, Lost, Started
from hepflow.model.protocols import Sink
from hepflow.model.task import Outcome, Reason
from hepflow_htcondor.batch import Batch, Job
from hepflow_htcondor.commands import Answer, Commands
from hepflow_htcondor.events import (
    CLUSTER,
    GONE_BACK,
    RELEASES,
    USERS,
    Event,
    hold_reason,
    may_be_released,
)

RETRY_S: Final = 15.0
"""After so long a command is tried again that found nobody to take it."""

LATE_S: Final = 30.0
"""So long a result may take to appear after the log has told of its job's end."""

SILENT_S: Final = 900.0
"""After so long without a word from the logs `condor_q` is asked whether the jobs are still there."""


class Watch:
    """Jobs between their submission and their end.

    Args:
        sink: who is told.
        commands: runs HTCondor's.
        workdir: where these run.
        poll_s: seconds between two looks at the logs.
    """

    def __init__(self, sink: Sink, commands: Commands, workdir: Path, poll_s: float) -> None:
        self._sink = sink
        self._commands = commands
        self._workdir = workdir
        self._poll_s = poll_s
        self.jobs: dict[str, Job] = {}
        """By attempt: those whose end somebody waits for."""
        self._batches: dict[Path, Batch] = {}
        self._reading = False
        self._heard_at = time.monotonic()
        self._closed = False

    def close(self) -> None:
        """Look no more."""
        self._closed = True

    @property
    def clusters(self) -> list[str]:
        """The clusters of which something is left."""
        return sorted({str(batch.cluster) for batch in self._batches.values() if batch.cluster})

    def add(self, batch: Batch) -> None:
        """Look after the jobs of a batch that is in the queue."""
        self._batches[batch.path] = batch
        self._remove(job for job in batch.jobs.values() if job.unwanted)
        if not self._reading:
            self._reading = True
            self._sink.call_at(time.monotonic(), self._read)

    def cancel(self, names: Collection[str]) -> None:
        """End jobs by their attempts, all of them with one `condor_rm`."""
        mine = [self.jobs[name] for name in names if name in self.jobs]
        for job in mine:
            job.unwanted = True
        told: list[ExecutorEvent] = []
        for job in mine:
            if job.batch.cluster and not job.in_queue and not _all_unwanted(job.batch):
                # It still stands in its cluster's list, and is removed when it comes out of that.
                never = Outcome(Reason.CANCELLED, "cancelled before it started")
                told.append(Finished(job.attempt, never))
                del self.jobs[job.attempt]
        if told:
            self._sink.put(told)
        self._remove(job for job in self._all_jobs() if job.unwanted)

    # --- removing and releasing -------------------------------------------------------------------

    def _all_jobs(self) -> list[Job]:
        return [job for batch in self._batches.values() for job in batch.jobs.values()]

    def _remove(self, jobs: Iterable[Job]) -> None:
        """Take jobs out of the queue: whole clusters where nothing else of them is wanted."""
        words: set[str] = set()
        for job in jobs:
            if not job.batch.cluster or job.leaving:
                continue  # not in yet, or going already
            if _all_unwanted(job.batch):
                words.add(str(job.batch.cluster))
                job.leaving = True
            elif job.in_queue:
                words.add(job.handle)
                job.leaving = True
        self._act("condor_rm", words)

    def _fetch(self, job: Job) -> None:
        """Get the checkpoint of an evicted job from where HTCondor keeps it, and only then remove the
        job: with it that goes."""

        def answered(_answer: Answer) -> None:
            if self._closed or job.batch.jobs.get(job.number) is not job:
                return
            job.bring_checkpoint(job.batch.path / job.handle)
            job.leaving = False
            self._remove([job])

        job.leaving = True
        words = ["condor_evicted_files", "get", job.handle]
        self._commands.run(words, answered, job.batch.path)

    def _act(self, command: str, words: set[str]) -> None:
        """Do something to jobs or clusters, again and again while nobody is there to do it."""

        def answered(answer: Answer) -> None:
            if answer.transient and not self._closed:
                again = partial(self._act, command, words)
                self._sink.call_at(time.monotonic() + RETRY_S, again)

        if words and not self._closed:
            self._commands.run([command, *sorted(words)], answered, self._workdir)

    # --- hearing of it ----------------------------------------------------------------------------

    def _read(self) -> None:
        """Read all logs on, and do what they call for."""
        self._reading = False
        if self._closed:
            return
        now = time.monotonic()
        told: list[ExecutorEvent] = []
        for batch in list(self._batches.values()):
            events = batch.open_log().read()
            for event in events:
                told += self._heard(batch, event)
            if events:
                self._heard_at = now
                # What was lost or is not wanted must not wait in the queue.
                self._remove(job for job in batch.jobs.values() if job.unwanted or job.lost)
            if not batch.jobs:
                del self._batches[batch.path]
        if told:
            self._sink.put(told)
        if now - self._heard_at > SILENT_S and self._batches:
            self._heard_at = now
            self._ask()
        if self._batches:
            self._reading = True
            self._sink.call_at(now + self._poll_s, self._read)

    def _heard(self, batch: Batch, event: Event) -> list[ExecutorEvent]:
        """Keep the books of one event; returns what there is to tell."""
        batch.cluster = batch.cluster or event.cluster
        if event.job == CLUSTER:
            if event.kind is not Kind.CLUSTER_REMOVE:
                return []
            gone = [job for job in batch.jobs.values() if not job.in_queue]
            return [told for job in gone for told in self._removed(job, "its cluster was removed")]
        job = batch.jobs.get(event.job)
        if job is None:
            return []
        job.in_queue = True
        if event.kind is Kind.EXECUTE:
            job.where = event.where
            if not job.leaving:
                job.lost = None
            return self._tell(job, Started(job.attempt, job.where, job.printed))
        if event.kind in GONE_BACK:
            job.lost = GONE_BACK[event.kind], f"HTCondor took it from {job.where}: {event.why}"
            if event.kind is Kind.JOB_EVICTED and job.checkpoint and not job.leaving:
                self._fetch(job)
        elif event.kind is Kind.JOB_HELD:
            return self._held(job, event)
        elif event.kind is Kind.JOB_ABORTED:
            return self._removed(job, event.why)
        elif event.kind is Kind.JOB_TERMINATED:
            return self._terminated(job, event, time.monotonic() + LATE_S)
        return []

    def _tell(self, job: Job, event: ExecutorEvent) -> list[ExecutorEvent]:
        """An event, if anybody still waits to hear of that job."""
        return [event] if self.jobs.get(job.attempt) is job else []

    def _end(self, job: Job, event: ExecutorEvent) -> list[ExecutorEvent]:
        """The last event of a job."""
        told = self._tell(job, event)
        job.batch.jobs.pop(job.number, None)
        if told:
            del self.jobs[job.attempt]
        return told

    def _held(self, job: Job, event: Event) -> list[ExecutorEvent]:
        """A job is held: leave that to whoever did it, release it, or give it up."""
        code = int(event.facts.get("HoldReasonCode", 0))
        subcode = int(event.facts.get("HoldReasonSubCode", 0))
        if code in USERS or job.unwanted:
            return []
        if may_be_released(code, subcode) and job.releases < RELEASES:
            job.releases += 1
            self._act("condor_release", {job.handle})
            return []
        self._act("condor_rm", {job.handle})
        asked = f"HTCondor held it (code {code}): {event.why}"
        outcome = Outcome(hold_reason(code), asked, where=job.where)
        return self._end(job, Finished(job.attempt, outcome))

    def _removed(self, job: Job, why: str) -> list[ExecutorEvent]:
        """A job left the queue unfinished: we wanted it to, or somebody did."""
        left = job.batch.result(job)
        if left is not None and left.outcome.succeeded:
            return self._end(job, left._replace(attempt=job.attempt))
        if job.lost and not job.unwanted:
            return self._end(job, Lost(job.attempt, *job.lost))
        message = "cancelled while it ran" if job.where else "cancelled before it started"
        if not job.unwanted:
            message = f"removed from HTCondor's queue: {why}"
        outcome = left.outcome if left is not None else Outcome(where=job.where)
        outcome = replace(outcome, reason=Reason.CANCELLED, message=message)
        return self._end(job, Finished(job.attempt, outcome))

    def _terminated(self, job: Job, event: Event, until: float) -> list[ExecutorEvent]:
        """A job has come to its end: its result says how, where there is one."""
        found = job.batch.result(job)
        code = event.facts.get("ReturnValue", -1)
        if found is None and code == 0 and time.monotonic() < until and not self._closed:
            # A file that was written elsewhere may be seen here only after a while.
            self._sink.call_at(
                time.monotonic() + self._poll_s,
                lambda: self._sink.put(self._terminated(job, event, until)),
            )
            return []
        return self._end(job, self._ended(job, found, code))

    def _ended(self, job: Job, found: Finished | None, code: int) -> ExecutorEvent:
        if found is None:
            if code in (-1, 0):
                message = "its job ended, but left no result"
                return Lost(job.attempt, Reason.NODE, message + job.batch.complaint(job))
            message = f"the capsule could not run there (exit code {code})"
            outcome = Outcome(Reason.START, message + job.batch.complaint(job), where=job.where)
            return Finished(job.attempt, outcome)
        outcome = found.outcome
        if job.unwanted and not outcome.succeeded:
            outcome = replace(outcome, reason=Reason.CANCELLED, message="cancelled while it ran")
        elif outcome.reason in (Reason.PREEMPTED, Reason.NODE):
            return Lost(job.attempt, outcome.reason, outcome.message)
        return Finished(job.attempt, outcome)

    # --- the second witness -----------------------------------------------------------------------

    def _ask(self) -> None:
        """The logs have been silent for long: ask once which jobs are still in the queue."""
        words = ["condor_q", *self.clusters, "-af", "ClusterId", "ProcId"]
        if self.clusters:
            self._commands.run(words, self._answered, self._workdir)

    def _answered(self, answer: Answer) -> None:
        if answer.code or self._closed:
            return
        there = {".".join(line.split()) for line in answer.said.splitlines()}
        told: list[ExecutorEvent] = []
        for job in self._all_jobs():
            if job.in_queue and job.handle not in there:
                message = "HTCondor does not know its job any more, and its log did not tell why"
                found = job.batch.result(job)
                lost = Lost(job.attempt, Reason.NODE, message)
                told += self._end(job, self._ended(job, found, 0) if found else lost)
        if told:
            self._sink.put(told)


def _all_unwanted(batch: Batch) -> bool:
    return all(job.unwanted for job in batch.jobs.values())
