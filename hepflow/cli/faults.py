"""What a person and a program see of an error."""

from __future__ import annotations

import json
import os
import platform
import traceback
from collections.abc import Sequence
from typing import Final

import click

from hepflow import __version__
from hepflow.model.errors import Place, Problem

BUG: Final = 70
TAKES_INPUTS: Final = ("run", "plan", "validate")


def tell_problems(problems: Sequence[Problem], exit_code: int, machine: bool) -> int:
    """Problems as text on standard error, and for a program as JSON on standard output."""
    for problem in problems:
        _echo(problem_text(problem))
    if len(problems) > 1:
        _echo(f"{len(problems)} problems")
    if machine:
        found = {"problems": [_plain(problem) for problem in problems], "exit_code": exit_code}
        click.echo(json.dumps(found, indent=2))
    return exit_code


def tell_usage(error: click.ClickException, machine: bool) -> int:
    """A command line that click could not read, in the shape of every other problem."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "hepflow"
    what = error.format_message().rstrip(".")
    fix = f"see '{command} --help'"
    if isinstance(error, click.NoSuchOption):
        what, fix = _unknown_option(error, context, fix)
    problem = Problem(Place(command), "HF300", what[:1].lower() + what[1:], fix=fix)
    return tell_problems([problem], 2, machine)


def _unknown_option(
    error: click.NoSuchOption, context: click.Context | None, fix: str
) -> tuple[str, str]:
    what = f"there is no option '{error.option_name}'"
    if error.possibilities:
        return f"{what}; did you mean '{error.possibilities[0]}'?", fix
    name = error.option_name.lstrip("-")
    if context and context.info_name in TAKES_INPUTS and len(name) > 1:
        return what, f"an input of the recipe is given as {name}=VALUE; {fix}"
    return what, fix


def tell_bug(error: Exception) -> int:
    """Anything that is not an error on purpose: the traceback, and whom it concerns."""
    _echo("".join(traceback.format_exception(error)).rstrip())
    versions = f"hepflow {__version__}, Python {platform.python_version()}, {platform.platform()}"
    _echo(
        click.style("\nThis is a bug in hepflow, not in your recipe.", bold=True)
        + f"\nPlease report it with the text above and the command you gave ({versions})."
    )
    return BUG


def problem_text(problem: Problem) -> str:
    """The problem's own text, with the place bold and the code dim where colours show."""
    first, *rest = str(problem).split("\n")
    place = str(problem.place)
    first = first.removeprefix(f"{place}  ").removeprefix(f"{problem.code}  ")
    head = f"{click.style(place, bold=True)}  " if place else ""
    return "\n".join([f"{head}{click.style(problem.code, dim=True)}  {first}", *rest])


def _echo(text: str) -> None:
    """On standard error; the context that knows about colours has ended by now."""
    click.echo(text, err=True, color=False if os.environ.get("NO_COLOR") else None)


def _plain(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.place.file,
        "line": problem.place.line,
        "column": problem.place.column,
        "code": problem.code,
        "what": problem.what,
        "why": problem.why,
        "fix": problem.fix,
    }
