"""``hepflow metrics``: the numbers a run ended with, alone or beside another's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json, run_number, takes_project
from hepflow.model.record import RunRecord, Trial
from hepflow.model.values import to_json

EXAMPLES = """
hepflow metrics                 # of the latest run
hepflow metrics 12 --compare 9  # run 12 beside run 9, with what changed
hepflow metrics 12 --steps      # also those of its steps' outputs called 'metrics'
hepflow metrics --trials        # the trials of its studies
hepflow metrics --json          # all of it, for a program
"""


@verb(EXAMPLES)
@click.argument("run", default="latest", metavar="[RUN]")
@click.option("--compare", "other", metavar="RUN", help="Show another run beside it.")
@click.option("--steps", is_flag=True, help="Show the metrics of steps as well.")
@click.option("--trials", is_flag=True, help="Show the trials of its studies instead.")
@takes_project
@as_json
def command(
    run: str, other: str | None, steps: bool, trials: bool, project: api.Project, machine: bool
) -> int:
    """Show the metrics of a run: the numbers among its outputs.

    A record contributes the numbers in it as 'output.key', an output called 'metrics' as 'key'.
    """
    record = api.record(project, run_number(run))
    before = api.record(project, run_number(other)) if other else None
    if machine:
        for_program.emit(record if before is None else {"run": record, "compared_with": before})
        return 0
    if trials:
        return _tell_trials(record)
    found = _metrics(record, steps)
    if before is not None:
        _tell_both(record, before, found, _metrics(before, steps))
        return 0
    if not found:
        words.say(f"run {record.id} has no metrics{_why(record)}", err=True)
    for line in words.pairs({name: number(value) for name, value in found.items()}, ""):
        words.say(line)
    return 0


def _metrics(record: RunRecord, steps: bool) -> dict[str, float]:
    return {**record.metrics, **(record.step_metrics if steps else {})}


def _why(record: RunRecord) -> str:
    if record.state != "succeeded":
        return f": it is {record.state}, and has no outputs" + (
            "; --steps shows those of its steps" if record.step_metrics else ""
        )
    return ": none of its outputs is or holds a number"


def _tell_both(
    record: RunRecord, before: RunRecord, now: Mapping[str, float], then: Mapping[str, float]
) -> None:
    changed = [
        [name, _short(before.inputs.get(name)), _short(record.inputs.get(name))]
        for name in dict.fromkeys([*record.inputs, *before.inputs])
        if before.inputs.get(name) != record.inputs.get(name)
    ]
    heads = [f"run {before.id}", f"run {record.id}"]
    if changed:
        for line in words.table(["input", *heads], changed):
            words.say(line)
        words.say()
    rows = [
        [
            name,
            number(then.get(name)),
            number(now.get(name)),
            _change(then.get(name), now.get(name)),
        ]
        for name in dict.fromkeys([*now, *then])
    ]
    for line in words.table(["metric", *heads, "change"], rows, right=range(1, 4)):
        words.say(line)


def _short(value: object) -> str:
    return words.value(value, 60)  # type: ignore[arg-type]


def _change(before: float | None, now: float | None) -> str:
    if before is None or now is None or before == now:
        return ""
    share = f" ({(now - before) / abs(before):+.1%})" if before else ""
    return f"{now - before:+.4g}{share}"


def number(value: float | None) -> str:
    """A metric as a person reads it: six digits, whole numbers whole."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _tell_trials(record: RunRecord) -> int:
    if not record.trials:
        words.say(f"run {record.id} has no studies, or none of their trials has ended", err=True)
    for study in dict.fromkeys(trial.study for trial in record.trials):
        trials = [trial for trial in record.trials if trial.study == study]
        words.say(click.style(study, bold=True) + f"  {words.count(len(trials), 'trial')}")
        for line in _trial_table(trials):
            words.say(f"  {line}")
    return 0


def _trial_table(trials: Sequence[Trial]) -> list[str]:
    """The trials in the order they began; nobody here knows whether small or large is good."""
    names = list(trials[0].parameters)
    rows = [
        [str(trial.number), trial.state, number(trial.value), *(_plain(trial.parameters.get(name)) for name in names)]
        for trial in trials
    ]  # fmt: skip
    return words.table(["trial", "state", "value", *names], rows, right=(0, 2))


def _plain(value: object) -> str:
    return number(value) if isinstance(value, float) else json.dumps(to_json(value))  # type: ignore[arg-type]
