"""``hepflow explain``: why did this task run?"""

from __future__ import annotations

from typing import Final

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.cmd_logs import head
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json, run_and_rest, run_number, takes_project

EXAMPLES = """
hepflow explain train             # a task of the latest run
hepflow explain 'simulate[3]' 12  # of run 12
hepflow explain train --key       # with all that its result depends on
"""
CUT: Final = 60


@verb(EXAMPLES)
@click.argument("task", metavar="TASK")
@click.argument("run", default="", metavar="[RUN]")
@click.option("--key", is_flag=True, help="Show every component of the task's key.")
@takes_project
@as_json
def command(task: str, run: str, key: bool, project: api.Project, machine: bool) -> int:
    """Say why a task ran, was reused, waits or failed.

    TASK is a step, or for one of a scattered step's tasks 'step[3]'.
    """
    number, rest = (run_number(run), [task]) if run else run_and_rest([task])
    if not rest:
        raise click.UsageError(f"which task of run {task}? hepflow explain TASK {task}")
    found = api.explain(project, rest[0], number)
    if machine:
        for_program.emit(found)
        return 0
    words.say(f"{click.style(found.task, bold=True)}: {found.verdict}")
    if found.changes:
        against = f" compared with run {found.compared_with}" if found.compared_with else ""
        words.say(f"\nwhat is different{against}:")
        rows = [[item.component, *_apart(item.before, "->", item.after)] for item in found.changes]
        for line in words.table(["", "before", "", "now"], rows):
            words.say(f"  {line}")
    if found.attempts:
        words.say("\nattempts:")
        for report in found.attempts:
            words.say(f"  {head(report)}")
    if key:
        words.say("\nwhat its result depends on:")
        for line in words.pairs(dict(found.components)):
            words.say(line)
    return 0


def _apart(before: str, arrow: str, after: str) -> tuple[str, str, str]:
    """Two values, each cut to what there is room for; what they begin with alike gives way first."""
    alike = next((at for at, (x, y) in enumerate(zip(before, after, strict=False)) if x != y), 0)
    if max(len(before), len(after)) > CUT and alike > CUT // 3:
        start = max(before.rfind(",", 0, alike), before.rfind("{", 0, alike)) + 1
        before, after = (f"…{text[start:]}" if start else text for text in (before, after))
    return _cut(before), arrow, _cut(after)


def _cut(text: str) -> str:
    return text if len(text) <= CUT else text[: CUT - 1] + "…"
