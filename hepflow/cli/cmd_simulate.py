"""``hepflow simulate``: what a run would take and cost, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import Source, as_json, takes_project, takes_recipe_or_run, takes_site
from hepflow.cli.quantities import seconds
from hepflow.model.workflow import Timed

FAILED: Final = 1
EXAMPLES = """
hepflow simulate recipe.yaml n=10000 --slots 500     # by the times its steps took in its last run
hepflow simulate recipe.yaml --time 20 --time 'fit=3 min'   # by times that you say
hepflow simulate 12 --slots 64                       # run 12 again, with 64 tasks at a time
hepflow simulate instance.json --slots 64            # a recorded run (WfFormat)
hepflow simulate 12 --site mine --slots 200          # what it costs there
hepflow simulate 12 --slots 200 --preemptions 0.5    # where a task loses its slot every other hour
"""


@verb(EXAMPLES)
@takes_recipe_or_run
@takes_site
@click.option(
    "--slots", type=click.IntRange(min=1), multiple=True, metavar="N",
    help="Tasks that run at a time, once or for each site.  [default: the site's limit of jobs; this machine's cores]",
)  # fmt: skip
@click.option(
    "--time", "times", multiple=True, metavar="[STEP=]TIME",
    help="How long a task of a step takes; without a step, all that nothing is known of.",
)  # fmt: skip
@click.option("--wait", default="0", metavar="TIME", help="From a task's submission to its start.")
@click.option(
    "--preemptions", type=click.FloatRange(min=0), default=0.0, metavar="PER_HOUR",
    help="How often in an hour a running task loses its slot, on average.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, metavar="N", help="Of the chance by which it does.")
@takes_project
@as_json
def command(
    source: Source,
    site: str | tuple[str, ...],
    slots: tuple[int, ...],
    times: tuple[str, ...],
    wait: str,
    preemptions: float,
    seed: int,
    project: api.Project,
    machine: bool,
) -> int:
    """Predict what a run would take and cost. Runs nothing.

    The scheduler of real runs, in virtual time. A task takes as long as you say, as long as it took in the recorded
    run, or as long as those of its step took on average in the recipe's last run. It has a slot to itself, whatever
    it asks for. A recipe whose steps depend on values that tasks make can be simulated as a run that it had.
    """
    options = api.SimulationOptions(
        sites=(site,) if isinstance(site, str) and site else tuple(site),
        slots=slots,
        times=dict(_time(text) for text in times),
        wait_s=_seconds(wait),
        preemptions_per_h=preemptions,
        seed=seed,
    )
    run = source.run
    workflow = api.recorded_run(project, run) if run else api.load(source.path, source.load)
    recorded = any(isinstance(step.run, Timed) for step in workflow.steps)
    values = {"replay": "1", **source.values} if recorded else source.values
    inputs = api.read_inputs(workflow, source.files, values, project=project)
    found = api.simulate(workflow, inputs, project=project, options=options)
    if machine:
        for_program.emit(found)
    elif found.failures:
        for line in _failure(found):
            words.say(line, err=True)
    else:
        for line in _lines(found):
            words.say(line)
    return FAILED if found.failures else 0


def _lines(found: api.SimulatedRun) -> Iterator[str]:
    name = click.style(found.name, bold=True)
    took = click.style(words.duration(found.makespan_s), bold=True)
    tasks = words.count(found.tasks, "task")
    yield f"{name}: {took} for {tasks} on {words.count(found.slots, 'slot')}"
    yield ""
    yield from words.pairs(
        {
            "critical path": words.duration(found.critical_s),
            "all tasks": words.duration(found.work_s),
            "bounds": f"{words.duration(found.least_s)} to {words.duration(found.most_s)},"
            " without waits and losses",
            "slots in use": f"{found.use:.0%}",
        }
    )
    yield ""
    rows = [
        [use.name, f"{use.slots:,}", f"{use.attempts:,}", f"{use.lost:,}" if use.lost else "",
         words.duration(use.busy_s), "" if use.cost is None else f"{use.cost:,.2f} {use.unit}".strip()]
        for use in found.sites
    ]  # fmt: skip
    header = ["site", "slots", "attempts", "lost", "busy", "cost"]
    yield from words.table(header, rows, right={1, 2, 3, 4, 5})


def _failure(found: api.SimulatedRun) -> Iterator[str]:
    """Why there is nothing to tell, or that the run itself would fail."""
    more = len(found.failures) - 1
    rest = f" (and {words.count(more, 'other task')})" if more else ""
    what = "it would fail" if found.given_up else "cannot be simulated"
    yield f"{click.style(what, fg='red')}: {found.failures[0]}{rest}"
    if found.given_up:
        yield f"  why: after {words.duration(found.makespan_s)} a task had lost its slot too often in a row"
        yield "  fix: shorter tasks, a 'checkpoint' in their step, or a site that takes no slots away"
    else:
        yield "  why: what tasks make is not there, and this needs it"
        yield "  fix: run it once, with few tasks, and simulate that run: hepflow simulate RUN"


def _time(text: str) -> tuple[str, float]:
    """``[STEP=]TIME``."""
    step, _, time = text.rpartition("=")
    return step, _seconds(time)


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise api.UsageError.of("HF390", str(error)) from None
