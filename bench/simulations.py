"""How much of a simulate phase is spent in the simulator: ``python -m bench.simulations``.

Two phases of the same calls of the two-moons simulator, in shards: on warm workers, where a Python
function calls the simulator once for each point, and as a command, an awk program that draws a
shard's parameters and writes their events.  Each shard notes how long its simulator took; the rest of
``processors x duration of the phase`` is the engine's.  The phase begins when the first shard is handed
to the executor and ends with the last shard; a run's start and end belong to no phase.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hepflow_lfi.problems import Problem
from hepflow_lfi.simulate import seed_generator
from hepflow_lfi.simulators import two_moons
from hepflow_lfi.tasks import find_task

RECIPE = """\
hepflow: v1
name: {name}
inputs: {{calls: {calls}, shards: {shards}, program: {{type: File, default: two_moons.awk}}}}
steps:
  simulate:
    scatter: {{shard: "{{{{ range(inputs.shards) }}}}"}}
    inputs: {{calls: "{{{{ inputs.calls // inputs.shards }}}}", seed: "{{{{ shard }}}}", program: inputs.program}}
{body}
outputs: {{seconds: simulate.seconds}}
"""
PYTHON = """\
    python: bench.simulations:call_one_by_one
    outputs: {seconds: {path: seconds.json, read: json}}
"""
COMMAND = """\
    command: |
      begin=$(date +%s%N)
      awk -v calls={{ inputs.calls }} -v seed={{ inputs.seed }} -f {{ inputs.program }} > {{ outputs.events }}
      echo $(( $(date +%s%N) - begin ))e-9 > {{ outputs.seconds }}
    outputs: {events: events.csv, seconds: {path: seconds.json, read: json}}
"""
AWK = """\
function normal() { return sqrt(-2 * log(1 - rand())) * cos(6.283185307179586 * rand()) }
BEGIN {
  srand(seed)
  for (i = 0; i < calls; i++) {
    a = 2 * rand() - 1; b = 2 * rand() - 1
    angle = 3.141592653589793 * (rand() - 0.5); radius = 0.1 + 0.01 * normal()
    sum = a + b; if (sum < 0) sum = -sum
    x = radius * cos(angle) + 0.25 - sum / sqrt(2); y = radius * sin(angle) + (b - a) / sqrt(2)
    printf "%.7g,%.7g,%.7g,%.7g\\n", a, b, x, y
  }
}
"""


def call_one_by_one(calls: int, seed: int, program: str, seconds: str) -> None:
    """Call the simulator ``calls`` times, a point at a time; write how long that took."""
    del program  # the other recipe's
    problem: Problem = find_task("two_moons").problem
    generator = seed_generator(problem, seed)
    theta = problem.prior.draw(calls, generator)
    started = time.perf_counter()
    for index in range(calls):
        two_moons(theta[index : index + 1], generator)
    Path(seconds).write_text(json.dumps(time.perf_counter() - started))


@dataclass(frozen=True, slots=True)
class Phase:
    """A simulate phase: ``inside`` the simulator (seconds, of all shards), its wall-clock ``wall_s``,
    and the share of ``processors`` x wall that was inside, with and without what comes once: the
    first shard of each worker, which starts it and imports numpy."""

    wall_s: float
    share: float
    amortised: float


def measure(folder: Path, name: str, body: str, calls: int, shards: int, processors: int) -> Phase:
    """Run one phase in ``folder`` and read from the store what it took."""
    recipe = folder / f"{name}.yaml"
    recipe.write_text(RECIPE.format(name=name, calls=calls, shards=shards, body=body.rstrip()))
    command = [sys.executable, "-m", "hepflow", "run", str(recipe), "--cpus", str(processors)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    outputs = json.loads((folder / "results" / name / "outputs.json").read_text())
    inside = np.array([float(seconds) for seconds in outputs["seconds"]])
    with closing(sqlite3.connect(folder / ".hepflow" / "store.sqlite")) as store:
        query = "SELECT submitted, started, started + wall FROM attempt ORDER BY id"
        submitted, started, ended = np.array(store.execute(query).fetchall()).T
    wall = ended.max() - submitted.min()
    later = np.argsort(started)[processors:]
    warm_wall = ended.max() - started[later].min()
    return Phase(
        wall,
        inside.sum() / (processors * wall),
        inside[later].sum() / (processors * warm_wall),
    )


def main() -> None:
    """Measure and print a line for each form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[20, 6])
    options = parser.parse_args()
    processors = len(os.sched_getaffinity(0))
    for name, body in (("warm", PYTHON), ("command", COMMAND)):
        for shards in options.shards:
            with tempfile.TemporaryDirectory() as made:
                folder = Path(made)
                (folder / "two_moons.awk").write_text(AWK)
                phase = measure(folder, name, body, options.calls, shards, processors)
            print(
                f"{name}: {options.calls} calls in {shards} shards, {phase.wall_s:.2f} s on "
                f"{processors} processors: in the simulator {phase.share:.1%} of it, "
                f"{phase.amortised:.1%} after each worker's first shard"
            )


if __name__ == "__main__":
    main()
