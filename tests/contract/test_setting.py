"""The contract of every executor, continued: streams, exit codes, confinement, and what is placed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from hepflow.model.protocols import Executor
from hepflow.model.task import (
    FOLDER,
    INPUTS,
    SCRATCH,
    Argv,
    Output,
    Read,
    Reason,
    Resources,
    Shell,
    Staged,
    Task,
)
from hepflow.model.values import Directory, File
from tests.contract.loop import Loop
from tests.contract.test_executor import Bench

TEXT = Read.TEXT


@pytest.fixture
def bench(executor: Executor, loop: Loop, tmp_path: Path) -> Bench:
    return Bench(executor, loop, tmp_path)


def script(text: str, *outputs: Output, **more: Any) -> Task:
    """A confined task: a small script, without the shell being hepflow's."""
    return Task(Argv(("sh", "-c", text)), outputs, **{"confined": True, **more})


def is_empty(folder: str) -> bool:
    """Whether nothing is left in a folder that a task had; the folder itself may go or stay."""
    return not os.path.lexists(folder) or os.listdir(folder) == []


def either(port: str, pattern: str) -> Output:
    """An output as CWL declares it."""
    return Output(port, pattern, many=True, optional=True, either=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "given" / "a 'b' $c.txt"
    path.parent.mkdir()
    path.write_text("content")
    return path


# --- streams and exit codes -----------------------------------------------------------------------


def test_standard_streams_are_files_and_the_log_is_then_empty(bench: Bench, data: Path) -> None:
    task = Task(
        Argv(("sh", "-c", "cat; echo oops >&2")),
        (Output("o", "deep/er/out.txt", read=TEXT), Output("e", "err", read=TEXT)),
        stdin=str(data),
        stdout="deep/er/out.txt",
        stderr="err",
    )
    outcome = bench.run(task)
    assert outcome.outputs == {"o": "content", "e": "oops\n"}
    assert (outcome.stdout, outcome.stderr) == ("", "")


def test_both_streams_may_go_to_one_file(bench: Bench) -> None:
    task = Task(
        Shell("echo one; echo two >&2; echo three"),
        (Output("o", "all", read=TEXT),),
        stdout="all",
        stderr="all",
    )
    assert bench.run(task).outputs["o"] == "one\ntwo\nthree\n"


def test_a_failure_shows_the_end_of_standard_error_from_wherever_it_went(bench: Bench) -> None:
    outcome = bench.run(Task(Shell("seq 9; echo 'no such cut' >&2; exit 3"), stderr="err.log"))
    assert outcome.message == "command exited with code 3: no such cut"
    assert outcome.stdout == "1\n2\n3\n4\n5\n6\n7\n8\n9\n"
    assert outcome.stderr == "no such cut\n"


@pytest.mark.parametrize(
    ("streams", "why"),
    [
        ({"stdin": "/no/such"}, "the file for its standard input is not there: /no/such"),
        ({"stdout": "link"}, "its standard output cannot go to 'link': that is a link"),
        ({"stderr": "dir"}, "its standard error cannot go to 'dir': that is a directory"),
        ({"stdout": "../x"}, "must stay inside its folders"),
    ],
)
def test_a_stream_that_cannot_be_opened_is_told(
    bench: Bench, data: Path, streams: dict[str, str], why: str
) -> None:
    stage = (Staged(File(str(data)), "link"), Staged(Directory(""), "dir"))
    outcome = bench.run(script("true", stage=stage, **streams))
    assert outcome.reason is Reason.START
    assert why in outcome.message
    assert data.read_text() == "content"


def test_the_task_says_which_exit_codes_mean_success(bench: Bench) -> None:
    three, one, zero = bench.run(
        *[Task(Shell(f"touch o; exit {n}"), (Output("o", "o"),), success=(3, 4)) for n in (3, 1, 0)]
    )
    assert three.succeeded
    assert (three.exit_code, three.outputs["o"].size) == (3, 0)
    assert one.message == "command exited with code 1 (success is 3, 4)"
    assert zero.reason is Reason.PROGRAM


# --- confinement ----------------------------------------------------------------------------------


def test_a_confined_task_sees_no_variables_but_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    env = {"MINE": f"at {FOLDER}", "ODD": "a\nb ü"}
    task = Task(Argv(("env", "-0")), (Output("o", "o", read=TEXT),), env=env, stdout="o", confined=True)  # fmt: skip
    found = dict(line.split("=", 1) for line in bench.run(task).outputs["o"].split("\0") if line)
    folder = f"{bench.folder}/tasks/1"
    ours = {"PATH", "HEPFLOW_LAUNCHER", "TMPDIR"}
    assert {name: value for name, value in found.items() if name not in ours} == {
        "HOME": folder, "MINE": f"at {folder}", "ODD": "a\nb ü",
    }  # fmt: skip
    assert is_empty(found["TMPDIR"])


def test_a_confined_task_may_choose_its_own_home(bench: Bench) -> None:
    task = script("echo $HOME $TMPDIR", env={"HOME": "/h", "TMPDIR": f"{FOLDER}/t"})
    assert bench.run(task).stdout == f"/h {bench.folder}/tasks/1/t\n"


def test_the_words_for_its_folders_are_replaced_wherever_they_may_be(
    bench: Bench, data: Path
) -> None:
    words = ("sh", "-c", 'cat; cat "$0" "$1"; echo; echo "$2" $PLACE', f"{INPUTS}/0/x y", f"{FOLDER}/text", f"--tmp={SCRATCH}:{FOLDER}")  # fmt: skip
    task = Task(
        Argv(words),
        env={"PLACE": f"{INPUTS}/0"},
        stage=(Staged(File(str(data)), f"{INPUTS}/0/x y"),),
        texts=(("text", f"[{FOLDER}]"), (f"{INPUTS}/1/in", f"<{SCRATCH}>")),
        stdin=f"{INPUTS}/1/in",
        confined=True,
    )
    lines = bench.run(task).stdout.splitlines()
    here = f"{bench.folder}/tasks/1"
    scratch = lines[0].partition(">")[0][1:]
    inputs = lines[1].rpartition(" ")[2].removesuffix("/0")
    assert lines == [f"<{scratch}>content[{here}]", f"--tmp={scratch}:{here} {inputs}/0"]
    assert is_empty(scratch)


def test_a_task_may_name_its_folders_and_have_the_variables_of_any_command(
    bench: Bench,
) -> None:
    text = f"cat; echo $HOME > '{FOLDER}/a b'; pwd"
    task = Task(
        Argv(("sh", f"{INPUTS}/command")),
        (Output("o", "a b", read=TEXT),),
        texts=((f"{INPUTS}/command", text), (f"{INPUTS}/in", f"{FOLDER}\n")),
        stdin=f"{INPUTS}/in",
        folders=True,
    )
    outcome = bench.run(task)
    here = f"{bench.folder}/tasks/1"
    assert outcome.stdout.splitlines() == [here, here]
    assert outcome.outputs["o"] == f"{os.environ['HOME']}\n"


def test_nothing_is_left_of_inputs_and_scratch_however_a_task_ends(
    bench: Bench, data: Path
) -> None:
    stage = (Staged(File(str(data)), f"{INPUTS}/0/x"),)
    waits = f"mkdir -p $TMPDIR/a/b; touch $TMPDIR/a/c {INPUTS}/0/index; echo {SCRATCH} {INPUTS}/0; "
    ended = bench.run(
        script(waits, stage=stage),
        script(waits + "exit 1", stage=stage),
        script(waits, Output("o", "absent"), stage=stage),
        script(waits + "exec sleep 1000", stage=stage, resources=Resources(walltime_s=0.2)),
    )
    reasons = [outcome.reason for outcome in ended]
    assert reasons == [None, Reason.PROGRAM, Reason.OUTPUT, Reason.TIMEOUT]
    (cancelled,) = bench.attempts(script(waits + "exec sleep 1000", stage=stage))
    bench.executor.submit([cancelled])
    bench.loop.until(lambda: cancelled.id in bench.loop.started)
    bench.executor.cancel([cancelled.id])
    bench.loop.finish([cancelled.id])
    ended.append(bench.loop.outcome(cancelled.id))
    assert ended[-1].reason is Reason.CANCELLED
    for outcome in ended:
        for folder in outcome.stdout.split():
            assert is_empty(folder)
    assert data.read_text() == "content"


# --- what is placed -------------------------------------------------------------------------------


def test_files_directories_and_literals_are_placed(bench: Bench, data: Path) -> None:
    literal = Directory(
        "",
        basename="tree",
        listing=(
            File("", basename="t.txt", contents="text\n"),
            File(str(data), basename="new name"),
            Directory("", basename="hollow", listing=()),
        ),
    )
    stage = (
        Staged(File(str(data)), "sub/link ü"),
        Staged(Directory(str(data.parent)), f"{INPUTS}/0/dir"),
        Staged(Directory(""), "empty/one"),
        Staged(literal, "tree"),
    )
    text = f"find . | LC_ALL=C sort; cat 'sub/link ü' tree/t.txt 'tree/new name'; ls {INPUTS}/0/dir"
    assert bench.run(script(text, stage=stage)).stdout.splitlines() == [
        ".", "./empty", "./empty/one", "./sub", "./sub/link ü", "./tree", "./tree/hollow",
        "./tree/new name", "./tree/t.txt", "contenttext", f"content{data.name}",
    ]  # fmt: skip


def test_a_writable_copy_leaves_the_original_alone(bench: Bench, data: Path) -> None:
    stage = (
        Staged(File(str(data)), "file", True),
        Staged(Directory(str(data.parent)), "dir", True),
    )
    text = 'echo + >> file; for f in dir/*; do echo - >> "$f"; done; touch dir/new; cat file dir/*'
    assert bench.run(script(text, stage=stage)).stdout == "content+\ncontent-\n"
    assert data.read_text() == "content"
    assert [path.name for path in data.parent.iterdir()] == [data.name]


def test_what_is_to_be_placed_but_is_not_there_fails_the_program_not_the_executor(
    bench: Bench,
) -> None:
    gone, copied = bench.run(
        script("cat x", stage=(Staged(File("/no/such"), "x"),)),
        script("cat x", stage=(Staged(File("/no/such"), "x", True),)),
    )
    assert gone.reason is Reason.PROGRAM
    assert copied.reason is Reason.START
    assert "its folder could not be made ready: [Errno 2] No such file" in copied.message


# --- outputs --------------------------------------------------------------------------------------


def test_an_output_may_be_a_file_or_a_directory(bench: Bench) -> None:
    outcome = bench.run(
        script(
            "mkdir d; echo 1 > d/a; echo 2 > b; touch .hidden",
            either("all", "*"),
            either("one", "b"),
            either("none", "x*"),
            either("folder", "."),
        )
    )
    folder = f"{bench.folder}/tasks/1"
    found = outcome.outputs
    assert [(type(item), item.location) for item in found["all"]] == [
        (File, f"{folder}/b"), (Directory, f"{folder}/d"),
    ]  # fmt: skip
    assert found["all"][:1] == found["one"]
    assert found["one"][0].digest == hashlib.sha256(b"2\n").hexdigest()
    assert len(found["all"][1].digest) == 64
    assert found["none"] == []
    assert [item.location for item in found["folder"]] == [folder]


@pytest.mark.parametrize("how", ["ln -s /etc/passwd o", "ln -s ../../given o", "ln -s /no/such o"])
def test_an_output_that_is_a_link_out_of_the_folder_is_refused(
    bench: Bench, data: Path, how: str
) -> None:
    outcome = bench.run(script(how, either("o", "*")))
    assert outcome.reason is Reason.OUTPUT
    assert "output 'o': 'o' is a link " in outcome.message
    assert outcome.outputs == {}


def test_an_input_may_be_passed_on_as_an_output(bench: Bench, data: Path) -> None:
    digest = hashlib.sha256(b"content").hexdigest()
    stage = (
        Staged(File(str(data)), f"{INPUTS}/0/x"),
        Staged(File(str(data)), "here"),
        Staged(Directory(str(data.parent)), f"{INPUTS}/1/dir"),
    )
    text = f"ln -s {INPUTS}/0/x a; ln -s a b; ln -s {INPUTS}/1/dir d; ln -s here c"
    outcome = bench.run(
        script(text, *[either(p, p) for p in ("a", "b", "c", "d", "here", "d/*")], stage=stage)
    )
    assert outcome.succeeded, outcome
    for port in ("a", "b", "c", "here"):
        assert outcome.outputs[port] == [File(str(data), digest, 7, port)]
    assert outcome.outputs["d"][0].location == str(data.parent)
    assert outcome.outputs["d/*"] == [File(str(data), digest, 7)]
    assert outcome.stamps[str(data)][0] == 7
    # The links in the folder still lead there, for whoever collects or looks.
    assert Path(bench.folder, "tasks", "1", "b").read_text() == "content"


def test_links_in_an_output_directory_outlive_the_folder_of_inputs(
    bench: Bench, data: Path
) -> None:
    stage = (Staged(File(str(data)), f"{INPUTS}/0/x"),)
    texts = ((f"{INPUTS}/1/literal", "text"),)
    text = f"mkdir d; ln -s {INPUTS}/0/x d/x; ln -s {INPUTS}/1/literal d/l; ln -s {INPUTS}/1 e"
    task = script(text, either("d", "d"), either("e", "e"), stage=stage, texts=texts)
    outcome = bench.run(task)
    assert outcome.succeeded, outcome
    made = bench.folder / "tasks" / "1"
    assert (made / "d" / "x").read_text() == "content"
    assert (made / "d" / "l").read_text() == "text"
    assert (made / "e" / "literal").read_text() == "text"
    assert os.readlink(made / "d" / "x") == str(data)
