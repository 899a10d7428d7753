"""``hepflow test``: are the checks that an analysis brings met by a run of it?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import as_json, takes_project
from hepflow.model.errors import Problem, RecipeError
from hepflow_reana.checks.facts import Facts, facts_of
from hepflow_reana.checks.features import Scenario, read_feature
from hepflow_reana.checks.statements import NotAsked, Unmet, hold
from hepflow_reana.document import read_document
from hepflow_reana.interface import interface_of

EXAMPLES = """
hepflow run reana.yaml && hepflow test reana.yaml
hepflow test reana.yaml --run 12                 # not the latest run of the file
hepflow test reana.yaml tests/other.feature      # not the files that it names
"""

COLOURS: Final = {"passed": "green", "failed": "red", "skipped": "yellow"}


class Verdict(NamedTuple):
    """What became of a scenario.

    Args:
        verdict: ``passed``, ``failed`` or ``skipped``.
        place: of the sentence that decided.
        why: what is the case instead.
    """

    feature: str
    scenario: str
    verdict: str
    place: str = ""
    why: str = ""


@verb(EXAMPLES)
@click.argument("analysis", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("features", nargs=-1, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--run", type=click.IntRange(1), metavar="RUN", help="[default: the latest of the file]"
)
@takes_project
@as_json
def command(
    analysis: Path, features: tuple[Path, ...], run: int | None, project: api.Project, machine: bool
) -> int:
    """Check a run of a reana.yaml by the feature files that it names.

    The exit status is 1 where a check fails. A scenario about another engine's log is skipped.
    """
    document = read_document(analysis)
    named = (document.data.get("tests") or {}).get("files") or ()
    paths = features or tuple(analysis.parent / name for name in named)
    if not paths:
        fix = "name them in it under 'tests: {files: [...]}', or after it"
        raise RecipeError(document.problem(("tests",), "it names no feature files", fix=fix))
    scenarios = [scenario for path in paths for scenario in read_feature(path)]
    facts = facts_of(analysis, interface_of(document), project, run)
    verdicts = [judge(scenario, facts) for scenario in scenarios]
    if machine:
        for_program.emit({"run": facts.run, "scenarios": [found._asdict() for found in verdicts]})
    else:
        _show(verdicts, facts.run)
    return 1 if any(found.verdict == "failed" for found in verdicts) else 0


def judge(scenario: Scenario, facts: Facts) -> Verdict:
    """Whether a run is as a scenario says.

    Raises:
        RecipeError: nobody knows a sentence of it.
    """
    for clause in scenario.clauses:
        try:
            hold(clause.text, facts)
        except NotAsked as reason:
            return Verdict(
                scenario.feature, scenario.name, "skipped", str(clause.place), str(reason)
            )
        except Unmet as reason:
            why = f"{clause.text}: {reason}"
            return Verdict(scenario.feature, scenario.name, "failed", str(clause.place), why)
        except KeyError:
            what = f"nobody knows what this means: {clause.text}"
            raise RecipeError(Problem(clause.place, "HF285", what)) from None
    return Verdict(scenario.feature, scenario.name, "passed")


def _show(verdicts: list[Verdict], run: int) -> None:
    for found in verdicts:
        head = click.style(found.verdict, fg=COLOURS[found.verdict])
        words.say(f"{head}  {found.feature}: {found.scenario}")
        if found.why:
            words.say(f"  {found.place}  {found.why}")
    counts = Counter(found.verdict for found in verdicts)
    told = ", ".join(f"{counts[word]} {word}" for word in COLOURS if counts[word])
    words.say(f"\nrun {run}: {told or 'nothing to check'}")
