"""``hepflow site``: the places where recipes can run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.checks import say_checks
from hepflow.cli.group import Verb
from hepflow.cli.late import api
from hepflow.cli.options import absolute, as_json, assignments, existing_recipe, takes_project
from hepflow.cli.summary import near

EXAMPLES = """
hepflow site list                             # what there is, and what is installed for it
hepflow site show nersc-perlmutter            # all that holds there, and where it is written
hepflow site check mine                       # what is missing here, and what would be submitted
hepflow site check mine --sample recipe.yaml  # the submit file of that recipe's first tasks
"""
MISSING = 4


class _Sites(Verb, click.Group):
    """A verb with verbs of its own, that lists when none is given."""


@click.group(cls=_Sites, examples=EXAMPLES, invoke_without_command=True)
@as_json
@click.pass_context
def command(context: click.Context, machine: bool) -> int | None:
    """List, show or check the places where recipes can run.

    A site is a YAML file: those that come with hepflow, and your own in ~/.config/hepflow/sites.
    """
    return None if context.invoked_subcommand else _list(machine)


@command.command("list")
@as_json
def list_(machine: bool) -> int:
    """List the sites that are known here."""
    return _list(machine)


@command.command()
@click.argument("name")
@as_json
def show(name: str, machine: bool) -> int:
    """Show all that holds for a site, and the file and line each value comes from."""
    values = api.site(absolute(name))
    if machine:
        for_program.emit(values)
        return 0
    lines = list(_tree(values))
    width = min(60, max((len(left) for left, _ in lines), default=0))
    for left, place in lines:
        words.say(f"{left:<{width}}  {click.style(place, dim=True)}".rstrip())
    return 0


@command.command()
@click.argument("name")
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--sample", "recipe", metavar="RECIPE",
    help="Show what that recipe's first tasks would be submitted as; NAME=VALUE are its inputs.",
)  # fmt: skip
@takes_project
@as_json
def check(
    name: str, values: tuple[str, ...], recipe: str | None, project: api.Project, machine: bool
) -> int:
    """Say what a site lacks on this host, and print the submit file of a sample task.

    Nothing is submitted. The exit status is 4 where something is missing.
    """
    workflow = inputs = None
    if recipe is not None:
        workflow = api.load(existing_recipe(recipe), api.LoadOptions())
        inputs = api.read_inputs(workflow, (), assignments(values, "NAME=VALUE"), project=project)
    report = api.check_site(absolute(name), workflow, inputs, project=project)
    if machine:
        for_program.emit(report)
    else:
        say_checks(report.checks)
        if report.sample:
            words.say("\n" + report.sample.rstrip())
        elif report.note:
            words.say(f"\n{report.note}", err=True)
    return 0 if report.usable else MISSING


def _list(machine: bool) -> int:
    found = api.sites()
    if machine:
        for_program.emit(found)
        return 0
    rows = [[site.name, *_executor(site), _doc(site)] for site in found]
    for line in words.table(["site", "executor", "installed", "what it is"], rows):
        words.say(line)
    words.say("\nto see one:  hepflow site show NAME", err=True)
    return 0


def _executor(site: api.SiteSummary) -> tuple[str, str]:
    mark = click.style("yes", fg="green") if site.installed else click.style("no", fg="yellow")
    return site.executor, "" if site.problem else mark


def _doc(site: api.SiteSummary) -> str:
    if site.problem:
        return click.style(f"cannot be read: {site.problem}", fg="red")
    return site.doc


def _tree(values: Sequence[api.SiteValue]) -> Iterator[tuple[str, str]]:
    """The values as YAML, each with its place; headings have none."""
    above: list[str] = []
    for value in values:
        *folders, name = value.path.split(".")
        common = 0
        while common < min(len(above), len(folders)) and above[common] == folders[common]:
            common += 1
        for depth in range(common, len(folders)):
            yield f"{'  ' * depth}{folders[depth]}:", ""
        above = folders
        place = f"{near(Path(value.place.file))}:{value.place.line}"
        yield f"{'  ' * len(folders)}{name}: {_written(value.value)}", place


def _written(value: object) -> str:
    if isinstance(value, str) and value and "\n" not in value and not value.startswith(("[", "{")):
        return value
    return json.dumps(value, ensure_ascii=False)
