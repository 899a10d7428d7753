"""The event log, and why a job that HTCondor held or ended has not succeeded.

Owns the reading of logs by HTCondor's own reader, and the meaning of codes. Must never know an attempt.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import htcondor2
from htcondor2 import JobEventType as Kind

from hepflow.model.task import Reason

CLUSTER: Final = -1
"""The number of a job that an event about its whole cluster bears."""

GONE_BACK: Final = {
    Kind.JOB_EVICTED: Reason.PREEMPTED,
    Kind.SHADOW_EXCEPTION: Reason.NODE,
    Kind.JOB_RECONNECT_FAILED: Reason.NODE,
}
"""A job that ran waits in the queue again, and why."""


class Event(NamedTuple):
    """One event: what happened to which job, and what the log says of it."""

    kind: Kind
    cluster: int
    job: int
    facts: Mapping[str, Any]

    @property
    def why(self) -> str:
        """The reason that the log gives, in one line."""
        for name in ("HoldReason", "Reason", "Message"):
            if name in self.facts:
                return " ".join(str(self.facts[name]).split()).rstrip(".")
        return "no reason is given"

    @property
    def where(self) -> str:
        """The slot a job runs in, or else its machine."""
        return str(self.facts.get("SlotName") or self.facts.get("ExecuteHost") or "")


class EventLog:
    """The log of one cluster, read on from where it was left.

    Args:
        path: the log; it must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self._log = htcondor2.JobEventLog(str(path))

    def read(self) -> list[Event]:
        """What was added since the last time; nothing of an event that is half written."""
        size = self._path.stat().st_size
        if size == self._size:
            return []
        self._size = size
        return [
            Event(event.type, event.cluster, event.proc, dict(event))
            for event in self._log.events(stop_after=0)
        ]


# --- holds ----------------------------------------------------------------------------------------

USERS: Final = frozenset({1, 15, 16})
"""Held by a person, submitted so, or while its files are spooled: whoever did it releases it."""

OUTPUT_TRANSFER, INPUT_TRANSFER, MEMORY = 12, 13, 34

OWN_FAULT: Final = {
    MEMORY: Reason.MEMORY,
    46: Reason.TIMEOUT,  # longer in the queue than allowed
    47: Reason.TIMEOUT,  # longer running than allowed
    3: Reason.REJECTED,  # a rule of the job's own
    26: Reason.REJECTED,  # a rule of the pool
    5: Reason.REJECTED,  # the credential
}
"""Code -> why it will not run; any other code that is not a person's: it could not be started."""

RELEASES: Final = 2
"""How often a job that was held because a file did not get through is released."""


def may_be_released(code: int, subcode: int) -> bool:
    """Whether a hold is for a reason that may pass: a transfer failed, though its file is there."""
    return code in (OUTPUT_TRANSFER, INPUT_TRANSFER) and subcode != errno.ENOENT


def hold_reason(code: int) -> Reason:
    """What a hold that stays means for the attempt."""
    return OWN_FAULT.get(code, Reason.START)
