"""``hepflow export``: a recipe in another workflow language."""

from __future__ import annotations

from pathlib import Path

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import Source, as_json, takes_recipe

EXAMPLES = """
hepflow export recipe.yaml --to cwl                 # the workflow, on standard output
hepflow export recipe.yaml --to cwl --out package   # a folder with all it needs, to carry away
hepflow export recipe.yaml --to cwl --out package n=100 --profile quick
cwltool package/workflow.cwl package/job.yml        # what came of it, run by another system
"""


@verb(EXAMPLES)
@takes_recipe
@click.option("--to", "language", required=True, metavar="LANGUAGE", help="The language: cwl.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="A new folder for the workflow, its inputs, and the files and modules it needs.",
)  # fmt: skip
@as_json
def command(source: Source, language: str, out: Path | None, machine: bool) -> int:
    """Write a recipe in another workflow language, for other systems to run with the same outputs.

    What cannot be written there faithfully is refused, at every such place.
    """
    workflow = api.load(source.path, source.load)
    done = api.export(
        workflow,
        language,
        load_options=source.load,
        files=source.files,
        values=source.values,
        folder=out,
    )
    first = next(iter(done.documents))
    if machine:
        for_program.emit(
            {
                "main": first,
                "folder": None if out is None else str(out),
                "documents": dict(done.documents),
                "missing": list(done.missing),
            }
        )
    elif out is None:
        words.say(done.documents[first].rstrip("\n"))
    else:
        written = ", ".join(str(out / name) for name in done.documents)
        words.say(f"{source.path}: exported to {written}")
        if done.missing:
            words.say(f"  still to be given in the job: {', '.join(done.missing)}")
    return 0
