"""Jobs of an array on a real Slurm that take what waits for others: who is asked about a task, what is left over.

Four nodes of four cores each: of tasks of four cores each four run at a time, the first ones take the last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hepflow.batch.executor import BatchExecutor
from hepflow.batch.shapes import shared_s
from hepflow.batch.submissions import Submission
from hepflow.model.events import Accepted, Finished, Lost
from hepflow.model.site import Queue
from hepflow.model.task import Attempt, Reason, Resources
from hepflow_slurm import SlurmExecutor
from tests.contract.conftest import slurm_site
from tests.contract.heads import Heads
from tests.contract.loop import run_all
from tests.services.slurm import Slurm

WHOLE = Resources(cpus=4)


@pytest.fixture
def bench(slurm: Slurm, tmp_path: Path) -> Iterator[Heads]:
    bench = Heads(tmp_path, SlurmExecutor, slurm_site())
    yield bench
    bench.close()
    slurm.call("scancel", "--me")
    slurm.wait_for_all()


def job_of(bench: Heads, attempt: Attempt) -> str:
    """The job that runs a task, or ran it."""
    event = bench.loop.final.get(attempt.id)
    where = event.outcome.where if isinstance(event, Finished) else ""
    return (where or bench.loop.started[attempt.id].where).split()[-1]


def run_short_and_long(
    bench: Heads, executor: BatchExecutor, long: str
) -> tuple[list[Attempt], Attempt]:
    """Have an array begin: four tasks that end at once, and four that run then.

    Returns:
        Those that run, and one of them that its job has taken from another.
    """
    attempts = bench.attempts(*["true"] * 4, *[long] * 4, resources=WHOLE)
    executor.submit(attempts)
    bench.loop.until(lambda: all(attempt.id in bench.loop.started for attempt in attempts[4:]))
    bench.loop.finish([attempt.id for attempt in attempts[:4]])
    handles = {e.attempt: e.handle for e in bench.loop.events if isinstance(e, Accepted)}
    taken = [a for a in attempts[4:] if job_of(bench, a) != handles[a.id]]
    return attempts[4:], taken[0]


@pytest.mark.parametrize(
    ("task_s", "queue_s", "tasks", "shared"),
    [
        (0, 0, 1, 10),  # nobody says how long
        (0, 3600, 1, 10),  # the queue does, for all alike
        (60, 0, 1, 10),  # the job has a minute more
        (3600, 3600, 1, 0),  # the task may take all there is
        (3590, 3600, 1, 5),
        (60, 0, 25, 10),
    ],
)
def test_a_job_takes_more_only_while_its_time_limit_allows(
    task_s: float, queue_s: float, tasks: int, shared: float
) -> None:
    queue = Queue("main", walltime_s=queue_s)
    assert shared_s(10, queue, Resources(walltime_s=task_s), tasks) == shared


def test_that_a_task_is_unwanted_may_be_said_in_vain(tmp_path: Path) -> None:
    submission = Submission(tmp_path / "gone", "step", [["step#1"]], Queue("main"))
    submission.ask_for_end("step#1")  # as on a disk that is full
    assert submission.busy == {0}


def test_many_short_tasks_need_few_jobs_and_the_others_are_withdrawn(
    bench: Heads, slurm: Slurm
) -> None:
    before = slurm.submitted()
    executor = bench.executor()
    attempts = bench.attempts(*[f"echo {n}" for n in range(200)])
    run_all(executor, bench.loop, attempts)
    assert [bench.loop.outcome(a.id).stdout for a in attempts] == [f"{n}\n" for n in range(200)]
    tasks = Counter(job_of(bench, attempt) for attempt in attempts)
    assert max(tasks.values()) > 1
    executor.close(settled=True)
    slurm.wait_for_all()
    assert slurm.submitted() - before < 200
    tag = (bench.folder / "executor" / "tag").read_text()
    ends = {end["JobState"] for end in slurm.ended() if tag in end["Name"]}
    assert "COMPLETED" in ends
    assert ends <= {"COMPLETED", "CANCELLED"}


def test_a_site_may_have_one_job_for_each_task(bench: Heads, slurm: Slurm) -> None:
    executor = bench.executor(share_s=0)
    attempts = bench.attempts(*["true"] * 40)
    run_all(executor, bench.loop, attempts)
    assert len({job_of(bench, attempt) for attempt in attempts}) == 40


def test_a_taken_task_is_lost_with_the_node_that_ran_it_and_no_other_is(
    bench: Heads, slurm: Slurm
) -> None:
    executor = bench.executor(requeue=False)
    running, taken = run_short_and_long(bench, executor, "trap '' TERM; sleep 60")
    slurm.fail_node(slurm.job(job_of(bench, taken))["NodeList"])
    bench.loop.finish([taken.id])
    event = bench.loop.final[taken.id]
    assert isinstance(event, Lost), event
    assert event.reason in (Reason.NODE, Reason.PREEMPTED)
    others = [attempt.id for attempt in running if attempt is not taken]
    assert not any(name in bench.loop.final for name in others)
    executor.cancel(others)
    bench.loop.finish(others)
    assert {bench.loop.outcome(name).reason for name in others} == {Reason.CANCELLED}


def test_a_taken_task_whose_job_is_put_back_into_the_queue_is_lost_for_that(
    bench: Heads, slurm: Slurm
) -> None:
    executor = bench.executor()
    _running, taken = run_short_and_long(bench, executor, "sleep 60")
    slurm.call("scontrol", "requeue", job_of(bench, taken))
    bench.loop.finish([taken.id])
    event = bench.loop.final[taken.id]
    assert isinstance(event, Lost), event
    assert event.reason is Reason.PREEMPTED


def test_a_taken_task_that_is_cancelled_ends_alone(bench: Heads) -> None:
    executor = bench.executor()
    running, taken = run_short_and_long(bench, executor, "sleep 60")
    executor.cancel([taken.id])
    bench.loop.finish([taken.id])
    assert bench.loop.outcome(taken.id).reason is Reason.CANCELLED
    bench.loop.idle(1.5)
    assert all(a.id not in bench.loop.final for a in running if a is not taken)


def test_a_later_head_asks_about_those_who_have_taken_tasks(bench: Heads, slurm: Slurm) -> None:
    executor = bench.executor(requeue=False)
    running, taken = run_short_and_long(bench, executor, "trap '' TERM; sleep 60")
    node = slurm.job(job_of(bench, taken))["NodeList"]
    executor.close()
    later = bench.executor(requeue=False)
    assert set(later.recover({a.id: "" for a in running})) == {a.id for a in running}
    bench.loop.until(lambda: all(attempt.id in bench.loop.started for attempt in running))
    slurm.fail_node(node)
    bench.loop.finish([taken.id])
    assert isinstance(bench.loop.final[taken.id], Lost)
    assert all(a.id not in bench.loop.final for a in running if a is not taken)
