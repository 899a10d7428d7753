"""Whatever is killed, and whenever: nothing that finished is lost, nothing that finished runs again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from hepflow import api
from hepflow.executors.journal import read_journal

KILLS = int(os.environ.get("HEPFLOW_TEST_KILLS", "24"))

RECIPE = """\
hepflow: v1
name: crash
inputs: {{n: {n}, ledger: {ledger}}}
defaults: {{cache: {cache}}}
steps:
  make:
    scatter: {{i: "{{{{ range(inputs.n) }}}}"}}
    command: "sleep 0.0{{{{ i % 4 }}}}; echo {{{{ i }}}} > {{{{ outputs.number }}}}; echo make.{{{{ i }}}} >> {{{{ inputs.ledger }}}}"
    outputs: {{number: number.txt}}
  double:
    scatter: {{x: make.number}}
    command: "echo $((2 * $(cat {{{{ x }}}}))) > {{{{ outputs.number }}}}; echo double.$(cat {{{{ x }}}}) >> {{{{ inputs.ledger }}}}"
    outputs: {{number: number.txt}}
  total:
    inputs: {{numbers: double.number}}
    command: "cat {{{{ inputs.numbers }}}} | awk '{{s += $1}} END {{print s}}' > {{{{ outputs.sum }}}}; echo total >> {{{{ inputs.ledger }}}}"
    outputs: {{sum: {{path: sum.txt, read: json}}}}
outputs: {{sum: total.sum}}
"""


class Crashing:
    """A project whose head is killed again and again."""

    def __init__(self, folder: Path, n: int, *, cache: str) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.ledger.touch()
        (folder / "crash.yaml").write_text(RECIPE.format(n=n, ledger=self.ledger, cache=cache))
        self.project = api.Project(folder)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hepflow", *words], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def kill_after(self, process: subprocess.Popen[str], seconds: float) -> bool:
        """Kills the head, and nothing but the head; whether it was still running."""
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            self.wait_for_orphans(process.pid)
            return True
        assert process.returncode == 0, said
        return False

    def wait_for_orphans(self, session: int) -> None:
        """Its workers notice, end what they were running, and go."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if not _processes_of(session):
                return
            time.sleep(0.005)
        raise AssertionError(f"left behind: {_processes_of(session)}")

    def done(self) -> dict[str, int]:
        """What had finished by all records, and how often its side effect is in the ledger."""
        if not self.project.store.exists():
            return {}
        runs = api.runs(self.project)
        if not runs:
            return {}
        names = {
            task.id.partition("#")[0]
            for task in api.tasks(self.project, runs[0].id, state=api.TaskState.SUCCEEDED)
        }
        for attempt, outcome in read_journal(
            self.project.store.sites(runs[0].id) / "local"
        ).items():
            if outcome.succeeded:
                names.add(attempt.partition("#")[0])
        seen = self.effects()
        return {name: seen[_effect(name)] for name in names}

    def effects(self) -> Counter[str]:
        return Counter(self.ledger.read_text().split())


def _effect(task: str) -> str:
    return task.replace("[", ".").rstrip("]")


def _processes_of(session: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["true", "false"])
def test_a_head_killed_at_any_moment_loses_and_repeats_nothing(tmp_path: Path, cache: str) -> None:
    rng = random.Random(20261123)
    kills = rounds = 0
    while kills < KILLS // 2:
        rounds += 1
        folder = tmp_path / str(rounds)
        folder.mkdir()
        crashing = Crashing(folder, 60, cache=cache)
        finished: dict[str, int] = {}
        process = crashing.start("run", "crash.yaml")
        while crashing.kill_after(process, rng.uniform(0.1, 1.2)):
            kills += 1
            for name, count in crashing.done().items():
                finished.setdefault(name, count)
            started = api.runs(crashing.project)
            words = ["resume", str(started[0].id)] if started else ["run", "crash.yaml"]
            process = crashing.start(*words)
        outputs = api.outputs(crashing.project)
        assert outputs["sum"] == 60 * 59
        effects = crashing.effects()
        assert len(effects) == 121
        repeated = {
            name: (n, effects[_effect(name)])
            for name, n in finished.items()
            if effects[_effect(name)] != n
        }
        assert not repeated, "these had finished before a kill and ran again"


def test_an_interrupted_run_says_how_to_go_on_and_does(tmp_path: Path) -> None:
    crashing = Crashing(tmp_path, 200, cache="true")
    process = crashing.start("run", "crash.yaml")
    _wait_for(lambda: len(crashing.effects()) > 5)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "hepflow resume 1" in said
    assert api.status(crashing.project).run.state is api.RunState.CANCELLED
    assert not _processes_of(process.pid)
    before = crashing.done()
    again = crashing.start("resume")
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 0, said
    assert api.outputs(crashing.project)["sum"] == 200 * 199
    effects = crashing.effects()
    assert all(effects[_effect(name)] == count for name, count in before.items())


def _wait_for(condition: object, seconds: float = 30) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


def test_a_killed_worker_costs_an_attempt_and_not_the_run(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(
        "hepflow: v1\nname: slow\nsteps:\n  nap:\n"
        "    command: 'sleep 1; echo done > {{ outputs.x }}'\n    outputs: {x: x.txt}\n"
        "outputs: {x: nap.x}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hepflow", "run", "slow.yaml"], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    launchers: list[int] = []

    def find() -> bool:
        ours = _processes_of(process.pid)
        launchers[:] = [int(pid) for pid in ours if b"launcher" in _cmdline(pid)]
        return any(_cmdline(pid).startswith(b"sleep") for pid in ours)

    _wait_for(find)
    for pid in launchers:
        os.kill(pid, signal.SIGKILL)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    project = api.Project(tmp_path)
    assert [t.state for t in api.tasks(project)] == [api.TaskState.LOST, api.TaskState.SUCCEEDED]


def _cmdline(pid: str) -> bytes:
    try:
        return (Path("/proc") / pid / "cmdline").read_bytes()
    except OSError:
        return b""
