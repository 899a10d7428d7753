"""Slurm as it really is: what the contract cannot know of, against a cluster that the tests start."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hepflow.model.events import Accepted, Lost, Rejected
from hepflow.model.task import Attempt, Output, Reason, Resources, Shell, Staged, Task
from hepflow.model.values import File
from hepflow_slurm import SlurmExecutor
from tests.contract.conftest import slurm_site
from tests.contract.heads import Heads
from tests.contract.loop import run_all
from tests.services.slurm import Slurm

KILLS = int(os.environ.get("HEPFLOW_TEST_KILLS", "3"))
"""How often the head is killed while 500 jobs are about; ten times take six minutes."""


@pytest.fixture
def bench(slurm: Slurm, tmp_path: Path) -> Iterator[Heads]:
    bench = Heads(tmp_path, SlurmExecutor, slurm_site())
    yield bench
    bench.close()


def test_equal_tasks_are_one_array_and_others_another(bench: Heads, slurm: Slurm) -> None:
    before = slurm.submitted()
    executor = bench.executor(share_s=0)
    small = bench.attempts(*["true"] * 6)
    large = bench.attempts("true", "true", name="large", resources=Resources(cpus=2))
    run_all(executor, bench.loop, [*small, *large])
    handles = [event.handle for event in bench.loop.events if isinstance(event, Accepted)]
    arrays = Counter(handle.partition("_")[0] for handle in handles)
    assert sorted(arrays.values()) == [2, 6]
    assert slurm.submitted() == before + 8
    executor.close(settled=True)
    assert not (bench.folder / "executor" / "jobs").exists()


def test_short_tasks_share_a_job(bench: Heads, slurm: Slurm) -> None:
    before = slurm.submitted()
    executor = bench.executor(slurm_site(pack=5))
    attempts = bench.attempts(*[f"echo {n}; exit {n % 2}" for n in range(12)])
    run_all(executor, bench.loop, attempts)
    assert slurm.submitted() == before + 3
    assert [bench.loop.outcome(a.id).stdout for a in attempts] == [f"{n}\n" for n in range(12)]
    assert [bench.loop.outcome(a.id).exit_code for a in attempts] == [n % 2 for n in range(12)]


def test_tasks_share_a_job_only_as_far_as_its_time_reaches(bench: Heads, slurm: Slurm) -> None:
    before = slurm.submitted()
    executor = bench.executor(slurm_site(pack=5, walltime_s=600))
    run_all(
        executor, bench.loop, bench.attempts(*["true"] * 6, resources=Resources(walltime_s=250))
    )
    assert slurm.submitted() == before + 3


def test_a_queue_gets_no_more_jobs_at_a_time_than_it_takes(bench: Heads) -> None:
    executor = bench.executor(slurm_site(jobs=2))
    here = bench.folder / "here"
    here.mkdir()
    text = f"touch {here}/$$; ls {here} | wc -l; sleep 0.2; rm {here}/$$"
    attempts = bench.attempts(*[text] * 6)
    run_all(executor, bench.loop, attempts)
    assert {int(bench.loop.outcome(a.id).stdout) for a in attempts} <= {1, 2}


def test_one_of_a_packed_job_is_cancelled_and_the_others_run(bench: Heads) -> None:
    executor = bench.executor(slurm_site(pack=3))
    first, second, third = bench.attempts("sleep 60", "sleep 60", "echo done")
    executor.submit([first, second, third])
    bench.loop.until(lambda: first.id in bench.loop.started)
    executor.cancel([first.id, second.id])
    bench.loop.finish([first.id, second.id, third.id])
    assert bench.loop.outcome(first.id).message == "cancelled while it ran"
    assert bench.loop.outcome(second.id).message == "cancelled before it started"
    assert bench.loop.outcome(third.id).stdout == "done\n"


def test_what_the_cluster_cannot_give_is_refused_for_good(bench: Heads) -> None:
    site = slurm_site(cpus=0, memory_mib=0, gpus=99)
    executor = bench.executor(site)
    asked = {
        "cpus": Resources(cpus=1000),
        "memory": Resources(memory_mib=1 << 30),
        "gpus": Resources(gpus=9),
    }
    for word, resources in asked.items():
        (attempt,) = bench.attempts("true", name=word, resources=resources)
        run_all(executor, bench.loop, [attempt])
        event = bench.loop.final[attempt.id]
        if isinstance(event, Rejected):
            assert not event.transient
            assert event.message.startswith("Slurm refused a job of ")
            assert word in event.message
        else:  # Slurm takes some of them, lest the cluster be changed for them
            message = bench.loop.outcome(attempt.id).message
            assert bench.loop.outcome(attempt.id).reason is Reason.REJECTED
            assert re.fullmatch(rf"job \d+ of .*{word}.* will not start: PartitionConfig", message)


def test_a_task_that_does_not_say_gets_the_memory_that_the_site_says(bench: Heads) -> None:
    site = slurm_site(settings={"memory_mib": 300})
    executor = bench.executor(site)
    says = "echo $SLURM_MEM_PER_NODE"
    (silent,) = bench.attempts(says, name="silent")
    (says_so,) = bench.attempts(says, name="says", resources=Resources(memory_mib=200))
    run_all(executor, bench.loop, [silent, says_so])
    assert bench.loop.outcome(silent.id).stdout == "300\n"
    assert bench.loop.outcome(says_so.id).stdout == "200\n"


def test_an_input_is_fetched_on_the_node_by_the_command_that_the_site_names(bench: Heads) -> None:
    (bench.folder / "data.txt").write_text("content")
    url = (bench.folder / "data.txt").as_uri()
    fetch = [["file", "sh", "-c", 'cp "${{0#file://}}" "$1"', "{url}", "{path}"]]
    executor = bench.executor(fetch=fetch)
    (attempt,) = bench.attempts("cat x", stage=(Staged(File(url), "x"),))
    run_all(executor, bench.loop, [attempt])
    assert bench.loop.outcome(attempt.id).stdout == "content"


def test_an_unknown_partition_is_told_in_slurms_words(bench: Heads) -> None:
    executor = bench.executor(slurm_site(partition="nowhere"))
    (attempt,) = bench.attempts("true")
    run_all(executor, bench.loop, [attempt])
    event = bench.loop.final[attempt.id]
    assert isinstance(event, Rejected)
    assert "invalid partition specified: nowhere" in event.message
    assert not event.transient


def test_without_the_command_the_way_out_is_told(
    bench: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = bench.executor()
    monkeypatch.setenv("PATH", "/no/such/folder")
    (attempt,) = bench.attempts("true")
    run_all(executor, bench.loop, [attempt])
    event = bench.loop.final[attempt.id]
    assert isinstance(event, Rejected)
    assert "sbatch: No such file or directory; is this a host from which jobs are" in event.message


def test_a_job_that_somebody_cancels_is_not_run_again(bench: Heads, slurm: Slurm) -> None:
    executor = bench.executor()
    (attempt,) = bench.attempts("sleep 60")
    executor.submit([attempt])
    bench.loop.until(lambda: attempt.id in bench.loop.started)
    slurm.call("scancel", "--me")
    bench.loop.finish([attempt.id])
    outcome = bench.loop.outcome(attempt.id)
    assert (outcome.reason, outcome.message) == (Reason.CANCELLED, "cancelled in Slurm")


def test_a_task_whose_node_is_lost_is_lost(bench: Heads, slurm: Slurm) -> None:
    executor = bench.executor(requeue=False)
    (attempt,) = bench.attempts("trap '' TERM; sleep 60")
    executor.submit([attempt])
    bench.loop.until(lambda: attempt.id in bench.loop.started)
    job = slurm.job(bench.loop.started[attempt.id].where.split()[-1])
    slurm.fail_node(job["NodeList"])
    bench.loop.finish([attempt.id])
    event = bench.loop.final[attempt.id]
    assert isinstance(event, Lost), event
    assert event.reason in (Reason.NODE, Reason.PREEMPTED)


def test_a_preempted_task_goes_on_from_its_checkpoint(bench: Heads, slurm: Slurm) -> None:
    executor = bench.executor(grace_s=1.5)
    text = (
        "if test -f at; then cat at > o; exit; fi; trap 'echo 42 > at; exit 1' TERM;"
        " while :; do sleep 60 & wait; done"  # Slurm may tell the sleep sooner than the shell
    )
    task = Task(Shell(text), (Output("o", "o"),), Resources(cpus=4), checkpoint=("at",))
    kept = str(bench.folder / "kept")
    first = Attempt("fit#1", task, str(bench.folder / "fit"), checkpoint=kept)
    others = [
        a._replace(task=replace(a.task, resources=Resources(cpus=4)))
        for a in bench.attempts(*["sleep 60"] * 3)
    ]
    executor.submit([first, *others])
    bench.loop.until(lambda: len(bench.loop.started) == 4)
    slurm.submit("sleep 5", "--partition=high", "--nodes=4", "--exclusive")
    bench.loop.finish([first.id])
    event = bench.loop.final[first.id]
    assert isinstance(event, Lost), event
    assert event.reason is Reason.PREEMPTED
    second = Attempt("fit#2", task, str(bench.folder / "fit~2"), checkpoint=kept)
    run_all(executor, bench.loop, [second])
    assert (bench.folder / "fit~2" / "o").read_text() == "42\n"


@pytest.mark.slow
def test_memory_that_was_not_asked_for_ends_a_task(bench: Heads) -> None:
    executor = bench.executor()
    hungry = f"exec {sys.executable} -c 'import time; kept = bytearray(300 << 20); time.sleep(30)'"
    (attempt,) = bench.attempts(hungry, resources=Resources(memory_mib=100))
    run_all(executor, bench.loop, [attempt])
    assert bench.loop.outcome(attempt.id).reason is Reason.MEMORY


@pytest.mark.slow
def test_a_controller_that_is_away_refuses_for_now_and_loses_nothing(
    bench: Heads, slurm: Slurm
) -> None:
    executor = bench.executor()
    (running,) = bench.attempts("sleep 4", name="running")
    executor.submit([running])
    bench.loop.until(lambda: running.id in bench.loop.started)
    slurm.stop_controller()
    (late,) = bench.attempts("true", name="late")
    executor.submit([late])
    bench.loop.finish([late.id], 90)
    slurm.start_controller()
    event = bench.loop.final[late.id]
    assert isinstance(event, Rejected)
    assert event.transient, event.message
    bench.loop.finish([running.id])
    assert bench.loop.outcome(running.id).succeeded


@pytest.mark.slow
def test_a_job_that_was_taken_though_nobody_heard_is_not_submitted_twice(
    bench: Heads, slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    complaint = (
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
    )
    sbatch.write_text(
        f"#!/bin/sh\n{shutil.which('sbatch')} \"$@\" >/dev/null\necho '{complaint}' >&2\nexit 1\n"
    )
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}{os.pathsep}{os.environ['PATH']}")
    before = slurm.submitted()
    attempts = bench.attempts("true", "false", "sleep 1")
    run_all(bench.executor(), bench.loop, attempts)
    ends = [bench.loop.outcome(attempt.id).reason for attempt in attempts]
    assert ends == [None, Reason.PROGRAM, None]
    assert slurm.submitted() - before == 3


@pytest.mark.slow
def test_a_job_that_never_got_there_is_lost_after_a_while(
    bench: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\nkill -9 $$\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}{os.pathsep}{os.environ['PATH']}")
    executor = bench.executor(unknown_s=1)
    (attempt,) = bench.attempts("true")
    run_all(executor, bench.loop, [attempt])
    event = bench.loop.final[attempt.id]
    assert isinstance(event, Lost)
    assert "Slurm knows nothing of its job step" in event.message


# --- the head is killed ---------------------------------------------------------------------------

HEAD = """
import sys
from pathlib import Path
from hepflow_slurm import SlurmExecutor
from tests.contract.conftest import slurm_site
from tests.contract.heads import Heads
from tests.slurm.test_slurm import traced
bench = Heads(Path(sys.argv[1]), SlurmExecutor, slurm_site())
executor = bench.executor(share_s=float(sys.argv[3]))
executor.submit(bench.attempts(*traced(bench.folder, int(sys.argv[2]))))
print("submitting", flush=True)
while True:
    bench.loop.turn(10.0)
"""


def traced(folder: Path, count: int) -> list[str]:
    return [f"sleep 0.{n % 5}; echo >> {folder}/traces/{n}" for n in range(count)]


@pytest.mark.parametrize("share_s", [0, 10], ids=["each its own", "shared"])
@pytest.mark.parametrize("count", [24, pytest.param(500, marks=pytest.mark.long)])
def test_a_killed_head_loses_no_job_and_submits_none_twice(
    bench: Heads, slurm: Slurm, root: Path, count: int, share_s: float
) -> None:
    chance = random.Random(count)
    for kill in range(2 if count < 100 else KILLS):
        bench.folder = bench.folder.parent / f"{bench.folder.name}-{kill}"
        (bench.folder / "traces").mkdir(parents=True)
        before = slurm.submitted()
        head = subprocess.Popen(
            [sys.executable, "-c", HEAD, str(bench.folder), str(count), str(share_s)],
            cwd=root,
            stdout=subprocess.PIPE,
        )
        assert head.stdout is not None
        head.stdout.readline()
        time.sleep(chance.uniform(0, 0.4) if kill % 2 else chance.uniform(0, count / 25))
        head.send_signal(signal.SIGKILL)
        head.wait()
        head.stdout.close()
        attempts = bench.attempts(*traced(bench.folder, count))
        executor = bench.executor(share_s=share_s)
        found = set(executor.recover({attempt.id: "" for attempt in attempts}))
        executor.submit([attempt for attempt in attempts if attempt.id not in found])
        bench.loop.finish([attempt.id for attempt in attempts], 120)
        assert all(bench.loop.outcome(attempt.id).succeeded for attempt in attempts)
        begun = slurm.submitted() - before  # of an array Slurm counts what it has begun
        assert begun <= count if share_s else begun == count
        traces = [path.read_text() for path in (bench.folder / "traces").iterdir()]
        assert traces == ["\n"] * count
        executor.close(settled=True)
