"""Parsl and Dask: what hepflow makes of their workers, beside what they make of them by themselves.

Both do the same work on the same number of workers on this machine. The rate is that of the tasks alone:
from the first one handed over to the last result, with workers that are there and warm; what starting and
ending takes stands beside it. hepflow's own loop is that of ``hepflow run``, store and all.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.measure import Cost, must_run
from bench.scenarios import aside, fresh

CALLS: Final = {"parsl": 5_000, "dask": 10_000}
SHELLS: Final = 5_000
WORKERS: Final = 2
WARM: Final = 20
"""Tasks before the clock starts: workers load what they need with the first."""

RAW_PARSL: Final = f"""
import sys, time
import parsl
from parsl import bash_app, python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

def python():
    @python_app
    def nothing(i):
        pass
    return nothing

def shell():
    @bash_app
    def touch(i):
        return f"touch -d @{{i}} o/{{i}}"
    return touch

if __name__ == "__main__":
    kind, tasks = sys.argv[1], int(sys.argv[2])
    pool = HighThroughputExecutor(
        label="raw", address="127.0.0.1", max_workers_per_node={WORKERS}, cores_per_worker=1e-6,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    with parsl.load(Config(executors=[pool], run_dir="runinfo")):
        app = python() if kind == "python" else shell()
        for future in [app(i) for i in range({WARM})]:
            future.result()
        started = time.perf_counter()
        for future in [app(i) for i in range(tasks)]:
            future.result()
        print("loop", time.perf_counter() - started)
"""

RAW_DASK: Final = f"""
import subprocess, sys, time
from distributed import Client, LocalCluster

def nothing(i):
    pass

def touch(i):
    subprocess.run(f"touch -d @{{i}} o/{{i}}", shell=True, check=True)

if __name__ == "__main__":
    kind, tasks = sys.argv[1], int(sys.argv[2])
    function = nothing if kind == "python" else touch
    with LocalCluster(n_workers={WORKERS}, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            client.gather(client.map(function, range({WARM}), pure=False))
            started = time.perf_counter()
            client.gather(client.map(function, range(tasks), pure=False))
            print("loop", time.perf_counter() - started)
"""

RAW: Final = {"parsl": RAW_PARSL, "dask": RAW_DASK}

OURS: Final = """
import sys, time
from pathlib import Path
from hepflow import api

if __name__ == "__main__":
    project = api.Project(Path.cwd())
    heard = []
    result = api.run(
        api.load(Path("recipe.json")),
        {},
        project=project,
        options=api.RunOptions(site="./site.yaml"),
        listener=lambda progress: heard.append(time.time()),
    )
    assert result.succeeded, result.run.message
    began = min(task.submitted for task in api.tasks(project, pattern="work"))
    print("loop", heard[-1] - began)
"""
"""From the moment the first task was written down to the one when the run knew of the last."""

MODULE: Final = """
def nothing(i, warm=None):
    pass


def one(i):
    return 1
"""

SITES: Final = {
    "parsl": {
        "executor": "parsl",
        "settings": {"provider": "local", "workers_per_node": WORKERS, "gpus": []},
    },
    "dask": {"executor": "dask", "settings": {"cpus": WORKERS, "gpus": []}},
}


@dataclass(slots=True)
class Pair:
    """One kind of task on one engine: raw and through hepflow, in turns."""

    engine: str
    kind: str
    tasks: int
    raw: list[Cost] = field(default_factory=list)
    ours: list[Cost] = field(default_factory=list)

    def rate(self, costs: list[Cost]) -> float:
        """Tasks in a second, by the median of the loops."""
        return self.tasks / statistics.median(_loop_s(cost) for cost in costs)

    def line(self) -> str:
        raw, ours = self.rate(self.raw), self.rate(self.ours)
        each = sorted(
            _loop_s(theirs) / _loop_s(mine)
            for theirs, mine in zip(self.raw, self.ours, strict=True)
        )
        whole = [
            statistics.median(cost.wall_s for cost in found) for found in (self.raw, self.ours)
        ]
        return (
            f"| {self.engine} | {self.kind} | {self.tasks:,} | {raw:,.0f} | {ours:,.0f} | {ours / raw:.2f}"
            f" | {each[0]:.2f}–{each[-1]:.2f} | {whole[0]:.1f} | {whole[1]:.1f} |"
        )


def pools_page(
    folder: Path, repeats: int, share: float, tell: Callable[[str], None]
) -> Iterator[str]:
    """The report, line by line as it is measured.

    Args:
        folder: where to run.
        repeats: turns; raw and hepflow alternate within each.
        share: of the full number of tasks, to try it out with fewer.
    """
    yield f"### Parsl and Dask, {WORKERS} workers on this machine"
    yield ""
    yield (
        "| engine | tasks | number | raw, tasks/s | hepflow, tasks/s | hepflow / raw | spread"
        " | raw, start to exit, s | hepflow, start to exit, s |"
    )
    yield "|---|---|---:|---:|---:|---:|---|---:|---:|"
    for engine, calls in CALLS.items():
        for kind, number in (("python", calls), ("shell", SHELLS)):
            pair = Pair(engine, kind, max(1, int(number * share)))
            for turn in range(repeats):
                tell(f"{engine} {kind} {pair.tasks}, {turn + 1} of {repeats}")
                pair.raw.append(_raw(pair, folder / "raw"))
                pair.ours.append(_through_hepflow(pair, folder / "ours"))
            yield pair.line()
    yield ""


def _raw(pair: Pair, folder: Path) -> Cost:
    (fresh(folder) / "o").mkdir()
    (folder / "raw.py").write_text(RAW[pair.engine])
    cost = must_run([sys.executable, "raw.py", pair.kind, str(pair.tasks)], folder)
    aside(folder)
    return cost


def _through_hepflow(pair: Pair, folder: Path) -> Cost:
    fresh(folder)
    (folder / "noop.py").write_text(MODULE)
    (folder / "recipe.json").write_text(json.dumps(_recipe(pair)))
    (folder / "site.yaml").write_text(json.dumps(SITES[pair.engine]))
    (folder / "ours.py").write_text(OURS)
    cost = must_run([sys.executable, "ours.py"], folder)
    aside(folder)
    return cost


def _recipe(pair: Pair) -> dict[str, object]:
    """A few tasks that warm the workers, and then the ones that count."""
    warm = {
        "python": "noop:one",
        "scatter": {"i": f"{{{{ range({WARM}) }}}}"},
        "outputs": ["value"],
    }
    work: dict[str, object] = {
        "scatter": {"i": f"{{{{ range({pair.tasks}) }}}}"},
        "inputs": {"warm": "warm.value"},
    }
    if pair.kind == "python":
        work |= {"python": "noop:nothing"}
    else:
        work |= {"command": "touch -d @{{ i }} {{ outputs.out }}", "outputs": {"out": "x"}}
        warm = {**warm, "command": "echo 1 > {{ outputs.value }}", "outputs": {"value": "v"}}
        del warm["python"]
    return {"hepflow": "v1", "name": "wide", "steps": {"warm": warm, "work": work}}


def _loop_s(cost: Cost) -> float:
    """The seconds that a program of ours printed."""
    return next(
        float(line.split()[1]) for line in cost.output.splitlines() if line.startswith("loop")
    )
