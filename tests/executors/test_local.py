"""The local executor's own ways: processes, lanes, variables, what it does when one of them dies."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hepflow.executors import machine
from hepflow.executors.local import LocalExecutor
from hepflow.executors.processes import ROOT
from hepflow.model.events import Lost
from hepflow.model.site import Site
from hepflow.model.task import Argv, Attempt, Call, Output, Read, Reason, Resources, Shell, Task
from tests.contract.loop import Loop, run_all

FUNCTIONS = str(Path(__file__).parent.parent / "contract")
VALUE = (Output("value"),)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def local(tmp_path: Path, loop: Loop) -> Iterator[LocalExecutor]:
    said = {"cpus": 2, "memory_mib": 2000, "gpus": [5, 7], "grace_s": 0.3}
    made = LocalExecutor(tmp_path / "ex", site=Site("local", executor="local", settings=said))
    made.start(loop)
    yield made
    made.close()


def command(tmp_path: Path, name: str, text: str, *outputs: Output, **more: object) -> Attempt:
    task = Task(Shell(text), outputs, **more)  # type: ignore[arg-type]
    return Attempt(name, task, str(tmp_path / "tasks" / name))


def call(
    name: str, function: str, resources: Resources = Resources(), /, **arguments: object
) -> Attempt:
    made = Call(f"functions:{function}", arguments, {}, (FUNCTIONS,))  # type: ignore[arg-type]
    return Attempt(name, Task(made, VALUE, resources))


def launchers(executor: LocalExecutor) -> list[int]:
    workers = executor._crew.workers.values()
    return [worker.pid for worker in workers if not worker.is_python]


def kept_call(tmp_path: Path, name: str, **arguments: object) -> Attempt:
    """A call that keeps the file ``at`` when it must make way."""
    made = call(name, "keeps", Resources(walltime_s=0.3), **arguments)
    task = replace(made.task, checkpoint=("at",))
    return made._replace(
        task=task, folder=str(tmp_path / "tasks" / name), checkpoint=str(tmp_path / "kept")
    )


def text_of(loop: Loop, name: str) -> str:
    outcome = loop.outcome(name)
    assert outcome.succeeded, outcome
    return outcome.stdout


def test_variables_say_what_a_task_may_use(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    text = "echo $HEPFLOW_CPUS $OMP_NUM_THREADS ${MKL_NUM_THREADS} [$CUDA_VISIBLE_DEVICES]"
    gpu = Resources(cpus=2, gpus=1)
    attempts = [
        command(tmp_path, "a", text),
        command(tmp_path, "b", text, resources=gpu),
        command(tmp_path, "c", text, env={"OMP_NUM_THREADS": "7"}),
        command(tmp_path, "d", "which python3"),
    ]
    run_all(local, loop, attempts)
    assert [text_of(loop, name) for name in "abc"] == ["1 1 1 []\n", "2 2 2 [5]\n", "1 7 1 []\n"]
    assert Path(text_of(loop, "d").strip()).parent == Path(sys.executable).parent


def test_python_workers_see_the_same_variables(local: LocalExecutor, loop: Loop) -> None:
    run_all(
        local,
        loop,
        [
            call("a", "variable", Resources(gpus=2), name="CUDA_VISIBLE_DEVICES"),
            call("b", "variable", Resources(cpus=2), name="OMP_NUM_THREADS"),
        ],
    )
    assert [loop.outcome(name).outputs["value"] for name in "ab"] == ["5,7", "2"]


def test_a_launcher_that_dies_loses_what_ran_and_nothing_else(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    run_all(local, loop, [command(tmp_path, "first", "true")])
    sleeper = command(tmp_path, "sleeper", "sleep 1000 & sleep 1000")
    others = [
        command(tmp_path, f"n{n}", "sleep 0.001; touch x", Output("x", "x")) for n in range(60)
    ]
    local.submit([sleeper, *others])
    loop.until(lambda: "sleeper" in loop.started)
    pid = int(loop.started["sleeper"].where.split()[2])
    for launcher in launchers(local):
        os.kill(launcher, signal.SIGKILL)
    loop.finish(["sleeper", *[attempt.id for attempt in others]])
    lost = [event for event in loop.final.values() if isinstance(event, Lost)]
    assert "sleeper" in {event.attempt for event in lost}
    assert len(lost) <= 3
    assert {event.reason for event in lost} == {Reason.NODE}
    assert not _runs(pid)


def test_long_work_behind_short_work_moves_to_an_idle_core(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    warm = [command(tmp_path, f"w{n}", "true") for n in range(20)]
    run_all(local, loop, warm)
    texts = ["sleep 1"] + ["sleep 0.3"] * 3
    began = time.monotonic()
    run_all(local, loop, [command(tmp_path, f"s{n}", text) for n, text in enumerate(texts)])
    # One core sleeps for a second, the other does the three others meanwhile.
    assert time.monotonic() - began < 1.6


def test_long_calls_behind_short_calls_move_to_an_idle_core(
    local: LocalExecutor, loop: Loop
) -> None:
    run_all(local, loop, [call(f"w{n}", "double", x=n) for n in range(500)])
    seconds = [1.0, 0.3, 0.3, 0.3]
    attempts = [call(f"s{n}", "sleeps", seconds=each) for n, each in enumerate(seconds)]
    began = time.monotonic()
    run_all(local, loop, attempts)
    assert time.monotonic() - began < 1.9


def test_a_result_is_told_although_the_next_call_is_long(local: LocalExecutor, loop: Loop) -> None:
    run_all(local, loop, [call(f"w{n}", "double", x=n) for n in range(500)])
    attempts = [call(f"q{n}", "double", x=n) for n in range(40)]
    attempts[20:20] = [call("long", "sleeps", seconds=2.0)]
    attempts[30:30] = [call("also", "sleeps", seconds=2.0)]
    began = time.monotonic()
    local.submit(attempts)
    loop.until(lambda: {"long", "also"} <= set(loop.started))
    loop.finish([f"q{n}" for n in range(20)])
    assert time.monotonic() - began < 1.5
    assert "pid" in loop.started["long"].where
    local.cancel(["long", "also"])
    loop.finish([attempt.id for attempt in attempts])


def test_a_large_output_is_digested_beside_other_work(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    large = command(tmp_path, "large", "truncate -s 64M o", Output("o", "o"))
    small = [command(tmp_path, f"n{n}", "touch x", Output("x", "x")) for n in range(20)]
    run_all(local, loop, [large, *small])
    found = loop.outcome("large").outputs["o"]
    assert (found.size, found.digest[:8]) == (64 << 20, "3b6a07d0")  # type: ignore[union-attr]


def test_started_is_told_of_long_tasks_only(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    run_all(
        local, loop, [command(tmp_path, "short", "true"), command(tmp_path, "long", "sleep 0.2")]
    )
    assert set(loop.started) == {"long"}
    assert loop.started["long"].log.endswith(".out")


def test_what_a_running_task_prints_can_be_followed(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    local.submit([command(tmp_path, "a", "echo now; sleep 1000")])
    loop.until(lambda: "a" in loop.started)
    assert Path(loop.started["a"].log).read_text() == "now\n"


def test_sigpipe_ends_a_program_as_in_a_shell(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    run_all(local, loop, [command(tmp_path, "a", "set +o pipefail; yes | head -n 1")])
    assert (text_of(loop, "a"), loop.outcome("a").stderr) == ("y\n", "")


def test_what_a_task_leaves_running_is_ended_with_it(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    run_all(local, loop, [command(tmp_path, "a", "sleep 1000 & echo $!")])
    pid = int(text_of(loop, "a"))
    deadline = time.monotonic() + 5
    while _runs(pid):
        assert time.monotonic() < deadline


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_that_needed_too_much_memory(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    eat = "import os; x = bytearray(60 << 20); os.kill(os.getpid(), 9)"
    words = (sys.executable, "-I", "-S", "-c", eat)
    attempts = [
        Attempt("near", Task(Argv(words), (), Resources(memory_mib=64)), str(tmp_path / "near")),
        Attempt("far", Task(Argv(words), (), Resources(memory_mib=900)), str(tmp_path / "far")),
    ]
    run_all(local, loop, attempts)
    assert loop.outcome("near").reason is Reason.MEMORY
    assert "probably out of memory" in loop.outcome("near").message
    assert loop.outcome("far").reason is Reason.PROGRAM
    assert loop.outcome("near").usage.peak_bytes >= 60 << 20


def test_a_small_program_is_not_charged_for_its_parents(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    run_all(local, loop, [command(tmp_path, "a", "true"), call("b", "double", x=1)])
    assert loop.outcome("a").usage.peak_bytes < 30 << 20
    assert loop.outcome("b").usage.peak_bytes < 60 << 20


def test_a_folder_that_cannot_be_made(local: LocalExecutor, loop: Loop, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    attempt = Attempt("a", Task(Shell("true")), str(tmp_path / "file" / "x"))
    run_all(local, loop, [attempt])
    outcome = loop.outcome("a")
    assert outcome.reason is Reason.START
    assert outcome.message.startswith("its folder could not be made ready: ")


@pytest.mark.parametrize(
    ("content", "mode", "word"),
    [
        (b"#!/no/such/interpreter\n", 0o755, "the interpreter in its first line is missing"),
        (b"\x00nothing", 0o755, "no program for this machine"),
        (b"#!/bin/sh\n", 0o644, "lacks the permission"),
    ],
)
def test_a_program_that_cannot_be_executed(
    local: LocalExecutor, loop: Loop, tmp_path: Path, content: bytes, mode: int, word: str
) -> None:
    program = tmp_path / "program"
    program.write_bytes(content)
    program.chmod(mode)
    run_all(local, loop, [Attempt("a", Task(Argv((str(program),))), str(tmp_path / "t"))])
    assert loop.outcome("a").reason is Reason.START
    assert word in loop.outcome("a").message


def test_a_word_with_a_zero_byte_fails_its_attempt(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    attempts = [
        Attempt("a", Task(Argv(("echo", "a\0b"))), str(tmp_path / "a")),
        Attempt("b", Task(Argv(("echo", "ab"))), str(tmp_path / "b")),
    ]
    run_all(local, loop, attempts)
    assert loop.outcome("a").reason is Reason.START
    assert loop.outcome("b").succeeded


def test_plain_words_that_cannot_be_spawned_fall_back_to_the_shell(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    attempts = [
        command(tmp_path, "missing", "no-such-program x"),
        command(tmp_path, "target", "seq 3 > no/such/folder"),
        command(tmp_path, "fine", "seq 2 > out", Output("o", "out", read=Read.TEXT)),
    ]
    run_all(local, loop, attempts)
    missing, target, fine = (loop.outcome(name) for name in ("missing", "target", "fine"))
    assert (missing.reason, missing.exit_code) == (Reason.PROGRAM, 127)
    assert "command not found" in missing.message
    assert "No such file or directory" in target.message
    assert fine.outputs == {"o": "1\n2\n"}


def test_many_sets_of_variables_are_forgotten_in_time(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    attempts = [command(tmp_path, f"n{n}", "printenv N", env={"N": str(n)}) for n in range(700)]
    run_all(local, loop, attempts)
    assert [text_of(loop, f"n{n}") for n in range(700)] == [f"{n}\n" for n in range(700)]


def test_worker_programs_are_written_for_old_pythons() -> None:
    for name in ("launcher", "pyworker"):
        source = Path(ROOT, "hepflow", "executors", f"{name}.py").read_text(encoding="utf-8")
        ast.parse(source, feature_version=(3, 9))
        assert "from __future__ import annotations" in source


def test_worker_programs_load_next_to_nothing(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.append({ROOT!r}); import hepflow.executors.launcher;"
        " import hepflow.executors.pyworker; print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    ours = {name for name in modules if name.startswith("hepflow.")}
    assert ours == {
        "hepflow.capsule",
        "hepflow.capsule.calling",
        "hepflow.capsule.digests",
        "hepflow.capsule.folder",
        "hepflow.capsule.job",
        "hepflow.capsule.light",
        "hepflow.capsule.placing",
        "hepflow.capsule.report",
        "hepflow.capsule.spawning",
        "hepflow.executors",
        "hepflow.executors.launcher",
        "hepflow.executors.pyworker",
    }
    assert not modules & {"dataclasses", "inspect", "pathlib", "subprocess", "typing"}


def test_a_worker_that_cannot_boot_fails_its_attempts(tmp_path: Path, loop: Loop) -> None:
    site = Site("local", executor="local", settings={"cpus": 1, "gpus": []})
    local = LocalExecutor(tmp_path / "ex", site=site)
    local.start(loop)
    try:
        broken = call("a", "double", x=1)
        task = Task(broken.task.command, VALUE, env={"PYTHONHOME": "/no/such/place"})
        run_all(local, loop, [Attempt("a", task), Attempt("b", task)])
        assert loop.outcome("a").reason is Reason.START
        assert "the Python worker could not be started" in loop.outcome("a").message
    finally:
        local.close()


def test_recovering_nothing_finds_nothing(local: LocalExecutor, loop: Loop) -> None:
    assert set(local.recover({})) == set()
    assert set(local.recover({"a#1": ""})) == set()
    assert loop.events == []


def test_the_machine_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = machine.measure(None, None, None, {"CUDA_VISIBLE_DEVICES": " 1, GPU-abc ,"})
    assert found.cpus >= 1
    assert found.memory_mib > 100
    assert found.gpus == ("1", "GPU-abc")
    assert machine.measure(3, 5, ("x",), {}) == machine.Machine(3, 5, ("x",))
    assert machine.measure(3, 5, None, {"CUDA_VISIBLE_DEVICES": ""}).gpus == ()


def test_tasks_of_one_second_run_in_the_time_they_need(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    began = time.monotonic()
    run_all(local, loop, [command(tmp_path, f"n{n}", "sleep 0.2") for n in range(4)])
    assert 0.39 < time.monotonic() - began < 1.0


def test_a_call_goes_on_from_what_it_kept(local: LocalExecutor, loop: Loop, tmp_path: Path) -> None:
    run_all(local, loop, [kept_call(tmp_path, "fit#1")])
    assert loop.outcome("fit#1").reason is Reason.TIMEOUT
    run_all(local, loop, [kept_call(tmp_path, "fit#2")])
    assert loop.outcome("fit#2").outputs["value"] == "half"


def test_a_command_that_was_cancelled_goes_on_from_what_it_kept(
    local: LocalExecutor, loop: Loop, tmp_path: Path
) -> None:
    text = (
        "if test -f at; then cat at; exit; fi; trap 'echo half > at; exit 1' TERM; sleep 60 & wait"
    )
    first, second = (
        command(tmp_path, name, text, checkpoint=("at",))._replace(
            checkpoint=str(tmp_path / "kept")
        )
        for name in ("fit#1", "fit#2")
    )
    local.submit([first])
    loop.until(lambda: first.id in loop.started)
    local.cancel([first.id])
    loop.finish([first.id])
    assert loop.outcome(first.id).reason is Reason.CANCELLED
    run_all(local, loop, [second])
    assert loop.outcome(second.id).stdout == "half\n"
