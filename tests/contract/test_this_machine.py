"""What executors promise beyond the contract whose processes are on this machine: none is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hepflow.model.events import Rejected
from hepflow.model.protocols import Executor
from hepflow.model.task import Attempt, Resources, Task
from hepflow.model.values import File
from tests.contract.conftest import FACTORIES, Factory
from tests.contract.head import attempts as head_attempts
from tests.contract.loop import Loop
from tests.contract.test_executor import VALUE, Bench, call, outputs_of, shell

here = pytest.mark.parametrize("executor_name", ["local", "dask", "parsl"], indirect=True)
only_local = pytest.mark.parametrize("executor_name", ["local"], indirect=True)

HALF = Resources(cpus=0.5)
"""Two cores hold all tasks of a test, in whatever order they come there."""


@pytest.fixture
def bench(executor: Executor, loop: Loop, tmp_path: Path) -> Bench:
    return Bench(executor, loop, tmp_path)


@only_local
@pytest.mark.parametrize(
    ("resources", "word"),
    [
        (Resources(cpus=1e6), "cpus"),
        (Resources(memory_mib=1 << 40), "memory"),
        (Resources(gpus=999), "gpus"),
    ],
)
def test_what_can_never_run_is_refused(bench: Bench, resources: Resources, word: str) -> None:
    (attempt,) = bench.attempts(shell("true", resources=resources))
    bench.executor.submit([attempt])
    bench.loop.finish([attempt.id])
    event = bench.loop.final[attempt.id]
    assert isinstance(event, Rejected)
    assert not event.transient
    assert word in event.message
    assert "this machine has" in event.message


@only_local
def test_a_worker_stays_warm(bench: Bench) -> None:
    first = bench.run(call("process"))
    second = bench.run(call("process"))
    assert first.outputs["value"] == second.outputs["value"] != os.getpid()


@only_local
def test_a_returned_value_is_taken_as_it_was_then(bench: Bench) -> None:
    attempts = [Attempt(f"grow[{n}]", call("grow", i=n)) for n in range(20)]
    for attempt in attempts:
        bench.executor.submit([attempt])
    bench.loop.finish([attempt.id for attempt in attempts])
    lists = [outputs_of(bench.loop, attempt.id)["value"] for attempt in attempts]
    assert {len(value) for value in lists} != {20}
    assert all(value == sorted(set(value)) for value in lists)


def marked_processes(tag: str) -> list[int]:
    """Living processes whose environment or command line mentions a text."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                content = Path("/proc", name, "environ").read_bytes()
                content += Path("/proc", name, "cmdline").read_bytes()
            except OSError:
                continue
            if tag.encode() in content:
                found.append(int(name))
    return found


def soon_gone(tag: str, patience_s: float = 5.0) -> bool:
    """Whether no such process is left. One that was killed may take a moment to go on a busy machine."""
    deadline = time.monotonic() + patience_s
    while found := marked_processes(tag):
        if time.monotonic() > deadline:
            print(f"left: {found}")
            return False
        time.sleep(0.05)
    return True


@here
def test_nothing_is_left_after_close(executor_factory: Factory, loop: Loop, tmp_path: Path) -> None:
    executor = executor_factory(tmp_path / "executor")
    executor.start(loop)
    bench = Bench(executor, loop, tmp_path)
    tag = f"HEPFLOW_TEST_{os.getpid()}_{tmp_path.name}"
    env = {tag: "1"}
    mine = bench.attempts(
        shell("sleep 1000 & sleep 1000", env=env, resources=HALF),
        shell("echo", env=env, resources=HALF),
    )
    sleeper = Task(call("sleeps", seconds=1000).command, (VALUE,), HALF, env=env)
    executor.submit([*mine, Attempt("call", sleeper)])
    loop.finish([mine[1].id])
    loop.until(lambda: len(loop.started) == 2)
    assert marked_processes(tag)
    executor.close()
    executor.close()
    assert soon_gone(tag)
    assert {path.name for path in (tmp_path / "executor").glob("lane-*")} == set()


@here
def test_a_killed_head_leaves_no_process_and_loses_no_result(
    executor_name: str, tmp_path: Path, loop: Loop, root: Path
) -> None:
    count = 60
    head = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.head", executor_name, str(tmp_path), str(count)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    )
    assert head.stdout is not None
    told = set()
    for line in head.stdout:
        kind, attempt = line.split()
        if kind == "Finished":
            told.add(attempt)
        if len(told) >= count // 2:
            break
    head.kill()
    head.wait()
    head.stdout.close()
    executor = FACTORIES[executor_name](tmp_path / "executor")
    executor.start(loop)
    found = set(executor.recover({attempt.id: "" for attempt in head_attempts(tmp_path, count)}))
    # Everything that was told, and everything that left its trace, has a result.
    traces = {f"short[{path.name}]#1" for path in (tmp_path / "traces").iterdir()}
    assert told <= found
    assert traces <= found
    assert all(loop.outcome(attempt).succeeded for attempt in found)
    assert all(digest_of(loop, attempt) for attempt in found)
    executor.close()
    assert soon_gone(str(tmp_path))


def digest_of(loop: Loop, attempt: str) -> str:
    found = loop.outcome(attempt).outputs["number"]
    assert isinstance(found, File)
    return found.digest


@here
def test_an_idle_executor_does_nothing(bench: Bench) -> None:
    bench.run(shell("true"), call("double", x=1))
    sleepers = bench.attempts(shell("sleep 1000"))
    sleepers.append(Attempt("call", call("sleeps", seconds=1000)))
    bench.executor.submit(sleepers)
    bench.loop.until(lambda: len(bench.loop.started) == 2)
    bench.loop.idle(0.2)
    wakes, spent = bench.loop.wakes, time.thread_time()  # libraries have threads of their own
    bench.loop.idle(1.0)
    assert bench.loop.wakes - wakes <= 3
    assert time.thread_time() - spent < 0.02
