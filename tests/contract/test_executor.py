"""The contract of every executor: whoever implements the protocol passes this suite."""

from __future__ import annotations

import hashlib
import itertools
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hepflow.model.events import Finished, Lost
from hepflow.model.protocols import Executor
from hepflow.model.task import (
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
from hepflow.model.values import Directory, File, Value
from tests.contract.loop import Loop, run_all

HERE = str(Path(__file__).parent)


def shell(text: str, *outputs: Output, **more: object) -> Task:
    return Task(Shell(text), outputs, **more)  # type: ignore[arg-type]


def call(function: str, *outputs: Output, **arguments: Value) -> Task:
    return Task(Call(f"functions:{function}", arguments, {}, (HERE,)), outputs or (VALUE,))


VALUE = Output("value")


class Bench:
    """One executor with its loop: runs tasks and gives their outcomes."""

    benches = itertools.count(1)

    def __init__(self, executor: Executor, loop: Loop, folder: Path) -> None:
        self.executor, self.loop, self.folder = executor, loop, folder
        self.count = 0
        # Executors may live through many tests, and an id never comes twice.
        self.number = next(self.benches)

    def attempts(self, *tasks: Task) -> list[Attempt]:
        made = []
        for task in tasks:
            self.count += 1
            name = f"step[{self.count}]#{self.number}"
            folder = str(self.folder / "tasks" / str(self.count))
            made.append(Attempt(name, task, folder))
        return made

    def run(self, *tasks: Task) -> Any:
        """The outcome of one task, or the list of several."""
        attempts = self.attempts(*tasks)
        run_all(self.executor, self.loop, attempts)
        outcomes = [self.loop.outcome(attempt.id) for attempt in attempts]
        return outcomes[0] if len(tasks) == 1 else outcomes


@pytest.fixture
def bench(executor: Executor, loop: Loop, tmp_path: Path) -> Bench:
    return Bench(executor, loop, tmp_path)


@pytest.fixture
def packed_bench(packed_executor: Executor, loop: Loop, tmp_path: Path) -> Bench:
    return Bench(packed_executor, loop, tmp_path)


def outputs_of(loop: Loop, attempt: str) -> Any:
    return loop.outcome(attempt).outputs


# --- commands -------------------------------------------------------------------------------------


def test_a_command_succeeds_and_its_output_is_digested(bench: Bench) -> None:
    outcome = bench.run(shell("echo 5 > number.txt", Output("number", "number.txt")))
    assert outcome.succeeded, outcome
    found = outcome.outputs["number"]
    path = bench.folder / "tasks" / "1" / "number.txt"
    assert found == File(str(path), hashlib.sha256(b"5\n").hexdigest(), 2)
    facts = path.stat()
    assert outcome.stamps == {str(path): (2, facts.st_mtime_ns, facts.st_ino)}
    assert 0 <= outcome.usage.wall_s < 10
    assert outcome.usage.peak_bytes > 0
    assert abs(outcome.usage.started - time.time()) < 60


def test_an_exit_code_fails_the_attempt_with_the_last_line_of_stderr(bench: Bench) -> None:
    outcome = bench.run(shell("echo one; echo 'no such detector' >&2; exit 7"))
    assert (outcome.reason, outcome.exit_code) == (Reason.PROGRAM, 7)
    assert outcome.message == "command exited with code 7: no such detector"
    assert (outcome.stdout, outcome.stderr) == ("one\n", "no such detector\n")


def test_a_failing_part_of_a_shell_text_fails_it(bench: Bench) -> None:
    first, piped = bench.run(shell("false\ntrue"), shell("false | cat"))
    assert first.reason is piped.reason is Reason.PROGRAM


def test_a_signal_is_named(bench: Bench) -> None:
    outcome = bench.run(shell("kill -SEGV $$"))
    assert (outcome.reason, outcome.exit_code) == (Reason.PROGRAM, -signal.SIGSEGV)
    assert "SIGSEGV" in outcome.message


def test_a_missing_output_is_told_with_what_is_there(bench: Bench) -> None:
    outcome = bench.run(shell("touch numbers.txt other", Output("number", "number.txt")))
    assert outcome.reason is Reason.OUTPUT
    assert outcome.message == (
        "output 'number': there is no 'number.txt'; it left numbers.txt, other"
    )


def test_a_program_that_does_not_exist_could_not_be_started(bench: Bench) -> None:
    outcome = bench.run(Task(Argv(("no-such-program-here", "x"))))
    assert outcome.reason is Reason.START
    assert "there is no program 'no-such-program-here' (looked in " in outcome.message


def test_a_time_limit_ends_the_whole_group(bench: Bench) -> None:
    began = time.monotonic()
    limit = Resources(walltime_s=0.2)
    outcome = bench.run(shell("sleep 1000 & trap '' TERM; sleep 1000; sleep 1000", resources=limit))
    assert outcome.reason is Reason.TIMEOUT
    assert outcome.message == "it ran longer than its time limit of 0.2 s"
    assert time.monotonic() - began < 10


def test_what_ran_out_of_time_goes_on_from_what_it_kept(bench: Bench) -> None:
    text = (
        "if test -f at/n; then cat at/n > o; exit; fi; mkdir at; trap 'echo 42 > at/n; exit 0' TERM;"
        " while :; do sleep 60 & wait; done"
    )
    task = shell(
        text, Output("o", "o"), resources=Resources(walltime_s=0.5), checkpoint=("at", "no")
    )
    kept = str(bench.folder / "kept")
    first, second = (a._replace(checkpoint=kept) for a in bench.attempts(task, task))
    run_all(bench.executor, bench.loop, [first])
    assert bench.loop.outcome(first.id).reason is Reason.TIMEOUT
    run_all(bench.executor, bench.loop, [second])
    outcome = bench.loop.outcome(second.id)
    assert outcome.succeeded, outcome
    assert (Path(second.folder) / "o").read_text() == "42\n"


def test_words_reach_the_program_as_they_are(bench: Bench) -> None:
    words = ("a b", "", "'", '"', "$HOME", "*", "\\", "ü€𝄞", "-n", "line\nbreak", "\udc80")
    text = "import sys; open('words', 'w').write(ascii(sys.argv[1:]))"
    task = Task(Argv((sys.executable, "-c", text, *words)), (Output("w", "words", read=Read.TEXT),))
    outcome = bench.run(task)
    assert outcome.succeeded, outcome
    assert outcome.outputs["w"] == ascii(list(words))


def test_odd_names_of_files_folders_and_attempts(bench: Bench) -> None:
    name = "a 'b' \"c\" $d ü;&|\n*?[x].txt"
    folder = bench.folder / "odd" / name
    task = Task(
        Argv(("sh", "-c", 'cat in.txt > "$0"', name)),
        (Output("o", name), Output("many", "*.txt", many=True)),
        texts=(("in.txt", "hé\n"),),
    )
    attempt = Attempt(f"step[{name}]#1", task, str(folder))
    run_all(bench.executor, bench.loop, [attempt])
    outcome: Any = bench.loop.outcome(attempt.id)
    assert outcome.succeeded, outcome
    assert outcome.outputs["o"].location == str(folder / name)
    assert [file.name for file in outcome.outputs["many"]] == [name, "in.txt"]


def test_variables_are_the_executors_own_and_the_tasks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {f"LARGE_{n}": "x" * 1000 for n in range(300)} | {"HELLO": "wörld"}
    text = 'echo $HELLO $HEPFLOW_CPUS $PWD ${#LARGE_299}; test -n "$PATH"'
    first, second = bench.run(shell(text, env=large), shell("echo ${HELLO-none}"))
    assert first.stdout == f"wörld 1 {bench.folder}/tasks/1 1000\n"
    assert second.stdout == "none\n"


def test_long_printed_text_is_kept_beside_and_told_in_part(bench: Bench) -> None:
    outcome, after = bench.run(shell("seq 100000; seq 3 >&2"), shell("echo next"))
    assert outcome.succeeded, outcome
    assert outcome.stdout.startswith("1\n2\n")
    assert outcome.stdout.endswith("99999\n100000\n")
    assert "bytes left out; all of it is in .stdout" in outcome.stdout
    assert len(outcome.stdout) < 70_000
    kept = (bench.folder / "tasks" / "1" / ".stdout").read_text()
    assert kept.splitlines() == [str(n) for n in range(1, 100001)]
    assert outcome.stderr == "1\n2\n3\n"
    assert after.stdout == "next\n"


def test_a_long_shell_text_runs(bench: Bench) -> None:
    text = "cat > out.txt <<'END'\n" + "x" * 300_000 + "\nEND\n"
    outcome = bench.run(shell(text, Output("o", "out.txt")))
    assert outcome.succeeded, outcome
    assert outcome.outputs["o"].size == 300_001


def test_a_long_list_of_words_is_refused_with_a_way_out(bench: Bench) -> None:
    outcome = bench.run(Task(Argv(("true", *["x" * 100_000] * 30))))
    assert outcome.reason is Reason.START
    assert "argument list is too long" in outcome.message
    assert "listing" in outcome.message


def test_outputs_of_every_kind(bench: Bench) -> None:
    text = (
        "mkdir -p d/e; echo 1 > d/a; echo 2 > d/e/b; echo '[1, 2.5]' > v.json; printf hé > t.txt;"
        "touch p1 p2; : > empty"
    )
    outcome = bench.run(
        shell(
            text,
            Output("dir", "d", directory=True),
            Output("json", "v.json", read=Read.JSON),
            Output("text", "t.txt", read=Read.TEXT),
            Output("many", "p*", many=True),
            Output("none", "q*", many=True, optional=True),
            Output("absent", "nothing", optional=True),
            Output("empty", "empty"),
        )
    )
    assert outcome.succeeded, outcome
    folder = str(bench.folder / "tasks" / "1")
    out = outcome.outputs
    assert isinstance(out["dir"], Directory)
    assert (out["dir"].location, out["dir"].size, len(out["dir"].digest)) == (f"{folder}/d", 4, 64)
    assert (out["json"], out["text"]) == ([1, 2.5], "hé")
    assert [file.location for file in out["many"]] == [f"{folder}/p1", f"{folder}/p2"]
    assert (out["none"], out["absent"]) == ([], None)
    assert out["empty"].digest == hashlib.sha256(b"").hexdigest()
    assert {f"{folder}/d/a", f"{folder}/d/e/b", f"{folder}/p1"} <= set(outcome.stamps)


@pytest.mark.parametrize(
    ("text", "output", "why"),
    [
        ("ln -s /etc/passwd o", Output("o", "o"), "is a link that leaves"),
        ("ln -s /etc d", Output("o", "d/passwd"), "is a link that leaves"),
        ("true", Output("o", "../x"), "stands outside"),
        ("true", Output("o", "/etc/passwd"), "stands outside"),
        ("mkdir o", Output("o", "o"), "is a directory, not a file"),
        ("touch o", Output("o", "o", directory=True), "is a file, not a directory"),
        (
            "touch a.dat",
            Output("o", "*.root", many=True),
            "nothing matches '*.root'; it left a.dat",
        ),
        ("echo '{' > o", Output("o", "o", read=Read.JSON), "is not JSON"),
        ("printf '\\377' > o", Output("o", "o", read=Read.TEXT), "is not UTF-8"),
        ("truncate -s 17M o", Output("o", "o", read=Read.TEXT), "too long to become a value"),
    ],
)
def test_an_output_that_is_not_what_was_declared(
    bench: Bench, text: str, output: Output, why: str
) -> None:
    outcome = bench.run(shell(text, output))
    assert outcome.reason is Reason.OUTPUT
    assert outcome.message.startswith("output 'o': ")
    assert why in outcome.message


def test_inputs_are_placed_before_the_start(bench: Bench, tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("content")
    task = shell(
        "cat in/data.txt note.txt > o",
        Output("o", "o", read=Read.TEXT),
        stage=(Staged(File(str(data)), "in/data.txt"),),
        texts=(("note.txt", "+note"),),
    )
    assert bench.run(task).outputs["o"] == "content+note"


def test_one_task_and_many(packed_bench: Bench, many: int) -> None:
    bench = packed_bench
    tasks = [shell("true")] + [shell(f"touch {n % 7}", Output("o", f"{n % 7}")) for n in range(40)]
    assert all(outcome.succeeded for outcome in bench.run(*tasks))
    attempts = [Attempt(f"many[{n}]", call("double", x=n)) for n in range(many)]
    run_all(bench.executor, bench.loop, attempts)
    assert [outputs_of(bench.loop, a.id)["value"] for a in attempts] == [2 * n for n in range(many)]


@pytest.mark.slow
def test_five_thousand_commands(packed_bench: Bench) -> None:
    outcomes = packed_bench.run(*[shell("touch x", Output("o", "x"))] * 5000)
    assert all(outcome.succeeded for outcome in outcomes)


# --- refusing, cancelling, losing -----------------------------------------------------------------


def test_a_queued_attempt_is_cancelled_without_running(bench: Bench) -> None:
    sleepers = bench.attempts(*[shell("sleep 1000")] * 8)
    bench.executor.submit(sleepers)
    queued = sleepers[-1]
    bench.executor.cancel([queued.id])
    bench.loop.finish([queued.id], 5)
    assert bench.loop.outcome(queued.id).reason is Reason.CANCELLED
    assert not Path(queued.folder).exists()
    bench.executor.cancel([attempt.id for attempt in sleepers])
    bench.loop.finish([attempt.id for attempt in sleepers], 5)
    reasons = {bench.loop.outcome(attempt.id).reason for attempt in sleepers}
    assert reasons == {Reason.CANCELLED}


def test_a_running_attempt_gets_time_to_end_and_is_then_killed(bench: Bench) -> None:
    polite, rude = bench.attempts(
        # Where a batch system tells it too it is told twice, and the sleep perhaps sooner.
        shell(
            """trap 'trap "" TERM; echo bye; exit 0' TERM; while :; do sleep 1000 & wait; done"""
        ),
        shell("trap '' TERM; while true; do sleep 0.01; done"),
    )
    bench.executor.submit([polite, rude])
    bench.loop.until(lambda: len(bench.loop.started) == 2)
    bench.loop.idle(0.5)  # a service says so before the program has set its traps
    bench.executor.cancel([polite.id, rude.id])
    bench.loop.finish([polite.id, rude.id], 10)
    assert bench.loop.outcome(polite.id).reason is Reason.CANCELLED
    assert bench.loop.outcome(polite.id).stdout == "bye\n"
    assert bench.loop.outcome(rude.id).reason is Reason.CANCELLED
    assert bench.loop.outcome(rude.id).exit_code == -signal.SIGKILL


def test_a_running_call_is_cancelled_and_the_others_go_on(bench: Bench, many: int) -> None:
    sleeper = Attempt("sleeper", call("sleeps", seconds=1000))
    bench.executor.submit([sleeper])
    bench.loop.until(lambda: "sleeper" in bench.loop.started)
    others = [Attempt(f"other[{n}]", call("double", x=n)) for n in range(min(200, many))]
    bench.executor.submit(others)
    bench.executor.cancel(["sleeper"])
    bench.loop.finish(["sleeper", *[attempt.id for attempt in others]])
    assert bench.loop.outcome("sleeper").reason is Reason.CANCELLED
    assert all(bench.loop.outcome(attempt.id).succeeded for attempt in others)


def test_a_call_over_its_time_limit_is_ended(bench: Bench) -> None:
    task = Task(call("sleeps", seconds=1000).command, (VALUE,), Resources(walltime_s=0.2))
    outcome = bench.run(task)
    assert outcome.reason is Reason.TIMEOUT
    assert outcome.message == "it ran longer than its time limit of 0.2 s"


def test_a_call_whose_worker_was_killed_is_lost(bench: Bench) -> None:
    dying = Attempt("dying", call("dies"))
    others = [Attempt(f"other[{n}]", call("double", x=n)) for n in range(100)]
    bench.executor.submit([*others[:50], dying, *others[50:]])
    bench.loop.finish(["dying", *[attempt.id for attempt in others]])
    event = bench.loop.final["dying"]
    assert isinstance(event, Lost), event
    assert event.reason is Reason.NODE
    assert all(bench.loop.outcome(attempt.id).succeeded for attempt in others)


def test_a_call_that_crashes_its_worker_has_failed(bench: Bench) -> None:
    outcome = bench.run(call("dies", number=int(signal.SIGSEGV)))
    assert outcome.reason is Reason.PROGRAM
    assert "SIGSEGV" in outcome.message
    assert "functions:dies" in outcome.message


# --- Python calls ---------------------------------------------------------------------------------


def test_what_is_offered_is_passed_only_to_who_takes_it(bench: Bench) -> None:
    def task(name: str) -> Task:
        offers: dict[str, Value] = {"index": 5, "nobody": 1}
        return Task(Call(f"functions:{name}", {"x": 1}, offers, (HERE,)), (VALUE,))

    taken, ignored = bench.run(task("offered"), task("double"))
    assert (taken.outputs["value"], ignored.outputs["value"]) == ([1, 5], 2)


def test_an_argument_nobody_takes_is_told_before_the_call(bench: Bench) -> None:
    outcome = bench.run(call("double", y=1))
    assert outcome.reason is Reason.START
    assert outcome.message == "functions:double has no parameter y (its parameters: x)"


def test_files_are_arguments_by_path_and_outputs_by_name(bench: Bench) -> None:
    task = Task(
        Call("functions:writes", {"text": "hé"}, {"out": "o.txt"}, (HERE,)),
        (Output("out", "o.txt"),),
    )
    found = bench.run(task).outputs["out"]
    assert (found.size, found.name) == (3, "o.txt")
    got = bench.run(call("whatever", kind="path"), call("offered", x=found))
    assert got[0].outputs["value"] == "/some/where"
    assert got[1].outputs["value"] == [found.location, -1]


def test_several_returned_values_come_by_name(bench: Bench) -> None:
    outcome = bench.run(call("two", Output("one"), Output("two")))
    assert outcome.outputs == {"one": 1, "two": 2}
    lacking = bench.run(call("two", Output("one"), Output("three")))
    assert lacking.reason is Reason.OUTPUT
    assert "lacks three" in lacking.message


def test_a_large_value_goes_from_call_to_call(bench: Bench) -> None:
    made = bench.run(call("several", count=50_000)).outputs["value"]
    given = [n / 8 for n in range(30_000)]
    uses = [call("total", values=made, more=[made, given], factor=n) for n in range(3)]
    assert made == [n / 8 for n in range(50_000)]
    expected = 2 * sum(made) + sum(given)
    found = [outcome.outputs["value"] for outcome in bench.run(*uses)]
    assert found == [0, expected, 2 * expected]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("nested", {"a": [1, [2.5, None]], "b": {"c": True}}), ("path", "/some/where")],
)
def test_returned_values_become_plain_data(bench: Bench, kind: str, value: object) -> None:
    assert bench.run(call("whatever", kind=kind)).outputs["value"] == value


@pytest.mark.parametrize(("kind", "word"), [("set", "set"), ("bytes", "bytes"), ("keys", "key 1")])
def test_a_returned_value_that_is_no_data_is_refused(bench: Bench, kind: str, word: str) -> None:
    outcome = bench.run(call("whatever", kind=kind))
    assert outcome.reason is Reason.OUTPUT
    assert word in outcome.message


def test_an_exception_is_told_with_its_place_and_the_users_frames(bench: Bench) -> None:
    outcome = bench.run(call("raises", text="bad mass"))
    assert outcome.reason is Reason.PROGRAM
    assert outcome.message.startswith("ValueError: bad mass (functions.py:")
    assert "in raises" in outcome.stderr
    assert "pyworker" not in outcome.stderr


def test_a_call_that_exits_has_failed_and_its_worker_lives(bench: Bench) -> None:
    outcome = bench.run(call("leaves"))
    assert outcome.reason is Reason.PROGRAM
    assert "sys.exit(3)" in outcome.message


@pytest.mark.parametrize(
    ("function", "word"),
    [
        ("functions:tow", "has no function 'tow'"),
        ("no_such_module_here:f", "there is no module 'no_such_module_here'"),
    ],
)
def test_a_function_that_does_not_exist(bench: Bench, function: str, word: str) -> None:
    outcome = bench.run(Task(Call(function, {}, {}, (HERE,)), (VALUE,)))
    assert outcome.reason is Reason.START
    assert word in outcome.message


def test_what_a_function_prints_belongs_to_its_attempt(bench: Bench) -> None:
    outcome, silent, long = bench.run(
        call("prints", text="hällo"), call("double", x=1), call("prints", text="x" * 99, times=2000)
    )
    assert (outcome.stdout, outcome.stderr) == ("hällo\n", "to stderr\n")
    assert (silent.stdout, silent.stderr) == ("", "")
    assert "bytes left out" in long.stdout


def test_a_call_sees_its_own_variables_and_folder(bench: Bench) -> None:
    command = Call("functions:variable", {"name": "COLOUR"}, {}, (HERE,))
    tasks = [
        Task(command, (VALUE,), env=env) for env in ({"COLOUR": "red"}, {"COLOUR": "blue"}, {})
    ]
    colours = [outcome.outputs["value"] for outcome in bench.run(*tasks)]
    assert colours == ["red", "blue", None]
    assert bench.run(call("where")).outputs["value"].endswith(f"/tasks/{bench.count}")


def test_arguments_that_cannot_be_sent_fail_their_attempt_only(bench: Bench) -> None:
    bad, good = bench.run(call("double", x=b"bytes"), call("double", x=2))
    assert bad.reason is Reason.START
    assert good.outputs["value"] == 4


# --- the end --------------------------------------------------------------------------------------


def test_events_are_json_friendly(bench: Bench) -> None:
    outcome = bench.run(shell("echo 5 > n", Output("n", "n", read=Read.JSON)))
    assert json.dumps(outcome.outputs) == '{"n": 5}'
    assert isinstance(bench.loop.events[-1], Finished)
