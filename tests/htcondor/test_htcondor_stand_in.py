"""The HTCondor executor against the stand-in for HTCondor: what only this executor does.

What every executor does is in `tests/contract`. The stand-in parses with the official bindings, so a
description that HTCondor could not read is refused here; it is no pool (see `tests/services/condor`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hepflow.model.events import Accepted, Finished, Lost, Rejected
from hepflow.model.site import Container, Queue, Runtime, Site, Staging
from hepflow.model.task import (
    INPUTS,
    Argv,
    Attempt,
    Call,
    Output,
    Read,
    Reason,
    Resources,
    Shell,
    Staged,
    Task,
)
from hepflow.model.task import Container as Image
from hepflow.model.values import Directory, File
from tests.contract.loop import Loop
from tests.services.condor import CondorStandIn
from tests.services.daemons import wait_until
from tests.services.fixtures import wanted

wanted("htcondor2")

from hepflow_htcondor import HTCondorExecutor  # noqa: E402 - the bindings come first

SETTINGS = {"grace_s": 1, "memory_mib": 200, "disk_mib": 10}
SHARED = Site("pool", executor="htcondor", settings={**SETTINGS, "getenv": "PATH"})
FAR = Site(
    "far",
    executor="htcondor",
    staging=Staging.CAPSULE,
    settings={**SETTINGS, "python": sys.executable},
)


class Bench:
    """One executor with its loop."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.loop, self.folder = Loop(), folder
        self.executor = HTCondorExecutor(folder / "executor", site=site)
        self.executor.start(self.loop)

    def submit(self, *tasks: Task, name: str = "step") -> list[Attempt]:
        made = [
            Attempt(f"{name}[{n}]#1", task, f"{self.folder}/tasks/{name}-{n}")
            for n, task in enumerate(tasks)
        ]
        self.executor.submit(made)
        return made

    def run(self, *tasks: Task) -> list[Any]:
        """The last events of the tasks."""
        made = self.submit(*tasks)
        self.loop.finish([attempt.id for attempt in made])
        return [self.loop.final[attempt.id] for attempt in made]

    def handle(self, attempt: Attempt) -> str:
        """Its job's, once it is known."""

        def found() -> list[str]:
            accepted = (event for event in self.loop.events if isinstance(event, Accepted))
            return [event.handle for event in accepted if event.attempt == attempt.id]

        self.loop.until(lambda: bool(found()))
        return found()[0]

    def started(self, *attempts: Attempt) -> None:
        self.loop.until(lambda: all(attempt.id in self.loop.started for attempt in attempts))


@pytest.fixture
def bench(condor_stand_in: CondorStandIn, tmp_path: Path) -> Iterator[Callable[[Site], Bench]]:
    made: list[Bench] = []

    def make(site: Site = SHARED) -> Bench:
        made.append(Bench(site, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.executor.close()


def shell(text: str, *outputs: Output, **more: Any) -> Task:
    return Task(Shell(text), outputs, **more)


# --- clusters -------------------------------------------------------------------------------------


def test_attempts_of_equal_shape_are_one_cluster(
    bench: Any, condor_stand_in: CondorStandIn
) -> None:
    there = bench()
    small, large = Resources(), Resources(cpus=2)
    made = there.submit(*[shell("true", resources=small)] * 8, shell("true", resources=large))
    there.loop.finish([attempt.id for attempt in made])
    clusters = [there.handle(attempt).split(".")[0] for attempt in made]
    assert len(set(clusters[:8])) == 1
    assert clusters[8] != clusters[0]


def test_a_job_is_named_after_its_attempt(bench: Any, condor_stand_in: CondorStandIn) -> None:
    there = bench()
    (made,) = there.submit(shell("sleep 100"))
    there.started(made)
    name = condor_stand_in.call("condor_q", there.handle(made), "-af", "HepflowAttempt")
    assert name.strip() == made.id


def test_more_jobs_than_may_be_idle_come_one_after_the_other(bench: Any) -> None:
    site = Site("pool", executor="htcondor", settings={**SHARED.settings, "max_idle": 3})
    events = bench(site).run(*[shell("true")] * 20)
    assert all(event.outcome.succeeded for event in events)


# --- holds ----------------------------------------------------------------------------------------


def test_too_much_memory_is_told_with_what_htcondor_says(bench: Any) -> None:
    text = f"exec {sys.executable} -c 'import time; kept = bytearray(300 << 20); time.sleep(30)'"
    (event,) = bench().run(shell(text, resources=Resources(memory_mib=100)))
    assert event.outcome.reason is Reason.MEMORY
    assert event.outcome.message.startswith("HTCondor held it (code 34): ")
    assert "100 megabytes" in event.outcome.message


def test_a_person_may_hold_and_release_a_job(bench: Any, condor_stand_in: CondorStandIn) -> None:
    there = bench()
    (blocker,) = there.submit(shell("sleep 3", resources=Resources(cpus=4)), name="blocker")
    there.started(blocker)
    (made,) = there.submit(shell("true"))
    handle = there.handle(made)
    condor_stand_in.call("condor_hold", handle)
    there.loop.finish([blocker.id])
    there.loop.idle(1.5)
    assert made.id not in there.loop.final
    condor_stand_in.call("condor_release", handle)
    there.loop.finish([made.id])
    assert there.loop.outcome(made.id).succeeded


# --- losing ---------------------------------------------------------------------------------------


def test_an_evicted_job_is_lost_once_it_is_gone(bench: Any, condor_stand_in: CondorStandIn) -> None:
    there = bench()
    (made,) = there.submit(shell("echo run >>trace; sleep 100"))
    there.started(made)
    condor_stand_in.call("condor_vacate_job", there.handle(made))
    there.loop.finish([made.id])
    event = there.loop.final[made.id]
    assert isinstance(event, Lost)
    assert event.reason is Reason.PREEMPTED
    assert condor_stand_in.call("condor_q", "-af", "ClusterId") == ""


def test_a_job_that_somebody_removes_is_told_with_the_reason(
    bench: Any, condor_stand_in: CondorStandIn
) -> None:
    there = bench()
    (made,) = there.submit(shell("sleep 100"))
    there.started(made)
    condor_stand_in.call("condor_rm", there.handle(made), "-reason", "too greedy")
    there.loop.finish([made.id])
    outcome = there.loop.outcome(made.id)
    assert outcome.reason is Reason.CANCELLED
    assert "removed from HTCondor's queue: too greedy" in outcome.message


def test_a_node_without_python_is_explained(bench: Any) -> None:
    site = Site("pool", executor="htcondor", settings={**SETTINGS, "python": "/no/python"})
    (event,) = bench(site).run(shell("true"))
    assert event.outcome.reason is Reason.START
    assert "could not run there (exit code 127)" in event.outcome.message
    assert "/no/python" in event.outcome.message


# --- refusing -------------------------------------------------------------------------------------


def test_a_schedd_that_is_away_is_a_passing_refusal(
    bench: Any, condor_stand_in: CondorStandIn
) -> None:
    there = bench()
    with condor_stand_in.away():
        (event,) = there.run(shell("true"))
    assert isinstance(event, Rejected)
    assert event.transient
    assert "condor_submit refused it: ERROR: Can't find address" in event.message


def test_a_wrong_line_of_the_site_is_a_lasting_refusal(bench: Any) -> None:
    site = Site("pool", executor="htcondor", lines=("request_memroy = 1",), settings=SETTINGS)
    (event,) = bench(site).run(shell("true"))
    assert isinstance(event, Rejected)
    assert not event.transient
    assert "request_memroy" in event.message


# --- recovery -------------------------------------------------------------------------------------


def test_a_later_head_finds_every_job_once(bench: Any, condor_stand_in: CondorStandIn) -> None:
    first = bench()
    made = first.submit(*[shell("echo x >>trace; sleep 0.2", Output("t", "trace"))] * 12)
    first.loop.finish([attempt.id for attempt in made[:3]])
    told = set(first.loop.final)
    first.executor.close()
    later = bench()
    left = [attempt.id for attempt in made if attempt.id not in told]
    assert set(later.executor.recover(dict.fromkeys(left, ""))) == set(left)
    later.loop.finish(left)
    assert set(later.loop.final) == set(left)
    assert all(later.loop.outcome(name).succeeded for name in left)
    assert {Path(attempt.folder, "trace").read_text() for attempt in made} == {"x\n"}


HEAD = """
import sys
from pathlib import Path
from tests.htcondor.test_htcondor_stand_in import SHARED, Bench, traced
there = Bench(SHARED, Path(sys.argv[1]))
there.submit(*traced(there.folder))
print("submitting", flush=True)
while True:
    there.loop.turn(10.0)
"""


def traced(folder: Path) -> list[Task]:
    return [shell(f"sleep 0.{n % 5}; echo >> {folder}/traces/{n}") for n in range(24)]


@pytest.mark.parametrize("after_s", [0.25, 2.0])
def test_a_killed_head_loses_no_job_and_submits_none_twice(
    bench: Any, tmp_path: Path, root: Path, after_s: float
) -> None:
    (tmp_path / "traces").mkdir()
    words = [sys.executable, "-c", HEAD, str(tmp_path)]
    head = subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE)
    assert head.stdout is not None
    head.stdout.readline()
    time.sleep(after_s)
    head.kill()
    head.wait()
    head.stdout.close()
    there = bench()
    tasks = dict(enumerate(traced(tmp_path)))
    names = [f"step[{n}]#1" for n in tasks]
    found = set(there.executor.recover(dict.fromkeys(names, "")))
    left = [
        Attempt(f"step[{n}]#1", task, f"{tmp_path}/tasks/step-{n}")
        for n, task in tasks.items()
        if f"step[{n}]#1" not in found
    ]
    there.executor.submit(left)
    there.loop.finish(names, 60)
    assert all(there.loop.outcome(name).succeeded for name in names)
    assert [path.read_text() for path in (tmp_path / "traces").iterdir()] == ["\n"] * 24


def test_what_was_never_submitted_is_not_found(bench: Any, condor_stand_in: CondorStandIn) -> None:
    first = bench()
    with condor_stand_in.away():
        made = first.submit(shell("true"))
        first.executor.close()
    assert list(bench().executor.recover({made[0].id: ""})) == []


# --- travelling -----------------------------------------------------------------------------------


def test_a_task_travels_with_its_files_and_its_outputs_come_home(
    bench: Any, tmp_path: Path
) -> None:
    data = tmp_path / "given" / "data.txt"
    (data.parent / "inner").mkdir(parents=True)
    data.write_text("brought")
    (data.parent / "inner" / "more").write_text("+more")
    text = 'cat here.txt "$0" >o; mkdir d; cp o d/x; case $0 in *executor*|*given*) exit 9; esac'
    task = Task(
        Argv(("sh", "-c", text, f"{INPUTS}/0/tree/inner/more")),
        (
            Output("o", "o"),
            Output("d", "d", directory=True),
            Output("t", "o", read=Read.TEXT),
        ),
        stage=(
            Staged(File(str(data)), "here.txt"),
            Staged(Directory(str(data.parent)), f"{INPUTS}/0/tree"),
        ),
        confined=True,
    )
    there = bench(FAR)
    (event,) = there.run(task)
    outcome = event.outcome
    assert outcome.succeeded, outcome
    folder = f"{tmp_path}/tasks/step-0"
    assert outcome.outputs["t"] == "brought+more"
    assert outcome.outputs["o"].location == f"{folder}/o"
    assert Path(folder, "d", "x").read_text() == "brought+more"
    facts = Path(folder, "o").stat()
    assert outcome.stamps[f"{folder}/o"] == (12, facts.st_mtime_ns, facts.st_ino)
    assert outcome.usage.peak_bytes > 0


KEEPS = "trap 'exit 1' TERM; cat kept 2>/dev/null && exit 0; echo so far >kept; touch {trace}; sleep 100 & wait"  # fmt: skip


def keeping(folder: Path, **more: Any) -> list[Attempt]:
    """Two attempts at a task that goes on from what it kept."""
    text = KEEPS.format(trace=folder / "trace")
    task = shell(text, checkpoint=("kept",), **more)
    return [Attempt(f"step#{n}", task, f"{folder}/tasks/{n}", 0, f"{folder}/keep") for n in (1, 2)]


def test_what_an_evicted_task_keeps_is_there_for_the_next_attempt(
    bench: Any, tmp_path: Path, condor_stand_in: CondorStandIn
) -> None:
    there = bench(FAR)
    first, second = keeping(tmp_path)
    there.executor.submit([first])
    there.started(first)
    wait_until((tmp_path / "trace").exists, "its program has kept something")
    condor_stand_in.call("condor_vacate_job", there.handle(first))
    there.loop.finish([first.id])
    event = there.loop.final[first.id]
    assert isinstance(event, Lost)
    assert event.reason is Reason.PREEMPTED
    assert (tmp_path / "keep" / "kept").read_text() == "so far\n"
    assert condor_stand_in.call("condor_q", "-af", "ClusterId") == ""
    there.executor.submit([second])
    there.loop.finish([second.id])
    assert there.loop.outcome(second.id).stdout == "so far\n"


def test_what_a_task_keeps_at_its_time_limit_comes_home(bench: Any, tmp_path: Path) -> None:
    there = bench(FAR)
    first, second = keeping(tmp_path, resources=Resources(walltime_s=1.5))
    for attempt, reason in ((first, Reason.TIMEOUT), (second, None)):
        there.executor.submit([attempt])
        there.loop.finish([attempt.id])
        assert there.loop.outcome(attempt.id).reason is reason
    assert there.loop.outcome(second.id).stdout == "so far\n"


def test_an_evicted_job_without_files_kept_is_lost_all_the_same(
    bench: Any, tmp_path: Path, condor_stand_in: CondorStandIn
) -> None:
    there = bench(FAR)
    first, _ = keeping(tmp_path)
    there.executor.submit([first])
    there.started(first)
    wait_until((tmp_path / "trace").exists, "its program has kept something")
    command = condor_stand_in.at / "bin" / "condor_evicted_files"
    command.rename(f"{command}.hidden")  # an HTCondor that has no such command
    try:
        condor_stand_in.call("condor_vacate_job", there.handle(first))
        there.loop.finish([first.id])
    finally:
        Path(f"{command}.hidden").rename(command)
    assert isinstance(there.loop.final[first.id], Lost)


def test_a_failure_far_away_comes_home_with_what_was_printed(bench: Any) -> None:
    failed, missing = bench(FAR).run(
        shell("echo one; echo 'no beam' >&2; exit 7"), shell("touch a", Output("o", "b"))
    )
    assert failed.outcome.message == "command exited with code 7: no beam"
    assert failed.outcome.stdout == "one\n"
    assert missing.outcome.message == "output 'o': there is no 'b'; it left a"


def test_an_input_that_is_passed_on_is_the_one_at_home(bench: Any, tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("content")
    stage = (Staged(File(str(data)), f"{INPUTS}/0/x"),)
    (event,) = bench(FAR).run(
        Task(
            Argv(("ln", "-s", f"{INPUTS}/0/x", "o")),
            (Output("o", "o", either=True),),
            stage=stage,
            confined=True,
        )
    )
    assert event.outcome.outputs["o"].location == str(data)


def test_an_input_that_is_not_there_cannot_be_sent(bench: Any) -> None:
    (event,) = bench(FAR).run(shell("true", stage=(Staged(File("/no/such"), "x"),)))
    assert event.outcome.reason is Reason.START
    assert "/no/such is to travel with the task, but is not there" in event.outcome.message


def test_a_function_is_called_far_away_with_its_module(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "far.py").write_text("def double(x):\n    return 2 * x\n")
    call = Call("far:double", {"x": 21}, {}, (str(tmp_path / "code"),))
    (event,) = bench(FAR).run(Task(call, (Output("value"),)))
    assert event.outcome.outputs == {"value": 42}


# --- what is asked for ----------------------------------------------------------------------------

ASKING = Site(
    "osg",
    executor="htcondor",
    account="MyProject",
    staging=Staging.CAPSULE,
    container=Container(Runtime.NATIVE),
    lines=('+Wanted = "x"',),
    settings={**SETTINGS, "account_attribute": "ProjectName"},
    queues=(Queue("gpu", gpus=4, gpu_kinds={"a100": "A100-SXM"}, constraint="HasSingularity"),),
)


def test_a_description_says_what_a_task_and_its_site_ask_for(
    bench: Any, condor_stand_in: CondorStandIn
) -> None:
    task = shell(
        "sleep 100",
        resources=Resources(2, 500, 50, 1, "a100", 3600),
        container=Image("library/python:3.12"),
    )
    there = bench(ASKING)
    (made,) = there.submit(task)
    (ad,) = json.loads(condor_stand_in.call("condor_q", there.handle(made), "-json"))
    asked = {
        "RequestCpus": 2, "RequestMemory": 500, "RequestDisk": 50 << 10, "RequestGPUs": 1,
        "ContainerImage": "docker://library/python:3.12", "ProjectName": "MyProject", "Wanted": "x",
        "ShouldTransferFiles": "YES",
    }  # fmt: skip
    assert {name: ad[name] for name in asked} == asked
    assert "A100-SXM" in str(ad["RequireGPUs"])


def test_the_sample_is_what_is_submitted(bench: Any, tmp_path: Path) -> None:
    there = bench()
    (made,) = there.submit(shell("true"))
    sample = there.executor.sample([made])
    there.loop.finish([made.id])
    written = (tmp_path / "executor" / ".htcondor" / "1" / "description").read_text()
    assert sample.startswith(written)


def test_what_no_queue_takes_is_refused_and_has_no_sample(bench: Any) -> None:
    there = bench(ASKING)
    task = shell("true", resources=Resources(gpus=9))
    (event,) = there.run(task)
    assert isinstance(event, Rejected)
    assert "at most 4 gpus" in event.message
    with pytest.raises(ValueError, match="at most 4 gpus"):
        there.executor.sample([Attempt("a#1", task)])


def test_tasks_cannot_share_a_job(tmp_path: Path) -> None:
    site = Site("pool", executor="htcondor", queues=(Queue("short", pack=5),))
    with pytest.raises(ValueError, match=r"queue 'short'.*its own job"):
        HTCondorExecutor(tmp_path, site=site)


def test_a_cluster_is_cancelled_waiting_and_running(
    bench: Any, condor_stand_in: CondorStandIn
) -> None:
    there = bench()
    made = there.submit(*[shell("echo begun; sleep 100")] * 10)
    there.started(*made[:4])
    there.executor.cancel([made[9].id])
    there.executor.cancel([attempt.id for attempt in made[:9]])
    there.loop.finish([attempt.id for attempt in made])
    events = [there.loop.final[attempt.id] for attempt in made]
    assert all(isinstance(event, Finished) for event in events)
    assert {event.outcome.reason for event in events if isinstance(event, Finished)} == {
        Reason.CANCELLED
    }
    wait_until(lambda: condor_stand_in.call("condor_q", "-af", "ClusterId") == "", "empty queue")
