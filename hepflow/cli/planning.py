"""How a plan is shown: totals, a line a step with its reasons, and the graph."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from hepflow.cli import machine, words
from hepflow.cli.late import api
from hepflow.cli.options import Source
from hepflow.report import text
from hepflow.report.graph import Node, Shade

FAILED: Final = 1
SHOWN_STEPS: Final = 40
SHOWN_REASONS: Final = 3
COLOURS: Final = {Shade.REUSED: "green", Shade.TO_RUN: "yellow", Shade.UNKNOWN: "bright_black"}


def show_plan(
    source: Source,
    project: api.Project,
    options: api.RunOptions,
    *,
    dag: bool = False,
    svg: Path | None = None,
    every: bool = False,
    as_json: bool = False,
) -> int:
    """Plans a recipe and shows the plan."""
    workflow = api.load(source.path, source.load)
    inputs = api.read_inputs(workflow, source.files, source.values, project=project)
    report = api.plan(workflow, inputs, project=project, options=options)
    if svg is not None:
        write_svg(report, svg)
    status = FAILED if report.problems else 0
    for problem in report.problems:
        words.say(f"{click.style('cannot be planned', fg='red')}: {problem}", err=True)
    if as_json:
        machine.emit(report)
        return status
    words.say(totals(report))
    if dag:
        columns = min(max(60, shutil.get_terminal_size((100, 24)).columns), 160)
        words.say("\n" + text.draw(nodes_of(report), columns, paint) + "\n\n" + text.legend())
    elif report.steps:
        words.say()
        for line in [*step_table(report.steps, every), *place_lines(report.steps)]:
            words.say(line)
    if workflow.doc:
        words.say(f"\n{workflow.doc.strip()}")
    if svg is not None:
        words.say(f"\ndrawn in {svg}", err=True)
    return status


def totals(report: api.PlanReport) -> str:
    """``numbers: 501 tasks: 500 reused, 1 to run``."""
    parts = [
        click.style(f"{number:,} {word}", fg=colour)
        for number, word, colour in (
            (report.reused, "reused", "green"),
            (report.to_run - report.unknown, "to run", "yellow"),
            (report.unknown, "not known yet", None),
        )
        if number
    ]
    name = click.style(report.name, bold=True)
    if not parts:
        return f"{name}: nothing to do"
    if report.tasks == report.reused:
        parts.append("nothing to run")
    return f"{name}: {words.count(report.tasks, 'task')}: {', '.join(parts)}"


def step_table(steps: Sequence[api.PlannedStep], every: bool) -> list[str]:
    """A row a step; beneath it what else its reasons are. Steps with nothing to run give way."""
    shown = list(steps)
    if not every and len(steps) > SHOWN_STEPS:
        ranked = sorted(range(len(steps)), key=lambda at: (not steps[at].to_run, at))
        shown = [steps[at] for at in sorted(ranked[:SHOWN_STEPS])]
    rows = []
    for step in shown:
        known = step.to_run - step.unknown
        numbers = [_number(step.reused), _number(known), _number(step.unknown)]
        width = f"{step.width:,}" if step.width >= 0 else "?"
        reasons = _reasons(step)
        rows.append([step.path, width, *numbers, reasons[0] if reasons else ""])
        rows += [["", "", "", "", "", reason] for reason in reasons[1:]]
    header = ["step", "tasks", "reused", "to run", "unknown", "why"]
    lines = words.table(header, rows, right={1, 2, 3, 4})
    if len(shown) < len(steps):
        hidden = words.count(len(steps) - len(shown), "more step")
        lines.append(click.style(f"… and {hidden}; --all shows them", dim=True))
    return lines


def place_lines(steps: Sequence[api.PlannedStep]) -> list[str]:
    """Where the tasks of each step go and why; nothing where there is no choice."""
    found = [(step.path, place) for step in steps for place in step.places]
    lines = [f"  {path}: {place}" for path, place in found[:SHOWN_STEPS]]
    if len(lines) < len(found):
        lines.append(f"  … and {words.count(len(found) - len(lines), 'more')}")
    return ["", "where:", *lines] if lines else []


def _number(number: int) -> str:
    return f"{number:,}" if number else ""


def _reasons(step: api.PlannedStep) -> list[str]:
    """Why tasks are to run; how many each reason is for where it is not for all."""
    found = [
        reason if number in (step.to_run, max(step.width, 0)) else f"{reason} ({number:,})"
        for reason, number in step.reasons[:SHOWN_REASONS]
    ]
    rest = len(step.reasons) - SHOWN_REASONS
    return [*found, f"and {words.count(rest, 'other reason')}"] if rest > 0 else found


def nodes_of(report: api.PlanReport) -> list[Node]:
    """The plan as a graph to draw."""
    return [
        Node(
            step.path,
            tasks=step.width,
            reused=step.reused,
            to_run=step.to_run - step.unknown,
            unknown=step.unknown,
            depends_on=tuple(step.depends_on),
            notes=tuple(f"{reason} ({number:,})" for reason, number in step.reasons),
        )
        for step in report.steps
    ]


def paint(shade: Shade, label: str) -> str:
    """A label in its colour (click takes it off again where colours do not show)."""
    return click.style(label, fg=COLOURS[shade])


def write_svg(report: api.PlanReport, path: Path) -> None:
    """Writes the graph as SVG."""
    from hepflow.report.svg import draw

    try:
        path.write_text(draw(nodes_of(report), report.name), encoding="utf-8")
    except OSError as error:
        raise api.UsageError.of(
            "HF394", f"cannot write '{path}'", why=error.strerror or str(error)
        ) from None
