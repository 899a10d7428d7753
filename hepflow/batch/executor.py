"""Attempts as jobs: gathered by what they ask for, handed over as arrays, watched, found again.

Works on the runner's thread and never blocks: commands run beside it, and files are looked at by timers.
Must never know a workflow, the engine or the store.

A result file alone completes an attempt. The batch system is asked, once for all jobs, only to learn what
became of jobs that leave none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from hepflow.batch.asking import Answer, Asker
from hepflow.batch.hooks import Hooks, Paper, Programs
from hepflow.batch.judging import Patience
from hepflow.batch.shapes import SLACK_S, Shape, in_words, job_name, limit_s, shared_s
from hepflow.batch.submissions import Submission, submissions_in
from hepflow.batch.watching import Watch
from hepflow.model.events import Accepted, ExecutorEvent, Finished, Rejected
from hepflow.model.protocols import Sink
from hepflow.model.site import Queue, Site, Staging, flag, number, text, words
from hepflow.model.task import Attempt, Outcome, Reason
from hepflow.wire.bundle import write_capsule
from hepflow.wire.orders import Orders
from hepflow.wire.spelling import encode

GATHER_S: Final = 0.1
"""Attempts that come within this time of one another share an array."""

MOST_GATHERED_S: Final = 1.0
CAPACITY: Final = 10_000

SETTINGS: Final = {
    "python": "the interpreter on the nodes, for capsules and Python calls; hepflow's own when not said",
    "memory_mib": "mebibytes of memory to ask for where a task does not say; the batch system's own choice"
    " when not said",
    "grace_s": "seconds a task that must end may take between SIGTERM and SIGKILL; 10, and less than"
    " the batch system itself leaves a job",
    "requeue": "whether the batch system may start a job again that it has taken away or lost; true",
    "patience_s": "seconds that a job's results may take to be seen after its end; 10",
    "unknown_s": "seconds after which a job that the batch system does not know any more is lost; 120",
    "never_s": "seconds that a job may wait for what the cluster cannot give it, by the reason that it is"
    " said to wait for; 300",
    "silent_s": "seconds that a running task may give no sign of life before its job is ended and it runs"
    " elsewhere; 600, and capsules give one every 30",
    "share_s": "seconds of its life in which a job of an array also takes tasks that wait for other jobs of the"
    " array; 10, and 0 for jobs that keep to their own",
    "fetch": "scheme of a URL and the words of a command that fetches it on a node, such as"
    " [root, xrdcp, '{url}', '{path}']; one list for each",
}
"""What a site may say for every batch system, each with what it means."""

Waiting = tuple[Attempt, dict[str, Any]]


class BatchExecutor:
    """Runs attempts as jobs of a batch system: arrays, packed where the queue says so.

    Args:
        hooks: the batch system.
        workdir: the executor's own folder, on a file system that the nodes see; made if need be.
        site: its queues, account, limits and settings.

    Raises:
        ValueError: a setting is wrong; a sentence for the user.
    """

    def __init__(self, hooks: Hooks, workdir: Path, site: Site) -> None:
        if site.staging is Staging.CAPSULE:
            raise ValueError(
                f"{hooks.name} needs 'staging: shared': a file system that the nodes see too"
            )
        said = site.settings
        for queue in (site.anywhere, *site.queues):
            number(site.settings_for(queue), "memory_mib", 0)
        self.capacity = min(site.limits.jobs * _most_packed(site), CAPACITY) or CAPACITY
        self._hooks = hooks
        self._site = site
        self._workdir = workdir.absolute()
        self._jobs = self._workdir / "jobs"
        python = text(said, "python", sys.executable)
        self._programs = Programs(python, str(self._workdir / "capsule.pyz"))
        self._share_s = number(said, "share_s", 10.0)
        self._requeue = flag(said, "requeue", True)
        self._orders = Orders(site, python, _fetch(said), number(said, "grace_s", 10.0))
        self._patience = Patience(
            number(said, "patience_s", 10.0),
            number(said, "unknown_s", 120.0),
            number(said, "never_s", 300.0),
            number(said, "silent_s", 600.0),
        )
        self._tag = ""
        self._serial = 0
        self._waiting: dict[Shape, list[Waiting]] = {}
        self._first_waits = self._last_waits = 0.0
        self._unsent: list[Submission] = []
        self._sending = False
        self._next_send = 0.0
        self._closed = False
        self._sink: Sink
        self._asker: Asker
        self._watch: Watch

    # --- the door ---------------------------------------------------------------------------------

    def start(self, sink: Sink) -> None:
        """Get ready; nothing is asked before there is work."""
        self._sink = sink
        self._asker = Asker(sink)
        poll_s = self._site.limits.poll_s
        self._watch = Watch(self._hooks, sink, self._asker, poll_s, self._patience)
        self._watch.freed = self._flush
        self._jobs.mkdir(parents=True, exist_ok=True)
        tag = self._workdir / "tag"
        if not tag.exists():
            tag.write_text(os.urandom(4).hex(), encoding="ascii")
        self._tag = tag.read_text(encoding="ascii")
        write_capsule(Path(self._programs.capsule))
        self._serial = max((int(path.name) for path in self._jobs.iterdir()), default=0)

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts: refuse what no queue takes, gather the others for a moment."""
        events: list[ExecutorEvent] = []
        for attempt in attempts:
            resources = attempt.task.resources
            queue = self._site.queue_for(resources)
            if isinstance(queue, str):
                events.append(Rejected(attempt.id, queue))
                continue
            try:
                entry = self._orders.entry(attempt, 0)
                encode(entry)
            except (TypeError, ValueError, RecursionError) as error:
                message = f"it cannot be sent: {error}"
                events.append(Finished(attempt.id, Outcome(Reason.START, message)))
                continue
            shape = Shape(queue.name, resources)
            self._waiting.setdefault(shape, []).append((attempt, entry))
        now = time.monotonic()
        if self._waiting:
            self._first_waits = self._first_waits or now
            self._last_waits = now
            self._sink.call_at(now + GATHER_S, self._gathered)
        if events:
            self._sink.put(events)

    def cancel(self, attempts: Collection[str]) -> None:
        """End attempts; those that wait here at once, the others through their capsules and jobs."""
        names = set(attempts)
        dropped = []
        for shape, waiting in self._waiting.items():
            dropped += [attempt.id for attempt, _ in waiting if attempt.id in names]
            self._waiting[shape] = [pair for pair in waiting if pair[0].id not in names]
        message = "cancelled before it was submitted"
        outcome = Outcome(Reason.CANCELLED, message)
        if dropped:
            self._sink.put([Finished(name, outcome) for name in dropped])
        self._watch.cancel(names)

    def recover(self, attempts: Mapping[str, str]) -> Collection[str]:
        """Go on with the jobs of an earlier head: by what was printed then, else by their names."""
        queues = {queue.name: queue for queue in self._site.queues}
        found: dict[str, Submission] = {}
        for submission in submissions_in(self._jobs, queues):
            submission.job = self._hooks.job_of(submission.answered())
            for name in list(submission.open):
                if name not in attempts:
                    del submission.open[name]
                    continue
                earlier = found.get(name)
                if earlier is not None:
                    del earlier.open[name]
                found[name] = submission
        for submission in dict.fromkeys(found.values()):
            self._watch.add(submission)
        return found.keys()

    def close(self, *, settled: bool = False) -> None:
        """Leave the jobs to a later head; when there will be none, end what is left of them."""
        if self._closed:
            return
        self._closed = True
        self._watch.close()
        self._asker.close()
        if not settled:
            return
        handles = self._watch.all_handles()
        if handles:
            subprocess.run(
                [*self._hooks.cancel, *handles],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
                check=False,
            )
        shutil.rmtree(self._jobs, ignore_errors=True)

    def sample(self, attempts: Sequence[Attempt]) -> str:
        """The submit files of these attempts, as they would be handed over."""
        shapes: dict[Shape, list[Waiting]] = {}
        for attempt in attempts:
            resources = attempt.task.resources
            queue = self._site.queue_for(resources)
            if isinstance(queue, str):
                raise ValueError(f"{attempt.id}: {queue}")
            shapes.setdefault(Shape(queue.name, resources), []).append((attempt, {}))
        texts = []
        for shape, waiting in shapes.items():
            elements = self._elements(shape, waiting)[: self._most_of_array(shape)]
            names = [[attempt.id for attempt, _ in element] for element in elements]
            folder = self._jobs / "1"
            texts.append(
                self._script(
                    shape, names, folder, job_name("TAG", 1, names[0], self._hooks.longest_name)
                )
            )
        return "\n".join(texts)

    # --- submitting -------------------------------------------------------------------------------

    def _gathered(self) -> None:
        """Submit what waits, unless more of it is coming."""
        now = time.monotonic()
        quiet = now - self._last_waits >= GATHER_S * 0.9
        if self._first_waits and (quiet or now - self._first_waits >= MOST_GATHERED_S):
            self._first_waits = 0.0
            self._flush()

    def _flush(self) -> None:
        """Make submissions of what waits, as far as the site's limits on jobs allow."""
        if self._closed or self._first_waits:
            return
        for shape, waiting in list(self._waiting.items()):
            elements = self._elements(shape, waiting)
            free = self._watch.free_jobs(self._site.limits.jobs, self._queue(shape))
            elements = elements[:free] if free is not None else elements
            taken = sum(map(len, elements))
            self._waiting[shape] = waiting[taken:]
            if not self._waiting[shape]:
                del self._waiting[shape]
            most = self._most_of_array(shape)
            for start in range(0, len(elements), most):
                self._prepare(shape, elements[start : start + most])
        self._send()

    def _elements(self, shape: Shape, waiting: list[Waiting]) -> list[list[Waiting]]:
        """The tasks of each job."""
        queue, each_s = self._queue(shape), shape.resources.walltime_s
        pack = max(1, queue.pack)
        if each_s and queue.walltime_s:
            pack = max(1, min(pack, int((queue.walltime_s - SLACK_S) // each_s)))
        return [waiting[start : start + pack] for start in range(0, len(waiting), pack)]

    def _most_of_array(self, shape: Shape) -> int:
        return self._queue(shape).array or self._hooks.array

    def _queue(self, shape: Shape) -> Queue:
        named = (queue for queue in self._site.queues if queue.name == shape.queue)
        return next(named, self._site.anywhere)

    def _prepare(self, shape: Shape, elements: list[list[Waiting]]) -> None:
        """Write down all that a submission needs, its intent last."""
        self._serial += 1
        folder = self._jobs / str(self._serial)
        names = [[attempt.id for attempt, _ in element] for element in elements]
        name = job_name(self._tag, self._serial, names[0], self._hooks.longest_name)
        submission = Submission(folder, name, names, self._queue(shape))
        most = max(map(len, elements))
        limit = limit_s(submission.queue, shape.resources, most)
        share_s = shared_s(self._share_s, submission.queue, shape.resources, most)
        orders, count = [], 0
        for element in elements:
            entries = []
            for _attempt, entry in element:
                entries.append(encode({**entry, "number": count}))
                count += 1
            orders.append(self._orders.text(entries, f"{folder}/results", limit, share_s=share_s))
        submission.write(orders, self._script(shape, names, folder, name))
        submission.asked = in_words(shape)
        self._watch.add(submission)
        self._unsent.append(submission)

    def _script(self, shape: Shape, names: list[list[str]], folder: Path, name: str) -> str:
        resources, queue = shape.resources, self._queue(shape)
        programs, restarts, shared = self._programs, self._requeue, self._share_s > 0
        paper = Paper(
            self._site, queue, resources, names, str(folder), name, programs, restarts, shared
        )
        return self._hooks.script(paper)

    def _send(self) -> None:
        """Hand over the next submission, one at a time and no faster than the site allows."""
        if self._sending or self._closed or not self._unsent:
            return
        now = time.monotonic()
        if now < self._next_send:
            self._sending = True
            self._sink.call_at(self._next_send, self._send_after_a_pause)
            return
        rate = self._site.limits.submits_per_s
        self._next_send = now + (1 / rate if rate else 0.0)
        submission = self._unsent.pop(0)
        if not submission.open:  # all of it was cancelled meanwhile
            self._send()
            return
        self._sending = True
        command = [*self._hooks.submit, f"{submission.folder}/submit.sh"]
        self._asker.ask(command, partial(self._sent, submission), submission.opened_answer())

    def _send_after_a_pause(self) -> None:
        self._sending = False
        self._send()

    def _sent(self, submission: Submission, answer: Answer) -> None:
        self._sending = False
        if answer.code == 0:
            submission.job = self._hooks.job_of(submission.answered())
        if submission.job:
            events: list[ExecutorEvent] = [
                Accepted(name, self._watch.handle(submission, submission.element_of(name)))
                for name in submission.open
            ]
            self._sink.put(events)
            self._watch.submitted(submission)
        elif self._in_doubt(answer):
            self._watch.submitted(submission)  # which looks for it by its name
        else:
            self._refused(submission, answer)
        self._send()

    def _in_doubt(self, answer: Answer) -> bool:
        """Whether the batch system may have taken a submission all the same: it was given up, or cut off."""
        return answer.code < 0 or any(part in answer.complaint for part in self._hooks.doubtful)

    def _refused(self, submission: Submission, answer: Answer) -> None:
        """A submission was not taken: for now, or for good."""
        names = self._watch.drop(submission)
        shutil.rmtree(submission.folder, ignore_errors=True)
        said = " ".join(answer.complaint.replace(f"{self._hooks.submit[0]}: error:", "").split())
        transient = any(part in said for part in self._hooks.passing)
        if answer.code == 127:
            said += "; is this a host from which jobs are submitted? ('hepflow site check')"
        message = f"{self._hooks.name} refused a job of {submission.asked}: {said}"
        self._sink.put([Rejected(name, message, transient) for name in names])


def _most_packed(site: Site) -> int:
    return max([site.anywhere.pack, *[queue.pack for queue in site.queues]])


def _fetch(said: Mapping[str, object]) -> dict[str, list[str]]:
    found = said.get("fetch", ())
    if not isinstance(found, (list, tuple)):
        raise ValueError(f"the setting 'fetch' takes a list of lists of words, gets {found!r}")
    lists = [words({"fetch": item}, "fetch") for item in found]
    return {item[0]: list(item[1:]) for item in lists if len(item) > 1}
