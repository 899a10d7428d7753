"""From the arguments to the exit status: every way a command can end is settled here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from hepflow.cli.group import hepflow
from hepflow.model.errors import HepflowError

COMPLETION_VARIABLE: Final = "_HEPFLOW_COMPLETE"
INTERRUPTED: Final = 130
UNREAD: Final = 141
USAGE: Final = 2


def enter(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit status.

    Raises:
        SystemExit: after a bug of ours has been shown, with its own status.
    """
    try:
        status = _settle(list(arguments))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read our output has left (``hepflow list | head``): end as any program would,
        # and give the interpreter somewhere to flush what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD


def _settle(arguments: list[str]) -> int:
    machine = "--json" in arguments
    asked = bool(arguments)
    try:
        return _invoke(list(arguments))  # click empties the list it is given
    except click.exceptions.Exit as end:
        return end.exit_code if asked else USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        from hepflow.cli.faults import tell_usage

        return tell_usage(error, machine)
    except HepflowError as error:
        from hepflow.cli.faults import tell_problems

        return tell_problems(error.problems, error.exit_code, machine)
    except BrokenPipeError:
        raise
    except Exception as error:
        from hepflow.cli.faults import tell_bug

        raise SystemExit(tell_bug(error)) from error


def _invoke(arguments: list[str]) -> int:
    asked = os.environ.get(COMPLETION_VARIABLE)
    if asked:
        from click.shell_completion import shell_complete

        return shell_complete(hepflow, {}, "hepflow", COMPLETION_VARIABLE, asked)
    colour = False if os.environ.get("NO_COLOR") else None  # None: as the stream allows
    with hepflow.make_context("hepflow", arguments or ["--help"], color=colour) as context:
        status = hepflow.invoke(context)
    return status if isinstance(status, int) else 0
