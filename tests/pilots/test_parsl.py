"""Parsl as it really is: blocks of workers from Slurm, blocks that never come, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hepflow.model.errors import UnavailableError
from hepflow.model.events import Lost, Rejected
from hepflow.model.site import Queue, Site
from hepflow.model.task import Attempt, Resources, Shell, Task
from hepflow_parsl import ParslExecutor
from hepflow_parsl import executor as executor_module
from tests.contract.loop import Loop
from tests.contract.test_executor import Bench
from tests.pilots.part import hold
from tests.services.slurm import Slurm

ON_SLURM = {
    "provider": "slurm",
    "cores_per_node": 3,
    "mem_per_node_gb": 2,
    "walltime": "00:10:00",
    "address": "127.0.0.1",
}


@contextmanager
def started(
    folder: Path, *queues: Queue, setup: tuple[str, ...] = (), **settings: object
) -> Iterator[tuple[ParslExecutor, Loop]]:
    """An executor with these settings, closed afterwards."""
    said = {"grace_s": 0.3, "gpus": [], **settings}
    site = Site("parsl", executor="parsl", settings=said, queues=queues, setup=setup)
    executor, loop = ParslExecutor(folder / "executor", site=site), Loop()
    try:
        executor.start(loop)
        yield executor, loop
    finally:
        executor.close()


def task(text: str, **resources: float) -> Task:
    return Task(Shell(text), resources=Resources(**resources))  # type: ignore[arg-type]


def test_the_contract_holds_in_part_on_blocks_from_slurm(slurm: Slurm, tmp_path: Path) -> None:
    before = slurm.submitted()
    with started(tmp_path, Queue("main", partition="main"), **ON_SLURM) as (executor, loop):
        hold(executor, loop, tmp_path)
    assert slurm.submitted() == before + 1
    _until(lambda: not slurm.call("squeue", "-h"), "the block has ended")


@pytest.mark.long
def test_a_block_that_is_lost_is_replaced_and_what_ran_there_told_as_lost(
    slurm: Slurm, tmp_path: Path
) -> None:
    with started(tmp_path, Queue("main", partition="main"), **ON_SLURM) as (executor, loop):
        bench = Bench(executor, loop, tmp_path)
        (slow,) = bench.attempts(task("sleep 1000"))
        executor.submit([slow])
        loop.until(lambda: slow.id in loop.started)
        slurm.call("scancel", "--partition=main")
        loop.finish([slow.id], 120)
        event = loop.final[slow.id]
        assert isinstance(event, Lost)
        assert "the Parsl worker that ran it was lost" in event.message
        assert bench.run(task("true")).succeeded


def test_a_partition_that_does_not_exist_is_told_at_once(slurm: Slurm, tmp_path: Path) -> None:
    with (
        pytest.raises(UnavailableError, match="Parsl could not ask for workers") as found,
        started(tmp_path, Queue("main", partition="nowhere"), **ON_SLURM),
    ):
        pass
    assert "invalid partition" in str(found.value).lower()


def test_workers_that_cannot_start_are_told_with_what_they_wrote(
    slurm: Slurm, tmp_path: Path
) -> None:
    setup = ("echo 'no such module: python/3.99' >&2", "exit 1")
    with started(tmp_path, Queue("main", partition="main"), setup=setup, **ON_SLURM) as (
        ours,
        loop,
    ):
        began = time.monotonic()
        ours.submit([Attempt("a#1", task("true"), str(tmp_path / "a"))])
        loop.finish(["a#1"], 60)
        event = loop.final["a#1"]
        assert time.monotonic() - began < 60
        assert isinstance(event, Rejected)
        assert "a block of Parsl workers ended without a worker" in event.message
        assert "no such module: python/3.99" in event.message


def test_workers_of_this_machine_that_cannot_start_are_told_as_well(tmp_path: Path) -> None:
    with started(tmp_path, setup=("echo 'no python here' >&2; exit 3",)) as (executor, loop):
        executor.submit([Attempt("a#1", task("true"), str(tmp_path / "a"))])
        loop.finish(["a#1"], 60)
        event = loop.final["a#1"]
        assert isinstance(event, Rejected)
        assert "no python here" in event.message


@pytest.mark.slow
def test_workers_that_are_never_heard_of_are_told_with_where_they_look_for_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert executor_module.PATIENCE_S + 2 * executor_module.WATCH_S < 60
    monkeypatch.setattr(executor_module, "PATIENCE_S", 3.0)
    with started(tmp_path, setup=("sleep 1000",)) as (executor, loop):
        executor.submit([Attempt("a#1", task("true"), str(tmp_path / "a"))])
        loop.finish(["a#1"], 60)
        event = loop.final["a#1"]
        assert isinstance(event, Rejected)
        assert "runs, but no worker of it was heard of" in event.message
        assert "must reach this machine at 127.0.0.1 (the setting 'address')" in event.message


def test_a_task_larger_than_a_worker_is_refused(tmp_path: Path) -> None:
    with started(tmp_path, cpus=1) as (executor, loop):
        executor.submit([Attempt("a#1", task("true", cpus=2))])
        loop.finish(["a#1"])
        event = loop.final["a#1"]
        assert isinstance(event, Rejected)
        assert event.message == "it asks for 2 cpus; each worker has 1 (the site's setting 'cpus')"


def test_a_killed_head_leaves_no_block_in_slurm(slurm: Slurm, tmp_path: Path) -> None:
    """The next head of the same run ends what the killed one had asked for."""
    text = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from hepflow.model.site import Queue
from tests.pilots.test_parsl import ON_SLURM, Attempt, started, task
folder = Path({str(tmp_path)!r})
with started(folder, Queue("main", partition="main"), **ON_SLURM) as (executor, loop):
    executor.submit([Attempt("a#1", task("sleep 1000"), str(folder / "a"))])
    loop.until(lambda: "a#1" in loop.started, 60)
    print("started", flush=True)
    time.sleep(1000)
"""
    head = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert head.stdout is not None
    assert head.stdout.readline() == "started\n"
    (first,) = slurm.call("squeue", "-h", "-o", "%i").split()
    head.send_signal(signal.SIGKILL)
    head.wait()
    head.stdout.close()
    with started(tmp_path, Queue("main", partition="main"), **ON_SLURM) as (executor, _):
        assert executor.recover({"a#1": ""}) == set()
        _until(lambda: first not in slurm.call("squeue", "-h", "-o", "%i").split(), "it has ended")
    _until(lambda: not slurm.call("squeue", "-h"), "ours has ended as well")
    assert not _processes_that_mention(str(tmp_path))


def test_settings_that_say_nothing_sensible_are_refused() -> None:
    def refused(**settings: object) -> str:
        with pytest.raises(ValueError, match=r".") as found:
            ParslExecutor(Path("/nowhere"), site=Site("x", executor="parsl", settings=settings))
        return str(found.value)

    assert "takes one of local, slurm" in refused(provider="slrum")
    assert "takes one of simple" in refused(launcher="none")
    said = refused(provider="slurm", cores_per_node=4)
    assert "the provider 'slurm' needs the setting 'mem_per_node_gb'" in said
    assert "Parsl would not say so" in said


def _processes_that_mention(text: str) -> list[str]:
    """Living processes with a text in their command line."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                line = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if text in line:
                found.append(line)
    return found


def _until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, f"not so after 30 s: {what}"
        time.sleep(0.1)
