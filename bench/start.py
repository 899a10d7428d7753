"""Figures of hepflow alone: its start, its file-system calls, its rest, its largest scatter."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Failed, Series, must_run
from bench.scenarios import fresh
from bench.shapes import Shape, write_recipe
from bench.tools import hepflow_command

FEW, MANY = 100, 600
REST_S = 5
OWN = ("/usr/bin/touch", "-d", "@5", "x")
"""What a task of the shapes runs, alone."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: what, the figure with its unit, and the budget it is held against."""

    what: str
    value: str
    budget: str


def single_figures(
    folder: Path, repeats: int, tell: Callable[[str], None]
) -> tuple[list[Figure], float]:
    """The lines, and the peak memory of a one-task recipe (the base of every growth figure)."""
    tell("start-up")
    one, lines = start_up(folder, repeats)
    for measure in (calls_per_task, cpu_at_rest):
        tell(measure.__name__.replace("_", " "))
        try:
            lines.append(measure(folder))
        except Failed as failure:
            lines.append(Figure(measure.__name__, "failed: " + str(failure)[-200:], ""))
    return lines, one.peak_mib


def start_up(folder: Path, repeats: int) -> tuple[Series, list[Figure]]:
    """``--version``, ``--help`` and a recipe of one task, from start to exit."""
    hepflow = hepflow_command()
    version, usage, one, again = Series(), Series(), Series(), Series()
    write_one_task(fresh(folder), "touch {{ outputs.out }}")
    must_run((*hepflow, "run", "one.yaml"), folder)
    for _ in range(max(5, repeats)):
        version.add(must_run((*hepflow, "--version"), folder))
        usage.add(must_run((*hepflow, "--help"), folder))
        shutil.rmtree(folder / ".hepflow", ignore_errors=True)
        one.add(must_run((*hepflow, "run", "one.yaml"), folder))
        again.add(must_run((*hepflow, "run", "one.yaml"), folder))
    return one, [
        Figure("`hepflow --version`", f"{version.cpu_s * 1000:.0f} ms CPU", "60 (aim 30)"),
        Figure("`hepflow --help`", f"{usage.cpu_s * 1000:.0f} ms CPU", "150 (aim 80)"),
        Figure("one-task recipe, start to exit", f"{one.wall_s:.3f} s", "0.3 (aim 0.12)"),
        Figure("the same again, reused", f"{again.wall_s:.3f} s", ""),
    ]


def write_one_task(folder: Path, command: str) -> None:
    (folder / "one.yaml").write_text(
        "hepflow: v1\nname: one\nsteps:\n  only:\n"
        f"    command: {json.dumps(command)}\n    outputs: {{out: x}}\n"
    )


def calls_per_task(folder: Path) -> Figure:
    """System calls that name a path, per task, less those of the task's own program."""
    if shutil.which("strace") is None:
        return Figure("file-system calls per task", "strace is not installed", "8 (aim 4)")
    counts = []
    for tasks in (FEW, MANY):
        name = write_recipe(Shape("wide", tasks), fresh(folder))
        counts.append(traced_calls((*hepflow_command(), "run", name), folder))
    each = (counts[1] - counts[0]) / (MANY - FEW)
    own = traced_calls(OWN, fresh(folder))
    value = f"{each - own:.1f} ({each:.1f} in all, {own} of them `touch`'s own)"
    return Figure("file-system calls per task", value, "8 (aim 4)")


def traced_calls(argv: tuple[str, ...], folder: Path) -> int:
    """How many calls of strace's class ``%file`` a command makes, children included."""
    table = folder / "strace.txt"
    must_run(("strace", "-f", "-c", "-e", "trace=%file", "-o", str(table), "--", *argv), folder)
    total = [line for line in table.read_text().splitlines() if line.endswith("total")]
    return int(re.split(r"\s+", total[0].strip())[3])


def cpu_at_rest(folder: Path) -> Figure:
    """Processor time of a run that only waits, beyond that of one that need not wait."""
    costs = []
    for seconds in (0, REST_S):
        write_one_task(fresh(folder), f"sleep {seconds}; touch {{{{ outputs.out }}}}")
        costs.append(must_run((*hepflow_command(), "run", "one.yaml"), folder).cpu_s)
    share = max(0.0, costs[1] - costs[0]) / REST_S
    return Figure("CPU while a task sleeps", f"{share:.1%} of a core", "1 %")


def million(folder: Path, tell: Callable[[str], None]) -> Figure:
    """A scatter of a million calls of a function that does nothing."""
    tell("1,000,000 Python tasks")
    name = write_recipe(Shape("wide", 1_000_000, "python"), fresh(folder))
    try:
        cost = must_run((*hepflow_command(), "run", name), folder)
    except Failed as failure:
        return Figure("1,000,000-wide Python scatter", "failed: " + str(failure)[-300:], "2 GB")
    value = f"{cost.wall_s:.0f} s, {1_000_000 / cost.wall_s:,.0f} tasks/s, {cost.peak_mib:,.0f} MiB"
    return Figure("1,000,000-wide Python scatter", value, "2 GB (aim 1)")
