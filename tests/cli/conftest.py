"""The command line with an API that runs nothing: what it is told, it remembers and answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hepflow import api
from hepflow.cli.entry import enter
from hepflow.model.types import Type
from hepflow.model.workflow import Port, Workflow

FAILURE = api.TaskReport(
    id="write[3]#1",
    run=7,
    step="write",
    index=3,
    number=1,
    state=api.TaskState.FAILED,
    reason="program",
    message="the command ended with exit code 3",
    command="echo 3 > number.txt",
    exit_code=3,
    folder="/scratch/run7/write-3",
    wall_s=0.2,
    stdout="a word on stdout\n",
    stderr="".join(f"line {number}\n" for number in range(20)) + "No such file: events.root\n",
)
SUCCESS = replace(
    FAILURE, id="write[2]#1", index=2, state=api.TaskState.SUCCEEDED, reason="", message="",
    exit_code=0, stderr="", stdout="two\n",
)  # fmt: skip
SUMMARY = api.RunSummary(
    id=7, name="numbers", recipe="/somewhere/numbers.yaml", state=api.RunState.SUCCEEDED,
    started=1000.0, ended=1041.2, host="node1", pid=4242,
)  # fmt: skip
STEPS = (
    api.StepStatus("write", 500, succeeded=480, reused=20),
    api.StepStatus("total", 1, succeeded=1),
)
PLAN = api.PlanReport(
    "numbers",
    (
        api.PlannedStep("write", 501, 500, 1, 0, (), (("never run before", 1),)),
        api.PlannedStep(
            "total", 1, 0, 1, 1, ("write",), (("its input 'numbers' will be remade", 1),)
        ),
    ),
)


@dataclass
class FakeApi:
    """What the API was asked, and what it answers; a test changes the answers it cares about."""

    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    def called(self, name: str) -> dict[str, Any]:
        """The keyword arguments of the only call of that name; the others under ``args``."""
        found = [(args, named) for called, args, named in self.calls if called == name]
        assert len(found) == 1, f"{name}: {self.calls}"
        args, named = found[0]
        return {**named, "args": args}

    def fails(self, summary: str = "failed") -> None:
        """Let the run fail."""
        state = api.RunState(summary)
        run = replace(SUMMARY, state=state)
        steps = (api.StepStatus("write", 500, succeeded=200, failed=1), STEPS[1])
        status = api.RunStatus(run, steps, (FAILURE,))
        self.answers["run"] = api.RunResult(run, {}, status, None)
        self.answers["status"] = status


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, project: Path) -> FakeApi:
    """The API's verbs replaced by answers that are ready made."""
    status = api.RunStatus(SUMMARY, STEPS)
    outputs = {"sum": api.File(str(project / "results/numbers/sum.txt")), "value": 124750}
    result = api.RunResult(SUMMARY, outputs, status, project / "results/numbers")
    workflow = Workflow("numbers", (Port("n", Type("int"), 500, "how many"),), doc="Adds numbers.")
    found = FakeApi(
        answers={
            "load": workflow, "validate": workflow, "read_inputs": {"n": 500}, "plan": PLAN,
            "run": result, "resume": result, "retry": result, "cancel": SUMMARY,
            "runs": (SUMMARY, replace(SUMMARY, id=6, state=api.RunState.INTERRUPTED)),
            "status": status, "tasks": (SUCCESS, FAILURE), "outputs": outputs,
            "explain": api.Explanation(
                "total", "ran because its input 'numbers' changed",
                (api.Change("inputs.numbers", "aaa", "bbb"),), 6, {"command": "cat"}, (SUCCESS,),
            ),
            "gc": api.GcReport((1, 2), 30, 4_100_000),
            "bundled_recipes": (api.BundledRecipe("lfi/two_moons", project / "x", "Two moons."),),
            "copy_recipe": project / "two_moons.yaml", "starter": project / "recipe.yaml",
            "doctor": (
                api.Check("machine", "python", True, "3.11"),
                api.Check("libraries", "torch", False, "not installed", "pip install torch"),
            ),
        }
    )  # fmt: skip

    def replacement(name: str) -> Callable[..., Any]:
        def answer(*args: Any, **named: Any) -> Any:
            found.calls.append((name, args, named))
            ready = found.answers[name]
            if isinstance(ready, BaseException):
                raise ready
            return ready(*args, **named) if callable(ready) else ready

        return answer

    for name in found.answers:
        monkeypatch.setattr(api, name, replacement(name))
    (project / "numbers.yaml").write_text("hepflow: v1\n")
    return found


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], project: Path) -> Callable[..., Ended]:
    """Runs a command line in this process."""

    def run(*arguments: str) -> Ended:
        status = enter(arguments)
        said = capsys.readouterr()
        return Ended(status, said.out, said.err)

    return run
