"""What PBS says of jobs, in the words that the machinery for batch systems has for them.

Owns the letters and exit statuses of PBS and the reading of its commands' output. Must never run a command.

Torque and PBS Pro print the same full form of ``qstat -f``. Of a job that is over they tell an exit status:
the script's own, 256 and a signal's number, or a negative one for what the system itself did (Torque:
``JOB_EXEC_*`` in ``pbs_job.h``; PBS Pro: Administrator's Guide, "Job Exit Status Codes").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from hepflow.batch.hooks import Witness
from hepflow.model.task import Reason

LETTERS: Final = {
    "B": "RUNNING",  # an array of which something runs
    "E": "COMPLETING",
    "H": "HELD",
    "M": "PENDING",  # moved to another server
    "Q": "PENDING",
    "R": "RUNNING",
    "S": "SUSPENDED",
    "T": "PENDING",
    "U": "SUSPENDED",
    "W": "PENDING",
}
"""The states of a job that is not over; C (Torque), F and X (PBS Pro) are those of one that is."""

KILLED: Final = 256
STATUSES: Final = {
    0: "COMPLETED",
    -10: "OUT_OF_MEMORY", -25: "OUT_OF_MEMORY", -26: "OUT_OF_MEMORY", -27: "OUT_OF_MEMORY",
    -11: "TIMEOUT", -12: "TIMEOUT", -28: "TIMEOUT", -29: "TIMEOUT",
    -3: "REQUEUED", -5: "REQUEUED", -6: "REQUEUED",
    KILLED + 15: "CANCELLED",  # qdel; a capsule that is told to end leaves results, and then a plain 0
}  # fmt: skip

ENDED: Final = {
    "CANCELLED": Reason.CANCELLED,
    "COMPLETED": Reason.NODE,
    "FAILED": Reason.START,
    "KILLED": Reason.NODE,
    "OUT_OF_MEMORY": Reason.MEMORY,
    "REQUEUED": Reason.PREEMPTED,
    "TIMEOUT": Reason.TIMEOUT,
}
"""The states of a job that is over, and why an attempt in it that left no result ended."""

OWN_WORDS: Final = {"CANCELLED": "cancelled in PBS", "TIMEOUT": "the job's time limit was reached"}
"""How PBS ended a job whose capsule knows only that it was told to end."""

CAN_NEVER_RUN: Final = "Can Never Run"
STUCK: Final = ("job held, too many failed attempts to run",)
"""Why a job waits that will not start, as PBS Pro comments on it."""

MEMORY_SIGNS: Final = ("job exceeded MEM", "exceeded resource mem", "oom-kill", "Out of memory")

PASSING: Final = (
    "Cannot connect to",
    "cannot connect to server",
    "Connection refused",
    "Connection timed out",
    "No route to host",
    "Invalid credential",  # its daemon for tickets is away
    "MAX_USER_QUEUABLE",
    "Maximum number of jobs already in queue",
    "would exceed limit on",
    "would exceed complex's per-user limit",
    "would exceed queue",
    "Server shutting down",
    "Request invalid for state of server",
)
"""Parts of complaints about a submission that may go through later."""

DOUBTFUL: Final = ("Premature end of message", "End of File")
"""Parts of complaints about an answer that was cut off: the server may have taken the job all the same."""


def read_jobs(text: str) -> Iterator[tuple[str, Witness]]:
    """Jobs by identifier out of ``qstat -f``."""
    for part in re.split(r"^Job Id:", text, flags=re.MULTILINE)[1:]:
        handle, _, said = part.partition("\n")
        # A long value goes on in the next line, after a tab.
        lines = said.replace("\n\t", "").splitlines()
        fields = dict(line.strip().partition(" = ")[::2] for line in lines if " = " in line)
        if "job_state" in fields:
            yield handle.strip(), _witness(fields)


def _witness(fields: dict[str, str]) -> Witness:
    comment = fields.get("comment", "")
    node = fields.get("exec_host", "").partition("/")[0]
    state = LETTERS.get(fields["job_state"])
    why = CAN_NEVER_RUN if comment.startswith(CAN_NEVER_RUN) else comment
    if state is None:
        status = int(fields.get("exit_status", fields.get("Exit_status", "0")))
        state = STATUSES.get(status, "KILLED" if status > KILLED or status < 0 else "FAILED")
        why = f"exit status {status}"
    return Witness(fields.get("Job_Name", ""), state, node, why)
