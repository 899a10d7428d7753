"""A run as a page: what the store has of it, and its recipe as it stands now, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hepflow.model.errors import HepflowError
from hepflow.model.protocols import LoadOptions
from hepflow.model.workflow import Workflow
from hepflow.recording import record_of
from hepflow.report.graph import Node
from hepflow.report.svg import draw
from hepflow.runner.preview import folded, links
from hepflow.store import reader
from hepflow.store.database import Place
from hepflow.store.records import StepStatus


def page_of(place: Place, run: int | None, load: Callable[[Path, LoadOptions], Workflow]) -> str:
    """The page of a run; the latest by default.

    Args:
        load: reads its recipe, for the drawing; a recipe that is gone or broken leaves it out.

    Raises:
        UsageError: there is no such run.
    """
    from hepflow.report.page import Page, render

    status = reader.status(place, run)
    number = status.run.id
    recipe, request, _ = reader.stored_request(place, number)
    edges = _edges(recipe, request, load)
    nodes = _nodes(status.steps, folded(edges, {step.path for step in status.steps}))
    return render(
        Page(
            record_of(place, number),
            status,
            reader.tasks(place, number),
            _text(recipe),
            draw(nodes, status.run.name) if nodes else "",
        )
    )


def _text(recipe: str) -> str:
    try:
        return Path(recipe).read_text(encoding="utf-8", errors="replace") if recipe else ""
    except OSError:
        return ""


def _edges(
    recipe: str, request: Mapping[str, Any], load: Callable[[Path, LoadOptions], Workflow]
) -> dict[str, tuple[str, ...]]:
    """Which steps each step takes values from, as the recipe says now."""
    if not recipe:
        return {}
    try:
        return links(load(Path(recipe), LoadOptions(**request["load"])))
    except HepflowError:
        return {}


def _nodes(steps: Sequence[StepStatus], edges: Mapping[str, tuple[str, ...]]) -> list[Node]:
    """The steps as the recipe has them; what a step became while it ran is counted with it."""
    found: dict[str, list[StepStatus]] = {name: [] for name in edges}
    for step in steps:
        name = step.path
        while name and name not in edges:
            name = name.rpartition("/")[0]
        found.setdefault(name or step.path, []).append(step)
    return [_node(name, parts, edges.get(name, ())) for name, parts in found.items()]


def _node(name: str, parts: Sequence[StepStatus], depends_on: tuple[str, ...]) -> Node:
    reused = sum(step.reused + step.skipped for step in parts)
    done = sum(step.succeeded for step in parts)
    failed = sum(step.failed for step in parts)
    width = -1 if any(step.width < 0 for step in parts) else sum(step.width for step in parts)
    left = max(0, width - reused - done - failed)
    return Node(
        name,
        tasks=width,
        reused=reused,
        to_run=left,
        depends_on=depends_on,
        notes=tuple(step.path for step in parts if step.path != name),
        done=done,
        failed=failed,
    )
