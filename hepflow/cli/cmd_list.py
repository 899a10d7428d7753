"""``hepflow list``: the runs of a project."""

from __future__ import annotations

import time

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json, takes_project
from hepflow.cli.summary import near_text

EXAMPLES = """
hepflow list            # the latest twenty
hepflow list --all
hepflow list --json     # for a program
"""
SHOWN = 20


@verb(EXAMPLES)
@click.option("--all", "every", is_flag=True, help="All runs, not the latest twenty only.")
@takes_project
@as_json
def command(project: api.Project, every: bool, machine: bool) -> int:
    """List the runs of this project, newest first."""
    runs = api.runs(project)
    if machine:
        for_program.emit(runs)
        return 0
    if not runs:
        words.say("no runs yet; start one with 'hepflow run RECIPE'", err=True)
        return 0
    rows = [_row(run) for run in (runs if every else runs[:SHOWN])]
    for line in words.table(["run", "name", "state", "started", "took", "recipe"], rows, {0}):
        words.say(line)
    if len(rows) < len(runs):
        words.say(f"… and {words.count(len(runs) - len(rows), 'older run')}; --all lists them")
    return 0


def _row(run: api.RunSummary) -> list[str]:
    is_running = run.state is api.RunState.RUNNING
    took = (run.ended or (time.time() if is_running else run.started)) - run.started
    return [
        str(run.id),
        run.name,
        words.state(run.state.value),
        words.moment(run.started),
        words.duration(took) if run.ended or is_running else "",
        near_text(run.recipe),
    ]
