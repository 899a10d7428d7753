"""What has become of the jobs: results and signs of life by files, everything else by asking Slurm.

Owns the timers for both, and the classification of jobs that left no result. Must never submit anything.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from hepflow.capsule.report import last_line
from hepflow.model.events import ExecutorEvent, Finished, Lost, Started
from hepflow.model.protocols import Sink
from hepflow.model.site import Queue
from hepflow.model.task import RETURNS_TO_QUEUE, Outcome, Reason
from hepflow.wire.spelling import finished

from .asking import Answer, Asker
from .states import (
    ACCOUNT_FORMAT,
    ENDED,
    MEMORY_SIGNS,
    NEVER,
    QUEUE_FORMAT,
    STUCK,
    Witness,
    read_accounts,
    read_job,
    read_queue,
)
from .submissions import Submission

SHORTEST_LOOK_S, LONGEST_LOOK_S = 0.1, 1.0
"""Between two looks for result files: the longer nothing came, the longer."""

SHORTEST_POLL_S, LONGEST_POLL_S = 1.0, 30.0
"""Between two questions to Slurm: the longer nothing changed, the longer."""

SLOWER: Final = 1.5

OWN_WORD: Final = {"CANCELLED": "cancelled in Slurm", "TIMEOUT": "the job's time limit was reached"}
"""How Slurm ended a job whose capsule knows only that it was told to end."""

Known = Mapping[str, Witness]


class Patience(NamedTuple):
    """Seconds that pass before a job is judged by what Slurm says.

    Args:
        results_s: that results may take to be seen after their job's end.
        unknown_s: that a job may be unknown.
        never_s: that it may wait for what it cannot get.
    """

    results_s: float
    unknown_s: float
    never_s: float


class Watch:
    """Watches submissions until each of their attempts has an end.

    Args:
        sink: the runner's loop.
        asker: runs commands.
        poll_s: seconds between two questions; 0 for our own choice.
        patience: how long it waits before it judges.
    """

    def __init__(self, sink: Sink, asker: Asker, poll_s: float, patience: Patience) -> None:
        self.freed: Callable[[], None] = lambda: None
        self._sink = sink
        self._asker = asker
        self._fixed_poll_s = poll_s
        self._patience = patience
        self._submissions: list[Submission] = []
        self._by_attempt: dict[str, Submission] = {}
        self._cancelled: set[str] = set()
        self._held: dict[str, tuple[Finished, float]] = {}
        self._unknown: dict[str, float] = {}
        self._waiting_in_vain: dict[str, float] = {}
        self._before: Known = {}
        self._look_s = SHORTEST_LOOK_S
        self._poll_s = SHORTEST_POLL_S
        self._poll_at = 0.0
        self._looking = self._asking = self._closed = False

    # --- what is watched --------------------------------------------------------------------------

    def add(self, submission: Submission) -> None:
        """Watch a submission from now on."""
        self._submissions.append(submission)
        self._by_attempt.update(dict.fromkeys(submission.open, submission))
        self._look_soon()

    def submitted(self, submission: Submission) -> None:
        """Slurm has it now; what of it was to be cancelled meanwhile is cancelled."""
        self._look_soon()
        unwanted = self._cancelled.intersection(submission.open)
        if unwanted and (handles := self.cancel(unwanted)):
            self._asker.ask(["scancel", "--quiet", *handles], lambda _answer: self.ask_now())

    def drop(self, submission: Submission) -> list[str]:
        """Forget a submission that came to nothing; returns its open attempts."""
        names = list(submission.open)
        self._submissions.remove(submission)
        for name in names:
            del self._by_attempt[name]
        return names

    def cancel(self, names: Collection[str]) -> list[str]:
        """Note that these are not wanted any more; returns the jobs that are to be ended for it."""
        handles = []
        mine = [name for name in names if name in self._by_attempt]
        self._cancelled.update(mine)
        for name in mine:
            self._by_attempt[name].ask_for_end(name)
        for submission in dict.fromkeys(self._by_attempt[name] for name in mine):
            if submission.job:
                handles += [
                    submission.handle(element)
                    for element, inside in self._open_in(submission).items()
                    if self._cancelled.issuperset(inside)
                ]
        return handles

    def all_handles(self) -> list[str]:
        """The jobs that still have something to do."""
        return [
            submission.handle(element)
            for submission in self._submissions
            if submission.job
            for element in self._open_in(submission)
        ]

    def free_jobs(self, most: int, queue: Queue) -> int | None:
        """How many jobs more a queue takes, by its own limit and the site's; ``None`` for any number."""
        limits = []
        if most:
            limits.append(most - sum(len(self._open_in(s)) for s in self._submissions))
        if queue.jobs:
            mine = [s for s in self._submissions if s.queue.name == queue.name]
            limits.append(queue.jobs - sum(len(self._open_in(s)) for s in mine))
        return max(0, min(limits)) if limits else None

    def close(self) -> None:
        """Look and ask no more."""
        self._closed = True

    @staticmethod
    def _open_in(submission: Submission) -> dict[int, list[str]]:
        """The attempts without an end, by the job that they are in."""
        found: dict[int, list[str]] = {}
        for name in submission.open:
            found.setdefault(submission.element_of(name), []).append(name)
        return found

    # --- looking at files -------------------------------------------------------------------------

    def _look_soon(self) -> None:
        self._look_s = SHORTEST_LOOK_S
        if not self._looking:
            self._looking = True
            self._poll_at = self._poll_at or time.monotonic() + self._pause_s()
            self._sink.call_at(time.monotonic() + self._look_s, self._look)

    def _look(self) -> None:
        """Tell what files say; ask Slurm when it is time."""
        self._looking = False
        if self._closed or not self._submissions:
            return
        events: list[ExecutorEvent] = []
        for submission in list(self._submissions):
            events += self._news(submission)
        self._tell(events)
        self._look_s = SHORTEST_LOOK_S if events else min(self._look_s * SLOWER, LONGEST_LOOK_S)
        if time.monotonic() >= self._poll_at:
            self.ask_now()
        if self._submissions and not self._looking:
            self._looking = True
            self._sink.call_at(time.monotonic() + self._look_s, self._look)

    def _news(self, submission: Submission) -> Iterator[ExecutorEvent]:
        results, beats = submission.news()
        for attempt, where, log in beats:
            yield Started(attempt, f"{where} job {self._handle(submission, attempt)}", log)
        for attempt, message, host in results:
            event = finished(message, f"{host} job {self._handle(submission, attempt)}")
            outcome = event.outcome
            if attempt in self._cancelled and outcome.reason is not Reason.CANCELLED:
                how = (
                    "cancelled while it ran"
                    if outcome.usage.wall_s
                    else "cancelled before it started"
                )
                event = Finished(attempt, replace(outcome, reason=Reason.CANCELLED, message=how))
            elif outcome.reason is Reason.PREEMPTED:
                # Why it was told to end, only Slurm knows.
                if attempt not in self._held:
                    self._held[attempt] = event, time.monotonic()
                    self._poll_at = min(self._poll_at, time.monotonic() + SHORTEST_POLL_S)
                continue
            yield _end(event)

    def _handle(self, submission: Submission, attempt: str) -> str:
        return submission.handle(submission.element_of(attempt))

    def _tell(self, events: list[ExecutorEvent]) -> None:
        """Pass events on, and forget the attempts that have their end."""
        freed = False
        for event in events:
            if not isinstance(event, Started):
                submission = self._by_attempt.pop(event.attempt)
                del submission.open[event.attempt]
                self._cancelled.discard(event.attempt)
                self._held.pop(event.attempt, None)
                freed = True
                if not submission.open:
                    self._submissions.remove(submission)
        if events:
            self._sink.put(events)
        if freed:
            self.freed()

    # --- asking Slurm -----------------------------------------------------------------------------

    def _pause_s(self) -> float:
        return self._fixed_poll_s or self._poll_s

    def ask_now(self) -> None:
        """One question for all jobs."""
        if self._asking or self._closed or not self._submissions:
            return
        self._asking = True
        words = ["squeue", "--noheader", "--array", "--states=all", f"--format={QUEUE_FORMAT}"]
        self._asker.ask([*words, f"--user={getpass.getuser()}"], self._queue_said)

    def _queue_said(self, answer: Answer) -> None:
        self._asking = False
        if self._closed:
            return
        self._poll_at = time.monotonic() + self._pause_s()
        if answer.code:  # the controller is away, which says nothing about jobs
            self._poll_s = min(self._poll_s * SLOWER, LONGEST_POLL_S)
            return
        known = dict(read_queue(answer.output))
        changed = known != self._before
        self._before = known
        self._poll_s = SHORTEST_POLL_S if changed else min(self._poll_s * SLOWER, LONGEST_POLL_S)
        self._name_jobs(known)
        missing = self._weigh(known)
        if missing:
            self._ask_accounts(missing)

    def _name_jobs(self, known: Known) -> None:
        """Learn the numbers of jobs whose ``sbatch`` did not live to tell."""
        nameless = {s.name: s for s in self._submissions if not s.job}
        if nameless:
            for number, witness in known.items():
                if witness.name in nameless:
                    nameless[witness.name].job = number.partition("_")[0]

    def _weigh(self, known: Known) -> list[str]:
        """Judge by what is known of jobs; returns the jobs that nothing is known of."""
        events: list[ExecutorEvent] = []
        missing = []
        now = time.monotonic()
        for submission in list(self._submissions):
            if not (submission.folder / "answer").exists():
                continue  # it is not submitted yet
            events += self._news(submission)
            ended = {event.attempt for event in events}
            for element, names in self._open_in(submission).items():
                left = [name for name in names if name not in ended]
                handle = submission.handle(element) if submission.job else submission.name
                witness = known.get(handle)
                if not left:
                    continue
                if witness is None:
                    since = self._unknown.setdefault(handle, now)
                    if now - since > self._patience.unknown_s:
                        message = f"Slurm knows nothing of its job {handle} (any more)"
                        events += [self._lost(name, Reason.NODE, message) for name in left]
                    elif submission.job:
                        missing.append(handle)
                    continue
                self._unknown.pop(handle, None)
                events += self._judge(submission, element, left, witness, now)
        self._tell(events)
        return missing

    def _judge(
        self, submission: Submission, element: int, names: list[str], witness: Witness, now: float
    ) -> Iterator[ExecutorEvent]:
        """What a job's state means for those of its attempts that have no end yet."""
        for name in names:
            if name in self._held:
                event, since = self._held[name]
                if witness.state in OWN_WORD:
                    reason, message = ENDED[witness.state], OWN_WORD[witness.state]
                    outcome = replace(event.outcome, reason=reason, message=message)
                    yield Finished(name, outcome)
                elif witness.state != "COMPLETING" or now - since > self._patience.results_s:
                    yield _end(event)
        left = [name for name in names if name not in self._held]
        if not left:
            return
        handle = submission.handle(element)
        if not witness.is_over:
            submission.over.pop(element, None)
            yield from self._not_started(submission, handle, left, witness, now)
            return
        since = submission.over.setdefault(element, now)
        unseen = [name for name in left if name not in self._cancelled]
        if unseen and now - since < self._patience.results_s:
            self._poll_at = min(self._poll_at, since + self._patience.results_s)
            return
        for name in left:
            yield self._without_result(submission, element, name, witness, name == left[0])

    def _not_started(
        self, submission: Submission, handle: str, names: list[str], witness: Witness, now: float
    ) -> Iterator[Finished | Lost]:
        """The end of a job's attempts that waits in vain; nothing while there is hope."""
        asked = submission.asked or "what it asks for"
        message = f"job {handle} of {asked} will not start: {witness.why}"
        if witness.why in STUCK:
            yield from [self._lost(name, Reason.NODE, message) for name in names]
        elif witness.why in NEVER:
            since = self._waiting_in_vain.setdefault(handle, now)
            if now - since < self._patience.never_s:
                return
            yield from [Finished(name, Outcome(Reason.REJECTED, message)) for name in names]
        else:
            self._waiting_in_vain.pop(handle, None)
            return
        self._asker.ask(["scancel", "--quiet", handle], lambda _answer: None)

    def _without_result(
        self, submission: Submission, element: int, name: str, witness: Witness, first: bool
    ) -> Finished | Lost:
        """The end of an attempt whose job is over and has left no result of it.

        Args:
            first: it is the first of its job without a result: if one ran, this one.
        """
        begun = name in submission.begun
        where = f"{witness.node} job {submission.handle(element)}".strip()
        if name in self._cancelled:
            how = "cancelled while it ran" if begun else "cancelled before it started"
            return Finished(name, Outcome(Reason.CANCELLED, how, where=where))
        reason = ENDED[witness.state]
        log = submission.log(element)
        if reason is Reason.START and any(sign in log for sign in MEMORY_SIGNS):
            reason = Reason.MEMORY
        why = f" ({witness.why})" if witness.why and witness.why != witness.state else ""
        message = f"its job ended as {witness.state}{why}"
        if not first and not begun:
            return self._lost(name, Reason.NODE, f"{message} before it began")
        if reason is Reason.START and begun:
            reason = Reason.NODE
        if reason in (Reason.NODE, Reason.PREEMPTED):
            return self._lost(
                name, reason, f"{message} on {where} and left no result{last_line(log)}"
            )
        if reason is Reason.START:
            message = f"{message} before its program was started{last_line(log)}"
        return Finished(name, Outcome(reason, message, where=where, stderr=log))

    def _lost(self, name: str, reason: Reason, message: str) -> Finished | Lost:
        if name in self._cancelled:
            return Finished(name, Outcome(Reason.CANCELLED, "cancelled before it started"))
        return Lost(name, reason, message)

    # --- jobs that the queue does not show any more -----------------------------------------------

    def _ask_accounts(self, handles: list[str]) -> None:
        words = ["sacct", "--noheader", "--parsable2", "--allocations", "--starttime=now-30days"]
        jobs = ",".join(sorted({handle.partition("_")[0] for handle in handles}))
        then = partial(self._accounts_said, handles)
        self._asker.ask([*words, f"--format={ACCOUNT_FORMAT}", f"--jobs={jobs}"], then)

    def _accounts_said(self, handles: list[str], answer: Answer) -> None:
        known = dict(read_accounts(answer.output)) if answer.code == 0 else {}
        self._weigh_some({handle: known[handle] for handle in handles if handle in known})
        # Accounting may be off, or late: no answer says nothing.
        left = {handle.partition("_")[0] for handle in handles if handle not in known}
        for job in sorted(left)[:1]:
            words = ["scontrol", "--oneliner", "show", "job", job]
            self._asker.ask(words, lambda said: self._weigh_some(dict(read_job(said.output))))

    def _weigh_some(self, known: Known) -> None:
        """Judge those jobs alone that something is known of."""
        events: list[ExecutorEvent] = []
        now = time.monotonic()
        for submission in [] if self._closed else list(self._submissions):
            if not submission.job:
                continue
            for element, names in self._open_in(submission).items():
                witness = known.get(submission.handle(element))
                if witness is not None:
                    self._unknown.pop(submission.handle(element), None)
                    events += self._judge(submission, element, names, witness, now)
        self._tell(events)


def _end(event: Finished) -> Finished | Lost:
    """The end that a result tells of: some are no fault of the task."""
    outcome = event.outcome
    if outcome.reason is not None and outcome.reason in RETURNS_TO_QUEUE:
        return Lost(event.attempt, outcome.reason, f"{outcome.message} ({outcome.where})")
    return event
