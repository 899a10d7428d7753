"""The markdown: machine and command beside every figure."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.scenarios import PHASES, Result
from bench.start import Figure
from bench.tools import Tool


def header(command: str, tools: Sequence[Tool], folder: Path, repeats: int) -> Iterator[str]:
    """Where and how this was measured."""
    load = os.getloadavg()[0]
    versions = ", ".join(f"{tool.name} {tool.version}" for tool in tools)
    yield f"Measured with `{command}`: medians of {repeats}, fastest–slowest beside them."
    yield ""
    yield f"- machine: {cpu_model()}, {os.cpu_count()} cores, load {load:.1f} at the start"
    yield f"- system: {platform.system()} {platform.release()}, {file_system(folder)} for the runs"
    yield f"- Python {platform.python_version()}; {versions}"
    yield ""


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"


def file_system(folder: Path) -> str:
    done = subprocess.run(
        ["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown file system"


def shape_table(result: Result, tools: Sequence[Tool], base_mib: float) -> Iterator[str]:
    """One shape: a line a tool and phase, the floors above them."""
    shape = result.shape
    yield f"### {shape.name}, {shape.tasks:,} {shape.kind} tasks"
    yield ""
    floor_ms = 0.0
    if result.shell_ms:
        floor_ms = statistics.median(result.shell_ms)
        bare = statistics.median(result.program_ms)
        yield f"Floor: {floor_ms:.2f} ms a task through `sh -c`, {bare:.2f} ms without the shell."
    if result.pool_loop_s:
        loop = statistics.median(result.pool_loop_s)
        floor_ms = loop / shape.tasks * 1000
        yield (
            f"Floor: `ProcessPoolExecutor(2).submit` {shape.tasks / loop:,.0f} tasks/s in its loop,"
            f" {shape.tasks / result.pool.wall_s:,.0f} with its start."
        )
    yield ""
    if not result.series:
        yield "Nothing else that is installed takes this shape."
        yield ""
        return
    yield "| tool | phase | wall s | spread | tasks/s | ms/task | × floor | CPU s | peak MiB | kB/task |"
    yield "|---|---|---:|---|---:|---:|---:|---:|---:|---:|"
    for tool in tools:
        for phase in PHASES:
            line = _line(result, tool.name, phase, floor_ms, base_mib)
            if line:
                yield line
    yield ""
    for (tool_name, phase), text in result.failures.items():
        yield f"{tool_name} failed in '{phase}':\n\n```\n{text}\n```\n"


def _line(result: Result, tool: str, phase: str, floor_ms: float, base_mib: float) -> str:
    series = result.series.get((tool, phase))
    if series is None or not series.costs:
        return ""
    tasks = result.shape.tasks
    each_ms = series.wall_s / tasks * 1000
    ratio = f"{each_ms / floor_ms:.2f}" if floor_ms and phase == "cold" else ""
    grown = (series.peak_mib - base_mib) * 1024 / tasks
    growth = f"{grown:.2f}" if base_mib and tool == "hepflow" and tasks >= 1000 else ""
    return (
        f"| {tool} | {phase} | {series.wall_s:.2f} | {series.spread} | {tasks / series.wall_s:,.0f}"
        f" | {each_ms:.3f} | {ratio} | {series.cpu_s:.2f} | {series.peak_mib:.0f} | {growth} |"
    )


def figure_table(figures: Iterable[Figure]) -> Iterator[str]:
    """The figures of hepflow alone."""
    yield "### Start, rest, file system"
    yield ""
    yield "| what | measured | reach |"
    yield "|---|---|---|"
    for figure in figures:
        yield f"| {figure.what} | {figure.value} | {figure.budget} |"
    yield ""


def growth_table(results: Sequence[Result]) -> Iterator[str]:
    """Whether a task costs the same among a thousand and among a hundred thousand."""
    rows: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for result in results:
        for phase in PHASES:
            series = result.series.get(("hepflow", phase))
            if series is not None and series.costs and result.shape.tasks >= 1000:
                row = rows.setdefault((f"{result.shape.name} {result.shape.kind}", phase), [])
                row.append((result.shape.tasks, series.wall_s / result.shape.tasks * 1000))
    rows = {key: row for key, row in rows.items() if len(row) > 1}
    if not rows:
        return
    yield "### Growth of hepflow: ms a task by size"
    yield ""
    for (shape, phase), row in rows.items():
        figures = ", ".join(f"{tasks:,}: {each:.3f}" for tasks, each in sorted(row))
        yield f"- {shape}, {phase}: {figures}"
    yield ""
