"""``hepflow logs``: what tasks printed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json, next_command, run_and_rest, takes_project
from hepflow.cli.summary import near_text

EXAMPLES = """
hepflow logs                     # failed tasks of the latest run; all tasks when none failed
hepflow logs 12 train            # step 'train' of run 12
hepflow logs 'simulate[3]'       # one task
hepflow logs 'simulate[*]' --stderr
hepflow logs --follow            # what finishes from now on, until the run ends
"""
LOOK_S: Final = 0.5
SHOWN: Final = 50


@verb(EXAMPLES)
@click.argument("words_", nargs=-1, metavar="[RUN] [TASK]")
@click.option("--follow", "-f", is_flag=True, help="Go on showing, until the run ends.")
@click.option("--stdout", "out", is_flag=True, help="Only what went to standard output.")
@click.option("--stderr", "err", is_flag=True, help="Only what went to standard error.")
@click.option("--failed", is_flag=True, help="Only tasks that failed.")
@click.option("--all", "every", is_flag=True, help="All tasks, however many.")
@takes_project
@as_json
def command(
    words_: tuple[str, ...],
    follow: bool,
    out: bool,
    err: bool,
    failed: bool,
    every: bool,
    project: api.Project,
    machine: bool,
) -> int:
    """Show what tasks printed, attempt by attempt.

    TASK is a step, a task as 'step[3]', or a pattern with * and ?.
    """
    run, rest = run_and_rest(words_)
    if len(rest) > 1:
        raise click.UsageError(f"one task or pattern, please; got {' '.join(rest)}")
    pattern = rest[0] if rest else "*"
    state = api.TaskState.FAILED if failed else None
    reports = api.tasks(project, run, pattern, state)
    if machine:
        for_program.emit(reports)
        return 0
    shown = _Shown(out or not err, err or not out)
    note = ""
    if not rest and not failed and not follow:
        reports, note = _worth(reports, run)
    if not every and not follow and len(reports) > SHOWN:
        note = f"the last {SHOWN} of {len(reports):,} attempts; --all shows them all"
        reports = reports[-SHOWN:]
    shown.show(reports)
    if follow:
        _follow(project, run, pattern, state, shown)
    elif not reports:
        note = "no such task in this run" if rest else "no task has printed or failed yet"
    if note:
        words.say(f"({note})", err=True)
    return 0


def _worth(
    reports: tuple[api.TaskReport, ...], run: int | None
) -> tuple[tuple[api.TaskReport, ...], str]:
    """Without a pattern: what failed, else what printed something."""
    failed = tuple(item for item in reports if item.state is api.TaskState.FAILED)
    if failed:
        rest = len(reports) - len(failed)
        every = next_command(f"logs {run or 'latest'} '*'")
        note = f"the failed ones; {every} shows {rest:,} more" if rest else ""
        return failed, note
    printed = tuple(item for item in reports if item.stdout or item.stderr)
    silent = len(reports) - len(printed)
    return printed, f"{words.count(silent, 'attempt')} printed nothing" if silent else ""


def _follow(
    project: api.Project,
    run: int | None,
    pattern: str,
    state: api.TaskState | None,
    shown: _Shown,
) -> None:
    number = api.status(project, run).run.id
    while True:
        over = api.status(project, number).run.state is not api.RunState.RUNNING
        shown.show(api.tasks(project, number, pattern, state))
        if over:
            return
        time.sleep(LOOK_S)


class _Shown:
    """Shows each attempt's head and text, and of one shown already only what is new."""

    def __init__(self, out: bool, err: bool) -> None:
        self._streams = [name for name, wanted in (("stdout", out), ("stderr", err)) if wanted]
        self._seen: dict[str, tuple[api.TaskState, dict[str, int]]] = {}

    def show(self, reports: Iterable[api.TaskReport]) -> None:
        for report in reports:
            texts = {"stdout": report.stdout, "stderr": report.stderr}
            now = (report.state, {name: len(text) for name, text in texts.items()})
            before = self._seen.get(report.id)
            if now == before:
                continue
            self._seen[report.id] = now
            words.say(head(report))
            for name in self._streams:
                already = before[1][name] if before else 0
                bar = click.style("|", fg="red" if name == "stderr" else None, dim=True)
                for line in texts[name][already:].rstrip("\n").splitlines():
                    words.say(f"  {bar} {line}")


def head(report: api.TaskReport) -> str:
    """``simulate[3]#1  failed in 0.2 s: exit code 3  .hepflow/...``"""
    state = words.state(report.state.name.lower())
    took = f" in {words.duration(report.wall_s)}" if report.wall_s else ""
    why = f": {report.message or report.reason}" if report.message or report.reason else ""
    folder = f"  {click.style(near_text(report.folder), dim=True)}" if report.folder else ""
    return f"{click.style(report.id, bold=True)}  {state}{took}{why}{folder}"
