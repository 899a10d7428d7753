"""``hepflow gc``: make room."""

from __future__ import annotations

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json, read_days, takes_project

EXAMPLES = """
hepflow gc --dry-run               # what would go
hepflow gc                         # keep the latest five runs and all they refer to
hepflow gc --keep 1
hepflow gc --older-than 30d        # only runs that are older than that
"""


@verb(EXAMPLES)
@click.option("--keep", type=click.IntRange(0), default=5, show_default=True, metavar="N",
              help="Keep the latest N runs.")  # fmt: skip
@click.option("--older-than", callback=read_days, metavar="AGE",
              help="Only older runs: '30d', '12h'.")  # fmt: skip
@click.option("--dry-run", "-n", is_flag=True, help="Say what would go; remove nothing.")
@takes_project
@as_json
def command(
    keep: int, older_than: float | None, dry_run: bool, project: api.Project, machine: bool
) -> int:
    """Remove old runs, and the files that no run which stays refers to.

    Published outputs are never touched.
    """
    report = api.gc(project, keep=keep, older_than_days=older_than, dry_run=dry_run)
    if machine:
        for_program.emit(report)
        return 0
    verb_ = "would remove" if dry_run else "removed"
    runs = words.count(len(report.runs_removed), "run")
    files = words.count(report.files_removed, "file")
    words.say(f"{verb_} {runs} and {files}, {words.size(report.bytes_freed)}")
    return 0
