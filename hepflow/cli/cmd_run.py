"""``hepflow run``: run a recipe."""

from __future__ import annotations

import click

from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import (
    Source,
    as_json,
    quietly,
    takes_project,
    takes_recipe,
    takes_run_options,
)
from hepflow.cli.summary import conduct

EXAMPLES = """
hepflow run recipe.yaml                         # with the recipe's own defaults
hepflow run recipe.yaml n=100 data=events.root  # inputs by name
hepflow run recipe.yaml mine.yaml               # inputs from a file
hepflow run workflow.cwl job.yml                # a CWL document and its inputs
hepflow run workflow.yml init.yml               # a yadage workflow and its parameters
hepflow run recipe.yaml --set steps.fit.resources.cpus=4
hepflow run recipe.yaml --cpus 8 --memory '16 GB'
hepflow run recipe.yaml --site mine             # elsewhere: see 'hepflow site list'
hepflow run recipe.yaml --site local --site mine  # at both, each task where it fits best
hepflow run recipe.yaml --no-container          # what images have is on this machine itself
hepflow run recipe.yaml -k                      # do not stop at the first failure
hepflow run recipe.yaml --dry-run               # the same as: hepflow plan recipe.yaml
hepflow run recipe.yaml --json > result.json    # for a program
"""


@verb(EXAMPLES)
@takes_recipe
@takes_run_options
@takes_project
@click.option("--dry-run", "-n", is_flag=True, help="Show what would run, as 'plan' does.")
@quietly
@as_json
def command(
    source: Source,
    options: api.RunOptions,
    project: api.Project,
    dry_run: bool,
    quiet: bool,
    machine: bool,
) -> int:
    """Run a recipe.

    What ran before with the same inputs is reused. Ctrl-C leaves a run that 'resume' goes on with.
    """
    if dry_run:
        from hepflow.cli.planning import show_plan

        return show_plan(source, project, options, as_json=machine)
    workflow = api.load(source.path, source.load)
    inputs = api.read_inputs(workflow, source.files, source.values, project=project)
    return conduct(
        lambda listener: api.run(
            workflow,
            inputs,
            project=project,
            options=options,
            load_options=source.load,
            listener=listener,
        ),
        quiet=quiet,
        as_json=machine,
    )
