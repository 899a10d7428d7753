"""Commands in containers: the words for each runtime, and podman in earnest."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hepflow.executors.local import LocalExecutor
from hepflow.model.events import Lost, Rejected
from hepflow.model.site import Site
from hepflow.model.task import (
    FOLDER,
    INPUTS,
    SCRATCH,
    Argv,
    Attempt,
    Call,
    Container,
    Output,
    Read,
    Reason,
    Resources,
    Shell,
    Staged,
    Task,
)
from hepflow.model.values import Directory, File
from hepflow.wire.containers import Runtime, contained, fetching, find_runtime
from tests.contract.loop import Loop
from tests.contract.test_executor import Bench

IMAGE = "localhost/hepflow-test:1"
BOX = Container(IMAGE)


def words(task: Task, runtime: Runtime, **env: str) -> list[str]:
    """What a runtime is told, without the name it makes up."""
    made = contained(Attempt("a", task, "/w/1"), runtime, env, ())
    return [word for word in made.words if not word.startswith("--name=")]


# --- the words ------------------------------------------------------------------------------------


def test_shifter_sees_shared_files_where_they_are() -> None:
    runtime = Runtime("shifter", ("shifter",), ("--module=gpu",))
    task = Task(
        Shell("cut -f1 /data/x"),
        stage=(Staged(File("/data/x"), "/data/x"), Staged(File("/data/y"), f"{INPUTS}/0/y")),
        container=Container("docker:lab/img:1"),
    )
    assert words(task, runtime, A="b")[:9] == [
        "shifter", "--image=docker:lab/img:1", "--workdir=/w/1", "--volume=/data/y:/hepflow/in/0/y",
        "--env=HOME=/w/1", "--env=TMPDIR=/tmp", "--env=A=b", "--module=gpu", "/bin/sh",
    ]  # fmt: skip


def test_shifter_cannot_mount_a_colon() -> None:
    task = Task(Argv(("x",)), stage=(Staged(File("/d:a/x"), "/in/x"),), container=BOX)
    with pytest.raises(ValueError, match="cannot mount a path with ':'"):
        words(task, Runtime("shifter", ("shifter",)))


def test_podman_is_told_everything() -> None:
    runtime = Runtime("podman", ("podman", "--log-level=error"), ("--ulimit=nofile=9",), True)
    task = Task(
        Argv(("sort", f"{INPUTS}/0/x", "-o", f"{FOLDER}/o", "-T", SCRATCH)),
        env={"A": f"{FOLDER}/b"},
        stage=(Staged(File('/d/a,"b'), f"{INPUTS}/0/x"), Staged(File("/d/c"), "c")),
        texts=(("t", FOLDER), (f"{INPUTS}/1/t", SCRATCH)),
        container=Container("img", "/there", network=False),
        stdin=f"{INPUTS}/0/x",
        confined=True,
    )
    made = contained(Attempt("a", task, "/w/1"), runtime, task.env, ())
    name = next(word for word in made.words if word.startswith("--name="))
    assert made.words == [
        "podman", "--log-level=error", "run", "--rm", "--workdir=/there", name,
        f"--user={os.getuid()}:{os.getgid()}", "--security-opt=label=disable",
        "--env=HEPFLOW_LAUNCHER", "--userns=keep-id", "--interactive", "--network=none",
        "--mount=type=bind,source=/w/1,target=/there",
        "--mount=type=bind,\"source=/~hepflow/tmp\",target=/tmp",
        '--mount=type=bind,"source=/d/a,""b",target=/hepflow/in/0/x,readonly',
        "--mount=type=bind,source=/d/c,target=/hepflow/in/@3/c,readonly",
        "--mount=type=bind,\"source=/~hepflow/in/1/t\",target=/hepflow/in/1/t,readonly",
        "--env=HOME=/there", "--env=TMPDIR=/tmp", "--env=A=/there/b", "--ulimit=nofile=9",
        "img", "sort", "/hepflow/in/0/x", "-o", "/there/o", "-T", "/tmp",
    ]  # fmt: skip
    assert made.setting.texts == [["t", "/there"], [f"{INPUTS}/1/t", "/tmp"]]
    assert made.setting.stage == [["/hepflow/in/@3/c", "c"]]
    assert made.setting.stdin == '/d/a,"b'
    assert made.setting.undo == [*runtime.words, "rm", "--force", "--time=0", "--ignore", name[7:]]


def test_a_shell_text_is_given_to_the_shell_of_the_image() -> None:
    found = words(Task(Shell("echo a | wc"), container=BOX), Runtime("docker", ("docker",)))
    assert "--entrypoint=/bin/sh" in found
    assert found[found.index(IMAGE) + 1] == "-c"
    assert found[-1] == "echo a | wc"


def test_apptainer_is_given_variables_by_its_own_names() -> None:
    task = Task(Argv(("true",)), container=Container("a/b:1", network=False), env={"A": "x,y"})
    runtime = Runtime("apptainer", ("apptainer",), images="/cache")
    made = contained(Attempt("a", task, "/w/1"), runtime, task.env, ("0",))
    assert made.words == [
        "apptainer", "exec", "--contain", "--cleanenv", "--pwd=/hepflow/out", "--nv", "--net",
        "--network=none", "--mount", "type=bind,source=/w/1,target=/hepflow/out",
        "--mount", 'type=bind,"source=/~hepflow/tmp",target=/tmp', "/cache/a_b_1.sif", "true",
    ]  # fmt: skip
    assert made.env == {
        "APPTAINERENV_HOME": "/hepflow/out", "APPTAINERENV_TMPDIR": "/tmp", "APPTAINERENV_A": "x,y",
    }  # fmt: skip
    assert made.setting.undo == []


@pytest.mark.parametrize(
    ("kind", "flag"),
    [("podman", "--device=nvidia.com/gpu=2"), ("docker", '--gpus="device=2,3"')],
)
def test_accelerators_are_those_that_were_given(kind: str, flag: str) -> None:
    task = Task(Argv(("true",)), container=BOX)
    env = {"CUDA_VISIBLE_DEVICES": "2,3", "B": "1"}
    found = contained(Attempt("a", task, "/w"), Runtime(kind, (kind,)), env, ("2", "3")).words
    assert flag in found
    # Inside they are counted anew.
    assert [word for word in found if "CUDA" in word] == []


def test_udocker_mounts_and_runs() -> None:
    found = words(Task(Argv(("true",)), container=BOX), Runtime("udocker", ("udocker",)))
    assert found == [
        "udocker", "run", "--rm", "--workdir=/hepflow/out", "--volume=/w/1:/hepflow/out",
        "--volume=/~hepflow/tmp:/tmp", "--env=HOME=/hepflow/out", "--env=TMPDIR=/tmp", IMAGE, "true",
    ]  # fmt: skip


def test_an_image_is_fetched_unless_it_is_there(tmp_path: Path) -> None:
    here = tmp_path / "my image.sif"
    here.touch()
    apptainer = Runtime("apptainer", ("false",), images=str(tmp_path / "cache"))
    assert subprocess.run(fetching(apptainer, str(here)), shell=True, check=False).returncode == 0
    assert subprocess.run(fetching(apptainer, "no/such"), shell=True, check=False).returncode == 1
    docker = fetching(Runtime("docker", ("docker", "-H", "x y")), "a b")
    assert docker == (
        "docker -H 'x y' image inspect 'a b' >/dev/null 2>&1 || docker -H 'x y' pull 'a b'"
    )


# --- which runtime --------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("docker", "singularity", "other"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_the_first_runtime_on_the_path_is_taken_unless_one_is_named(programs: Path) -> None:
    env = {"PATH": str(programs), "HOME": "/home/me"}
    found = find_runtime(env)
    assert (found.kind, found.images) == ("singularity", "/home/me/.cache/hepflow/images")
    named = {"HEPFLOW_CONTAINER_RUNTIME": "docker -H 'a b'", "HEPFLOW_CONTAINER_ARGS": "--cpus 2"}
    found = find_runtime(env | named)
    assert (found.kind, found.words, found.options) == (
        "docker", ("docker", "-H", "a b"), ("--cpus", "2"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("", "looked for podman, apptainer, singularity, docker, udocker; install podman"),
        ("charliecloud", "looked for 'charliecloud' (HEPFLOW_CONTAINER_RUNTIME); install podman"),
        ("other", "the container runtime 'other' is not one of podman"),
    ],
)
def test_a_task_in_a_container_is_rejected_where_there_is_no_runtime(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, why: str
) -> None:
    if not named:
        for program in programs.iterdir():
            program.unlink()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("HEPFLOW_CONTAINER_RUNTIME", named)
    loop = Loop()
    executor = LocalExecutor(
        tmp_path / "ex",
        site=Site("local", executor="local", settings={"cpus": 1, "memory_mib": 100, "gpus": []}),
    )
    executor.start(loop)
    executor.submit([Attempt("a", Task(Shell("true"), container=BOX), str(tmp_path / "a"))])
    event = loop.final["a"]
    assert isinstance(event, Rejected)
    assert why in event.message
    executor.close()


def test_a_function_in_a_container_is_rejected(tmp_path: Path) -> None:
    loop = Loop()
    executor = LocalExecutor(
        tmp_path / "ex",
        site=Site("local", executor="local", settings={"cpus": 1, "memory_mib": 100, "gpus": []}),
    )
    executor.start(loop)
    executor.submit([Attempt("a", Task(Call("m:f", {}), container=BOX))])
    event = loop.final["a"]
    assert isinstance(event, Rejected)
    assert "only commands run in containers" in event.message
    executor.close()


# --- podman in earnest ----------------------------------------------------------------------------


def root_file_system() -> bytes:
    """A tar archive with one program under many names, and what a C library looks for."""
    box = shutil.which("busybox")
    assert box is not None
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(os.path.realpath(box), "bin/busybox")
        for name in ("sh", "cat", "echo", "ls", "sleep", "env", "id", "ln", "mkdir", "touch", "wc",
                     "readlink", "sort", "true"):  # fmt: skip
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for folder in ("tmp", "proc", "dev", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
        users = b"root:x:0:0::/:/bin/sh\n"
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(users)
        tar.addfile(entry, io.BytesIO(users))
    return data.getvalue()


@pytest.fixture(scope="module")
def podman() -> Iterator[list[str]]:
    """A podman that runs here, with the image in it.

    As the user has set it up, or else as it runs where there is neither an overlay file system, nor
    one of the two layouts of cgroups, nor the right to raise limits: in another container, that is.
    """
    # In a folder of its own: podman takes no path of more than 50 characters.
    with tempfile.TemporaryDirectory(prefix="hepflow-") as place:
        apart = f"podman --root {place}/store --runroot {place}/run --storage-driver vfs"
        low = "--ulimit nofile=1024:1024 --ulimit nproc=1024:1024"
        ways = [
            (
                os.environ.get("HEPFLOW_CONTAINER_RUNTIME", "podman"),
                os.environ.get("HEPFLOW_CONTAINER_ARGS", ""),
            ),
            (f"{apart} --runtime runc --cgroup-manager cgroupfs", low),
            (f"{apart} --cgroup-manager cgroupfs", low),
        ]
        said = ""
        for runtime, options in ways:
            command = shlex.split(runtime)
            if os.path.basename(command[0]) != "podman":
                continue
            said = why_not(command, shlex.split(options))
            if not said:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv("HEPFLOW_CONTAINER_RUNTIME", runtime)
                    patch.setenv("HEPFLOW_CONTAINER_ARGS", options)
                    yield command
                return
        assert not os.environ.get("CI"), f"podman runs no container here: {said}"
        pytest.skip(f"podman runs no container here: {said}")


def why_not(podman: list[str], options: list[str]) -> str:
    """What keeps a podman from running our image; empty when nothing does."""
    steps = [[*podman, "import", "-", IMAGE], [*podman, "run", "--rm", *options, IMAGE, "true"]]
    for step in steps:
        tried = subprocess.run(step, input=root_file_system(), capture_output=True, check=False)
        if tried.returncode:
            return tried.stderr.decode().strip()
    return ""


@pytest.fixture
def bench(podman: list[str], tmp_path: Path) -> Iterator[Bench]:
    loop = Loop()
    executor = LocalExecutor(
        tmp_path / "ex",
        site=Site(
            "local",
            executor="local",
            settings={"cpus": 2, "memory_mib": 4096, "gpus": [], "grace_s": 0.3},
        ),
    )
    executor.start(loop)
    yield Bench(executor, loop, tmp_path)
    executor.close()


def box(text: str, *outputs: Output, **more: Any) -> Task:
    return Task(Argv(("sh", "-c", text)), outputs, **{"confined": True, "container": BOX, **more})


def text(port: str, path: str) -> Output:
    return Output(port, path, read=Read.TEXT)


def either(port: str, pattern: str) -> Output:
    return Output(port, pattern, many=True, optional=True, either=True)


def left(bench: Bench) -> set[str]:
    return {path.name for path in (bench.folder / "tasks").iterdir()}


def containers(podman: list[str]) -> list[str]:
    found = subprocess.run([*podman, "ps", "-aq"], capture_output=True, text=True, check=True)
    return found.stdout.split()


earnest = pytest.mark.needs("podman", "busybox")


@earnest
def test_a_task_runs_in_its_container(bench: Bench, podman: list[str]) -> None:
    data = bench.folder / "a, 'b'.txt"
    data.write_text("content")
    (bench.folder / "dir").mkdir()
    (bench.folder / "dir" / "x").write_text("deep")
    literal = Directory("", basename="t", listing=(File(str(data), basename="in"),))
    task = box(
        f"cat > o; cat link {INPUTS}/0/d/x tree/in {INPUTS}/2/text >> o; echo + >> copy; cat copy;"
        f" touch $TMPDIR/x; echo $PWD $HOME $TMPDIR $PLACE {FOLDER}; echo oops >&2;"
        f" ln -s {INPUTS}/0/d/x passed; ln -s {FOLDER}/o own; cat /there/data; exit 3",
        text("o", "o"), either("passed", "passed"), either("own", "own"), either("link", "link"),
        either("e", "err"), env={"PLACE": f"{FOLDER}/p"},
        stage=(
            Staged(File(str(data)), "link"), Staged(Directory(str(bench.folder / "dir")), f"{INPUTS}/0/d"),
            Staged(literal, "tree"), Staged(File(str(data)), "copy", True),
            Staged(File(str(data)), f"{INPUTS}/1/x"), Staged(File(str(data)), "/there/data"),
        ),
        texts=((f"{INPUTS}/2/text", f"[{FOLDER}]"),),
        stdin=f"{INPUTS}/1/x", stdout="out", stderr="err", success=(3,),
    )  # fmt: skip
    outcome = bench.run(task)
    assert outcome.succeeded, outcome
    found = outcome.outputs
    assert found["o"] == "contentcontentdeepcontent[/hepflow/out]"
    out = (bench.folder / "tasks" / "1" / "out").read_text()
    assert out == ("content+\n/hepflow/out /hepflow/out /tmp /hepflow/out/p /hepflow/out\ncontent")
    folder = f"{bench.folder}/tasks/1"
    assert [(item.location, item.name) for item in found["passed"]] == [
        (f"{bench.folder}/dir/x", "passed")
    ]
    assert [(item.location, item.name) for item in found["link"]] == [(str(data), "link")]
    assert [item.location for item in found["own"]] == [f"{folder}/own"]
    assert Path(folder, "own").read_text() == found["o"]
    assert found["e"][0].size == 5
    assert data.read_text() == "content"
    assert left(bench) == {"1"}
    assert containers(podman) == []


@earnest
def test_inputs_can_only_be_read(bench: Bench) -> None:
    data = bench.folder / "data"
    data.write_text("content")
    task = box(f"echo x > {INPUTS}/0/x", stage=(Staged(File(str(data)), f"{INPUTS}/0/x"),))
    outcome = bench.run(task)
    assert outcome.reason is Reason.PROGRAM
    assert "Read-only file system" in outcome.message
    assert data.read_text() == "content"


@earnest
def test_a_shell_text_and_files_by_their_own_paths(bench: Bench) -> None:
    """What a native recipe with a container asks for."""
    data = bench.folder / "data"
    data.write_text("content")
    task = Task(
        Shell(f"cat {data} > o\nfalse\ntouch never"), (), env={"A": "1"}, container=BOX,
        stage=(Staged(File(str(data)), str(data)),),
    )  # fmt: skip
    outcome = bench.run(task)
    assert (outcome.reason, outcome.exit_code) == (Reason.PROGRAM, 1)
    assert (bench.folder / "tasks" / "1" / "o").read_text() == "content"
    assert not (bench.folder / "tasks" / "1" / "never").exists()


@earnest
def test_an_image_that_is_nowhere_fails_its_tasks_only(bench: Bench) -> None:
    nowhere = Container("localhost/no/such:1")
    first, second, well = bench.run(
        Task(Shell("true"), container=nowhere), Task(Shell("true"), container=nowhere), box("true")
    )
    assert well.succeeded
    for outcome in (first, second):
        assert outcome.reason is Reason.START
        assert outcome.message.startswith(
            "the container image 'localhost/no/such:1' is not here and podman cannot bring it: "
        )


@earnest
def test_a_program_that_is_not_in_the_image_is_told(bench: Bench) -> None:
    outcome = bench.run(Task(Argv(("no-such-program",)), container=BOX))
    assert not outcome.succeeded
    assert "no-such-program" in outcome.message


@earnest
@pytest.mark.parametrize("how", ["cancel", "limit", "close"])
def test_the_container_ends_with_its_attempt(bench: Bench, podman: list[str], how: str) -> None:
    limit = Resources(walltime_s=2.0 if how == "limit" else 0.0)
    stubborn = "trap '' TERM INT; touch there; while true; do sleep 1; done"
    (attempt,) = bench.attempts(box(stubborn, resources=limit))
    bench.executor.submit([attempt])
    while not Path(attempt.folder, "there").exists():
        bench.loop.idle(0.02)
    assert containers(podman)
    if how == "close":
        bench.executor.close()
    else:
        if how == "cancel":
            bench.executor.cancel([attempt.id])
        bench.loop.finish([attempt.id])
        wanted = Reason.CANCELLED if how == "cancel" else Reason.TIMEOUT
        assert bench.loop.outcome(attempt.id).reason is wanted
        assert left(bench) == {"1"}
    assert containers(podman) == []


@earnest
def test_a_container_does_not_outlive_its_launcher(bench: Bench, podman: list[str]) -> None:
    (attempt,) = bench.attempts(box("touch there; while true; do sleep 1; done"))
    bench.executor.submit([attempt])
    while not Path(attempt.folder, "there").exists():
        bench.loop.idle(0.02)
    assert isinstance(bench.executor, LocalExecutor)
    (launcher,) = bench.executor._crew.workers
    os.kill(launcher, signal.SIGKILL)
    bench.loop.finish([attempt.id])
    assert isinstance(bench.loop.final[attempt.id], Lost)
    deadline = time.monotonic() + 20
    while containers(podman):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@earnest
def test_a_task_that_waits_for_its_image_can_be_cancelled(bench: Bench) -> None:
    (attempt,) = bench.attempts(box("true"))
    bench.executor.submit([attempt])
    bench.executor.cancel([attempt.id])
    assert bench.loop.outcome(attempt.id).reason is Reason.CANCELLED
    assert bench.run(box("true")).succeeded
    assert left(bench) == {"2"}
