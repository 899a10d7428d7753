"""``hepflow status``: how far a run is."""

from __future__ import annotations

import sys
import time
from typing import Final

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.display import display_for
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json, next_command, run_number, takes_project
from hepflow.cli.progress import width_words
from hepflow.cli.summary import headline, tell_failures

EXAMPLES = """
hepflow status            # the latest run
hepflow status 12
hepflow status --watch    # until it ends; Ctrl-C ends the watching, not the run
hepflow status --json     # for a program
"""
LOOK_S: Final = 1.0
SHOWN_STEPS: Final = 60
SHOWN_RUNNING: Final = 8


@verb(EXAMPLES)
@click.argument("run", default="latest", metavar="[RUN]")
@click.option("--watch", "-w", is_flag=True, help="Follow it until it ends.")
@takes_project
@as_json
def command(run: str, watch: bool, project: api.Project, machine: bool) -> int:
    """Show how far a run is: its steps, what runs now, what failed.

    RUN is a number as 'list' shows it; without it, the latest run.
    """
    found = api.status(project, run_number(run))
    if watch and not machine:
        found = _follow(project, found)
    if machine:
        for_program.emit(found)
        return 0
    _tell(found)
    return 0


def _follow(project: api.Project, status: api.RunStatus) -> api.RunStatus:
    """Shows a running run's progress as its own terminal does, from what the store says."""
    display = display_for(sys.stderr, quiet=False)
    try:
        while status.run.state is api.RunState.RUNNING:
            run, elapsed_s = status.run, time.time() - status.run.started
            display(api.Progress(run.id, run.name, status.steps, (), elapsed_s))
            time.sleep(LOOK_S)
            status = api.status(project, run.id)
    finally:
        display.close()
    return status


def _tell(status: api.RunStatus) -> None:
    run = status.run
    words.say(headline(run, status))
    if run.state is api.RunState.RUNNING:
        since = words.duration(time.time() - run.started)
        words.say(f"  for {since}, on {run.host}, process {run.pid}")
    if run.message and not status.failures:
        words.say(f"  {run.message}")
    if status.steps:
        words.say()
        for line in _step_table(status.steps):
            words.say(line)
    for part in status.parts:
        words.say()
        words.say(headline(part.run, part))
        for line in _step_table(part.steps):
            words.say(line)
    for report in status.running[:SHOWN_RUNNING]:
        where = f"  {report.where}" if report.where else ""
        took = f" for {words.duration(time.time() - report.started)}" if report.started else ""
        words.say(f"running  {report.id}{took}{where}")
    if len(status.running) > SHOWN_RUNNING:
        words.say(f"… and {len(status.running) - SHOWN_RUNNING:,} more running")
    tell_failures(status.failures, run.id)
    if run.state not in (api.RunState.RUNNING, api.RunState.SUCCEEDED):
        words.say(f"\nto go on:  {next_command(f'resume {run.id}')}", err=True)


def _step_table(steps: tuple[api.StepStatus, ...]) -> list[str]:
    shown = steps
    if len(steps) > SHOWN_STEPS:
        ranked = sorted(range(len(steps)), key=lambda at: (_dullness(steps[at]), at))
        shown = tuple(steps[at] for at in sorted(ranked[:SHOWN_STEPS]))
    rows = [
        [
            step.path,
            f"{step.finished:,}/{width_words(step)}",
            *(f"{number:,}" if number else "" for number in
              (step.running, step.succeeded, step.reused, step.skipped)),
            click.style(f"{step.failed:,}", fg="red") if step.failed else "",
        ]
        for step in shown
    ]  # fmt: skip
    header = ["step", "done", "running", "run", "reused", "skipped", "failed"]
    lines = words.table(header, rows, right=range(1, 7))
    if len(shown) < len(steps):
        lines.append(f"… and {words.count(len(steps) - len(shown), 'more step')}; --json has all")
    return lines


def _dullness(step: api.StepStatus) -> int:
    """What needs an eye comes first, what is over last."""
    if step.failed or step.running:
        return 0
    return 2 if step.width == step.finished else 1
