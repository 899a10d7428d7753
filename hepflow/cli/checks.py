"""How the answers of 'doctor' and 'site check' are shown."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hepflow.cli import words
from hepflow.cli.late import api


def say_checks(checks: Sequence[api.Check]) -> None:
    """A line a check by groups; how to mend what is not right beneath it."""
    width = max((len(check.name) for check in checks), default=0)
    group = ""
    for check in checks:
        if check.group != group:
            words.say(("\n" if group else "") + click.style(check.group, bold=True))
            group = check.group
        mark = click.style("✓", fg="green") if check.ok else click.style("✗", fg="yellow")
        words.say(f"  {mark} {check.name:<{width}}  {check.found}".rstrip())
        if not check.ok and check.fix:
            words.say(f"    {'':<{width}}  fix: {check.fix}")
