"""The executor: attempts become clusters of jobs, and the event log says what becomes of them.

Works on the runner's thread and never blocks: commands run beside it, and logs are read on. HTCondor is
asked for nothing while its logs speak. A job that HTCondor would start again is removed instead, and told
as lost once it is gone: what runs again, and where, is the engine's affair, and nothing runs twice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from htcondor2 import JobEventType as Kind

from hepflow.model.events import Accepted, ExecutorEvent, Finished, Lost, Rejected, Started
from hepflow.model.protocols import Sink
from hepflow.model.site import Site, Staging, number, text
from hepflow.model.task import Attempt, Outcome, Reason
from hepflow.wire.bundle import write_capsule
from hepflow.wire.orders import Orders
from hepflow.wire.spelling import encode
from hepflow_htcondor.batch import Batch, Job, batches_in
from hepflow_htcondor.commands import Answer, Commands
from hepflow_htcondor.description import Item, Shape, describe, grace_s, image_of, job_script
from hepflow_htcondor.events import (
    CLUSTER,
    GONE_BACK,
    RELEASES,
    USERS,
    Event,
    hold_reason,
    may_be_released,
)
from hepflow_htcondor.travel import HERE, Luggage

CAPACITY: Final = 10_000
GATHER_S: Final = 0.2
"""Attempts that come within this time go into the same clusters."""

POLL_S: Final = 1.0
RETRY_S: Final = 15.0
"""After so long a command is tried again that found nobody to take it."""

LATE_S: Final = 30.0
"""So long a result may take to appear after the log has told of its job's end."""

SILENT_S: Final = 900.0
"""After so long without a word from the logs `condor_q` is asked whether the jobs are still there."""


class HTCondorExecutor:
    """Runs attempts in an HTCondor pool.

    Args:
        workdir: the executor's own folder; on a file system that the nodes see, or with
            ``staging: capsule`` anywhere on the submit host.
        site: its queues, constraints, account and limits are what goes into the descriptions.
    """

    settings: Final = {
        "account_attribute": "the job attribute that takes the account, such as ProjectName; without"
        " it the account is the accounting group",
        "disk_mib": "mebibytes of disk to ask for where a task does not say; 1024",
        "getenv": "the head's variables that jobs see, as 'getenv' in a description has them; none",
        "grace_s": "seconds a task that must end may take between SIGTERM and SIGKILL; 10",
        "max_idle": "most idle jobs of one cluster at a time; 1000",
        "memory_mib": "mebibytes of memory to ask for where a task does not say; 1024",
        "python": "the Python 3.6 or later that jobs run; this one with shared files, else python3",
    }

    def __init__(self, workdir: Path, *, site: Site) -> None:
        self.travels = site.staging is Staging.CAPSULE
        python = text(site.settings, "python", "python3" if self.travels else sys.executable)
        for name in ("disk_mib", "max_idle", "memory_mib"):
            number(site.settings, name, 1)
        packed = next((queue.name for queue in site.queues if queue.pack > 1), "")
        if packed:
            raise ValueError(f"queue '{packed}': the htcondor executor gives each task its own job")
        self.capacity = site.limits.jobs or CAPACITY
        self._site = site
        self._python = python
        self._workdir = workdir.absolute()
        spelling = replace(site, staging=Staging.SHARED) if self.travels else site
        self._orders = Orders(spelling, python, grace_s=grace_s(site))
        self._poll_s = min(site.limits.poll_s or POLL_S, POLL_S)
        self._waiting: dict[Shape, list[Attempt]] = {}
        self._jobs: dict[str, Job] = {}
        self._batches: dict[Path, Batch] = {}
        self._orphans: set[int] = set()
        self._serial = 0
        self._next_submit = 0.0
        self._timers: set[str] = set()
        self._busy = False
        self._heard_at = time.monotonic()
        self._closed = False
        self._sink: Sink
        self._commands: Commands

    # --- the door ---------------------------------------------------------------------------------

    def start(self, sink: Sink) -> None:
        """Get ready; nothing is asked of HTCondor before there is work for it."""
        self._sink = sink
        self._workdir.mkdir(parents=True, exist_ok=True)
        self._commands = Commands(sink)
        write_capsule(self._workdir / "capsule.pyz")
        numbers = [int(path.name) for path in self._workdir.iterdir() if path.name.isdigit()]
        self._serial = max(numbers, default=0)

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts: refuse those no queue takes, gather the others by what they ask for."""
        refused: list[ExecutorEvent] = []
        for attempt in attempts:
            shape = self._shape(attempt)
            if isinstance(shape, str):
                refused.append(Rejected(attempt.id, shape))
            else:
                self._waiting.setdefault(shape, []).append(attempt)
        if refused:
            self._sink.put(refused)
        self._submit_at(time.monotonic() + GATHER_S)

    def cancel(self, attempts: Collection[str]) -> None:
        """End attempts, all of them with one `condor_rm`."""
        names = set(attempts)
        dropped = []
        for shape, waiting in list(self._waiting.items()):
            dropped += [attempt.id for attempt in waiting if attempt.id in names]
            self._waiting[shape] = [attempt for attempt in waiting if attempt.id not in names]
        mine = [self._jobs[name] for name in names.intersection(self._jobs)]
        for job in mine:
            job.unwanted = True
        for job in mine:
            if not job.in_queue and job.batch.cluster and not _all_unwanted(job.batch):
                dropped.append(job.attempt)  # it is removed as soon as it comes into the queue
        if dropped:
            never = Outcome(Reason.CANCELLED, "cancelled before it started")
            self._sink.put([Finished(name, never) for name in dropped])
        for name in dropped:
            self._jobs.pop(name, None)
        self._remove(job for job in self._all_jobs() if job.unwanted)

    def recover(self, attempts: Mapping[str, str]) -> Collection[str]:
        """Go on with the clusters of an earlier head, by what it wrote down and by their logs."""
        if not attempts:
            return ()
        for batch in batches_in(self._workdir):
            if not (batch.path / "log").stat().st_size:
                continue  # it never came into the queue
            for job in list(batch.jobs.values()):
                if job.attempt in attempts:
                    self._jobs[job.attempt] = job
                else:
                    job.unwanted = True
            if any(not job.unwanted for job in batch.jobs.values()):
                self._batches[batch.path] = batch
        self._read_at(time.monotonic())
        return list(self._jobs)

    def close(self, *, settled: bool = False) -> None:
        """Leave the jobs to a later head, or, when there will be none, what is left of them to nobody."""
        if self._closed:
            return
        self._closed = True
        self._commands.close()
        if not settled:
            return
        left = sorted({job.batch.cluster for job in self._all_jobs() if job.batch.cluster})
        if left:
            subprocess.run(
                ["condor_rm", *map(str, left)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
                check=False,
            )
        shutil.rmtree(self._workdir, ignore_errors=True)

    def sample(self, attempts: Sequence[Attempt]) -> str:
        """The descriptions of the clusters that these attempts would be."""
        shapes: dict[Shape, list[Item]] = {}
        for attempt in attempts:
            shape = self._shape(attempt)
            if isinstance(shape, str):
                raise ValueError(f"{attempt.id}: {shape}")
            items = shapes.setdefault(shape, [])
            items.append(self._item(len(items), attempt, []))
        folder = self._workdir / "1"
        texts = []
        for shape, items in shapes.items():
            description = describe(self._site, shape, items, str(folder), "items")
            listed = [f"#   {item.line()}" for item in items]
            texts.append("\n".join([f"{description}# items:", *listed]))
        return "\n\n".join([*texts, f"# job.sh:\n{self._script(folder)}"])

    # --- submitting -------------------------------------------------------------------------------

    def _shape(self, attempt: Attempt) -> Shape | str:
        queue = self._site.queue_for(attempt.task.resources)
        if isinstance(queue, str):
            return queue
        return Shape(queue.name, attempt.task.resources, image_of(self._site, attempt))

    def _submit_at(self, when: float) -> None:
        if "submit" not in self._timers and self._waiting:
            self._timers.add("submit")
            self._sink.call_at(max(when, self._next_submit), self._submit_next)

    def _submit_next(self) -> None:
        """One cluster; the next when this one is in, no faster than the site allows."""
        self._timers.discard("submit")
        if self._closed or self._busy:
            return
        while self._waiting:
            shape = next(iter(self._waiting))
            attempts = self._waiting.pop(shape)
            if attempts and self._submit_one(shape, attempts):
                return

    def _submit_one(self, shape: Shape, attempts: list[Attempt]) -> bool:
        """Write one batch down and submit it, unless nothing of it can be written down."""
        attempts.sort(key=lambda attempt: -attempt.priority)
        self._serial += 1
        folder = self._workdir / str(self._serial)
        (folder / "in").mkdir(parents=True)
        luggage = Luggage(folder / "in")
        batch = Batch(folder, self.travels, luggage.places)
        items: list[Item] = []
        for attempt in attempts:
            try:
                items.append(self._written(batch, attempt, luggage, len(items)))
            except (TypeError, ValueError, OSError, RecursionError) as error:
                outcome = Outcome(Reason.START, f"it cannot be sent: {error}")
                self._sink.put([Finished(attempt.id, outcome)])
        if not items:
            return False
        script = folder / "job.sh"
        script.write_text(self._script(folder), encoding="utf-8")
        script.chmod(0o755)
        (folder / "items").write_text("".join(f"{item.line()}\n" for item in items))
        description = describe(self._site, shape, items, str(folder), "items")
        (folder / "description").write_text(description, encoding="utf-8")
        batch.keep()
        self._jobs.update((job.attempt, job) for job in batch.jobs.values())
        self._busy = True
        rate = self._site.limits.submits_per_s
        self._next_submit = time.monotonic() + (1 / rate if rate else 0.0)
        lock = batch.lock()
        words = ["condor_submit", "-terse", f"{folder}/description"]
        try:
            self._commands.run(words, partial(self._submitted, batch), folder, lock)
        finally:
            os.close(lock)
        return True

    def _written(self, batch: Batch, attempt: Attempt, luggage: Luggage, count: int) -> Item:
        """Write the order for one attempt down."""
        brings: list[str] = []
        as_there = attempt
        if self.travels:
            as_there, brings = luggage.pack(attempt)
        elif image_of(self._site, attempt):
            as_there = attempt._replace(task=replace(attempt.task, container=None))
        entry = encode(self._orders.entry(as_there, count))
        results = HERE if self.travels else str(batch.path)
        order = self._orders.text([luggage.rewritten(entry)], results)
        (batch.path / f"{count}.json").write_text(order, errors="surrogateescape")
        item = self._item(count, attempt, brings)
        if item.home:
            (batch.path / item.home).mkdir(parents=True)
        batch.add(attempt.id, attempt.folder)
        return item

    def _item(self, count: int, attempt: Attempt, brings: list[str]) -> Item:
        if not self.travels:
            return Item(count, attempt)
        always = ("../../../capsule.pyz", f"../../{count}.json")
        return Item(count, attempt, f"home/{count}", (*always, *(f"../../in/{n}" for n in brings)))

    def _script(self, folder: Path) -> str:
        capsule = str(self._workdir / "capsule.pyz")
        return job_script(self._site, str(folder), capsule, self._python, HERE)

    def _submitted(self, batch: Batch, answer: Answer) -> None:
        self._busy = False
        first = answer.said.split(".")[0].strip()
        # Whatever it says: what the log knows of is in the queue.
        self._batches[batch.path] = batch
        batch.cluster = int(first) if answer.code == 0 and first.isdigit() else 0
        if not batch.cluster and not (batch.path / "log").stat().st_size:
            self._refused(batch, answer)
        elif batch.cluster:
            jobs = batch.jobs.values()
            self._sink.put([Accepted(job.attempt, job.handle) for job in jobs])
            self._remove(job for job in jobs if job.unwanted)
        self._read_at(time.monotonic())
        self._submit_at(time.monotonic() + GATHER_S)

    def _refused(self, batch: Batch, answer: Answer) -> None:
        del self._batches[batch.path]
        events: list[ExecutorEvent] = []
        for job in batch.jobs.values():
            del self._jobs[job.attempt]
            if job.unwanted:
                never = Outcome(Reason.CANCELLED, "cancelled before it was submitted")
                events.append(Finished(job.attempt, never))
            else:
                message = f"condor_submit refused it: {answer.why}"
                events.append(Rejected(job.attempt, message, answer.transient))
        shutil.rmtree(batch.path)
        self._sink.put(events)

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

    def _act(self, command: str, words: set[str]) -> None:
        """Do something to jobs or clusters, again and again while nobody is there to do it."""

        def answered(answer: Answer) -> None:
            if answer.transient and not self._closed:
                again = partial(self._act, command, words)
                self._sink.call_at(time.monotonic() + RETRY_S, again)

        if words and not self._closed:
            self._commands.run([command, *sorted(words)], answered, self._workdir)

    # --- hearing of it ----------------------------------------------------------------------------

    def _read_at(self, when: float) -> None:
        if "read" not in self._timers and self._batches:
            self._timers.add("read")
            self._sink.call_at(when, self._read)

    def _read(self) -> None:
        """Read all logs on, and do what they call for."""
        self._timers.discard("read")
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
                self._see_to(batch)
            if not batch.jobs:
                del self._batches[batch.path]
        if told:
            self._sink.put(told)
        if now - self._heard_at > SILENT_S and self._batches:
            self._heard_at = now
            self._ask()
        self._read_at(now + self._poll_s)

    def _see_to(self, batch: Batch) -> None:
        """What was lost or is not wanted must not wait in the queue."""
        self._remove(job for job in batch.jobs.values() if job.unwanted or job.lost)

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
            return self._tell(job, Started(job.attempt, job.where, self._printed(job)))
        if event.kind in GONE_BACK:
            job.lost = GONE_BACK[event.kind], f"HTCondor took it from {job.where}: {event.why}"
        elif event.kind is Kind.JOB_HELD:
            return self._held(job, event)
        elif event.kind is Kind.JOB_ABORTED:
            return self._removed(job, event.why)
        elif event.kind is Kind.JOB_TERMINATED:
            return self._terminated(job, event, time.monotonic() + LATE_S)
        return []

    def _printed(self, job: Job) -> str:
        return "" if self.travels else f"{job.batch.path}/{job.number}.out"

    def _tell(self, job: Job, event: ExecutorEvent) -> list[ExecutorEvent]:
        """An event, if anybody still waits to hear of that job."""
        return [event] if self._jobs.get(job.attempt) is job else []

    def _end(self, job: Job, event: ExecutorEvent) -> list[ExecutorEvent]:
        """The last event of a job."""
        told = self._tell(job, event)
        job.batch.jobs.pop(job.number, None)
        if told:
            del self._jobs[job.attempt]
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
        clusters = sorted({str(batch.cluster) for batch in self._batches.values() if batch.cluster})
        words = ["condor_q", *clusters, "-af", "ClusterId", "ProcId"]
        if clusters:
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
