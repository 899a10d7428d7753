"""Slurm's commands and words, as the table that the machinery for batch systems works with."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import Final

from hepflow.batch.hooks import Hooks, Question

from .scripts import script
from .states import (
    ACCOUNT_FORMAT,
    DOUBTFUL,
    ENDED,
    MEMORY_SIGNS,
    NEVER,
    OWN_WORDS,
    PASSING,
    QUEUE_FORMAT,
    STUCK,
    read_accounts,
    read_job,
    read_queue,
)


def _job_of(text: str) -> str:
    """``12`` out of ``12;cluster`` (``sbatch --parsable``) or ``12_3``."""
    return text.partition(";")[0].partition("_")[0]


def _handle(job: str, element: int, jobs: int) -> str:
    return f"{job}_{element}" if jobs > 1 else job


def _queue(_jobs: Sequence[str]) -> list[str]:
    words = ["squeue", "--noheader", "--array", "--states=all", f"--format={QUEUE_FORMAT}"]
    return [*words, f"--user={getpass.getuser()}"]


def _accounts(jobs: Sequence[str]) -> list[str]:
    words = ["sacct", "--noheader", "--parsable2", "--allocations", "--starttime=now-30days"]
    return [*words, f"--format={ACCOUNT_FORMAT}", f"--jobs={','.join(jobs)}"]


def _controller(jobs: Sequence[str]) -> list[str]:
    return ["scontrol", "--oneliner", "show", "job", jobs[0]]  # it takes one number


SLURM: Final = Hooks(
    name="Slurm",
    submit=("sbatch", "--parsable"),
    job_of=_job_of,
    handle=_handle,
    script=script,
    array=1000,  # Slurm's own MaxArraySize is 1001
    longest_name=80,
    cancel=("scancel", "--quiet"),
    queue=Question(_queue, read_queue),
    # Accounting may be off, or late.
    archive=(Question(_accounts, read_accounts), Question(_controller, read_job)),
    ended=ENDED,
    own_words=OWN_WORDS,
    stuck=STUCK,
    never=NEVER,
    passing=PASSING,
    doubtful=DOUBTFUL,
    memory_signs=MEMORY_SIGNS,
)
