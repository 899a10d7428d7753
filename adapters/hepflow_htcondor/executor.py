"""The executor: attempts become clusters of jobs, and the event log says what becomes of them.

Works on the runner's thread and never blocks: commands run beside it, and what becomes of jobs is learnt
from their logs. Must never know a workflow, the engine or the store.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from hepflow.model.events import Accepted, ExecutorEvent, Finished, Rejected
from hepflow.model.protocols import Sink
from hepflow.model.site import Site, Staging, number, text
from hepflow.model.task import Attempt, Outcome, Reason
from hepflow.wire.bundle import write_capsule
from hepflow.wire.orders import Orders
from hepflow.wire.packing import lay_out
from hepflow.wire.spelling import encode
from hepflow.wire.travel import HERE, Luggage, Piece
from hepflow_htcondor.batch import Batch, Job, batches_in
from hepflow_htcondor.commands import Answer, Commands
from hepflow_htcondor.description import (
    KEPT,
    Item,
    Shape,
    describe,
    grace_s,
    image_of,
    job_script,
)
from hepflow_htcondor.watching import Watch

CAPACITY: Final = 10_000
GATHER_S: Final = 0.2
"""Attempts that come within this time go into the same clusters."""

POLL_S: Final = 1.0


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
        # Below the folder that it is given, which may hold what tasks have left.
        self._workdir = workdir.absolute() / ".htcondor"
        spelling = replace(site, staging=Staging.SHARED) if self.travels else site
        self._orders = Orders(spelling, python, grace_s=grace_s(site))
        self._poll_s = min(site.limits.poll_s or POLL_S, POLL_S)
        self._waiting: dict[Shape, list[Attempt]] = {}
        self._serial = 0
        self._next_submit = 0.0
        self._due = self._busy = False
        self._closed = False
        self._sink: Sink
        self._commands: Commands
        self._watch: Watch

    # --- the door ---------------------------------------------------------------------------------

    def start(self, sink: Sink) -> None:
        """Get ready; nothing is asked of HTCondor before there is work for it."""
        self._sink = sink
        self._workdir.mkdir(parents=True, exist_ok=True)
        self._commands = Commands(sink)
        self._watch = Watch(sink, self._commands, self._workdir, self._poll_s)
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
        if dropped:
            never = Outcome(Reason.CANCELLED, "cancelled before it was submitted")
            self._sink.put([Finished(name, never) for name in dropped])
        self._watch.cancel(names)

    def recover(self, attempts: Mapping[str, str]) -> Collection[str]:
        """Go on with the clusters of an earlier head, by what it wrote down and by their logs."""
        if not attempts:
            return ()
        found: dict[str, Job] = {}
        for batch in batches_in(self._workdir):
            if not (batch.path / "log").stat().st_size:
                continue  # it never came into the queue
            for job in list(batch.jobs.values()):
                if job.attempt in attempts:
                    found[job.attempt] = job
                else:
                    job.unwanted = True  # it has ended, or nobody asks for it any more
            if any(not job.unwanted for job in batch.jobs.values()):
                self._watch.add(batch)
        self._watch.jobs.update(found)
        return list(found)

    def close(self, *, settled: bool = False) -> None:
        """Leave the jobs to a later head, or, when there will be none, what is left of them to nobody."""
        if self._closed:
            return
        self._closed = True
        self._watch.close()
        self._commands.close()
        if not settled:
            return
        left = self._watch.clusters
        if left:
            subprocess.run(
                ["condor_rm", *left],
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
        image = image_of(self._site, attempt)
        return Shape(queue.name, attempt.task.resources, image, self._keeps(attempt))

    def _keeps(self, attempt: Attempt) -> bool:
        """Whether its checkpoint has to travel."""
        return self.travels and bool(attempt.task.checkpoint and attempt.checkpoint)

    def _submit_at(self, when: float) -> None:
        if not self._due and self._waiting:
            self._due = True
            self._sink.call_at(max(when, self._next_submit), self._submit_next)

    def _submit_next(self) -> None:
        """One cluster; the next when this one is in, no faster than the site allows."""
        self._due = False
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
        luggage = Luggage(partial(lay_out, folder / "in"))
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
        self._watch.jobs.update((job.attempt, job) for job in batch.jobs.values())
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
            as_there, brings = luggage.pack(attempt, kept=KEPT)
            if self._keeps(attempt) and os.path.isdir(attempt.checkpoint):
                earlier = Piece(attempt.checkpoint, f"k{count}")
                lay_out(batch.path / "in", earlier, KEPT)
                brings.append(f"{earlier.name}/{KEPT}")
        elif image_of(self._site, attempt):
            as_there = attempt._replace(task=replace(attempt.task, container=None))
        entry = encode(self._orders.entry(as_there, count))
        results = HERE if self.travels else str(batch.path)
        order = self._orders.text([luggage.rewritten(entry, brings)], results)
        (batch.path / f"{count}.json").write_text(order, errors="surrogateescape")
        item = self._item(count, attempt, brings)
        if item.home:
            (batch.path / item.home).mkdir(parents=True)
        batch.add(attempt.id, attempt.folder, attempt.checkpoint if self._keeps(attempt) else "")
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
        batch.cluster = int(first) if answer.code == 0 and first.isdigit() else 0
        if batch.cluster:
            jobs = batch.jobs.values()
            self._sink.put([Accepted(job.attempt, job.handle) for job in jobs])
        if batch.cluster or (batch.path / "log").stat().st_size:
            self._watch.add(batch)  # whatever it says: what has a log is in the queue
        else:
            self._refused(batch, answer)
        self._submit_at(time.monotonic() + GATHER_S)

    def _refused(self, batch: Batch, answer: Answer) -> None:
        events: list[ExecutorEvent] = []
        for job in batch.jobs.values():
            del self._watch.jobs[job.attempt]
            if job.unwanted:
                never = Outcome(Reason.CANCELLED, "cancelled before it was submitted")
                events.append(Finished(job.attempt, never))
            else:
                message = f"condor_submit refused it: {answer.why}"
                events.append(Rejected(job.attempt, message, answer.transient))
        shutil.rmtree(batch.path)
        self._sink.put(events)
