"""What a job's state means for those of its attempts that left no result.

Owns that judgement and the patience it takes. Must never look at a folder or run a command.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from hepflow.batch.hooks import Hooks, Witness
from hepflow.batch.submissions import Submission
from hepflow.capsule.report import last_line
from hepflow.model.events import Finished, Lost
from hepflow.model.task import RETURNS_TO_QUEUE, Outcome, Reason

GOES_ON: Final = ("RUNNING", "COMPLETING")
AGAIN_S: Final = 1.0
"""When to ask once more about a job that must end by now."""


class Patience(NamedTuple):
    """Seconds that pass before a job is judged by what the batch system says.

    Args:
        results_s: that results may take to be seen after their job's end.
        unknown_s: that a job may be unknown.
        never_s: that it may wait for what it cannot get.
        silent_s: that a task in a running job may give no sign of life.
    """

    results_s: float
    unknown_s: float
    never_s: float
    silent_s: float


class Judge:
    """Tells how attempts ended by what is known of their jobs.

    Args:
        hooks: the batch system's words.
        patience: how long it waits.
        cancelled: attempts whose end is wanted; kept up to date by its owner.
    """

    def __init__(self, hooks: Hooks, patience: Patience, cancelled: Collection[str]) -> None:
        self._hooks = hooks
        self._patience = patience
        self._cancelled = cancelled
        self._held: dict[str, tuple[Finished, float]] = {}
        self._unknown: dict[str, float] = {}
        self._in_vain: dict[str, float] = {}
        self.look_again_at = float("inf")

    def of_result(self, event: Finished, now: float) -> Finished | Lost | None:
        """The end that a result tells of; nothing where the batch system must say why."""
        outcome = event.outcome
        name = event.attempt
        if name in self._cancelled and outcome.reason is not Reason.CANCELLED:
            ran = "while it ran" if outcome.usage.wall_s else "before it started"
            message = f"cancelled {ran}"
            return Finished(name, replace(outcome, reason=Reason.CANCELLED, message=message))
        if outcome.reason is Reason.PREEMPTED:
            self._held.setdefault(name, (event, now))
            return None
        return _end(event)

    def forget(self, name: str) -> None:
        """An attempt has its end."""
        self._held.pop(name, None)

    def of_unknown(self, handle: str, names: list[str], now: float) -> Iterator[Finished | Lost]:
        """The end of attempts whose job the batch system does not know; at first none.

        Of a job that was cancelled while it waited some keep no record: that is believed sooner.
        """
        waited_s = now - self._unknown.setdefault(handle, now)
        message = f"{self._hooks.name} knows nothing of its job {handle} (any more)"
        for name in names:
            cancelled = name in self._cancelled
            if waited_s > (self._patience.results_s if cancelled else self._patience.unknown_s):
                yield self._lost(name, Reason.NODE, message)

    def of_job(
        self,
        submission: Submission,
        element: int,
        handle: str,
        names: list[str],
        witness: Witness,
        now: float,
    ) -> Iterator[Finished | Lost]:
        """The ends of those attempts of a job that have none by their results."""
        self._unknown.pop(handle, None)
        for name in names:
            yield from self._why_told(name, witness, now)
        left = [name for name in names if name not in self._held]
        if not left:
            return
        if witness.state not in self._hooks.ended:
            submission.over.pop(element, None)
            yield from self._of_waiting(submission, handle, left, witness, now)
            if witness.state == "RUNNING":
                yield from self._of_silent(submission, handle, left, witness.node, now)
            return
        since = submission.over.setdefault(element, now)
        due = since + self._patience.results_s
        if now < due and not all(name in self._cancelled for name in left):
            self.look_again_at = min(self.look_again_at, due)
            return
        where = f"{witness.node} job {handle}".strip()
        for name in left:
            yield self._without_result(submission, element, name, witness, where, name == left[0])

    def _why_told(self, name: str, witness: Witness, now: float) -> Iterator[Finished | Lost]:
        """The end of one that was told to end, when the batch system has said why."""
        if name not in self._held:
            return
        event, since = self._held[name]
        own_word = self._hooks.own_words.get(witness.state)
        reason = self._hooks.ended.get(witness.state)
        if reason is Reason.TIMEOUT and not event.outcome.usage.wall_s:
            yield _end(event)  # others took the time of its job
        elif own_word is not None:
            yield Finished(name, replace(event.outcome, reason=reason, message=own_word))
        elif witness.state in GOES_ON and now - since <= self._patience.results_s:
            # Asked before it was told to end, or not yet gone: why, is said when it is.
            self.look_again_at = min(self.look_again_at, now + AGAIN_S)
        else:
            yield _end(event)

    def _of_waiting(
        self, submission: Submission, handle: str, names: list[str], witness: Witness, now: float
    ) -> Iterator[Finished | Lost]:
        """The end of attempts whose job waits in vain; nothing while there is hope."""
        asked = submission.asked or "what it asks for"
        message = f"job {handle} of {asked} will not start: {witness.why}"
        if witness.why in self._hooks.stuck:
            yield from [self._lost(name, Reason.NODE, message) for name in names]
        elif witness.why not in self._hooks.never:
            self._in_vain.pop(handle, None)
        elif now - self._in_vain.setdefault(handle, now) >= self._patience.never_s:
            yield from [Finished(name, Outcome(Reason.REJECTED, message)) for name in names]

    def _of_silent(
        self, submission: Submission, handle: str, names: list[str], node: str, now: float
    ) -> Iterator[Finished | Lost]:
        """The end of all in a job whose capsule has fallen silent: its node hangs, or its files do."""
        patience_s = self._patience.silent_s
        if any(submission.silence_s(name, now) > patience_s for name in names):
            message = f"job {handle} on {node} has given no sign of life for {patience_s:g} s"
            yield from [self._lost(name, Reason.NODE, message) for name in names]

    def _without_result(
        self,
        submission: Submission,
        element: int,
        name: str,
        witness: Witness,
        where: str,
        first: bool,
    ) -> Finished | Lost:
        """The end of an attempt whose job is over and has left no result of it.

        Args:
            first: it is the first of its job without a result: if one ran, this one.
        """
        begun = name in submission.begun
        if name in self._cancelled:
            how = "cancelled while it ran" if begun else "cancelled before it started"
            return Finished(name, Outcome(Reason.CANCELLED, how, where=where))
        reason = self._hooks.ended[witness.state]
        log = submission.log(element)
        if reason is Reason.START and any(sign in log for sign in self._hooks.memory_signs):
            reason = Reason.MEMORY
        why = f" ({witness.why})" if witness.why and witness.why != witness.state else ""
        message = f"its job ended as {witness.state}{why}"
        if not first and not begun:
            return self._lost(name, Reason.NODE, f"{message} before it began")
        if reason is Reason.START and begun:
            reason = Reason.NODE
        if reason in RETURNS_TO_QUEUE:
            told = f"{message} on {where} and left no result{last_line(log)}"
            return self._lost(name, reason, told)
        if reason is Reason.START:
            message = f"{message} before its program was started{last_line(log)}"
        elif reason is Reason.MEMORY:
            message += self._memory_line(log)
        return Finished(name, Outcome(reason, message, where=where, stderr=log))

    def _memory_line(self, log: str) -> str:
        """What the batch system wrote of the memory, as the end of a message."""
        signs = self._hooks.memory_signs
        told = [line for line in log.splitlines() if any(sign in line for sign in signs)]
        return f": {told[0].strip()}" if told else ""

    def _lost(self, name: str, reason: Reason, message: str) -> Finished | Lost:
        if name in self._cancelled:
            return Finished(name, Outcome(Reason.CANCELLED, "cancelled before it started"))
        return Lost(name, reason, message)


def _end(event: Finished) -> Finished | Lost:
    """The end that a result tells of: some are no fault of the task."""
    outcome = event.outcome
    if outcome.reason in RETURNS_TO_QUEUE:
        assert outcome.reason is not None
        return Lost(event.attempt, outcome.reason, f"{outcome.message} ({outcome.where})")
    return event
