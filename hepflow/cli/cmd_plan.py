"""``hepflow plan``: what would run, and why."""

from __future__ import annotations

from pathlib import Path

import click

from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import Source, as_json, takes_project, takes_recipe, takes_site
from hepflow.cli.planning import show_plan

EXAMPLES = """
hepflow plan recipe.yaml                # a line a step, and why it would run
hepflow plan recipe.yaml n=200          # what another input would change
hepflow plan recipe.yaml --dag          # the steps as a drawing
hepflow plan recipe.yaml --svg dag.svg  # the same for a browser or a talk
hepflow plan recipe.yaml --site mine    # does a queue of that site take every task?
hepflow plan recipe.yaml --site local --site mine  # where would each step go, and why?
hepflow plan recipe.yaml --json         # for a program
"""


@verb(EXAMPLES)
@takes_recipe
@takes_site
@takes_project
@click.option("--dag", is_flag=True, help="Draw the steps and their links.")
@click.option(
    "--svg", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the drawing as SVG.",
)  # fmt: skip
@click.option("--all", "every", is_flag=True, help="Every step, however many.")
@click.option("--no-reuse", is_flag=True, help="As if nothing were known.")
@click.option("--no-container", is_flag=True, help="As a run without container images.")
@as_json
def command(
    source: Source,
    site: str | tuple[str, ...],
    project: api.Project,
    dag: bool,
    svg: Path | None,
    every: bool,
    no_reuse: bool,
    no_container: bool,
    machine: bool,
) -> int:
    """Show what would run, what is reused, and why. Runs nothing.

    'Unknown' are tasks whose inputs will be made by tasks that run first.
    """
    options = api.RunOptions(reuse=not no_reuse, site=site, containers=not no_container)
    return show_plan(source, project, options, dag=dag, svg=svg, every=every, as_json=machine)
