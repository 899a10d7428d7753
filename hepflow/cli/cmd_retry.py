"""``hepflow retry``: run failed or named steps again."""

from __future__ import annotations

import click

from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import (
    as_json,
    quietly,
    run_and_rest,
    takes_project,
    takes_run_options,
    unless_default,
)
from hepflow.cli.summary import conduct

EXAMPLES = """
hepflow retry              # what failed in the latest run
hepflow retry 12
hepflow retry 12 train     # step 'train' of run 12, though it succeeded
"""


@verb(EXAMPLES)
@click.argument("words_", nargs=-1, metavar="[RUN] [STEP]...")
@takes_run_options
@takes_project
@quietly
@as_json
def command(
    words_: tuple[str, ...],
    options: api.RunOptions,
    project: api.Project,
    quiet: bool,
    machine: bool,
) -> int:
    """Run the failed steps of a run again, or the named ones; the rest is reused."""
    number, steps = run_and_rest(words_)
    return conduct(
        lambda listener: api.retry(
            project, number, steps, options=unless_default(options), listener=listener
        ),
        quiet=quiet,
        as_json=machine,
    )
