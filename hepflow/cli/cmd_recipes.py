"""``hepflow recipes``: those that come with hepflow."""

from __future__ import annotations

from pathlib import Path

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import Verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json
from hepflow.cli.summary import near

EXAMPLES = """
hepflow recipes                               # what there is
hepflow recipes copy lfi/two_moons            # into this folder, to run and change
hepflow recipes copy lfi/two_moons analysis/
"""


class _Recipes(Verb, click.Group):
    """A verb with verbs of its own, that lists when none is given."""


@click.group(cls=_Recipes, examples=EXAMPLES, invoke_without_command=True)
@as_json
@click.pass_context
def command(context: click.Context, machine: bool) -> int | None:
    """List the recipes that come with hepflow, or copy one."""
    return None if context.invoked_subcommand else _list(machine)


@command.command("list")
@as_json
def list_(machine: bool) -> int:
    """List the recipes that come with hepflow."""
    return _list(machine)


@command.command()
@click.argument("name")
@click.argument(
    "directory", type=click.Path(file_okay=False, path_type=Path), default=Path(), metavar="[DIR]"
)
@as_json
def copy(name: str, directory: Path, machine: bool) -> int:
    """Copy a recipe, with the data it needs, into a folder."""
    path = api.copy_recipe(name, directory)
    if machine:
        for_program.emit({"path": path})
        return 0
    words.say(near(path))
    words.say(f"next:  hepflow plan {near(path)}\n       hepflow run {near(path)}", err=True)
    return 0


def _list(machine: bool) -> int:
    found = api.bundled_recipes()
    if machine:
        for_program.emit(found)
        return 0
    rows = [[recipe.name, recipe.doc.strip().split("\n")[0]] for recipe in found]
    for line in words.table(["recipe", "what it does"], rows):
        words.say(line)
    words.say("\nto have one:  hepflow recipes copy NAME", err=True)
    return 0
