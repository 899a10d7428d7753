"""``hepflow init``: a first recipe."""

from __future__ import annotations

from pathlib import Path

import click

from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.summary import near

EXAMPLES = """
hepflow init                  # recipe.yaml in this folder
hepflow init analysis.yaml
"""


@verb(EXAMPLES)
@click.argument(
    "file", type=click.Path(path_type=Path), default=Path("recipe.yaml"), metavar="[FILE]"
)
def command(file: Path) -> int:
    """Write a commented starter recipe that runs as it stands."""
    path = api.starter(file)
    words.say(near(path))
    words.say(f"next:  hepflow plan {near(path)}\n       hepflow run {near(path)}", err=True)
    return 0
