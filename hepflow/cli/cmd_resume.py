"""``hepflow resume``: go on with a run."""

from __future__ import annotations

import click

from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import (
    as_json,
    quietly,
    run_number,
    takes_project,
    takes_run_options,
    unless_default,
)
from hepflow.cli.summary import conduct

EXAMPLES = """
hepflow resume                 # the latest run that did not end well
hepflow resume 12
hepflow resume 12 --cpus 2     # with other limits
hepflow resume 12 --site mine  # the rest of it elsewhere
"""


@verb(EXAMPLES)
@click.argument("run", default="latest", metavar="[RUN]")
@takes_run_options
@takes_project
@quietly
@as_json
def command(
    run: str, options: api.RunOptions, project: api.Project, quiet: bool, machine: bool
) -> int:
    """Go on with a run that was stopped, killed or failed. What had finished is not run again."""
    number = run_number(run)
    return conduct(
        lambda listener: api.resume(
            project, number, options=unless_default(options), listener=listener
        ),
        quiet=quiet,
        as_json=machine,
    )
