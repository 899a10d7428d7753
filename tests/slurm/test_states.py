"""What Slurm says of a job, and what that means for an attempt that left no result."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hepflow.batch.hooks import Witness
from hepflow.batch.judging import Judge, Patience
from hepflow.batch.submissions import Submission
from hepflow.model.events import Finished, Lost
from hepflow.model.site import Queue
from hepflow.model.task import Outcome, Reason, Usage
from hepflow_slurm.hooks import SLURM
from hepflow_slurm.states import read_accounts, read_job, read_queue

PATIENCE = Patience(results_s=2.0, unknown_s=120.0, never_s=300.0, silent_s=600.0)
BEGAN, NOT = True, False


def judged(
    folder: Path,
    state: str,
    *,
    began: bool = NOT,
    log: str = "",
    why: str = "",
    cancelled: bool = False,
    waited_s: float = 10.0,
) -> tuple[Reason | None, str] | None:
    """The reason and the message for the one attempt of a job in this state; nothing while it is open."""
    submission = Submission(folder, "step.tag-1", [["step#1"]], Queue("main"), "12", "1 cpus")
    if began:
        submission.begun["step#1"] = "node1 pid 5"
    (folder / "0.log").write_text(log)
    judge = Judge(SLURM, PATIENCE, {"step#1"} if cancelled else ())
    witness = Witness(submission.name, state, "node1", why)
    for now in (0.0, waited_s):
        events = list(judge.of_job(submission, 0, "12", ["step#1"], witness, now))
        if events:
            (event,) = events
            if isinstance(event, Lost):
                assert event.reason in (Reason.NODE, Reason.PREEMPTED)
                return event.reason, event.message
            assert event.outcome.reason not in (Reason.NODE, Reason.PREEMPTED)
            return event.outcome.reason, event.outcome.message
    return None


@pytest.mark.parametrize(
    ("state", "began", "log", "reason"),
    [
        ("COMPLETED", NOT, "", Reason.NODE),
        ("FAILED", NOT, "module: command not found", Reason.START),
        ("FAILED", BEGAN, "", Reason.NODE),
        ("FAILED", NOT, "slurmstepd: error: Exceeded job memory limit, exceeded memory limit", Reason.MEMORY),
        ("FAILED", BEGAN, "Detected 1 oom_kill event in StepId=12.batch", Reason.MEMORY),
        ("OUT_OF_MEMORY", BEGAN, "", Reason.MEMORY),
        ("TIMEOUT", BEGAN, "", Reason.TIMEOUT),
        ("DEADLINE", NOT, "", Reason.TIMEOUT),
        ("NODE_FAIL", BEGAN, "", Reason.NODE),
        ("BOOT_FAIL", NOT, "", Reason.NODE),
        ("LAUNCH_FAILED", NOT, "", Reason.NODE),
        ("REVOKED", NOT, "", Reason.NODE),
        ("PREEMPTED", BEGAN, "", Reason.PREEMPTED),
        ("CANCELLED", BEGAN, "", Reason.CANCELLED),
    ],
)  # fmt: skip
def test_every_end_without_a_result_is_told_apart(
    tmp_path: Path, state: str, began: bool, log: str, reason: Reason
) -> None:
    found = judged(tmp_path, state, began=began, log=log)
    assert found is not None
    assert found[0] is reason
    assert found[1].startswith(f"its job ended as {state}")
    assert found[1].endswith(log)


@pytest.mark.parametrize(
    "state", ["PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED",
              "REQUEUE_HOLD", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "a state to come"],
)  # fmt: skip
def test_a_job_that_may_go_on_is_waited_for(tmp_path: Path, state: str) -> None:
    assert judged(tmp_path, state, waited_s=1e6) is None


def test_results_are_waited_for_after_the_end_of_a_job(tmp_path: Path) -> None:
    assert judged(tmp_path, "COMPLETED", waited_s=1.9) is None


def test_what_was_to_be_cancelled_is_cancelled_at_once_however_its_job_ended(
    tmp_path: Path,
) -> None:
    found = judged(tmp_path, "NODE_FAIL", began=True, cancelled=True, waited_s=0.0)
    assert found == (Reason.CANCELLED, "cancelled while it ran")


@pytest.mark.parametrize(
    ("why", "waited_s", "reason"),
    [
        ("Resources", 1e6, None),
        ("Priority", 1e6, None),
        ("JobHeldUser", 1e6, None),
        ("JobHeldAdmin", 1e6, None),
        ("BeginTime", 1e6, None),
        ("AssocGrpCpuLimit", 1e6, None),
        ("PartitionConfig", 299.0, None),
        ("PartitionConfig", 301.0, Reason.REJECTED),
        ("BadConstraints", 301.0, Reason.REJECTED),
        ("launch failed requeued held", 0.0, Reason.NODE),
    ],
)
def test_a_job_is_given_up_that_cannot_start(
    tmp_path: Path, why: str, waited_s: float, reason: Reason | None
) -> None:
    found = judged(tmp_path, "PENDING", why=why, waited_s=waited_s)
    if reason is None:
        assert found is None
    else:
        assert found == (reason, f"job 12 of 1 cpus will not start: {why}")


def test_why_a_task_was_told_to_end_is_what_slurm_says(tmp_path: Path) -> None:
    submission = Submission(tmp_path, "step.tag-1", [["step#1"]], Queue("main"), "12")
    ran = Usage(1.0, 60.0)
    told = Finished("step#1", Outcome(Reason.PREEMPTED, "it was told to end", usage=ran))
    for state, reason in {
        "TIMEOUT": Reason.TIMEOUT,
        "CANCELLED": Reason.CANCELLED,
        "PREEMPTED": Reason.PREEMPTED,
        "PENDING": Reason.PREEMPTED,  # it starts again
    }.items():
        judge = Judge(SLURM, PATIENCE, ())
        assert judge.of_result(told, 0.0) is None
        (event,) = judge.of_job(submission, 0, "12", ["step#1"], Witness("", state), 0.1)
        found = event.reason if isinstance(event, Lost) else event.outcome.reason
        assert found is reason


def test_a_task_that_had_not_begun_when_its_jobs_time_was_over_is_lost(tmp_path: Path) -> None:
    submission = Submission(tmp_path, "step.tag-1", [["a#1", "b#1"]], Queue("main"), "12")
    judge = Judge(SLURM, PATIENCE, ())
    told = Outcome(Reason.PREEMPTED, "it was told to end", where="node1 job 12")
    judge.of_result(Finished("a#1", replace(told, usage=Usage(1.0, 60.0))), 0.0)
    judge.of_result(Finished("b#1", told), 0.0)
    first, second = judge.of_job(submission, 0, "12", ["a#1", "b#1"], Witness("", "TIMEOUT"), 0.1)
    assert isinstance(first, Finished)
    assert first.outcome.reason is Reason.TIMEOUT
    assert isinstance(second, Lost)


def test_a_job_that_slurm_does_not_know_is_lost_after_a_while_and_not_before() -> None:
    judge = Judge(SLURM, PATIENCE, ())
    assert list(judge.of_unknown("12", ["step#1"], 0.0)) == []
    assert list(judge.of_unknown("12", ["step#1"], 119.0)) == []
    (event,) = judge.of_unknown("12", ["step#1"], 121.0)
    assert event == Lost("step#1", Reason.NODE, "Slurm knows nothing of its job 12 (any more)")


def test_a_cancelled_job_that_slurm_does_not_know_has_gone_without_a_record() -> None:
    judge = Judge(SLURM, PATIENCE, {"step#1"})
    assert list(judge.of_unknown("12", ["step#1", "step#2"], 0.0)) == []
    assert list(judge.of_unknown("12", ["step#1", "step#2"], 1.9)) == []
    (event,) = judge.of_unknown("12", ["step#1", "step#2"], 2.1)
    assert isinstance(event, Finished)
    assert event.attempt == "step#1"
    assert event.outcome.reason is Reason.CANCELLED


def test_a_running_job_that_has_fallen_silent_is_given_up(tmp_path: Path) -> None:
    submission = Submission(tmp_path, "step.tag-1", [["step#1", "step#2"]], Queue("main"), "12")
    (tmp_path / "results").mkdir()
    beat = tmp_path / "results" / "0.beat"
    judge = Judge(SLURM, PATIENCE, ())

    def ends_at(now: float, state: str = "RUNNING") -> list[object]:
        witness = Witness("", state, "node1")
        return [*judge.of_job(submission, 0, "12", ["step#1", "step#2"], witness, now)]

    assert ends_at(0.0) == ends_at(1e4) == []  # none has begun
    beat.touch()
    assert ends_at(1e4) == ends_at(1e4 + 599) == []
    os.utime(beat, (1, 1))
    assert ends_at(1e4 + 700) == ends_at(1e4 + 1299) == []
    assert ends_at(1e4 + 1301, "SUSPENDED") == []
    message = "job 12 on node1 has given no sign of life for 600 s"
    assert ends_at(1e4 + 1301) == [Lost(f"step#{n}", Reason.NODE, message) for n in (1, 2)]


# --- reading --------------------------------------------------------------------------------------


def test_the_queue_is_read_with_names_that_hold_anything() -> None:
    said = "12|a|b|RUNNING|n1|None\n13_4|fit.tag-2|PENDING||Resources\nslurm_load: oops\n"
    assert dict(read_queue(said)) == {
        "12": Witness("a", "RUNNING", "n1", ""),
        "13_4": Witness("fit.tag-2", "PENDING", "", "Resources"),
    }


def test_accounts_are_read_without_the_steps_of_jobs() -> None:
    said = (
        "12|fit|CANCELLED by 1000|n1|0:15\n12.batch|batch|CANCELLED|n1|0:15\n"
        "13_1|fit|OUT_OF_MEMORY|n2|0:125\n"
    )
    assert dict(read_accounts(said)) == {
        "12": Witness("fit", "CANCELLED", "n1", "exit code 0:15"),
        "13_1": Witness("fit", "OUT_OF_MEMORY", "n2", "exit code 0:125"),
    }


def test_without_cgroups_too_much_memory_reads_as_a_launch_failure() -> None:
    said = (
        "JobId=14 ArrayJobId=13 ArrayTaskId=0 JobName=fit JobState=FAILED Reason=JobLaunchFailure"
        " NodeList=n2 ExitCode=0:9\n"
    )
    ((handle, witness),) = read_job(said)
    assert (handle, witness.state, witness.node) == ("13_0", "OUT_OF_MEMORY", "n2")


def test_one_question_asks_for_all_jobs_however_many_there_are() -> None:
    assert SLURM.queue.words([]) == SLURM.queue.words([str(n) for n in range(1000)])
    accounts, _controller = SLURM.archive
    assert accounts.words(["7", "9"])[-1] == "--jobs=7,9"


def test_no_answer_says_nothing() -> None:
    assert dict(read_queue("")) == dict(read_accounts("")) == dict(read_job("")) == {}
