"""The capsule as a program on a worker node: an order in, results out, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hepflow.model.site import Site, Staging
from hepflow.model.task import (
    Attempt,
    Call,
    Outcome,
    Output,
    Read,
    Reason,
    Resources,
    Shell,
    Staged,
    Task,
)  # fmt: skip
from hepflow.model.values import File
from hepflow.wire.bundle import START, write_capsule
from hepflow.wire.orders import Orders
from hepflow.wire.spelling import decode_lines, encode, finished


def pythons() -> list[str]:
    """This interpreter, and the oldest one that is here: a worker node's may be as old as 3.6.

    ``HEPFLOW_OLD_PYTHON`` names one that is not on ``PATH``.
    """
    for minor in range(6, sys.version_info.minor):
        old = os.environ.get("HEPFLOW_OLD_PYTHON") or shutil.which(f"python3.{minor}")
        asked = [old or "false", "-c", "import sys; print(sys.executable)"]
        found = subprocess.run(asked, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return [sys.executable, found.stdout.strip()]
    return [sys.executable]


class Node:
    """A worker node: carries out orders in a folder of its own."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder, self.python = folder, python
        self.results = folder / "results"
        self.results.mkdir()
        self.capsule = folder / "capsule.pyz"
        write_capsule(self.capsule)

    def begin(self, *tasks: Task, **more: Any) -> subprocess.Popen[bytes]:
        """Start the capsule on an order of these tasks."""
        site = Site("node", "any", staging=more.pop("staging", Staging.SHARED))
        grace_s = more.pop("grace_s", 0.5)
        orders = Orders(site, self.python, more.pop("fetch", {}), grace_s)
        kept = more.pop("kept", "")
        entries = [
            encode(
                orders.entry(
                    Attempt(f"step[{n}]#1", task, str(self.folder / f"task-{n}"), checkpoint=kept),
                    n,
                )
            )
            for n, task in enumerate(tasks)
        ]
        path = self.folder / "0.json"
        text = orders.text(entries, str(self.results), **more)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        words = [self.python, "-I", "-S", "-c", START, str(self.capsule), str(path)]
        return subprocess.Popen(words, cwd=self.folder)

    def run(self, *tasks: Task, **more: Any) -> list[Outcome]:
        assert self.begin(*tasks, **more).wait(60) == 0
        return [self.outcome(n) for n in range(len(tasks))]

    def outcome(self, number: int) -> Outcome:
        line, host = decode_lines((self.results / str(number)).read_bytes())
        return finished(line, host).outcome

    def wait_for(self, name: str) -> Path:
        deadline = time.monotonic() + 20
        path = self.folder / name
        while not path.exists():
            assert time.monotonic() < deadline, f"no {name}"
            time.sleep(0.01)
        return path


@pytest.fixture(params=pythons(), ids=os.path.basename)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    return Node(tmp_path, request.param)


def shell(text: str, *outputs: Output, **more: Any) -> Task:
    return Task(Shell(text), outputs, **more)


# --- its file ---------------------------------------------------------------------------------------


def test_nodes_with_the_python_that_packed_it_read_only_what_stands_before_the_zip_file(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path, sys.executable)
    content = node.capsule.read_bytes()
    node.capsule.write_bytes(content[: 8 + int.from_bytes(content[4:8], "little")])
    (outcome,) = node.run(shell("echo x > o", Output("o", "o", read=Read.TEXT)))
    assert outcome.outputs == {"o": "x\n"}


def test_nodes_with_another_python_read_the_zip_file(tmp_path: Path) -> None:
    node = Node(tmp_path, sys.executable)
    content = node.capsule.read_bytes()
    end = 8 + int.from_bytes(content[4:8], "little")
    node.capsule.write_bytes(b"3.x\n" + content[4:8] + bytes(end - 8) + content[end:])
    (outcome,) = node.run(shell("echo x > o", Output("o", "o", read=Read.TEXT)))
    assert outcome.outputs == {"o": "x\n"}


def test_a_function_on_a_node_sees_nothing_of_the_capsule(tmp_path: Path) -> None:
    (tmp_path / "code" / "hepflow").mkdir(parents=True)
    (tmp_path / "code" / "hepflow" / "__init__.py").write_text("def mine():\n    return 'mine'\n")
    node = Node(tmp_path, sys.executable)
    task = Task(Call("hepflow:mine", {}, {}, (str(tmp_path / "code"),)), (Output("value"),))
    (outcome,) = node.run(task)
    assert outcome.outputs == {"value": "mine"}


# --- staging in -----------------------------------------------------------------------------------


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_words: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The test's folder by HTTP."""
    handler = lambda *words: _Quiet(*words, directory=str(tmp_path))  # noqa: E731
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def given(folder: Path, content: str = "content") -> File:
    (folder / "data.txt").write_text(content)
    return File(
        str(folder / "data.txt"), hashlib.sha256(content.encode()).hexdigest(), len(content)
    )


CAT = ("cat x > o", Output("o", "o", read=Read.TEXT))


def test_inputs_are_links_where_files_are_shared_and_copies_where_not(
    node: Node, tmp_path: Path
) -> None:
    task = shell("test -L x && echo link || echo copy", stage=(Staged(given(tmp_path), "x"),))
    (linked,) = node.run(task)
    assert linked.stdout == "link\n"
    other = tmp_path / "other"
    other.mkdir()
    (copied,) = Node(other, node.python).run(task, staging=Staging.CAPSULE)
    assert copied.stdout == "copy\n"


def test_inputs_come_from_the_web_and_by_a_command(node: Node, tmp_path: Path, server: str) -> None:
    file = given(tmp_path)
    fetch = {"root": ["cp", "--", str(tmp_path / "data.txt"), "{path}"]}
    for url in (f"{server}/data.txt", "root://eos.example.org//eos/a%20b/data.txt"):
        task = shell(*CAT, stage=(Staged(File(url, file.digest, file.size), "x"),))
        node.results.joinpath("0").unlink(missing_ok=True)
        (outcome,) = node.run(task, fetch=fetch, staging=Staging.CAPSULE)
        assert outcome.outputs == {"o": "content"}, outcome


def test_an_input_that_cannot_be_had_is_told_with_its_address(node: Node, server: str) -> None:
    urls = {
        f"{server}/none.txt": "HTTP Error 404",
        "http://127.0.0.1:1/x": "refused",
        "gsiftp://x/y": "nothing here fetches 'gsiftp' (known: http, https, root)",
        "root://x/y": "failed (status 1)",
    }
    tasks = [shell(*CAT, stage=(Staged(File(url), "x"),)) for url in urls]
    outcomes = node.run(*tasks, fetch={"root": ["false"]})
    for (url, why), outcome in zip(urls.items(), outcomes, strict=True):
        assert outcome.reason is Reason.START
        assert outcome.message.startswith(f"{url}: ")
        assert why in outcome.message


def test_an_input_that_changed_since_it_was_planned_is_refused(node: Node, tmp_path: Path) -> None:
    file = given(tmp_path)
    (tmp_path / "data.txt").write_text("changed")
    (outcome,) = node.run(shell(*CAT, stage=(Staged(file, "x"),)), staging=Staging.CAPSULE)
    assert outcome.reason is Reason.START
    assert "is not what it was when the task was planned" in outcome.message


# --- limits and measures --------------------------------------------------------------------------


def test_wall_processor_time_and_memory_count_the_children(node: Node) -> None:
    text = "import time; kept = bytearray(80 << 20); end = time.process_time() + .3\nwhile time.process_time() < end: pass\ntime.sleep(1.2)"
    (outcome,) = node.run(
        shell(f"{sys.executable} -c '{text}' & {sys.executable} -c '{text}'; wait")
    )
    assert outcome.succeeded, outcome
    assert outcome.usage.wall_s >= 1.2
    assert outcome.usage.cpu_s >= 0.6
    assert outcome.usage.peak_bytes >= 160 << 20


def test_what_accelerators_do_is_asked_of_nvidia_smi(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A made-up one: two cards, at 50 % and 100 %, the memory of the second not told at first."""
    fake = tmp_path / "bin" / "nvidia-smi"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n'
        "printf '50, 100\\n100, [N/A]\\n'\nprintf '50, 1000\\n100, 2000\\n'\nexec sleep 100\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    busy = shell("sleep 0.3", env={"CUDA_VISIBLE_DEVICES": "0,3"})
    with_gpus, without = node.run(busy, shell("true"))
    assert "--id=0,3" in (tmp_path / "asked").read_text()
    assert with_gpus.usage.gpu_peak_bytes == 3000 << 20
    assert with_gpus.usage.gpu_s > with_gpus.usage.wall_s
    assert (without.usage.gpu_s, without.usage.gpu_peak_bytes) == (0, 0)


def test_a_task_over_its_time_is_ended_and_the_next_one_runs(node: Node) -> None:
    slow, quick = node.run(
        shell("sleep 1000", resources=Resources(walltime_s=0.2)), shell("echo done")
    )
    assert slow.reason is Reason.TIMEOUT
    assert quick.stdout == "done\n"


def test_tasks_run_beside_one_another_where_there_is_room(node: Node) -> None:
    meet = "touch here-{0}; while ! test -e here-{1}; do sleep 0.01; done"
    tasks = [shell(f"cd {node.folder}; " + meet.format(n, 1 - n)) for n in range(2)]
    assert all(outcome.succeeded for outcome in node.run(*tasks, parallel=2))


# --- a sign of life, and the end ------------------------------------------------------------------


def test_a_running_task_says_where_it_is_and_what_it_prints_into(node: Node) -> None:
    capsule = node.begin(shell("echo hello; sleep 1000"))
    where, log = json.loads(node.wait_for("results/0.beat").read_text())
    assert where == f"{os.uname().nodename} pid {where.split()[-1]}"
    assert Path(log).read_text() == "hello\n"
    assert not (node.results / "0").exists()
    (node.results / "0.cancel").touch()
    assert capsule.wait(20) == 0
    assert node.outcome(0).reason is Reason.CANCELLED


def test_a_preempted_program_saves_its_checkpoint_and_the_next_attempt_has_it(
    node: Node, tmp_path: Path
) -> None:
    text = """
        if test -f state/at; then cat state/at > o; exit; fi
        trap 'mkdir state; echo 42 > state/at; exit 1' TERM
        touch ready; sleep 1000 & wait
    """
    task = shell(text, Output("o", "o", read=Read.TEXT), checkpoint=("state",))
    kept = str(tmp_path / "kept")
    capsule = node.begin(task, shell("echo never"), kept=kept)
    node.wait_for("task-0/ready")
    capsule.send_signal(signal.SIGTERM)
    assert capsule.wait(20) == 0
    assert node.outcome(0).reason is node.outcome(1).reason is Reason.PREEMPTED
    assert node.outcome(1).message == "it was told to end before it began"
    for number in "01":
        (node.results / number).unlink()
    assert node.run(task, kept=kept)[0].outputs == {"o": "42\n"}


def test_a_program_that_heard_first_of_the_end_is_preempted_too(node: Node) -> None:
    capsule = node.begin(shell("touch ready; sleep 1000"))
    node.wait_for("task-0/ready")
    where, _log = json.loads(node.wait_for("results/0.beat").read_text())
    os.killpg(int(where.split()[-1]), signal.SIGTERM)
    capsule.send_signal(signal.SIGTERM)
    assert capsule.wait(20) == 0
    assert node.outcome(0).reason is Reason.PREEMPTED


def test_told_to_end_at_the_end_of_its_job_the_time_limit_is_why(node: Node) -> None:
    capsule = node.begin(shell("touch ready; sleep 1000"), limit_s=0.5)
    node.wait_for("task-0/ready")
    time.sleep(0.4)
    capsule.send_signal(signal.SIGTERM)
    capsule.wait(20)
    assert node.outcome(0).reason is Reason.TIMEOUT


def test_a_task_is_not_blamed_for_the_time_that_others_of_its_job_have_used(node: Node) -> None:
    capsule = node.begin(shell("sleep 1.5"), shell("touch ready; sleep 1000"), limit_s=2.0)
    node.wait_for("task-1/ready")
    capsule.send_signal(signal.SIGTERM)
    assert capsule.wait(20) == 0
    assert node.outcome(0).succeeded
    assert node.outcome(1).reason is Reason.NODE
    assert node.outcome(1).message == "it was told to end before it was done"


def test_a_job_that_starts_again_does_only_what_has_no_result(node: Node) -> None:
    text = f"echo >> {node.folder}/ran"
    node.run(shell(text), shell(text))
    (node.results / "1").unlink()
    node.run(shell(text), shell(text))
    assert (node.folder / "ran").read_text() == "\n" * 3


def test_a_result_is_there_whole_or_not_at_all(node: Node) -> None:
    """No other file than a result's own ever bears its name: a reader needs no lock."""
    capsule = node.begin(*[shell("seq 20000")] * 20)
    while capsule.poll() is None:
        for number in range(20):
            path = node.results / str(number)
            if path.exists():
                assert len(decode_lines(path.read_bytes())) == 2
    assert sorted(path.name for path in node.results.iterdir()) == sorted(map(str, range(20)))


# --- Python calls ---------------------------------------------------------------------------------


def test_calls_of_one_order_do_not_see_each_other(node: Node, tmp_path: Path) -> None:
    (tmp_path / "calls.py").write_text(
        "import os, sys\nseen = []\n"
        "def add(x):\n    seen.append(x); os.environ['X'] = str(x); return seen\n"
        "def look():\n    return [os.environ.get('X'), os.environ.get('MINE'), 'hepflow' in sys.modules]\n"
        "def leave():\n    os._exit(3)\n"
    )

    def call(name: str, **arguments: int) -> Task:
        return Task(
            Call(f"calls:{name}", arguments, {}, (str(tmp_path),)),
            (Output("v"),),
            env={"MINE": "m"},
        )

    first, second, look, left = node.run(
        call("add", x=1), call("add", x=2), call("look"), call("leave")
    )
    assert (first.outputs["v"], second.outputs["v"]) == ([1], [2])
    assert look.outputs["v"] == [None, "m", False]
    assert "exit code 3" in left.message


def test_a_call_has_the_packages_that_are_installed(node: Node, tmp_path: Path) -> None:
    (tmp_path / "calls.py").write_text(
        "import sys\ndef where():\n    return [p for p in sys.path if 'capsule' in p or p.endswith('-packages')]\n"
    )
    task = Task(Call("calls:where", {}, {}, (str(tmp_path),)), (Output("v"),))
    (outcome,) = node.run(task)
    (packages,) = {p for p in outcome.outputs["v"] if p.endswith("site-packages")}  # type: ignore[union-attr]
    assert not any("capsule" in str(p) for p in outcome.outputs["v"])  # type: ignore[union-attr]
    asked = [node.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    assert subprocess.check_output(asked, text=True).strip() == packages


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_call_may_start_processes_and_threads_of_its_own(
    node: Node, tmp_path: Path, how: str
) -> None:
    (tmp_path / "calls.py").write_text(
        "import atexit, multiprocessing, threading, time\n"
        "def square(x):\n    return x * x\n"
        "def late(path):\n    time.sleep(0.1); open(path, 'a').write('thread ')\n"
        "def last(path):\n    open(path, 'a').write('exit')\n"
        "def work(how, path):\n"
        "    threading.Thread(target=late, args=(path,)).start()\n"
        "    atexit.register(last, path)\n"
        "    with multiprocessing.get_context(how).Pool(2) as pool:\n"
        "        return pool.map(square, range(4))\n"
    )
    arguments = {"how": how, "path": str(tmp_path / "said")}
    (outcome,) = node.run(Task(Call("calls:work", arguments, {}, (str(tmp_path),)), (Output("v"),)))
    assert outcome.outputs == {"v": [0, 1, 4, 9]}, outcome
    assert (tmp_path / "said").read_text() == "thread exit"
