"""``hepflow export``: a recipe, or a run, for another workflow system."""

from __future__ import annotations

from pathlib import Path

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import Source, as_json, takes_project, takes_recipe_or_run

EXAMPLES = """
hepflow export recipe.yaml --to cwl                 # the workflow, on standard output
hepflow export recipe.yaml --to cwl --out package   # a folder with all it needs, to carry away
hepflow export recipe.yaml --to cwl --out package n=100 --profile quick
cwltool package/workflow.cwl package/job.yml        # what came of it, run by another system
hepflow export 12 --to dagman --out again           # run 12, for HTCondor to run again
hepflow export 12 --to wfformat --out record        # run 12 as WfCommons records runs
"""


@verb(EXAMPLES)
@takes_recipe_or_run
@click.option(
    "--to", "language", required=True, metavar="LANGUAGE",
    help="The language: cwl or reana of a recipe; dagman, snakemake or wfformat of a run.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="A new folder for the workflow, its inputs, and the files and modules it needs.",
)  # fmt: skip
@takes_project
@as_json
def command(
    source: Source, language: str, out: Path | None, project: api.Project, machine: bool
) -> int:
    """Write a recipe, or a run, in another workflow language, for other systems to run with the same outputs.

    RECIPE may be the number of a run that has succeeded; for a language that is written from runs, a recipe stands
    for its last one. What cannot be written faithfully is refused.
    """
    if source.run or api.takes_runs(language):
        run = source.run or _last_run(source, language, project)
        return _export_run(run, language, out, project, machine)
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


def _last_run(source: Source, language: str, project: api.Project) -> int:
    """The last run of a recipe that has succeeded.

    Raises:
        UsageError: there is none, or inputs were given, which a run has already.
    """
    what = f"'{language}' is written from a run"
    if source.values or source.files:
        fix = f"run it with them, then: hepflow export RUN --to {language} --out DIR"
        raise api.UsageError.of("HF314", f"{what}, which has its inputs already", fix=fix)
    path = str(source.path.absolute())
    for run in api.runs(project):
        if run.recipe == path and run.state is api.RunState.SUCCEEDED:
            return run.id
    why = f"no run of {source.path} has succeeded in this project"
    raise api.UsageError.of("HF314", what, why=why, fix=f"hepflow run {source.path}")


def _export_run(
    run: int, language: str, out: Path | None, project: api.Project, machine: bool
) -> int:
    if out is None:
        what = "a run is exported with the files that it needs"
        raise api.UsageError.of("HF314", what, fix="name a new folder for them: --out DIR")
    names = api.export_run(project, run, language, out)
    if machine:
        for_program.emit({"main": names[0], "folder": str(out), "files": list(names)})
    else:
        words.say(f"run {run}: exported to {', '.join(str(out / name) for name in names)}")
    return 0
