"""What is known of one site: its values and where each comes from, and whether it can be used from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hepflow.doctor import Check, examine_site
from hepflow.model.errors import Place, RecipeError, UnavailableError
from hepflow.model.protocols import Submits
from hepflow.model.task import Attempt, Resources, Shell, Task
from hepflow.model.values import Values
from hepflow.model.workflow import Workflow
from hepflow.runner.opening import executor_at, executor_class, site_at
from hepflow.runner.planner import Planner, Rules
from hepflow.runner.preview import first_tasks
from hepflow.sites.reading import read_site
from hepflow.store import reader
from hepflow.store.database import Place as StorePlace
from hepflow.store.results import Results


@dataclass(frozen=True, slots=True)
class SiteValue:
    """One value of a site's config.

    Args:
        path: dotted, as ``queues.debug.walltime``.
        value: as it is written.
        place: the file and line it comes from.
    """

    path: str
    value: object
    place: Place


@dataclass(frozen=True, slots=True)
class SiteReport:
    """What a site needs here, and what it would be sent.

    Args:
        checks: what was looked at; a check that is not ``ok`` says how to mend it.
        sample: the submit files for a sample task; empty where the executor writes none, or where
            something must be mended first.
        note: why there is no sample.
    """

    name: str
    checks: Sequence[Check]
    sample: str = ""
    note: str = ""

    @property
    def usable(self) -> bool:
        return all(check.ok for check in self.checks)


def site(name: str) -> tuple[SiteValue, ...]:
    """What holds for a site in the end, value by value, and where each comes from.

    Args:
        name: a site by name, or the path of a site file.

    Raises:
        UnavailableError: there is no such site.
        RecipeError: every fault in its file.
    """
    file = read_site(name)
    return tuple(
        SiteValue(".".join(map(str, path)), value, file.at(path)) for path, value in file.leaves()
    )


def survey(name: str, workflow: Workflow | None, inputs: Values, place: StorePlace) -> SiteReport:
    """Whether a site can be used from here, and the submit files for a sample task.

    Args:
        name: a site by name, or the path of a site file.
        workflow: what the sample is taken from; without it a small task of our own.
        inputs: the workflow's, complete.

    Raises:
        UnavailableError: there is no such site.
        RecipeError: every fault in its file.
    """
    file = read_site(name)
    try:
        kind = executor_class(str(file.data.get("executor", "")))
    except UnavailableError:
        return SiteReport(file.name, examine_site(file, None))
    checks = examine_site(file, kind.settings)
    if any(
        check.group == "config" and not check.ok and check.name != "retired" for check in checks
    ):
        note = "what would be submitted is shown here as soon as the config is complete"
        return SiteReport(file.name, checks, note=note)
    site, kind = site_at(name)
    executor = executor_at(site, kind, place.sites(0))
    if not isinstance(executor, Submits):
        note = f"there is no submit file: the {site.executor} executor hands tasks to workers of its own"
        return SiteReport(file.name, checks, note=note)
    try:
        sample = executor.sample(_sample_attempts(workflow, inputs, place))
    except ValueError as error:
        raise RecipeError.of("HF259", f"site '{file.name}': {error}") from error
    return SiteReport(file.name, checks, sample)


def _sample_attempts(workflow: Workflow | None, inputs: Values, place: StorePlace) -> list[Attempt]:
    named = [("sample", Task(Shell("hostname"), resources=Resources(walltime_s=600.0)))]
    if workflow is not None:
        results = Results.of(place)
        try:
            planner = Planner(results, Rules(reuse=False), reader.root_of(place))
            named = first_tasks(workflow, inputs, planner)
        finally:
            results.close()
    work = place.work(0)
    return [
        Attempt(f"{name}#1", task, str(work / str(at))) for at, (name, task) in enumerate(named, 1)
    ]
