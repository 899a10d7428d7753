"""``hepflow report``: a run as a page to keep or to send."""

from __future__ import annotations

from pathlib import Path

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json, run_number, takes_project

EXAMPLES = """
hepflow report                      # the latest run, as run-12.html
hepflow report 9 --out final.html
"""


@verb(EXAMPLES)
@click.argument("run", default="latest", metavar="[RUN]")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="The page to write. [default: run-N.html]",
)  # fmt: skip
@takes_project
@as_json
def command(run: str, out: Path | None, project: api.Project, machine: bool) -> int:
    """Write a run as one HTML page: recipe, inputs, metrics, figures, steps, failures, where it ran.

    The page holds all it shows, and needs no network. Passwords and tokens are left out.
    """
    number = run_number(run) or api.status(project).run.id
    path = out or Path(f"run-{number}.html")
    page = api.report(project, number)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise api.UsageError.of(
            "HF394", f"cannot write '{path}'", why=error.strerror or str(error)
        ) from None
    if machine:
        for_program.emit({"run": number, "page": path})
    else:
        words.say(str(path))
    return 0
