"""``hepflow doctor``: what is installed and what can be used."""

from __future__ import annotations

from hepflow.cli import machine as for_program
from hepflow.cli.checks import say_checks
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
    say_checks(checks)
    return 0
