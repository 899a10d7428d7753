"""A head that is meant to be killed: submits what it is told and prints what ends.

Run as ``python -m tests.contract.head FACTORY WORKDIR MANY``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hepflow.model.task import Attempt, Call, Output, Resources, Shell, Task
from tests.contract.conftest import FACTORIES
from tests.contract.loop import Loop


def attempts(workdir: Path, count: int) -> list[Attempt]:
    """Short commands, each with a trace of its own, beside a long one and a long call."""
    traces, tasks = workdir / "traces", workdir / "tasks"
    half = Resources(cpus=0.5)
    here = str(Path(__file__).parent)
    call = Call("functions:sleeps", {"seconds": 1000}, {}, (here,))
    made = [
        Attempt("call#1", Task(call, (Output("value"),), half)),
        Attempt("long#1", Task(Shell("sleep 1000 & sleep 1000"), (), half), str(tasks / "long")),
    ]
    for n in range(count):
        text = f"echo {n} > number.txt && echo {n} > {traces}/{n}"
        task = Task(Shell(text), (Output("number", "number.txt"),))
        made.append(Attempt(f"short[{n}]#1", task, str(tasks / f"short-{n}")))
    return made


def main() -> None:
    factory, workdir, count = FACTORIES[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3])
    (workdir / "traces").mkdir(parents=True)
    loop = Loop()
    executor = factory(workdir / "executor")
    executor.start(loop)
    executor.submit(attempts(workdir, count))
    told = 0
    while True:
        loop.turn(10.0)
        for event in loop.events[told:]:
            print(type(event).__name__, event.attempt, flush=True)
        told = len(loop.events)


if __name__ == "__main__":
    main()
