"""What becomes of arrays: what their service says of elements, held against what attempts themselves tell.

A result alone completes an attempt. That its element has ended only begins the wait for it; what a service
knows of why is used for attempts that leave none. Works on the runner's thread and never blocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from hepflow.arrays.batches import Batch
from hepflow.arrays.desk import Desk
from hepflow.arrays.posts import Post
from hepflow.arrays.service import Fault, Said, Service
from hepflow.model.events import ExecutorEvent, Finished, Lost, Rejected, Started
from hepflow.model.protocols import Sink
from hepflow.model.task import RETURNS_TO_QUEUE, Outcome, Reason

SOON_S, SLOWER = 0.1, 1.5
"""Seconds between two looks at results while there are some, and how much longer each pause is while not."""

GATHER_S: Final = 0.5
"""So long the ends of elements are gathered before a store is asked for their results."""

AGAIN_S: Final = 15.0
"""After so long a request is made again that found nobody to take it."""


class Ended(NamedTuple):
    """That an element has ended, and when that was heard (monotonic seconds)."""

    said: Said
    at: float


class Watch:
    """Arrays between their submission and the end of their last attempt.

    Args:
        sink: who is told.
        desk: makes the calls.
        service: runs the arrays.
        post: brings results.
        poll_s: seconds between two looks at results while nothing else calls for one.
        patience_s: seconds that a result may take to be seen after the end of its element.
    """

    def __init__(
        self,
        sink: Sink,
        desk: Desk,
        service: Service,
        post: Post,
        poll_s: float,
        patience_s: float,
    ) -> None:
        self._sink = sink
        self._desk = desk
        self._service = service
        self._post = post
        self._poll_s = poll_s
        self._patience_s = patience_s
        self._batches: dict[str, Batch] = {}
        self._by_attempt: dict[str, Batch] = {}
        self._by_job: dict[str, Batch] = {}
        self._early: dict[str, list[Said]] = {}
        """What was said of jobs before their submission was answered."""
        self._ended: dict[tuple[str, int], Ended] = {}
        self._running: set[tuple[str, int]] = set()
        self._unwanted: set[str] = set()
        self._pause_s = SOON_S
        self._look_at = self._next_timer = float("inf")
        self._looking = self._closed = False
        self.freed: Callable[[], None] = lambda: None
        """Called when attempts have ended."""

    # --- what is watched --------------------------------------------------------------------------

    def add(self, batch: Batch) -> None:
        """Know a batch; nothing of it is there yet."""
        self._batches[batch.name] = batch
        self._by_attempt.update(dict.fromkeys(batch.open, batch))

    def submitted(self, batch: Batch) -> None:
        """The service has it; what of it was unwanted meanwhile is ended."""
        self._by_job[batch.job] = batch
        self.hear(self._early.pop(batch.job, ()))
        unwanted = self._unwanted.intersection(batch.open)
        if unwanted:
            self._end(batch, unwanted)
        self._look_in(SOON_S if self._post.beats else self._poll_s)

    def drop(self, batch: Batch) -> list[str]:
        """Forget a batch that came to nothing; returns its open attempts."""
        del self._batches[batch.name]
        for name in batch.open:
            del self._by_attempt[name]
        return list(batch.open)

    def open_elements(self, queue: str = "") -> int:
        """Elements that have not ended, of one queue or all."""
        return sum(
            len(batch.open_in())
            for batch in self._batches.values()
            if not queue or batch.queue == queue
        )

    @property
    def jobs(self) -> list[str]:
        """The arrays of which something is left."""
        return list(self._by_job)

    def close(self) -> None:
        """Look no more."""
        self._closed = True

    # --- ending -----------------------------------------------------------------------------------

    def cancel(self, names: Collection[str]) -> None:
        """End attempts that are under way."""
        mine = {name for name in names if name in self._by_attempt}
        self._unwanted |= mine
        by_batch: dict[str, set[str]] = {}
        for name in mine:
            by_batch.setdefault(self._by_attempt[name].name, set()).add(name)
        for batch_name, attempts in by_batch.items():
            batch = self._batches[batch_name]
            for attempt in attempts:
                self._post.unwanted(batch, attempt)
            if batch.job:
                self._end(batch, attempts)
        self._look_in(SOON_S)

    def _end(self, batch: Batch, attempts: Collection[str]) -> None:
        """Have those elements ended of which nothing else is wanted."""
        inside = batch.open_in()
        elements = {batch.element(attempt) for attempt in attempts}
        doomed = [element for element in elements if self._unwanted.issuperset(inside[element])]
        if doomed:
            self._ask_to_end(batch.job, doomed)

    def _ask_to_end(self, job: str, elements: Sequence[int] | None) -> None:
        """End elements, again and again while nobody is there to do it; without any, the array."""

        def done(future: Future[None]) -> None:
            try:
                future.result()
            except Fault as fault:
                if fault.transient and not self._closed:
                    again = partial(self._ask_to_end, job, elements)
                    self._sink.call_at(time.monotonic() + AGAIN_S, again)

        if not self._closed:
            self._desk.ask(partial(self._service.end, job, elements), done)

    # --- hearing ----------------------------------------------------------------------------------

    def hear(self, news: Sequence[Said]) -> None:
        """Take what the service says."""
        now = time.monotonic()
        events: list[ExecutorEvent] = []
        for said in news:
            batch = self._by_job.get(said.job)
            if batch is None:
                self._early.setdefault(said.job, []).append(said)
                continue
            key = (batch.name, said.element)
            if said.ended:
                self._ended.setdefault(key, Ended(said, now))
            elif key not in self._running:
                self._running.add(key)
                events += self._started(batch, said)
        if events and not self._closed:
            self._sink.put(events)
        if self._ended:
            self._look_in(0.0 if self._post.beats else GATHER_S)

    def _started(self, batch: Batch, said: Said) -> list[ExecutorEvent]:
        """An element runs: of its attempts the first one, unless they say so themselves."""
        names = batch.open_in().get(said.element, [])
        if self._post.beats or not names:
            return []
        batch.begun[names[0]] = said.where
        return [Started(names[0], said.where)]

    # --- looking ----------------------------------------------------------------------------------

    def _look_in(self, seconds: float) -> None:
        """Have a look then, unless there will be one before."""
        at = time.monotonic() + seconds
        self._look_at = min(self._look_at, at)
        if at < self._next_timer and not self._looking and not self._closed:
            self._next_timer = at
            self._sink.call_at(at, self._look)

    def _look(self) -> None:
        self._next_timer = float("inf")
        now = time.monotonic()
        if self._looking or self._closed or now < self._look_at or not self._by_job:
            return
        self._look_at = float("inf")
        self._looking = True
        batches = list(self._by_job.values())
        known = dict(self._ended)
        self._desk.ask(partial(self._news, batches), partial(self._seen, known))

    def _news(self, batches: Sequence[Batch]) -> list[ExecutorEvent]:
        return [event for batch in batches for event in self._post.news(batch)]

    def _seen(
        self, known: dict[tuple[str, int], Ended], future: Future[list[ExecutorEvent]]
    ) -> None:
        """After a look: tell what was found, and judge what had ended before it and left nothing."""
        self._looking = False
        try:
            events = [self._judged(event) for event in future.result()]
        except Fault:  # the store is away, which says nothing about attempts
            self._look_in(AGAIN_S)
            return
        told = {event.attempt for event in events if not isinstance(event, Started)}
        now = time.monotonic()
        for (name, element), ended in known.items():
            batch = self._batches.get(name)
            left = batch.open_in().get(element, []) if batch is not None else []
            if batch is None or not left:
                self._ended.pop((name, element), None)
                continue
            for attempt in left:
                patient = now - ended.at < self._patience_s and ended.said.reason is None
                if attempt not in told and (attempt in self._unwanted or not patient):
                    events.append(self._without_result(batch, attempt, ended.said))
        self._pause_s = SOON_S if told else min(self._pause_s * SLOWER, self._poll_s)
        self._tell(events)
        if self._by_job:
            unseen = any(key not in known for key in self._ended)
            # Results may come before the service says so, or are waited for.
            quick = self._post.beats or self._ended
            soonest_s = 0.0 if self._post.beats else GATHER_S
            self._look_in(soonest_s if unseen else self._pause_s if quick else self._poll_s)

    def _judged(self, event: ExecutorEvent) -> ExecutorEvent:
        """What an attempt told, in the light of what was wanted of it."""
        if not isinstance(event, Finished):
            return event
        outcome = event.outcome
        if event.attempt in self._unwanted and outcome.reason is not Reason.CANCELLED:
            how = "while it ran" if outcome.usage.wall_s else "before it started"
            ended = replace(outcome, reason=Reason.CANCELLED, message=f"cancelled {how}")
            return Finished(event.attempt, ended)
        if outcome.reason is not None and outcome.reason in RETURNS_TO_QUEUE:
            return Lost(event.attempt, outcome.reason, f"{outcome.message} ({outcome.where})")
        return event

    def _without_result(self, batch: Batch, attempt: str, said: Said) -> Finished | Lost:
        """The end of an attempt whose element has ended and told nothing of it."""
        where = said.where or batch.begun.get(attempt, "")
        if attempt in self._unwanted:
            how = "while it ran" if attempt in batch.begun else "before it started"
            return Finished(attempt, Outcome(Reason.CANCELLED, f"cancelled {how}", where=where))
        if said.reason is None:
            why = f": {said.why}" if said.why else ""
            return Lost(attempt, Reason.NODE, f"its job ended, but left no result{why}")
        if said.reason in RETURNS_TO_QUEUE:
            return Lost(attempt, said.reason, said.why)
        return Finished(attempt, Outcome(said.reason, said.why, where=where))

    def _tell(self, events: Sequence[ExecutorEvent]) -> None:
        """Pass events on, and forget the attempts that have their end."""
        over = set()
        for event in events:
            if isinstance(event, Finished | Lost | Rejected):
                batch = self._by_attempt.pop(event.attempt)
                del batch.open[event.attempt]
                self._unwanted.discard(event.attempt)
                if not batch.open:
                    over.add(batch.name)
        if events and not self._closed:
            self._sink.put(events)
        for name in over:
            self._over(self._batches.pop(name))
        if any(not isinstance(event, Started) for event in events):
            self.freed()

    def _over(self, batch: Batch) -> None:
        """All of a batch has ended: leave nothing of its array."""
        del self._by_job[batch.job]
        self._running = {key for key in self._running if key[0] != batch.name}
        self._ended = {key: value for key, value in self._ended.items() if key[0] != batch.name}
        self._ask_to_end(batch.job, None)
        self._desk.ask(partial(self._post.clear, batch), _whatever)


def _whatever(future: Future[None]) -> None:
    """What could not be cleared away now is when the run is over."""
    error = future.exception()
    if error is not None and not isinstance(error, Fault):
        raise error
