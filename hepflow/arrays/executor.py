"""The door of every executor that hands arrays of containers to a service on the web.

Attempts that ask for the same are gathered into arrays, and found again by what was written down before they
were submitted. Works on the runner's thread and never blocks. Must never know which service it is.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from hepflow.arrays.batches import Batch, batches_in, new_batch
from hepflow.arrays.desk import Desk
from hepflow.arrays.posts import Parcel, Post, Sent
from hepflow.arrays.service import Array, Fault, Service, submit_once
from hepflow.arrays.watching import Watch
from hepflow.model.errors import UnavailableError
from hepflow.model.events import Accepted, ExecutorEvent, Finished, Rejected
from hepflow.model.protocols import Sink
from hepflow.model.site import Queue, Runtime, Site
from hepflow.model.task import Attempt, Outcome, Reason, Resources

GATHER_S: Final = 0.1
"""Attempts that come within this time of one another share an array."""

MOST_GATHERED_S: Final = 1.0
CAPACITY: Final = 10_000
ARRAY: Final = 1000
"""Most elements of an array where the site does not say."""

SLACK_S: Final = 60.0
"""An element may take so much longer than its tasks: the capsule ends them, not the service."""


class Shape(NamedTuple):
    """What is equal for all attempts of one array."""

    queue: str
    resources: Resources
    image: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What one executor makes of the common part.

    Args:
        image: what a task runs in that names no image.
        service: makes the service, from the tag of this executor.
        post: makes the way there and back, from the same; may raise ``UnavailableError``.
        poll_s: seconds between two looks at results while nothing calls for one.
        patience_s: seconds that a result may take to be seen after the end of its element.
    """

    image: str
    service: Callable[[str], Service]
    post: Callable[[str], Post]
    poll_s: float
    patience_s: float


class Arrays:
    """All attempts of one head at one site.

    Args:
        workdir: a folder of its own, which is removed in the end.
        site: where its arrays go.
        kind: what makes it the executor that it is.
    """

    def __init__(self, workdir: Path, site: Site, kind: Kind) -> None:
        check(site)
        most = max([site.anywhere.pack, *[queue.pack for queue in site.queues]])
        self.capacity = min(site.limits.jobs * most, CAPACITY) or CAPACITY
        self._workdir = workdir
        self._batches = self._workdir / "batches"
        self._site = site
        self._kind = kind
        self._tag = ""
        self._serial = 0
        self._waiting: dict[Shape, list[Attempt]] = {}
        self._first_waits = self._last_waits = 0.0
        self._unsent: list[tuple[Batch, Parcel, Shape]] = []
        self._sending = False
        self._closed = True
        self._next_send = 0.0
        self._sink: Sink
        self._desk: Desk
        self._service: Service
        self._post: Post
        self._watch: Watch

    # --- the door ---------------------------------------------------------------------------------

    def start(self, sink: Sink) -> None:
        """Get ready, and begin to listen.

        Raises:
            UnavailableError: the service or the store cannot be reached, or a library is missing.
        """
        self._sink = sink
        self._batches.mkdir(parents=True, exist_ok=True)
        tag = self._workdir / "tag"
        if not tag.exists():
            tag.write_text(os.urandom(5).hex(), encoding="ascii")
        self._tag = tag.read_text(encoding="ascii")
        self._serial = max((int(path.name) for path in self._batches.iterdir()), default=0)
        try:
            self._service = self._kind.service(self._tag)
            self._post = self._kind.post(self._tag)
        except Fault as fault:
            raise self._unavailable(fault) from fault
        self._desk = Desk(sink)
        self._watch = Watch(
            sink, self._desk, self._service, self._post, self._kind.poll_s, self._kind.patience_s
        )
        self._watch.freed = self._flush
        try:
            self._service.start(lambda news: self._desk.soon(lambda: self._watch.hear(news)))
        except Fault as fault:
            self._desk.close()
            raise self._unavailable(fault) from fault
        self._closed = False

    def _unavailable(self, fault: Fault) -> UnavailableError:
        return UnavailableError.of(
            "HF411", f"site '{self._site.name}' cannot be used now", why=str(fault),
            fix=f"see 'hepflow site check {self._site.name}'",
        )  # fmt: skip

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts: refuse what no queue takes, gather the others for a moment."""
        refused: list[ExecutorEvent] = []
        for attempt in attempts:
            shape = self.shape(attempt)
            if isinstance(shape, str):
                refused.append(Rejected(attempt.id, shape))
            else:
                self._waiting.setdefault(shape, []).append(attempt)
        now = time.monotonic()
        if self._waiting:
            self._first_waits = self._first_waits or now
            self._last_waits = now
            self._sink.call_at(now + GATHER_S, self._gathered)
        if refused:
            self._sink.put(refused)

    def cancel(self, attempts: Collection[str]) -> None:
        """End attempts; those that wait here at once, the others where they are."""
        names = set(attempts)
        dropped = []
        for shape, waiting in self._waiting.items():
            dropped += [attempt.id for attempt in waiting if attempt.id in names]
            self._waiting[shape] = [one for one in waiting if one.id not in names]
        self._waiting = {shape: waiting for shape, waiting in self._waiting.items() if waiting}
        never = Outcome(Reason.CANCELLED, "cancelled before it was submitted")
        if dropped:
            self._sink.put([Finished(name, never) for name in dropped])
        self._watch.cancel(names)

    def recover(self, attempts: Mapping[str, str]) -> Collection[str]:
        """Go on with the arrays of an earlier head, and with what others have left to tell.

        Raises:
            UnavailableError: the service cannot be asked which are there.
        """
        batches = [batch for batch in batches_in(self._batches) if batch.folder.name.isdigit()]
        wanted = [batch for batch in batches if any(name in attempts for name in batch.open)]
        if not wanted:
            return ()
        try:
            jobs = self._service.find([batch.name for batch in wanted])
            found: set[str] = set()
            for batch in wanted:
                batch.open = {
                    name: number for name, number in batch.open.items() if name in attempts
                }
                batch.job = jobs.get(batch.name, "")
                if not batch.job:  # never submitted, or over
                    self._keep_told(batch)
                found.update(batch.open)
        except Fault as fault:
            raise self._unavailable(fault) from fault
        for batch in wanted:
            if batch.open:
                batch.job = batch.job or batch.name
                self._watch.add(batch)
                self._watch.submitted(batch)
        return found

    def _keep_told(self, batch: Batch) -> None:
        """Of a batch whose array is gone, only what it has left to tell is still worth anything."""
        told = {event.attempt for event in self._post.news(batch) if isinstance(event, Finished)}
        batch.open = {name: number for name, number in batch.open.items() if name in told}
        batch.read.clear()

    def close(self, *, settled: bool = False) -> None:
        """Leave arrays to a later head; when there will be none, leave nothing of them."""
        if self._closed:
            return
        self._closed = True
        self._watch.close()
        self._service.close()
        self._desk.close()
        if not settled:
            return
        try:
            for job in self._watch.jobs:
                self._service.end(job, None)
            self._post.close()
        except Fault:
            pass  # the service removes them itself in the end
        shutil.rmtree(self._workdir, ignore_errors=True)

    # --- submitting -------------------------------------------------------------------------------

    def shape(self, attempt: Attempt) -> Shape | str:
        """What an attempt asks for, or why no queue takes it."""
        queue = self._site.queue_for(attempt.task.resources)
        if isinstance(queue, str):
            return queue
        container = attempt.task.container
        image = self._site.container.spell(container.image) if container else self._kind.image
        return Shape(queue.name, attempt.task.resources, image)

    def _queue(self, shape: Shape) -> Queue:
        named = (queue for queue in self._site.queues if queue.name == shape.queue)
        return next(named, self._site.anywhere)

    def _gathered(self) -> None:
        """Submit what waits, unless more of it is coming."""
        now = time.monotonic()
        quiet = now - self._last_waits >= GATHER_S * 0.9
        if self._first_waits and (quiet or now - self._first_waits >= MOST_GATHERED_S):
            self._first_waits = 0.0
            self._flush()

    def _flush(self) -> None:
        """Make batches of what waits, as far as limits allow."""
        if self._closed or self._first_waits:
            return
        for shape, waiting in list(self._waiting.items()):
            queue = self._queue(shape)
            waiting.sort(key=lambda attempt: -attempt.priority)
            elements = self._free(queue)
            pack = max(1, queue.pack)
            taken = waiting[: elements * pack]
            self._waiting[shape] = waiting[len(taken) :]
            if not self._waiting[shape]:
                del self._waiting[shape]
            most = (queue.array or ARRAY) * pack
            for start in range(0, len(taken), most):
                self._prepare(shape, taken[start : start + most], pack)
        self._send()

    def _free(self, queue: Queue) -> int:
        """How many elements more a queue takes."""
        free = [CAPACITY]
        if self._site.limits.jobs:
            free.append(self._site.limits.jobs - self._watch.open_elements())
        if queue.jobs:
            free.append(queue.jobs - self._watch.open_elements(queue.name))
        return max(0, min(free))

    def _prepare(self, shape: Shape, attempts: Sequence[Attempt], pack: int) -> None:
        """Write down what will be asked for, without what cannot be sent at all."""
        self._serial += 1
        folder = self._batches / str(self._serial)
        folder.mkdir(parents=True)
        parcel = self._post.parcel(folder)
        taken: list[Attempt] = []
        for attempt in attempts:
            try:
                parcel.add(attempt, len(taken))
            except (TypeError, ValueError, OSError, RecursionError) as error:
                outcome = Outcome(Reason.START, f"it cannot be sent: {error}")
                self._sink.put([Finished(attempt.id, outcome)])
            else:
                taken.append(attempt)
        if not taken:
            folder.rmdir()
            return
        elements = [taken[start : start + pack] for start in range(0, len(taken), pack)]
        name = f"{plain(taken[0].id)}-{self._tag}-{self._serial}"
        batch = new_batch(folder, name, elements, parcel.places)
        batch.queue = shape.queue
        batch.keep()
        self._watch.add(batch)
        self._unsent.append((batch, parcel, shape))

    def _send(self) -> None:
        """Submit the next batch, one at a time and no faster than the site allows."""
        if self._sending or self._closed or not self._unsent:
            return
        self._sending = True
        now = time.monotonic()
        if now < self._next_send:
            self._sink.call_at(self._next_send, self._send_after_a_pause)
            return
        rate = self._site.limits.submits_per_s
        self._next_send = now + (1 / rate if rate else 0.0)
        batch, parcel, shape = self._unsent.pop(0)
        self._desk.ask(partial(self._submit, batch, parcel, shape), partial(self._sent, batch))

    def _send_after_a_pause(self) -> None:
        self._sending = False
        self._send()

    def _submit(self, batch: Batch, parcel: Parcel, shape: Shape) -> str:
        """On a thread: have everything there, then the array itself."""
        queue, resources = self._queue(shape), shape.resources
        limit_s = _limit_s(queue, resources, max(map(len, batch.elements)))
        try:
            sent = self._post.send(batch, parcel, limit_s, self._service.index)
        except OSError as error:
            raise Fault(f"its files cannot be sent: {error}") from error
        return submit_once(self._service, self._array(batch, shape, limit_s, sent))

    def _array(self, batch: Batch, shape: Shape, limit_s: float, sent: Sent) -> Array:
        return Array(
            batch.name, batch.parts[0].attempt, len(batch.elements), self._queue(shape),
            shape.resources, limit_s, shape.image, sent.script, dict(self._site.env), sent.secret,
        )  # fmt: skip

    def _sent(self, batch: Batch, future: Future[str]) -> None:
        self._sending = False
        try:
            batch.job = future.result()
        except Fault as fault:
            names = self._watch.drop(batch)
            shutil.rmtree(batch.folder, ignore_errors=True)
            message = f"site '{self._site.name}' did not take it: {fault}"
            self._sink.put([Rejected(name, message, fault.transient) for name in names])
        else:
            self._sink.put([Accepted(name, batch.handle(name)) for name in batch.open])
            self._watch.submitted(batch)
        self._send()

    def sample(self, attempts: Sequence[Attempt], sent: Callable[[Path, str], Sent]) -> str:
        """What would be sent for these attempts.

        Raises:
            ValueError: no queue takes them, or the service cannot be used from here; a sentence for
                the user.
        """
        shapes: dict[Shape, list[Attempt]] = {}
        for attempt in attempts:
            shape = self.shape(attempt)
            if isinstance(shape, str):
                raise ValueError(f"{attempt.id}: {shape}")
            shapes.setdefault(shape, []).append(attempt)
        try:
            service = self._kind.service("TAG")
        except Fault as fault:
            raise ValueError(str(fault)) from fault
        texts = []
        for shape, alike in shapes.items():
            queue = self._queue(shape)
            pack = max(1, queue.pack)
            taken = alike[: (queue.array or ARRAY) * pack]
            elements = [taken[start : start + pack] for start in range(0, len(taken), pack)]
            name = f"{plain(taken[0].id)}-TAG-1".lower()
            batch = new_batch(self._batches / "1", name, elements, {})
            limit_s = _limit_s(queue, shape.resources, pack)
            texts.append(
                service.sample(
                    self._array(batch, shape, limit_s, sent(batch.folder, service.index))
                )
            )
        return "\n".join(texts)


def _limit_s(queue: Queue, resources: Resources, tasks: int) -> float:
    """Seconds that an element with so many tasks may take; 0 where nobody says."""
    each = queue.walltime(resources)
    wanted = each * tasks + SLACK_S if each else 0.0
    return min(wanted, queue.walltime_s) if queue.walltime_s else wanted


def plain(attempt: str) -> str:
    """The step of an attempt as the beginning of a name: small letters, digits, hyphens."""
    step = re.split(r"[\[#]", attempt)[0].lower()
    return re.sub(r"[^a-z0-9]+", "-", step).strip("-")[:24].strip("-") or "task"


def check(site: Site) -> None:
    """Refuse what a site of containers has no use for.

    Raises:
        ValueError: a sentence for the user.
    """
    if site.container.runtime not in (Runtime.NATIVE, Runtime.NONE):
        raise ValueError(
            f"the {site.executor} executor starts images itself: say 'container: {{runtime: native}}'"
        )
    if site.modules:
        raise ValueError(f"the {site.executor} executor has no use for 'modules': it runs images")
