"""CWL: what a step of a scatter costs beside its program, and what a document costs from start to exit.

The peer is cwltool, the reference runner, where it is installed. A step's cost is taken between a
scatter of ``FEW`` and one of many elements, so that the start of either runner is not in it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import floors
from bench.measure import must_run
from bench.scenarios import aside, fresh
from bench.tools import hepflow_command, version_of

FEW: Final = 10
TRUE: Final = ("/bin/true",)
FLOOR_TASKS: Final = 1000
PEER_MOST: Final = 1000
"""The largest scatter cwltool is asked for: its cost a step grows with the number of steps."""

NUMBER: Final = {"i": {"type": "int"}}
TOOLS: Final[Mapping[str, Mapping[str, object]]] = {
    "`true`, no files": {"baseCommand": "true", "inputs": NUMBER, "outputs": {}},
    "`echo`, standard output a File": {
        "baseCommand": "echo",
        "inputs": {"i": {"type": "int", "inputBinding": {}}},
        "stdout": "out.txt",
        "outputs": {"o": {"type": "stdout"}},
    },
    "`true`, two JavaScript evaluations": {
        "requirements": {"InlineJavascriptRequirement": {}},
        "baseCommand": "true",
        "arguments": ["${return inputs.i + 1;}", "$([inputs.i].map(function(x) {return 2 * x;})[0])"],
        "inputs": NUMBER,
        "outputs": {},
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Runner:
    """A CWL runner.

    Args:
        name: as its users call it.
        command: what comes before the document.
        most: the largest scatter it is asked for.
    """

    name: str
    command: tuple[str, ...]
    most: int = 10**9


def runners() -> tuple[Runner, ...]:
    """hepflow first, then cwltool if it is there."""
    ours = Runner("hepflow", (*hepflow_command(), "cwl-runner", "--quiet", "--no-container"))
    peer = Runner("cwltool", ("cwltool", "--quiet", "--parallel", "--no-container"), PEER_MOST)
    return (ours, peer) if version_of("cwltool") else (ours,)


def cwl_page(
    folder: Path, sizes: Sequence[int], repeats: int, tell: Callable[[str], None]
) -> Iterator[str]:
    """The report, line by line as it is measured.

    Args:
        folder: where to run.
        sizes: numbers of elements to scatter over.
        repeats: turns; runners and the floor alternate within each.
    """
    yield "### CWL: one step among many"
    yield ""
    yield "| tool | elements | floor, ms | runner | ms/step | × floor |"
    yield "|---|---:|---:|---|---:|---:|"
    for title, tool in TOOLS.items():
        for size in sizes:
            tell(f"CWL, {title}, {size}")
            yield from _steps(title, tool, size, repeats, folder)
    yield ""
    yield "### CWL: one document, from start to exit"
    yield ""
    yield "| runner | document | s |"
    yield "|---|---|---:|"
    tell("CWL, one document")
    yield from _documents(repeats, folder)
    yield ""


def write_scatter(tool: Mapping[str, object], size: int, folder: Path) -> None:
    """A workflow that scatters a tool over so many numbers, and its inputs."""
    step = {
        "run": {"class": "CommandLineTool", **tool},
        "scatter": "i",
        "in": {"i": "numbers"},
        "out": list(tool["outputs"]),  # type: ignore[call-overload]
    }
    outputs = {
        name: {"type": {"type": "array", "items": "File"}, "outputSource": f"work/{name}"}
        for name in step["out"]
    }
    workflow = {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "requirements": {"ScatterFeatureRequirement": {}},
        "inputs": {"numbers": "int[]"},
        "outputs": outputs,
        "steps": {"work": step},
    }
    (folder / "scatter.cwl").write_text(json.dumps(workflow))
    (folder / "job.json").write_text(json.dumps({"numbers": list(range(size))}))


def _steps(
    title: str, tool: Mapping[str, object], size: int, repeats: int, folder: Path
) -> Iterator[str]:
    floor: list[float] = []
    costs: dict[str, list[float]] = {}
    for _ in range(repeats):
        floor.append(floors.spawn_floor_ms(TRUE, FLOOR_TASKS, fresh(folder / "floor")))
        for runner in runners():
            if size > runner.most:
                continue
            # The first call is left out: it alone would read the document for the first time.
            turns = (FEW, FEW, size)
            walls = {n: _wall(runner, tool, n, folder / runner.name) for n in turns}
            each = (walls[size] - walls[FEW]) / (size - FEW) * 1000
            costs.setdefault(runner.name, []).append(each)
    least = statistics.median(floor)
    for name, found in costs.items():
        each = statistics.median(found)
        yield f"| {title} | {size:,} | {least:.2f} | {name} | {each:.2f} | {each / least:.2f} |"


def _wall(runner: Runner, tool: Mapping[str, object], size: int, folder: Path) -> float:
    write_scatter(tool, size, fresh(folder))
    cost = must_run([*runner.command, "--outdir", "out", "scatter.cwl", "job.json"], folder)
    aside(folder)
    return cost.wall_s


def _documents(repeats: int, folder: Path) -> Iterator[str]:
    tool = {"cwlVersion": "v1.2", "class": "CommandLineTool", **TOOLS["`true`, no files"]}
    found: dict[tuple[str, str], list[float]] = {}
    for turn in range(repeats):
        for runner in runners():
            place = fresh(folder / runner.name)
            # Another text each turn, so that the first call has never seen it.
            (place / "tool.cwl").write_text(json.dumps(tool | {"doc": f"{place} {turn}"}))
            for state, number in (("new", 1), ("seen, other inputs", 2), ("seen, same inputs", 2)):
                (place / "job.json").write_text(json.dumps({"i": number}))
                wall = must_run([*runner.command, "tool.cwl", "job.json"], place).wall_s
                found.setdefault((runner.name, state), []).append(wall)
            aside(place)
    for (name, state), walls in found.items():
        yield f"| {name} | {state} | {statistics.median(walls):.2f} |"
