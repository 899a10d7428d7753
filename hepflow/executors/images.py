"""Container images of one executor: brought here once, before the first task that needs them.

Fetching one is an attempt like any other, made by the executor itself; the tasks that need the image
wait until it has ended. Owns who waits for what; must never know a process or a lane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

from hepflow.capsule.report import last_line
from hepflow.model.events import ExecutorEvent, Finished, Lost
from hepflow.model.task import Attempt, Outcome, Reason, Shell, Task
from hepflow.wire.containers import Runtime, fetching, find_runtime

FETCH: Final = "\0image "
"""How the ids of our own attempts begin; nobody else's do."""


class Images:
    """Which images are here, and who waits for the others.

    Args:
        env: the executor's variables, which say what runtime to use.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._here: set[str] = set()
        self._waiting: dict[str, list[Attempt]] = {}

    @cached_property
    def runtime(self) -> Runtime:
        """What runs containers here.

        Raises:
            LookupError: nothing does, with a sentence that says what to do.
        """
        return find_runtime(self._env)

    def admit(self, attempt: Attempt) -> Attempt | None:
        """What to run now for an attempt that needs an image: itself, the fetching of the image, or
        nothing, because that is under way.

        Raises:
            LookupError: there is no container runtime.
        """
        assert attempt.task.container is not None
        image, runtime = attempt.task.container.image, self.runtime
        if image in self._here:
            return attempt
        if image in self._waiting:
            self._waiting[image].append(attempt)
            return None
        self._waiting[image] = [attempt]
        return Attempt(FETCH + image, Task(Shell(fetching(runtime, image))))

    def drop(self, names: set[str]) -> list[str]:
        """Forget those of some attempts that wait for an image; returns which did."""
        dropped = []
        for image, waiting in self._waiting.items():
            dropped += [attempt.id for attempt in waiting if attempt.id in names]
            self._waiting[image] = [attempt for attempt in waiting if attempt.id not in names]
        return dropped

    def heard(self, events: Sequence[ExecutorEvent]) -> tuple[list[ExecutorEvent], list[Attempt]]:
        """The events that concern others, and the attempts that may run now."""
        if not self._waiting:
            return list(events), []
        told: list[ExecutorEvent] = []
        admitted: list[Attempt] = []
        for event in events:
            if not event.attempt.startswith(FETCH):
                told.append(event)
            elif isinstance(event, Lost):
                waiting = self._waiting.pop(event.attempt[len(FETCH) :])
                told += [event._replace(attempt=attempt.id) for attempt in waiting]
            elif isinstance(event, Finished):
                image = event.attempt[len(FETCH) :]
                waiting = self._waiting.pop(image)
                if event.outcome.succeeded:
                    self._here.add(image)
                    admitted += waiting
                else:
                    failure = self._failure(image, event.outcome)
                    told += [Finished(attempt.id, failure) for attempt in waiting]
        return told, admitted

    def _failure(self, image: str, outcome: Outcome) -> Outcome:
        message = (
            f"the container image '{image}' is not here and {self.runtime.kind} cannot bring it"
            f"{last_line(outcome.stderr)}"
        )
        return Outcome(Reason.START, message, where=outcome.where, stderr=outcome.stderr)
