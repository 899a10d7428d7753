"""``hepflow outputs``: what a run produced."""

from __future__ import annotations

from difflib import get_close_matches

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json, run_and_rest, takes_project
from hepflow.cli.summary import shorter

EXAMPLES = """
hepflow outputs               # all outputs of the latest run
hepflow outputs 12 figure     # one of run 12: a file's path, or the value itself
open "$(hepflow outputs figure)"
"""


@verb(EXAMPLES)
@click.argument("words_", nargs=-1, metavar="[RUN] [NAME]")
@takes_project
@as_json
def command(words_: tuple[str, ...], project: api.Project, machine: bool) -> int:
    """Show what a run produced. With NAME only that output, whole, for use in a shell."""
    number, rest = run_and_rest(words_)
    if len(rest) > 1:
        raise click.UsageError(f"one output at a time, please; got {' '.join(rest)}")
    found = api.outputs(project, number)
    if rest:
        name = rest[0]
        if name not in found:
            near = get_close_matches(name, found, n=1)
            fix = (
                f"did you mean '{near[0]}'?" if near else f"there are {', '.join(found) or 'none'}"
            )
            raise api.UsageError.of("HF395", f"this run has no output '{name}'", fix=fix)
        if machine:
            for_program.emit(found[name])
        else:
            words.say(words.value(found[name]))
        return 0
    if machine:
        for_program.emit(found)
        return 0
    if not found:
        words.say("this run has no outputs (yet)", err=True)
    for line in words.pairs({name: shorter(item) for name, item in found.items()}, ""):
        words.say(line)
    return 0
