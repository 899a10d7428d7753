"""PBS's commands and words, as the tables that the machinery for batch systems works with."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from hepflow.batch.hooks import Hooks, Paper, Question

from .scripts import PRO, TORQUE, pro_script, torque_script
from .states import (
    CAN_NEVER_RUN,
    DOUBTFUL,
    ENDED,
    MEMORY_SIGNS,
    OWN_WORDS,
    PASSING,
    STUCK,
    read_jobs,
)

ANSWERS: Final = (0, 35, 153)
"""Exit codes of ``qstat`` that has answered: 153 does not know one of the jobs, for 35 one is over."""

LONGEST_NAME: Final = 15
"""Characters of a job's name that every PBS takes."""


def _job_of(text: str) -> str:
    """``12.server`` or, of an array, ``12[].server``; out of what ``qsub`` printed or ``12[3].server``."""
    words = text.split()
    return re.sub(r"\[\d+\]", "[]", words[-1]) if words else ""


def _handle(job: str, element: int, jobs: int) -> str:
    return job.replace("[]", f"[{element}]") if jobs > 1 else job


def _queue(*options: str) -> Callable[[Sequence[str]], list[str]]:
    return lambda jobs: ["qstat", "-f", "-t", *options, *jobs]


def _hooks(name: str, script: Callable[[Paper], str], *options: str) -> Hooks:
    return Hooks(
        name=name,
        submit=("qsub",),
        job_of=_job_of,
        handle=_handle,
        script=script,
        array=500,
        longest_name=LONGEST_NAME,
        cancel=("qdel",),
        queue=Question(_queue(*options), read_jobs, ANSWERS),
        archive=(),
        ended=ENDED,
        own_words=OWN_WORDS,
        stuck=STUCK,
        never=frozenset({CAN_NEVER_RUN}),
        passing=PASSING,
        doubtful=DOUBTFUL,
        memory_signs=MEMORY_SIGNS,
    )


HOOKS: Final = {
    TORQUE: _hooks("Torque", torque_script),
    PRO: _hooks("PBS Pro", pro_script, "-x"),  # -x: those too that are over
}
