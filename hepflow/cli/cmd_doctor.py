"""``hepflow doctor``: what is installed and what can be used."""

from __future__ import annotations

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json, takes_project

EXAMPLES = """
hepflow doctor
hepflow doctor --json     # to attach to a report
"""


@verb(EXAMPLES)
@takes_project
@as_json
def command(project: api.Project, machine: bool) -> int:
    """Show what is installed and what can be used, and how to mend the rest."""
    checks = api.doctor(project)
    if machine:
        for_program.emit(checks)
        return 0
    width = max((len(check.name) for check in checks), default=0)
    group = ""
    for check in checks:
        if check.group != group:
            words.say(("\n" if group else "") + click.style(check.group, bold=True))
            group = check.group
        mark = click.style("✓", fg="green") if check.ok else click.style("✗", fg="yellow")
        words.say(f"  {mark} {check.name:<{width}}  {check.found}".rstrip())
        if not check.ok and check.fix:
            words.say(f"    {'':<{width}}  fix: {check.fix}")
    return 0
