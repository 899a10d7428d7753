"""What is done with each shape and each tool, in turn, so that a noisy minute hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import floors
from bench.measure import Failed, Series, must_run, run
from bench.shapes import Shape, write_apart
from bench.tools import Tool

PHASES = ("cold", "re-run", "plan", "resume")
FLOOR_TASKS = 1000
KILL_AT = 0.6
"""The part of its time after which a run is killed: well past its start, well before its end."""

RESUMABLE = 200
"""Smaller runs are mostly start, and a kill would hit that."""


@dataclass(slots=True)
class Result:
    """Everything measured for one shape: figures by tool and phase, and the floors beside them."""

    shape: Shape
    series: dict[tuple[str, str], Series] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    shell_ms: list[float] = field(default_factory=list)
    program_ms: list[float] = field(default_factory=list)
    pool: Series = field(default_factory=Series)
    pool_loop_s: list[float] = field(default_factory=list)

    def of(self, tool: str, phase: str) -> Series:
        return self.series.setdefault((tool, phase), Series())


def measure_shape(
    shape: Shape,
    tools: Sequence[Tool],
    repeats: int,
    folder: Path,
    tell: Callable[[str], None],
) -> Result:
    """All phases of all tools, interleaved, so many times over."""
    result = Result(shape)
    for repeat in range(repeats):
        tell(f"{shape.name} {shape.kind} {shape.tasks}, {repeat + 1} of {repeats}: floors")
        measure_floors(result, folder / "floor")
        for tool in tools:
            if not tool.takes(shape) or (tool.name, "cold") in result.failures:
                continue
            tell(f"{shape.name} {shape.kind} {shape.tasks}, {repeat + 1} of {repeats}: {tool.name}")
            measure_tool(result, tool, folder / tool.name)
    return result


def measure_floors(result: Result, folder: Path) -> None:
    """The raw loops for this shape, in the same minute as the tools."""
    fresh(folder)
    tasks = result.shape.tasks
    if result.shape.kind == "python":
        cost, loop_s = floors.pool_floor(tasks, folder)
        result.pool.add(cost)
        result.pool_loop_s.append(loop_s)
    else:
        count = min(tasks, FLOOR_TASKS)
        result.shell_ms.append(floors.spawn_floor_ms(floors.SHELL, count, folder))
        result.program_ms.append(floors.spawn_floor_ms(floors.PROGRAM, count, folder))
    aside(folder)


def measure_tool(result: Result, tool: Tool, folder: Path) -> None:
    """One tool's four phases; one that fails is told in the report and ends this tool's turn."""
    phase = "cold"
    try:
        write_apart(tool.write, result.shape, fresh(folder))
        cold = must_run(tool.cold, folder)
        result.of(tool.name, phase).add(cold)
        phase = "re-run"
        result.of(tool.name, phase).add(must_run(tool.cold, folder))
        phase = "plan"
        write_apart(tool.write, result.shape, fresh(folder))
        result.of(tool.name, phase).add(must_run(tool.plan, folder))
        phase = "resume"
        if result.shape.tasks >= RESUMABLE:
            killed = run(tool.cold, folder, kill_after_s=cold.wall_s * KILL_AT)
            if killed.status < 0:
                result.of(tool.name, phase).add(must_run(tool.resume, folder))
    except Failed as failure:
        result.failures[tool.name, phase] = str(failure)
    aside(folder)


def fresh(folder: Path) -> Path:
    """An empty folder of that name."""
    aside(folder)
    folder.mkdir(parents=True)
    return folder


def aside(folder: Path) -> None:
    """Moves what is there out of the way, to be deleted when all is measured: for seconds after a
    deletion ext4 is slow to make files (it passes over inodes just freed), and the next in turn
    would pay for it."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}.{time.monotonic_ns()}"))
