"""How a run ended: the outputs, what failed and with which words, and what to do next."""

from __future__ import annotations

import os
import shlex
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from hepflow.cli import machine, words
from hepflow.cli.display import display_for
from hepflow.cli.late import api
from hepflow.cli.options import next_command
from hepflow.model.values import Value

FAILED: Final = 1
INTERRUPTED: Final = 130
SHOWN_FAILURES: Final = 3
TAIL_LINES: Final = 12
VALUE_LIMIT: Final = 120


def conduct(
    start: Callable[[api.Listener], api.RunResult],
    *,
    quiet: bool,
    as_json: bool = False,
    show: Callable[[api.RunResult, bool], None] | None = None,
    kept: bool = True,
) -> int:
    """Carries a run through with its progress shown, tells how it ended; gives the exit status.

    Args:
        show: tells the outputs on standard output, quietly or not; as a list by default.
        kept: the store outlives the run, so there are commands that can look at it and go on.
    """
    display = display_for(sys.stderr, quiet)
    try:
        result = start(display)
    except KeyboardInterrupt:
        display.close()
        _tell_interrupted(display.run, kept)
        return INTERRUPTED
    finally:
        display.close()
    if as_json:
        machine.emit(result)
    else:
        _tell(result, quiet, kept)
        for warning in result.warnings:
            words.say(f"warning: {warning}", err=True)
        (show or tell_outputs)(result, quiet)
    if result.succeeded:
        return 0
    return FAILED if result.run.state is api.RunState.FAILED else INTERRUPTED


def _tell(result: api.RunResult, quiet: bool, kept: bool) -> None:
    state = result.run.state
    if not quiet or not result.succeeded:
        words.say(headline(result.run, result.status), err=True)
    if state is api.RunState.FAILED:
        if result.run.message and not result.status.failures:
            words.say(f"  {result.run.message}", err=True)  # such as: a step could not be planned
        tell_failures(result.status.failures, result.run.id, kept)
        if kept:
            words.say(f"\nonce it is mended:  {next_command(f'resume {result.run.id}')}", err=True)
    elif not result.succeeded:
        _tell_interrupted(result.run.id, kept)


def _tell_interrupted(run: int, kept: bool) -> None:
    if not kept:
        words.say("interrupted", err=True)
        return
    words.say("interrupted; what had finished is kept", err=True)
    number = f" {run}" if run else ""
    words.say(f"to go on:  {next_command(f'resume{number}')}", err=True)


def headline(run: api.RunSummary, status: api.RunStatus) -> str:
    """``two-moons  run 4  succeeded in 41 s: 3 tasks run, 20 reused``."""
    run_, reused, skipped, failed = (
        sum(step.succeeded for step in status.steps),
        sum(step.reused for step in status.steps),
        sum(step.skipped for step in status.steps),
        sum(step.failed for step in status.steps),
    )
    parts = [f"{words.count(run_, 'task')} run"]
    parts += [
        f"{number:,} {word}"
        for number, word in ((reused, "reused"), (skipped, "skipped"), (failed, "failed"))
        if number
    ]
    name = click.style(run.name, bold=True)
    took = f" in {words.duration(run.ended - run.started)}" if run.ended else ""
    return f"{name}  run {run.id}  {words.state(run.state.value)}{took}: {', '.join(parts)}"


def tell_outputs(result: api.RunResult, quiet: bool) -> None:
    """Each output with its value or where it was published, on standard output."""
    if not result.outputs:
        return
    if not quiet:
        place = f", in {near(result.published)}" if result.published else ""
        words.say(f"\noutputs{place}:", err=True)
    shown = {name: shorter(value) for name, value in result.outputs.items()}
    for line in words.pairs(shown, "" if quiet else "  "):
        words.say(line)


def shorter(value: Value) -> str:
    """A value for a list of outputs: paths relative to here, long ones cut."""
    if isinstance(value, (api.File, api.Directory)):
        return near_text(value.location)
    if isinstance(value, Mapping):
        value = _with_paths(value)
    elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
        value = [_with_paths(item) for item in value[:VALUE_LIMIT]] + list(value[VALUE_LIMIT:])
    return words.value(value, VALUE_LIMIT)


def _with_paths(value: Value) -> Value:
    """A value with paths as one would type them here instead of the files in it."""
    if isinstance(value, (api.File, api.Directory)):
        return near_text(value.location)
    if isinstance(value, Mapping):
        return {key: _with_paths(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_paths(item) for item in value]
    return value


def near(path: Path) -> str:
    """A path as one would type it here."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
    return str(path) if relative.startswith("../..") else relative


def near_text(place: str) -> str:
    """The same for a place that may not be a path (a URI, an image, a module)."""
    return near(Path(place)) if place.startswith("/") else place


def tell_failures(failures: Sequence[api.TaskReport], run: int, kept: bool = True) -> None:
    """The first failures in full, the others by number, and the commands that show more."""
    for failure in failures[:SHOWN_FAILURES]:
        words.say("\n" + failure_text(failure), err=True)
    rest = len(failures) - SHOWN_FAILURES
    if rest > 0:
        words.say(f"\nand {rest:,} more failed", err=True)
    if failures and kept:
        task = shlex.quote(task_of(failures[0]))
        words.say(f"\nto see more:  {next_command(f'logs {run} {task}')}", err=True)
        words.say(f"              {next_command(f'explain {task} {run}')}", err=True)


def failure_text(failure: api.TaskReport) -> str:
    """One failure: the task, why, the command, where it ran, and the last it printed."""
    head = click.style(failure.id, bold=True) + "  " + click.style("failed", fg="red")
    why = failure.message or failure.reason
    lines = [f"{head}: {why}" if why else head]
    facts = {}
    if failure.command:
        facts["command"] = textwrap.indent(failure.command.strip(), " " * 12).strip()
    if failure.exit_code:
        facts["exit code"] = str(failure.exit_code)
    if failure.where:
        facts["where"] = failure.where
    if failure.folder:
        facts["folder"] = near_text(failure.folder)
    lines += [f"  {name:<9} {text}" for name, text in facts.items()]
    for name, text in (("stderr", failure.stderr), ("stdout", failure.stdout)):
        if text.strip():
            lines += tail(name, text)
            break  # what went wrong is nearly always on stderr; 'logs' has both
    return "\n".join(lines)


def tail(name: str, text: str) -> list[str]:
    """The last lines of what a task printed, set off from ours."""
    found = text.rstrip().splitlines()
    cut = [f"  {name:<9} … {words.count(len(found) - TAIL_LINES, 'line')} before"]
    first = cut if len(found) > TAIL_LINES else []
    shown = [f"  {'' if first or at else name:<9} | {line}"
             for at, line in enumerate(found[-TAIL_LINES:])]  # fmt: skip
    return first + shown


def task_of(report: api.TaskReport) -> str:
    """A report's task: its id without the attempt."""
    return report.id.rpartition("#")[0] or report.id
