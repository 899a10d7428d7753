"""What has become of the jobs: results and signs of life by files, everything else by asking.

Owns the timers for both. Must never submit anything, or judge a job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from hepflow.batch.asking import Answer, Asker
from hepflow.batch.ending import Ender
from hepflow.batch.hooks import Hooks, Question, Witness
from hepflow.batch.judging import Judge, Patience
from hepflow.batch.submissions import Submission
from hepflow.model.events import ExecutorEvent, Started
from hepflow.model.protocols import Sink
from hepflow.model.site import Queue
from hepflow.wire.spelling import finished

SHORTEST_LOOK_S, LONGEST_LOOK_S = 0.1, 1.0
"""Between two looks for result files: the longer nothing came, the longer."""

SHORTEST_POLL_S, LONGEST_POLL_S = 1.0, 30.0
"""Between two questions to the batch system: the longer nothing changed, the longer."""

SLOWER: Final = 1.5

Known = Mapping[str, Witness]


class Watch:
    """Watches submissions until each of their attempts has an end.

    Args:
        hooks: the batch system.
        sink: the runner's loop.
        asker: runs commands.
        poll_s: seconds between two questions; 0 for our own choice.
        patience: how long jobs may leave us in doubt.
    """

    def __init__(
        self, hooks: Hooks, sink: Sink, asker: Asker, poll_s: float, patience: Patience
    ) -> None:
        self.freed: Callable[[], None] = lambda: None
        self._hooks = hooks
        self._sink = sink
        self._asker = asker
        self._ender = Ender(hooks.cancel, asker)
        self._fixed_poll_s = poll_s
        self._submissions: list[Submission] = []
        self._by_attempt: dict[str, Submission] = {}
        self._cancelled: set[str] = set()
        self._judge = Judge(hooks, patience, self._cancelled)
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
        """The batch system has it now; what of it was to be cancelled meanwhile is cancelled."""
        self._look_soon()
        unwanted = self._cancelled.intersection(submission.open)
        if unwanted:
            self.cancel(unwanted)

    def drop(self, submission: Submission) -> list[str]:
        """Forget a submission that came to nothing; returns its open attempts."""
        names = list(submission.open)
        self._submissions.remove(submission)
        for name in names:
            del self._by_attempt[name]
        return names

    def cancel(self, names: Collection[str]) -> None:
        """End attempts through their capsules, and their jobs where nothing else is left in them."""
        handles: list[str] = []
        mine = [name for name in names if name in self._by_attempt]
        self._cancelled.update(mine)
        for name in mine:
            self._by_attempt[name].ask_for_end(name)
        for submission in dict.fromkeys(self._by_attempt[name] for name in mine):
            if submission.job:
                handles += [
                    self.handle(submission, element)
                    for element, inside in submission.still_open().items()
                    if self._cancelled.issuperset(inside)
                ]
        self._ender.end(handles, self.ask_now)

    def _withdraw(self, submission: Submission) -> None:
        """Take jobs back that have nothing to do; one that begins nevertheless finds its tasks taken."""
        if submission.job:
            self._ender.end([self.handle(submission, element) for element in submission.idle])
            submission.idle.clear()

    def handle(self, submission: Submission, element: int) -> str:
        """What the batch system calls one of the jobs."""
        return self._hooks.handle(submission.job, element, len(submission.elements))

    def all_handles(self) -> list[str]:
        """The jobs that still have something to do, or need not begin and may do so."""
        return [
            *self._ender.unanswered,
            *[
                self.handle(submission, element)
                for submission in self._submissions
                if submission.job
                for element in submission.busy | submission.idle
            ],
        ]

    def free_jobs(self, most: int, queue: Queue) -> int | None:
        """How many jobs more a queue takes, by its own limit and the site's; ``None`` for any number."""
        limits = []
        if most:
            limits.append(most - sum(len(s.busy | s.idle) for s in self._submissions))
        if queue.jobs:
            mine = [s for s in self._submissions if s.queue.name == queue.name]
            limits.append(queue.jobs - sum(len(s.busy | s.idle) for s in mine))
        return max(0, min(limits)) if limits else None

    def close(self) -> None:
        """Look and ask no more."""
        self._closed = True

    # --- looking at files -------------------------------------------------------------------------

    def _look_soon(self) -> None:
        self._look_s = SHORTEST_LOOK_S
        if not self._looking:
            self._looking = True
            self._poll_at = self._poll_at or time.monotonic() + (self._fixed_poll_s or self._poll_s)
            self._sink.call_at(time.monotonic() + self._look_s, self._look)

    def _look(self) -> None:
        """Tell what files say; ask when it is time."""
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
        now = time.monotonic()
        results, beats = submission.news()
        for attempt, where, log in beats:
            handle = self.handle(submission, submission.element_of(attempt))
            yield Started(attempt, f"{where} job {handle}", log)
        for attempt, message, host in results:
            handle = self.handle(submission, submission.element_of(attempt))
            end = self._judge.of_result(finished(message, f"{host} job {handle}"), now)
            if end is not None:
                yield end
            else:
                self._poll_at = min(self._poll_at, now + SHORTEST_POLL_S)

    def _tell(self, events: list[ExecutorEvent]) -> None:
        """Pass events on, and forget the attempts that have their end."""
        freed = False
        for event in events:
            if not isinstance(event, Started):
                submission = self._by_attempt.pop(event.attempt)
                del submission.open[event.attempt]
                self._cancelled.discard(event.attempt)
                self._judge.forget(event.attempt)
                freed = True
                if not submission.open:
                    self._submissions.remove(submission)
                    self._withdraw(submission)
        if events:
            self._sink.put(events)
        if freed:
            self.freed()

    # --- asking -----------------------------------------------------------------------------------

    def ask_now(self) -> None:
        """One question for all jobs."""
        if self._asking or self._closed or not self._submissions:
            return
        self._asking = True
        # Of jobs whose number is not known yet, the name is asked for among all.
        jobs = [submission.job for submission in self._submissions if submission.was_sent]
        jobs = jobs if all(jobs) else []
        self._asker.ask(self._hooks.queue.words(jobs), self._queue_said)

    def _queue_said(self, answer: Answer) -> None:
        self._asking = False
        if self._closed:
            return
        self._poll_at = time.monotonic() + (self._fixed_poll_s or self._poll_s)
        if answer.code not in self._hooks.queue.codes:  # it is away, which says nothing about jobs
            self._poll_s = min(self._poll_s * SLOWER, LONGEST_POLL_S)
            return
        known = dict(self._hooks.queue.read(answer.output))
        changed = known != self._before
        self._before = known
        self._poll_s = SHORTEST_POLL_S if changed else min(self._poll_s * SLOWER, LONGEST_POLL_S)
        self._name_jobs(known)
        unknown = self._weigh(known)
        for submission in self._submissions:
            self._withdraw(submission)
        if unknown:
            self._ask_archive(unknown, self._hooks.archive)

    def _name_jobs(self, known: Known) -> None:
        """Learn the numbers of jobs whose submission did not live to tell."""
        nameless = {s.name: s for s in self._submissions if not s.job}
        if nameless:
            for handle, witness in known.items():
                if witness.name in nameless:
                    nameless[witness.name].job = self._hooks.job_of(handle)

    def _weigh(self, known: Known, only_known: bool = False) -> list[str]:
        """Have judged what is known of jobs; returns the jobs that nothing is known of.

        Args:
            only_known: what is not among those may well be there.
        """
        events: list[ExecutorEvent] = []
        missing = []
        now = time.monotonic()
        for submission in [s for s in self._submissions if s.was_sent]:
            events += self._news(submission)
            ended = {event.attempt for event in events}
            for element, names in submission.still_open().items():
                left = [name for name in names if name not in ended]
                handle = self.handle(submission, element) if submission.job else submission.name
                if not left:
                    continue
                ends: list[ExecutorEvent] = []
                if handle in known:
                    ends = self._judged(submission, element, handle, left, known[handle], now)
                elif not only_known:
                    ends = [*self._judge.of_unknown(handle, left, now)]
                    missing += [handle] if submission.job else []
                for end in ends:  # whoever has it may live after all, and a job may yet take it
                    submission.ask_for_end(end.attempt)
                events += ends
        self._tell(events)
        self._poll_at = min(self._poll_at, self._judge.look_again_at)
        self._judge.look_again_at = float("inf")
        return missing

    def _judged(
        self,
        submission: Submission,
        element: int,
        handle: str,
        names: list[str],
        witness: Witness,
        now: float,
    ) -> list[ExecutorEvent]:
        ends = list(self._judge.of_job(submission, element, handle, names, witness, now))
        if len(ends) == len(names) and witness.state not in self._hooks.ended:
            # It waits in vain, or would start again with nothing left to do.
            self._ender.end([handle], self.ask_now)
        return [*ends]

    def _ask_archive(self, handles: list[str], questions: Sequence[Question]) -> None:
        """Ask of jobs that the queue does not show any more; no answer says nothing."""
        if not questions or not handles or self._closed:
            return
        jobs = sorted({self._hooks.job_of(handle) for handle in handles})
        question, *others = questions

        def then(answer: Answer) -> None:
            known = dict(question.read(answer.output)) if answer.code in question.codes else {}
            if not self._closed:
                self._weigh(known, only_known=True)
                self._ask_archive([h for h in handles if h not in known], others)

        self._asker.ask(question.words(jobs), then)
