"""What Slurm says of a job that was told to end, and what is believed of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepflow.batch.hooks import Witness
from hepflow.batch.judging import Judge, Patience
from hepflow.batch.submissions import Submission
from hepflow.model.events import Finished, Lost
from hepflow.model.site import Queue
from hepflow.model.task import Outcome, Reason
from hepflow_slurm.hooks import SLURM

NAME = "step#1"
TOLD = Finished(NAME, Outcome(Reason.PREEMPTED, "it was told to end", where="n1 job 7"))


class Court:
    """One attempt whose capsule was told to end at second 0."""

    def __init__(self, folder: Path) -> None:
        self.judge = Judge(SLURM, Patience(10.0, 120.0, 300.0, 600.0), set())
        self.submission = Submission(folder, "job", [[NAME]], Queue("main"), job="7")
        assert self.judge.of_result(TOLD, 0.0) is None

    def hears(self, state: str, now: float) -> list[Finished | Lost]:
        witness = Witness("job", state, "n1")
        return list(self.judge.of_job(self.submission, 0, "7", [NAME], witness, now))


@pytest.fixture
def court(tmp_path: Path) -> Court:
    return Court(tmp_path)


@pytest.mark.parametrize("before", ["RUNNING", "COMPLETING"])
def test_an_answer_from_before_its_end_says_nothing(court: Court, before: str) -> None:
    assert court.hears(before, 0.1) == []
    assert court.judge.look_again_at <= 2.0
    (event,) = court.hears("CANCELLED", 1.1)
    assert isinstance(event, Finished)
    assert (event.outcome.reason, event.outcome.message) == (
        Reason.CANCELLED,
        "cancelled in Slurm",
    )


@pytest.mark.parametrize(
    ("state", "now"), [("PREEMPTED", 0.1), ("PENDING", 0.1), ("COMPLETED", 0.1), ("RUNNING", 10.5)]
)
def test_what_was_not_cancelled_is_lost(court: Court, state: str, now: float) -> None:
    (event,) = court.hears(state, now)
    assert isinstance(event, Lost)
    assert event.reason is Reason.PREEMPTED


def test_a_time_limit_is_told_as_such(tmp_path: Path) -> None:
    (event,) = Court(tmp_path).hears("TIMEOUT", 0.1)
    assert isinstance(event, Lost)  # it had not begun to work: others took the time of its job
