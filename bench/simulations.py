"""How much of a simulate phase is spent in the simulator: ``python -m bench.simulations``.

Two phases of the same calls of the two-moons simulator, in shards: on warm workers, where a Python
function calls the simulator once for each point and notes how long that took; and as a command, an awk
program that draws a shard's parameters and writes their events, held against a bare loop that spawns the
same commands with as many in flight in the same minute.  What a processor does from its first shard to
its last is the simulator's or the engine's; what it waits for others at the end is nobody's.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.floors import IN_FLIGHT, spawn_loop_s
from bench.measure import must_run
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
outputs: {{{port}: simulate.{port}}}
"""
PYTHON = """\
    python: bench.simulations:call_one_by_one
    outputs: {seconds: {path: seconds.json, read: json}}
"""
COMMAND = """\
    command: %s > {{ outputs.events }}
    outputs: {events: events.csv}
"""
PROGRAM = "awk -v calls=%s -v seed=%s -f %s"
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
    """A simulate phase on some processors.

    Attributes:
        wall_s: from handing the first shard to the executor to the end of the last.
        amortised_s: what the processors took in all for their shards but the first (which starts a
            worker), from the end of that to the end of their last.
        later: how many shards those are.
    """

    wall_s: float
    amortised_s: float
    later: int


def run_phase(folder: Path, name: str, body: str, port: str, calls: int, shards: int) -> Phase:
    """Run one phase in ``folder`` and read from the store what it took."""
    recipe = folder / f"{name}.yaml"
    form = {"name": name, "body": body.rstrip(), "port": port}
    recipe.write_text(RECIPE.format(**form, calls=calls, shards=shards))
    command = [sys.executable, "-m", "hepflow", "run", str(recipe), "--cpus", str(IN_FLIGHT)]
    must_run(command, folder)
    with closing(sqlite3.connect(folder / ".hepflow" / "store.sqlite")) as store:
        query = "SELECT submitted, started, started + wall FROM attempt ORDER BY started"
        rows = store.execute(query).fetchall()
    first = [ended for _, _, ended in rows[:IN_FLIGHT]]
    lanes = first[:]
    for _, _, ended in rows[IN_FLIGHT:]:
        lanes[lanes.index(min(lanes))] = ended  # it began where a processor had become free
    wall = max(lanes) - min(submitted for submitted, _, _ in rows)
    return Phase(wall, sum(lanes) - sum(first), len(rows) - IN_FLIGHT)


def warm_shares(folder: Path, calls: int, shards: int) -> tuple[Phase, float, float]:
    """The phase on warm workers; the shares of the whole and of the amortised phase that were calls."""
    phase = run_phase(folder, "warm", PYTHON, "seconds", calls, shards)
    outputs = json.loads((folder / "results" / "warm" / "outputs.json").read_text())
    inside = [float(seconds) for seconds in outputs["seconds"]]
    return (
        phase,
        sum(inside) / (IN_FLIGHT * phase.wall_s),
        sum(inside[IN_FLIGHT:]) / phase.amortised_s,
    )


def command_shares(folder: Path, calls: int, shards: int) -> tuple[Phase, float, float]:
    """The phase as commands; the same shares, where inside is what a bare loop takes for them."""
    each = calls // shards
    scripts = [
        f"{PROGRAM % (each, shard, 'two_moons.awk')} > raw{shard}" for shard in range(shards)
    ]
    bare_s = spawn_loop_s([("/bin/sh", "-c", script) for script in scripts], folder)
    given = PROGRAM % ("{{ inputs.calls }}", "{{ inputs.seed }}", "{{ inputs.program }}")
    phase = run_phase(folder, "command", COMMAND % given, "events", calls, shards)
    amortised = bare_s * IN_FLIGHT * phase.later / shards / phase.amortised_s
    return phase, bare_s / phase.wall_s, amortised


def main() -> None:
    """Measure and print a line for each form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[20])
    parser.add_argument("--repeats", type=int, default=5, help="the medians are shown")
    options = parser.parse_args()
    for name, shares in (("warm", warm_shares), ("command", command_shares)):
        for shards in options.shards:
            turns = []
            for _ in range(options.repeats):
                with tempfile.TemporaryDirectory() as folder:
                    (Path(folder) / "two_moons.awk").write_text(AWK)
                    turns.append(shares(Path(folder), options.calls, shards))
            wall, whole, amortised = (
                median(turn)
                for turn in zip(*((phase.wall_s, a, b) for phase, a, b in turns), strict=True)
            )
            print(
                f"{name}: {options.calls} calls in {shards} shards, {wall:.2f} s on {IN_FLIGHT} "
                f"processors: in the simulator {whole:.1%} of it, {amortised:.1%} after each "
                f"worker's first shard ({min(t[2] for t in turns):.1%} to {max(t[2] for t in turns):.1%})"
            )


if __name__ == "__main__":
    main()
