"""A run that another program feeds: it puts work in, and is told how each piece ended.

Owns the thread the run is driven on. Store, cache, sites and recovery are those of every run; only
the graph is somebody else's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock, Thread
from typing import NamedTuple, TypeAlias

from hepflow.engine import Feed, Policy, Scheduler
from hepflow.engine.feed import CANCELLED
from hepflow.model.errors import HepflowError
from hepflow.model.site import Queue
from hepflow.model.values import Values
from hepflow.model.workflow import Step
from hepflow.runner.books import Books
from hepflow.runner.drive import Runner
from hepflow.runner.loop import Loop
from hepflow.runner.opening import Wish, open_fleet
from hepflow.runner.planner import Planner, Rules
from hepflow.runner.telling import Telling
from hepflow.store.database import Place
from hepflow.store.reader import parts, root_of, runs
from hepflow.store.records import RunState
from hepflow.store.writer import RunWriter, create_run, reopen_run


class Ended(NamedTuple):
    """How a piece of work ended.

    Args:
        outputs: what its tool collected, now or in an earlier run; ``None`` where it failed.
        message: why it failed, in one sentence.
    """

    name: str
    outputs: Values | None
    message: str = ""


Told: TypeAlias = Callable[[Ended], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of a fed run.

    Args:
        place: the store. wish: where it is to take place.
        name: of the run. request: what was asked for, to be kept in the store.
        within: the run that this is a part of; 0 for none.
        in_flight: attempts submitted at a time; 0 for what the executors can use.
        reuse: take results of earlier runs.
    """

    place: Place
    wish: Wish
    name: str
    request: Mapping[str, object]
    within: int = 0
    in_flight: int = 0
    reuse: bool = True


class FedRun:
    """One run, from its opening to its close.

    Args:
        order: what it is.

    Raises:
        HepflowError: it cannot be opened: there is no such site, the store cannot be written.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._feed = Feed(self._over)
        self._titles: dict[str, int] = {}
        self._open: dict[str, Told] = {}
        self._lock = Lock()
        self._loop = Loop()
        self._runner: Runner | None = None
        self._fault = ""
        self._cancelled = False
        self.here: Queue | None = None
        """What a task may have where this machine is all there is; ``None`` where there are sites."""
        opened: Future[int] = Future()
        self._thread = Thread(target=self._drive, args=(opened,), name="hepflow", daemon=True)
        self._thread.start()
        self.number = opened.result()
        """The run's number in the store."""

    def title(self, step: str) -> str:
        """A name for the next piece of a step, ``fit[3]``."""
        with self._lock:
            index = self._titles.get(step, 0)
            self._titles[step] = index + 1
        return f"{step}[{index}]"

    def put(self, title: str, step: Step, inputs: Values, told: Told) -> None:
        """Add a piece of work.

        Args:
            title: the name it goes by, from :meth:`title`.
            step: what it is one of; it runs a tool.
            told: called when it has ended, on the run's own thread; must not raise.
        """
        with self._lock:
            runner = self._runner
            if runner is not None:
                self._open[title] = told
                self._feed.put(title, step, inputs)
                self._loop.wake()
        if runner is None:
            told(Ended(title, None, self._fault or CANCELLED))

    def cancel(self) -> None:
        """End what is under way, and the run; it can be waited for with :meth:`close`."""
        with self._lock:
            self._cancelled = True
            if self._runner is not None:
                self._runner.interrupt()

    def close(self) -> None:
        """No more work will come; returns when all has ended and the books are closed."""
        self._feed.close()
        with self._lock:
            if self._runner is not None:
                self._loop.wake()
        self._thread.join()

    # --- on the run's own thread ------------------------------------------------------------------

    def _drive(self, opened: Future[int]) -> None:
        order = self._order
        try:
            writer = _open_books(order)
            self._titles = _next_titles(writer)
        except HepflowError as error:
            self._loop.close()
            opened.set_exception(error)
            return
        state, message = RunState.FAILED, ""
        try:
            scheduler = self._assemble(writer)
            opened.set_result(writer.run)
            assert self._runner is not None
            conclusion = self._runner.run()
            message = "; ".join(self._runner.failures[:3])
            if conclusion.cancelled or self._cancelled:
                state = RunState.CANCELLED
            elif not scheduler.failures:
                state = RunState.SUCCEEDED
        except HepflowError as error:
            message = self._fault = error.problems[0].what
            if not opened.done():
                opened.set_exception(error)
        except BaseException as error:
            self._fault = "hepflow itself failed"
            if not opened.done():
                opened.set_exception(error)
            raise
        finally:
            writer.end_run(state, "", message, time.time())
            writer.close()
            self._desert()

    def _assemble(self, writer: RunWriter) -> Scheduler:
        order, place = self._order, self._order.place
        fleet = open_fleet(order.wish, place.sites(writer.run))
        if not order.wish.sites:
            self.here = fleet.offers[0].extent.task
        policy = Policy(in_flight=order.in_flight or fleet.capacity, keep_going=True)
        # Who feeds it plans anew, so nothing is adopted: two attempts must not write the same files.
        scheduler = Scheduler(self._feed, {}, policy)
        root = root_of(place)
        rules = Rules(writer.run, order.reuse)
        planner = Planner(writer.results(), rules, root, weigh=len(fleet.offers) > 1)
        books = Books(str(place.work(writer.run)), root)
        telling = Telling(scheduler, writer.run, order.name, None)
        self._runner = Runner(
            scheduler, planner, writer, books, fleet, telling, self._loop, adopt=False
        )
        return scheduler

    def _over(self, title: str, outputs: Values | None, message: str) -> None:
        self._open.pop(title)(Ended(title, outputs, message))

    def _desert(self) -> None:
        """The run is over, whatever was still to come."""
        with self._lock:
            self._runner = None
            self._loop.close()
            left, self._open = self._open, {}
        for title, told in left.items():
            told(Ended(title, None, self._fault or CANCELLED))


def _open_books(order: Order) -> RunWriter:
    """The books of a new run, or those of the last one of its kind if that was interrupted."""
    place, now = order.place, time.time()
    alike = (
        run
        for run in (parts(place, order.within) if order.within else runs(place, whole=True))
        if run.name == order.name and not run.recipe
    )
    last = next(alike, None)
    if last is not None and last.state is RunState.INTERRUPTED:
        return reopen_run(place, last.id, now=now)
    request = {**order.request, "within": order.within}
    return create_run(place, name=order.name, recipe="", options=request, inputs="{}", now=now)


def _next_titles(writer: RunWriter) -> dict[str, int]:
    """The first index of each step that an earlier head of the run has not given away."""
    found: dict[str, int] = {}
    for name in writer.attempts_so_far():
        step, _, index = name.removesuffix("]").rpartition("[")
        found[step] = max(found.get(step, 0), int(index) + 1)
    return found
