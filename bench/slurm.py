"""Slurm: what hepflow costs beside the cluster that it runs on, in turns with one raw ``sbatch --array``.

The cluster is the one that ``SLURM_CONF`` names, idle otherwise: ``tests/services/up slurm`` starts one.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.measure import must_run
from bench.scenarios import fresh
from bench.tools import hepflow_command

PACK: Final = 25
LOOK_S: Final = 0.02
LIMIT_S: Final = 600.0
COMMANDS: Final = ("sbatch", "squeue", "sacct", "scontrol", "scancel")

RAW: Final = "#!/bin/sh\n#SBATCH --array=0-{last} --chdir={folder} --output=/dev/null\ntouch out/$SLURM_ARRAY_TASK_ID\n"

COUNTED: Final = '#!/bin/sh\necho {name} >> "{log}"\nexec {program} "$@"\n'


@dataclass(frozen=True, slots=True)
class Turn:
    """One measurement: all of it, until the first task ran, and Slurm's commands meanwhile."""

    wall_s: float
    first_s: float
    commands: Counter[str]


def slurm_page(
    folder: Path, tasks: int, repeats: int, tell: Callable[[str], None]
) -> Iterator[str]:
    """The report, line by line.

    Args:
        folder: where to run; the nodes must see it.
        tasks: how many trivial ones.
        repeats: turns; raw and hepflow alternate within each.
    """
    ways: dict[str, Callable[[], Turn]] = {
        "raw `sbatch --array`": lambda: _raw(fresh(folder / "raw"), tasks),
        "hepflow": lambda: _hepflow(fresh(folder / "hepflow"), tasks),
        "hepflow, `share_s: 0`": lambda: _hepflow(fresh(folder / "alone"), tasks, share_s=0),
        f"hepflow, `share_s: 0, pack: {PACK}`": lambda: _hepflow(
            fresh(folder / "packed"), tasks, PACK, share_s=0
        ),
    }
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    _ask_for_cluster()
    for number in range(repeats):
        for name, way in ways.items():
            tell(f"Slurm, {tasks} tasks, {name}, turn {number + 1}")
            _await_empty_queue()
            turns[name].append(way())
    raw = next(iter(turns.values()))
    yield f"### Slurm, {tasks} tasks"
    yield ""
    yield "| what | wall s | spread | × raw | first task, s | commands |"
    yield "|---|---:|---|---:|---:|---|"
    for name, found in turns.items():
        walls = [turn.wall_s for turn in found]
        ratio = statistics.median([t.wall_s / r.wall_s for t, r in zip(found, raw, strict=True)])
        first = statistics.median([turn.first_s for turn in found])
        said = ", ".join(f"{count} {word}" for word, count in sorted(found[-1].commands.items()))
        yield (
            f"| {name} | {statistics.median(walls):.2f} | {min(walls):.2f}–{max(walls):.2f}"
            f" | {ratio:.2f} | {first:.2f} | {said} |"
        )
    yield ""


def _ask_for_cluster() -> None:
    asked = ["squeue", "--noheader"]
    answers = shutil.which("squeue") and subprocess.run(asked, check=False, capture_output=True)
    if not answers or answers.returncode:
        start = "'tests/services/up slurm' starts one, and says which SLURM_CONF to set"
        raise SystemExit(f"bench: no Slurm cluster answers here; {start}")


def _await_empty_queue() -> None:
    while subprocess.check_output(["squeue", "--noheader"]):
        time.sleep(LOOK_S)


def _raw(folder: Path, tasks: int) -> Turn:
    (folder / "out").mkdir()
    script = folder / "raw.sh"
    script.write_text(RAW.format(last=tasks - 1, folder=folder))
    began, clock = time.time(), time.perf_counter()
    must_run(["sbatch", str(script)], folder)
    while len(os.listdir(folder / "out")) < tasks:
        if time.perf_counter() - clock > LIMIT_S:
            raise TimeoutError(f"the raw array did not end within {LIMIT_S:g} s")
        time.sleep(LOOK_S)
    wall = time.perf_counter() - clock
    first = min(path.stat().st_mtime for path in (folder / "out").iterdir()) - began
    return Turn(wall, first, Counter(sbatch=1))


def _hepflow(folder: Path, tasks: int, pack: int = 1, **settings: float) -> Turn:
    step = {
        "scatter": {"i": "{{ range(inputs.n) }}"},
        "command": "touch {{ outputs.o }}",
        "outputs": {"o": "o.txt"},
    }
    recipe = {"hepflow": "v1", "inputs": {"n": tasks}, "steps": {"work": step}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    queue = {"array": tasks, "pack": pack}
    site = {"extends": "slurm", "queues": {"main": queue}, "settings": settings}
    (folder / "site.yaml").write_text(json.dumps(site))
    log = _count_commands(folder / "bin")
    env = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    began = time.time()
    words = [*hepflow_command(), "run", "recipe.json", "--site", "./site.yaml", "--quiet"]
    cost = must_run(words, folder, env)
    with sqlite3.connect(folder / ".hepflow" / "store.sqlite") as store:
        (first,) = store.execute("select min(started) from attempt").fetchone()
    return Turn(cost.wall_s, first - began, Counter(log.read_text().split()))


def _count_commands(folder: Path) -> Path:
    """Puts programs before Slurm's that write down each call; returns where."""
    folder.mkdir()
    log = folder / "log"
    for name in COMMANDS:
        program = shutil.which(name)
        if program:
            (folder / name).write_text(COUNTED.format(name=name, log=log, program=program))
            (folder / name).chmod(0o755)
    return log
