"""What Slurm says of jobs, and what that means for an attempt without a result.

Owns the names of Slurm's states and the reading of its commands' output. Must never run a command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from hepflow.batch.hooks import Witness
from hepflow.model.task import Reason

QUEUE_FORMAT: Final = "%i|%j|%T|%N|%r"
ACCOUNT_FORMAT: Final = "JobID,JobName,State,NodeList,ExitCode"

ENDED: Final = {
    "BOOT_FAIL": Reason.NODE,
    "CANCELLED": Reason.CANCELLED,
    "COMPLETED": Reason.NODE,
    "DEADLINE": Reason.TIMEOUT,
    "FAILED": Reason.START,
    "LAUNCH_FAILED": Reason.NODE,
    "NODE_FAIL": Reason.NODE,
    "OUT_OF_MEMORY": Reason.MEMORY,
    "PREEMPTED": Reason.PREEMPTED,
    "REVOKED": Reason.NODE,
    "TIMEOUT": Reason.TIMEOUT,
}
"""The states of a job that is over, and why an attempt in it that left no result ended."""

STUCK: Final = ("launch failed requeued held", "launch_failed_requeued_held")
"""Why a job waits that was started in vain and will not be started again."""

NEVER: Final = frozenset({
    "AccountNotAllowed", "AssocMaxCpuPerJobLimit", "AssocMaxGRESPerJob", "AssocMaxMemPerJob",
    "AssocMaxNodePerJobLimit", "AssocMaxWallDurationPerJobLimit", "BadConstraints", "InvalidAccount",
    "InvalidQOS", "PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit",
    "QOSMaxCpuPerJobLimit", "QOSMaxGRESPerJob", "QOSMaxMemoryPerJob", "QOSMaxNodePerJobLimit",
    "QOSMaxWallDurationPerJobLimit", "QOSMinCpuNotSatisfied", "QOSMinGRES", "QOSMinMemory",
    "QOSNotAllowed", "ReservationDeleted",
})  # fmt: skip
"""Why a job waits that asks for what it cannot get here. Slurm takes such jobs, lest the cluster be changed
for them. (Job reason codes, squeue's manual page.)"""

OWN_WORDS: Final = {
    "CANCELLED": "cancelled in Slurm",
    "TIMEOUT": "the job's time limit was reached",
}
"""How Slurm ended a job whose capsule knows only that it was told to end."""

MEMORY_SIGNS: Final = ("exceeded memory limit", "oom-kill", "oom_kill", "Out Of Memory")
"""What Slurm writes into a job's log when it ended it for its memory."""

PASSING: Final = (
    "Unable to contact slurm controller",
    "Connection refused",
    "Connection timed out",
    "Unable to connect",
    "Resource temporarily unavailable",
    "Slurm temporarily unable to accept job",
    "Job violates accounting/QOS policy (job submit limit",
    "QOSMaxSubmitJob",
    "AssocMaxSubmitJob",
    "MaxSubmitJob",
    "Slurm backup controller in standby",
    "Transport endpoint",
    "please try again",
)
"""Parts of complaints about a submission that may go through later."""

DOUBTFUL: Final = (
    "Socket timed out on send/recv",
    "Zero Bytes were transmitted",
    "Message receive failure",
)
"""Parts of complaints about an answer that did not come: a controller under load may have taken the job all
the same (so told in nextflow-io/nextflow#970 and rwth-i6/sisyphus#281)."""


def read_queue(text: str) -> Iterator[tuple[str, Witness]]:
    """Jobs by number (``12``, or ``12_3`` for an element of an array) out of ``squeue``."""
    for line in text.splitlines():
        number, *parts = line.split("|")
        if len(parts) >= 4:
            name, state, node, why = parts[0], *parts[-3:]
            yield number, Witness(name, state, node, "" if why == "None" else why)


def read_accounts(text: str) -> Iterator[tuple[str, Witness]]:
    """The same out of ``sacct --parsable2``; steps of jobs are passed over."""
    for line in text.splitlines():
        number, *parts = line.split("|")
        if len(parts) == 4 and "." not in number:
            name, state, node, code = parts
            state = state.partition(" ")[0]  # CANCELLED by 1000
            yield number, Witness(name, _with_memory(state, "", code), node, f"exit code {code}")


def read_job(text: str) -> Iterator[tuple[str, Witness]]:
    """The same out of ``scontrol --oneliner show job``."""
    for line in text.splitlines():
        said = dict(re.findall(r"(\w[\w/:]*)=(\S*)", line))
        if "JobId" not in said or "JobState" not in said:
            continue
        number = said["JobId"]
        if "ArrayTaskId" in said:
            number = f"{said['ArrayJobId']}_{said['ArrayTaskId']}"
        why, code = said.get("Reason", ""), said.get("ExitCode", "")
        state = _with_memory(said["JobState"], why, code)
        node = said.get("NodeList", "").replace("(null)", "")
        yield number, Witness(said.get("JobName", ""), state, node, f"{why}, exit code {code}")


def _with_memory(state: str, why: str, code: str) -> str:
    """Without cgroups a job that took too much memory is killed like any other."""
    return (
        "OUT_OF_MEMORY"
        if state == "FAILED" and (why, code) == ("JobLaunchFailure", "0:9")
        else state
    )
