"""Jobs of an array that take what waits for others: each order is carried out once, by whoever is first."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepflow.capsule.sharing import Share
from hepflow.model.site import Site
from hepflow.model.task import Attempt, Call, Output, Reason, Shell, Task
from hepflow.wire.bundle import START, write_capsule
from hepflow.wire.orders import Orders
from hepflow.wire.spelling import decode_lines, encode, finished


class Array:
    """An array's orders in a folder, and its jobs as processes."""

    def __init__(self, folder: Path, *tasks: Task, share_s: float = 20.0) -> None:
        self.folder, self.results = folder, folder / "results"
        self.results.mkdir()
        write_capsule(folder / "capsule.pyz")
        orders = Orders(Site("node", "any"), sys.executable, grace_s=0.5)
        for n, task in enumerate(tasks):
            attempt = Attempt(f"step[{n}]#1", task, str(folder / f"task-{n}"))
            text = orders.text(
                [encode(orders.entry(attempt, n))], str(self.results), share_s=share_s
            )
            (folder / f"{n}.json").write_bytes(text.encode())

    def begin(self, job: int) -> subprocess.Popen[bytes]:
        capsule, order = str(self.folder / "capsule.pyz"), str(self.folder / f"{job}.json")
        words = [sys.executable, "-I", "-S", "-c", START, capsule, "share", order]
        return subprocess.Popen(words, cwd=self.folder)

    def run(self, job: int) -> None:
        assert self.begin(job).wait(60) == 0

    def done(self) -> set[int]:
        """The tasks that have a result."""
        return {int(path.name) for path in self.results.iterdir() if path.name.isdigit()}

    def takers(self) -> dict[int, int]:
        """Order -> the job that has taken it."""
        names = [path.name.split(".by-") for path in self.results.glob("*.by-*")]
        return {int(order): int(job) for order, job in names}

    def reason(self, task: int) -> Reason | None:
        line, host = decode_lines((self.results / str(task)).read_bytes())
        return finished(line, host).outcome.reason


def leaving_a_trace(count: int, after_s: float = 0) -> list[Task]:
    return [Task(Shell(f"sleep {after_s}; echo x >> ../trace-{n}")) for n in range(count)]


def traces(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("trace-*"))]


def until(true: Any) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_job_that_is_done_goes_on_with_what_waits_for_others(tmp_path: Path) -> None:
    array = Array(tmp_path, *leaving_a_trace(7))
    array.run(3)
    assert array.done() == set(range(7))
    assert array.takers() == dict.fromkeys(range(7), 3)


def test_a_job_whose_order_is_taken_does_nothing(tmp_path: Path) -> None:
    array = Array(tmp_path, *leaving_a_trace(5))
    Share(str(tmp_path / "0.json")).own()
    (tmp_path / "1.json").rename(array.results / "1.by-0")
    array.run(1)
    assert array.done() == set()
    array.run(2)
    assert array.done() == {2, 3, 4}


def test_jobs_that_run_together_do_each_task_once(tmp_path: Path) -> None:
    array = Array(tmp_path, *leaving_a_trace(60, after_s=0.01))
    for job in [array.begin(job) for job in range(8)]:
        assert job.wait(60) == 0
    assert array.done() == set(range(60))
    assert traces(tmp_path) == ["x\n"] * 60
    assert len(set(array.takers().values())) > 1


def test_a_job_that_is_no_longer_young_keeps_to_its_own(tmp_path: Path) -> None:
    array = Array(tmp_path, *leaving_a_trace(3, after_s=0.2), share_s=0.1)
    array.run(0)
    assert array.done() == {0}


def test_a_job_that_is_started_once_more_ends_what_it_had_taken(tmp_path: Path) -> None:
    slow = Task(Shell("echo x >> ../trace-1; test -e ../again || exec sleep 60"))
    array = Array(tmp_path, *leaving_a_trace(1), slow)
    job = array.begin(0)
    until((tmp_path / "trace-1").exists)
    job.kill()
    job.wait()
    (tmp_path / "again").touch()
    array.run(1)  # which is 0's
    assert array.done() == {0}
    array.run(0)
    assert array.done() == {0, 1}
    assert traces(tmp_path) == ["x\n", "x\nx\n"]


def test_a_job_that_is_told_to_end_takes_no_more(tmp_path: Path) -> None:
    array = Array(tmp_path, Task(Shell("touch ../begun; sleep 60")), *leaving_a_trace(3))
    job = array.begin(0)
    until((tmp_path / "begun").exists)
    job.send_signal(signal.SIGTERM)
    assert job.wait(60) == 0
    assert array.done() == {0}
    assert array.reason(0) is Reason.PREEMPTED


def test_what_is_cancelled_is_not_begun(tmp_path: Path) -> None:
    array = Array(tmp_path, *leaving_a_trace(3))
    (array.results / "1.cancel").touch()
    array.run(0)
    assert array.reason(1) is Reason.CANCELLED
    assert not (tmp_path / "trace-1").exists()
    assert array.done() == {0, 1, 2}


def test_calls_of_others_are_made_from_their_orders(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text("def double(number):\n    return 2 * number\n")
    calls = [
        Task(Call("mine:double", {"number": n}, {}, (str(tmp_path / "code"),)), (Output("twice"),))
        for n in range(4)
    ]
    array = Array(tmp_path, *calls)
    array.run(2)
    for n in range(4):
        line, host = decode_lines((array.results / str(n)).read_bytes())
        assert finished(line, host).outcome.outputs == {"twice": 2 * n}


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1)))))
def test_no_order_is_had_by_two_and_none_is_left(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[int, list[int]]
) -> None:
    count, turns = case
    folder = tmp_path_factory.mktemp("array")
    (folder / "results").mkdir()
    for n in range(count):
        (folder / f"{n}.json").touch()
    jobs = [Share(str(folder / f"{n}.json")) for n in range(count)]
    had: list[str] = []
    begun: set[int] = set()
    for job in turns:  # whose turn it is: it begins, or takes one more
        if job not in begun:
            begun.add(job)
            had += jobs[job].own()
        elif any(path.endswith(f".by-{job}") for path in had):
            had += filter(None, [jobs[job].another()])
    for job in range(count):
        had += jobs[job].own() if job not in begun else []
    orders = [Path(path).name.partition(".")[0] for path in had]
    assert sorted(orders, key=int) == [str(n) for n in range(count)]
