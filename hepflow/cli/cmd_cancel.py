"""``hepflow cancel``: end a run."""

from __future__ import annotations

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json, next_command, run_number, takes_project

EXAMPLES = """
hepflow cancel        # the latest run
hepflow cancel 12
"""


@verb(EXAMPLES)
@click.argument("run", default="latest", metavar="[RUN]")
@takes_project
@as_json
def command(run: str, project: api.Project, machine: bool) -> int:
    """End a run that is going on, from another terminal. What had finished is kept."""
    found = api.cancel(project, run_number(run))
    if machine:
        for_program.emit(found)
        return 0
    words.say(f"asked run {found.id} ({found.name}) to end")
    words.say(f"to go on:  {next_command(f'resume {found.id}')}", err=True)
    return 0
