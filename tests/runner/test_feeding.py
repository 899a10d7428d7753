"""A run that a program feeds: store, cache, status and cancellation are those of every run."""

from __future__ import annotations

import threading
from pathlib import Path

from hepflow import api
from hepflow.model.task import Outcome, Output, Shell, Task
from hepflow.model.values import File, Values
from hepflow.model.workflow import PlanContext, Step


class Command:
    """A shell command that leaves one file."""

    def __init__(self, text: str) -> None:
        self.text = text

    def fingerprint(self, inputs: Values) -> str:
        return f"command={self.text}"

    def plan(self, inputs: Values, context: PlanContext) -> Task:
        return Task(Shell(self.text), (Output("out", "out.txt"),))

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        return outcome.outputs


class Giver:
    """Puts commands into a run, and waits for their ends."""

    def __init__(self, project: Path, **more: int) -> None:
        self.ended: dict[str, api.Ended] = {}
        self.run = api.feed("jobs", project=api.Project(project), **more)

    def put(self, step: str, *commands: str) -> list[api.Ended]:
        titles = [self.start(step, command) for command in commands]
        for _, done in titles:
            assert done.wait(60)
        return [self.ended[title] for title, _ in titles]

    def start(self, step: str, command: str) -> tuple[str, threading.Event]:
        title, done = self.run.title(step), threading.Event()

        def told(end: api.Ended) -> None:
            self.ended[end.name] = end
            done.set()

        self.run.put(title, Step(step, Command(command)), {}, told)
        return title, done


def test_work_is_put_in_while_the_run_goes_on_and_each_end_is_told(project: Path) -> None:
    giver = Giver(project)
    first, second = giver.put("cut", "echo a > out.txt", "echo no >&2; exit 3")
    assert first.outputs is not None
    assert isinstance(first.outputs["out"], File)
    assert (first.name, second.name, second.outputs) == ("cut[0]", "cut[1]", None)
    assert "exited with code 3" in second.message
    (third,) = giver.put("fit", "cat ../../cut/0/out.txt > out.txt")
    assert third.outputs is not None
    giver.run.close()
    status = api.status(api.Project(project))
    assert status.run.state is api.RunState.FAILED
    assert [(step.path, step.succeeded, step.failed) for step in status.steps] == [
        ("cut", 1, 1),
        ("fit", 1, 0),
    ]


def test_what_ran_before_is_taken_from_the_store(project: Path) -> None:
    for _ in range(2):
        giver = Giver(project)
        giver.put("cut", "echo >> ../../../../../ran; echo a > out.txt")
        giver.run.close()
    assert (project / "ran").read_text() == "\n"
    assert [step.reused for step in api.status(api.Project(project)).steps] == [1]


def test_cancelling_ends_what_is_under_way_and_what_comes_later(project: Path) -> None:
    giver = Giver(project)
    _, done = giver.start("nap", "sleep 60")
    giver.run.cancel()
    assert done.wait(30)
    giver.run.close()
    (late,) = giver.put("nap", "true")
    assert late.outputs is None
    assert api.status(api.Project(project)).run.state is api.RunState.CANCELLED


def test_a_part_of_a_run_is_shown_with_it_and_is_not_the_latest_run(project: Path) -> None:
    whole = Giver(project)
    part = Giver(project, within=whole.run.number)
    part.put("cut", "echo a > out.txt")
    part.run.close()
    whole.run.close()
    status = api.status(api.Project(project))
    assert status.run.id == whole.run.number
    assert [shown.run.id for shown in status.parts] == [part.run.number]
