"""The sites of a run, each with its executor: what goes where, and what came of it there.

Owns which attempt is at which site. To the runner it is one executor; where there is one site only, it
hands everything through. Must never know the store or the engine.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from hepflow.model.errors import HepflowError, UnavailableError
from hepflow.model.events import ExecutorEvent, Finished, Lost, Rejected, Started
from hepflow.model.protocols import Executor, Sink
from hepflow.model.task import RETURNS_TO_QUEUE, Attempt, Reason, Resources
from hepflow.runner.placing import Data, Load, Need, Offer, Placement, idle_for, place

SHARE: Final = 4
"""Attempts for each core that a site of known size is given, where there are other sites as well."""
LEAST: Final = 8
WAITED_S: Final = 60.0
"""After so long in a site's queue an attempt is called back for another site that has idle cores."""
LOOK_S: Final = 10.0
"""Seconds between two looks whether one is to be."""
SETTLED_S: Final = 2.0
"""Seconds in which a site that was left tells what had ended there."""


class Post:
    """One site of a run: what it offers, and the executor that brings tasks there.

    Args:
        name: as the site can be found again: its name, or the path of its file.
    """

    __slots__ = ("executor", "name", "offer")

    def __init__(self, name: str, offer: Offer, executor: Executor) -> None:
        self.name = name
        self.offer = offer
        self.executor = executor

    @property
    def room(self) -> int:
        """Attempts worth having there while other sites may take them as well."""
        if self.offer.by_name:
            return self.executor.capacity
        cores, jobs = self.offer.extent.cores, self.offer.site.limits.jobs
        known = [max(LEAST, math.ceil(cores * SHARE))] if cores else []
        return min([self.executor.capacity, *known, *([jobs] if jobs else [])])


class Fleet:
    """All sites of one run.

    Args:
        posts: in the order of the user's wish.
        reopen: makes a site, by name, that the run had before and has no more.

    Attributes:
        offers: what each site offers, in that order.
    """

    def __init__(self, posts: Sequence[Post], reopen: Callable[[str], Post]) -> None:
        self._posts = {post.offer.site.name: post for post in posts}
        self._only = posts[0] if len(posts) == 1 else None
        self.offers = tuple(post.offer for post in posts)
        self._reopen = reopen
        self._left: dict[str, Post] = {}
        self._at: dict[str, Post] = {}
        self._asked: dict[str, Need] = {}
        self._loads: dict[str, Load] = {}
        self._losses: dict[str, Counter[str]] = {}
        self._refusals: dict[str, dict[str, str]] = {}
        self._nowhere: dict[str, str] = {}
        self._moved: set[str] = set()
        self._inherited: set[str] = set()
        """Attempts of an earlier head, which may have cancelled them, that this one has not."""
        self._waiting: dict[str, float] = {}
        """Attempts that were not told to have started, and since when they wait."""
        self._looking = False
        self._closed = False
        self._sink: Sink

    @property
    def capacity(self) -> int:
        """Attempts worth having submitted at a time."""
        if self._only is not None:
            return self._only.executor.capacity
        return sum(post.room for post in self._posts.values())

    def start(self, sink: Sink) -> None:
        """Get all sites ready.

        Raises:
            UnavailableError: one of them is not to be had.
        """
        self._sink = sink
        for post in self._posts.values():
            post.executor.start(sink)

    def close(self, *, settled: bool = False) -> None:
        """End everything that cannot outlive the head."""
        self._closed = True
        for post in self._left.values():
            post.executor.cancel([name for name, at in self._at.items() if at is post])
        for post in [*self._posts.values(), *self._left.values()]:
            post.executor.close(settled=settled)

    # --- what goes where --------------------------------------------------------------------------

    def send(self, attempt: str, resources: Resources, site: str, data: Data) -> str:
        """Choose the site of an attempt that will be submitted; its name, to be written down first.

        Empty where none takes it: the attempt is refused as soon as it is submitted.
        """
        if self._only is not None and site in ("", self._only.offer.site.name):
            return self._only.name
        name = attempt.rpartition("#")[0]
        need = Need(resources, site, data, self._losses.get(name, {}), self._refusals.get(name, {}))
        found = self._place(need)
        post = self._posts.get(found.site)
        if post is None:
            self._nowhere[attempt] = found.why
            return ""
        self._at[attempt] = post
        self._asked[attempt] = need
        self._count(post, resources, 1)
        return post.name

    def _place(self, need: Need) -> Placement:
        return place(need, self.offers, self._loads)

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts, each to the site that was chosen for it."""
        if self._only is not None and not self._nowhere:
            self._only.executor.submit(attempts)
            return
        groups: dict[str, list[Attempt]] = {}
        refused: list[ExecutorEvent] = []
        for attempt in attempts:
            why = self._nowhere.pop(attempt.id, "")
            if why:
                refused.append(Rejected(attempt.id, why))
            else:
                post = self._only or self._at[attempt.id]
                groups.setdefault(post.offer.site.name, []).append(attempt)
        for name, group in groups.items():
            self._posts[name].executor.submit(group)
        if refused:
            self._sink.put(refused)
        if self._only is None:
            now = time.monotonic()
            self._waiting.update((a.id, now) for group in groups.values() for a in group)
            self._look_later()

    # --- calling back -----------------------------------------------------------------------------

    def _look_later(self) -> None:
        if self._waiting and not self._looking:
            self._looking = True
            self._sink.call_at(time.monotonic() + LOOK_S, self._look)

    def _look(self) -> None:
        """Call back what has waited long for where it could run at once, the latest first."""
        self._looking = False
        if self._closed:
            return
        loads = dict(self._loads)
        back: dict[str, list[str]] = {}
        for attempt in reversed(self._long_waiting()):
            site = self._at[attempt].offer.site.name
            need = self._asked[attempt]
            to = idle_for(need, site, self.offers, loads)
            if to:
                load = loads.get(to, Load())
                loads[to] = Load(load.tasks + 1, load.cores + need.resources.cpus)
                self._losses.setdefault(attempt.rpartition("#")[0], Counter())[site] += 1
                back.setdefault(site, []).append(attempt)
        for site, attempts in back.items():
            self._moved.update(attempts)
            for attempt in attempts:
                del self._waiting[attempt]
            self._posts[site].executor.cancel(attempts)
        self._look_later()

    def _long_waiting(self) -> list[str]:
        """Attempts that wait for longer than is good, if any site has idle cores at all."""
        loads = [(offer, self._loads.get(offer.site.name, Load())) for offer in self.offers]
        if all(offer.extent.cores <= load.cores for offer, load in loads):
            return []
        since = time.monotonic() - WAITED_S
        known = self._asked
        return [name for name, at in self._waiting.items() if at <= since and name in known]

    # --- the end of an attempt, as the run wishes it ----------------------------------------------

    def withdraw(self, attempt: str) -> None:
        """An attempt will not be submitted after all."""
        self._nowhere.pop(attempt, None)
        self._forget(attempt)

    def cancel(self, attempts: Iterable[str]) -> None:
        """End attempts, each where it is."""
        groups: dict[str, tuple[Post, list[str]]] = {}
        for attempt in attempts:
            self._inherited.discard(attempt)
            post = self._at.get(attempt) or self._only
            if post is not None:
                groups.setdefault(post.name, (post, []))[1].append(attempt)
        for post, names in groups.values():
            post.executor.cancel(names)

    # --- what an earlier head left ----------------------------------------------------------------

    def recover(self, left: Mapping[str, tuple[str, str]]) -> Collection[str]:
        """Find attempts of an earlier head again, each at the site it was sent to.

        What is still under way at a site that the run has no more is cancelled there, and tried again
        when it has ended: so nothing runs twice.

        Args:
            left: id -> (handle, name of the site).

        Returns: ids that are alive or have a result to tell.

        Raises:
            UnavailableError: a site that the run has no more cannot be asked.
        """
        by_site: dict[str, dict[str, str]] = {}
        for attempt, (handle, site) in left.items():
            by_site.setdefault(site, {})[attempt] = handle
        own = {post.name: post for post in self._posts.values()}
        found: set[str] = set()
        for site, handles in by_site.items():
            if not site:
                continue  # it was to be refused
            post = own.get(site) or self._left_at(site, len(handles))
            alive = post.executor.recover(handles)
            self._at.update(dict.fromkeys(alive, post))
            self._inherited.update(alive)
            found.update(alive)
            if site not in own:
                # What has ended there is told first; only the rest is cancelled.
                bring = partial(self._bring_away, post, frozenset(alive))
                self._sink.call_at(time.monotonic() + SETTLED_S, bring)
        return found

    def _bring_away(self, post: Post, alive: frozenset[str]) -> None:
        """Cancel what is still under way at a site, to be made elsewhere."""
        left = [attempt for attempt in alive if attempt in self._at]
        self._moved.update(left)
        post.executor.cancel(left)

    def _left_at(self, site: str, many: int) -> Post:
        """A site that the run has no more, but has left tasks at."""
        try:
            post = self._left[site] = self._reopen(site)
            post.executor.start(self._sink)
        except HepflowError as error:
            what = f"{many} tasks of this run may still be under way at '{site}', which cannot be asked"
            raise UnavailableError.of(
                "HF415", what, why=error.problems[0].what,
                fix=f"'hepflow resume --site {site}' when it is there again; 'hepflow run' begins anew,"
                " with the results that there are",
            ) from None  # fmt: skip
        return post

    # --- what comes back --------------------------------------------------------------------------

    def heard(self, event: ExecutorEvent) -> ExecutorEvent:
        """Note what an executor says; the event as it is meant for the whole run."""
        if not self._at or not isinstance(event, Finished | Lost | Rejected | Started):
            return event
        attempt = event.attempt
        self._waiting.pop(attempt, None)
        if isinstance(event, Started):
            return event
        post = self._at.get(attempt)
        if post is None:
            return event
        need = self._forget(attempt)
        if attempt in self._moved or attempt in self._inherited:
            self._moved.discard(attempt)
            self._inherited.discard(attempt)
            return _unasked(event, post.offer.site.name)
        return event if need is None else self._elsewhere(event, post.offer.site.name, need)

    def _forget(self, attempt: str) -> Need | None:
        """What an attempt asked for, which is over."""
        post = self._at.pop(attempt, None)
        need = self._asked.pop(attempt, None)
        if post is not None and need is not None:
            self._count(post, need.resources, -1)
        return need

    def _elsewhere(self, event: ExecutorEvent, site: str, need: Need) -> ExecutorEvent:
        """What was lost or refused at a site is tried at another."""
        name = event.attempt.rpartition("#")[0]
        if _is_lost(event):
            self._losses.setdefault(name, Counter())[site] += 1
        elif isinstance(event, Rejected):
            refusals = self._refusals.setdefault(name, {})
            refusals[site] = event.message
            if self._place(need._replace(refusals=refusals)).site:
                return event._replace(transient=True)
        elif isinstance(event, Finished) and event.outcome.succeeded:
            self._losses.pop(name, None)
            self._refusals.pop(name, None)
        return event

    def _count(self, post: Post, resources: Resources, change: int) -> None:
        name = post.offer.site.name
        before = self._loads.get(name, Load())
        cores = before.cores + change * resources.cpus
        self._loads[name] = Load(before.tasks + change, cores)


def _is_lost(event: ExecutorEvent) -> bool:
    """Whether an attempt ended by no fault of its own, so that another site may serve it better."""
    match event:
        case Finished(_, outcome):
            return outcome.reason in RETURNS_TO_QUEUE
        case Rejected():
            return event.transient
    return isinstance(event, Lost)


def _unasked(event: ExecutorEvent, site: str) -> ExecutorEvent:
    """The end of an attempt that was called back, or cancelled by an earlier head: the run wants it still."""
    if isinstance(event, Finished) and event.outcome.reason is Reason.CANCELLED:
        return Lost(event.attempt, Reason.NODE, f"it was cancelled at {site}, and is made anew")
    return event
