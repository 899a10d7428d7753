"""hepflow's public face: everything the command line does, as functions.

from hepflow import api
workflow = api.load(Path("recipe.yaml"))
result = api.run(workflow, api.read_inputs(workflow, values={"n": "500"}), project=api.Project.find())
result.outputs["sum"]
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from hepflow import inputs as taking
from hepflow import plugins
from hepflow.elsewhere import look_up
from hepflow.head import Listener, Publisher, RunResult, drive
from hepflow.model.errors import (
    ExecutionError,
    HepflowError,
    Place,
    Problem,
    RecipeError,
    StoreError,
    UnavailableError,
    UsageError,
)
from hepflow.model.protocols import Language, LoadOptions
from hepflow.model.record import RunRecord
from hepflow.model.values import Directory, File, Value, Values
from hepflow.model.workflow import From, Workflow
from hepflow.options import RunOptions, merged, plain, wish
from hepflow.runner.opening import open_fleet
from hepflow.runner.placing import named_sites
from hepflow.runner.planner import Planner, Rules
from hepflow.runner.telling import Progress
from hepflow.staging.publish import publish
from hepflow.store import reader
from hepflow.store.codec import decode, encode
from hepflow.store.database import FOLDER
from hepflow.store.database import Place as StorePlace
from hepflow.store.records import (
    Change,
    Explanation,
    RunState,
    RunStatus,
    RunSummary,
    StepStatus,
    TaskReport,
    TaskState,
    step_of,
)
from hepflow.store.results import Results
from hepflow.store.writer import create_run, reopen_run
from hepflow.tracking import open_tracking

__all__ = [
    "BundledRecipe", "Change", "Check", "Directory", "Ended", "ExecutionError", "Explanation",
    "Exported", "FedRun", "File",
    "GcReport", "HepflowError", "Listener", "LoadOptions", "Place", "PlanReport", "PlannedStep",
    "Problem", "Progress", "Project", "Publisher", "RecipeError", "RunOptions", "RunRecord", "RunResult", "RunState",
    "RunStatus", "RunSummary", "SimulatedRun", "SimulationOptions", "SiteReport", "SiteSummary", "SiteUse", "SiteValue", "StepStatus", "StoreError",
    "TaskReport", "TaskState", "UnavailableError", "UsageError", "Value", "Workflow",
    "bundled_recipes", "cancel", "check_site", "copy_recipe", "doctor", "explain", "export", "export_run", "feed", "gc", "load",
    "outputs", "plan", "read_inputs", "record", "recorded_run", "report", "resume", "retry", "reused", "run", "runs", "simulate", "site", "sites", "starter",
    "status", "takes_runs", "tasks", "validate",
]  # fmt: skip

if TYPE_CHECKING:
    from hepflow.bundled import BundledRecipe, bundled_recipes, copy_recipe
    from hepflow.doctor import Check, SiteSummary, sites
    from hepflow.exporting import Exported, export, takes_runs
    from hepflow.runner.feeding import Ended, FedRun
    from hepflow.runner.preview import PlannedStep, PlanReport
    from hepflow.simulating import SimulatedRun, SimulationOptions, SiteUse
    from hepflow.store.gc import GcReport
    from hepflow.surveying import SiteReport, SiteValue, site

_LATE: Final = {
    "BundledRecipe": "hepflow.bundled", "bundled_recipes": "hepflow.bundled",
    "copy_recipe": "hepflow.bundled", "Check": "hepflow.doctor",
    "Exported": "hepflow.exporting", "export": "hepflow.exporting", "takes_runs": "hepflow.exporting",
    "SiteSummary": "hepflow.doctor", "sites": "hepflow.doctor",
    "SiteReport": "hepflow.surveying", "SiteValue": "hepflow.surveying", "site": "hepflow.surveying",
    "SimulatedRun": "hepflow.simulating", "SimulationOptions": "hepflow.simulating", "SiteUse": "hepflow.simulating",
    "Ended": "hepflow.runner.feeding", "FedRun": "hepflow.runner.feeding",
    "PlannedStep": "hepflow.runner.preview", "PlanReport": "hepflow.runner.preview",
    "GcReport": "hepflow.store.gc",
}  # fmt: skip
"""Names whose modules no run needs: loaded when somebody asks, so that running starts sooner."""


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)


@dataclass(frozen=True, slots=True)
class Project:
    """The folder whose ``.hepflow/`` holds the store."""

    folder: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """The nearest folder upwards that has a store, else the one we start from."""
        here = (start or Path.cwd()).absolute()
        for folder in (here, *here.parents):
            if (folder / FOLDER).is_dir():
                return cls(folder)
        return cls(here)

    @property
    def store(self) -> StorePlace:
        return StorePlace(self.folder)


# --- recipes ----------------------------------------------------------------------------------


def load(path: Path, options: LoadOptions = LoadOptions()) -> Workflow:
    """The workflow in a file of any installed language.

    Args:
        path: may end in ``#id``, which then is the target.

    Raises:
        RecipeError: there is no such file, or every fault in it.
        UnavailableError: no installed language knows it.
    """
    file, _, target = str(path).partition("#")
    if target and not path.is_file():
        path, options = Path(file), replace(options, target=target)
    if not path.is_file():
        what = "is a folder, not a recipe" if path.is_dir() else "there is no such file"
        raise RecipeError.of(
            "HF101",
            what,
            where=str(path),
            fix="name a recipe file; 'hepflow recipes' lists bundled ones",
        )
    for name in plugins.names_lazily(plugins.LANGUAGES):
        language: Language = plugins.load(plugins.LANGUAGES, name)(load)
        if language.claims(path):
            return language.load(path, options)
    raise RecipeError.of(
        "HF102", "no installed language knows this file", where=str(path),
        why=f"installed are {', '.join(plugins.names(plugins.LANGUAGES))}",
        fix="a hepflow recipe begins with 'hepflow: v1'",
    )  # fmt: skip


def read_inputs(
    workflow: Workflow,
    files: Sequence[Path] = (),
    values: Mapping[str, str] | None = None,
    *,
    project: Project | None = None,
) -> dict[str, Value]:
    """The inputs of a run: defaults, then each file in order, then single values.

    Args:
        files: YAML or JSON files of ``name: value``; relative paths in one are relative to it.
        values: name -> text, read as the port's type asks; relative paths are the caller's;
            ``from:RUN/OUTPUT`` is the output of a run.
        project: where runs are looked for; the nearest by default.

    Raises:
        RecipeError: every fault at once: unknown names, wrong types, missing values, files and runs.
    """
    return taking.read_inputs(workflow, files, values, _elsewhere(project))


def _elsewhere(project: Project | None = None) -> Callable[[From], Value]:
    """What finds the outputs of other runs."""
    return partial(look_up, project=(project or Project.find()).store)


def validate(
    path: Path,
    options: LoadOptions = LoadOptions(),
    files: Sequence[Path] = (),
    values: Mapping[str, str] | None = None,
) -> Workflow:
    """Loads a file and, when any are given, checks inputs for it.

    Raises:
        RecipeError: every fault found.
    """
    workflow = load(path, options)
    if files or values:
        check(workflow, read_inputs(workflow, files, values))
    return workflow


def check(workflow: Workflow, inputs: Values) -> None:
    """Checks the inputs of a run as the run would.

    Raises:
        RecipeError: every fault found.
    """
    _prepared(workflow, taking.complete(workflow, inputs, _elsewhere()))


def starter(into: Path) -> Path:
    """Writes a commented recipe to begin with.

    Raises:
        UsageError: there is a file of that name.
    """
    from hepflow import recipe

    text = recipe.starter()
    try:
        with into.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError.of(
            "HF306", f"{into} is there already", fix="remove it or name another file"
        ) from None
    except OSError as error:
        raise UsageError.of("HF307", f"cannot write {into}: {error.strerror}") from None
    return into


# --- running ----------------------------------------------------------------------------------


def plan(
    workflow: Workflow,
    inputs: Values,
    *,
    project: Project,
    options: RunOptions = RunOptions(),
) -> PlanReport:
    """What a run would do, and why; nothing is executed and nothing written.

    Raises:
        RecipeError: inputs are missing or of the wrong type, or the site's file has faults.
        UnavailableError: there is no such site.
    """
    from hepflow.runner.preview import Preview

    given = _prepared(workflow, taking.complete(workflow, inputs, _elsewhere(project)))
    results = Results.of(project.store)
    try:
        where = wish(options, named_sites(workflow))
        # Where there is only this machine, there is nothing to choose and nothing to say.
        chosen = where.sites or where.named
        offers = open_fleet(where, project.store.sites(0)).offers if chosen else ()
        rules = Rules(reuse=options.reuse, containers=options.containers)
        root = reader.root_of(project.store)
        planner = Planner(results, rules, root, weigh=len(offers) > 1)
        preview = Preview(planner, reader.Fingerprints(project.store, workflow.name), offers)
        return preview.plan(workflow, given)
    except ValueError as error:
        raise ExecutionError.of(
            "HF601", str(error), where=workflow.source or workflow.name
        ) from error
    finally:
        results.close()


def simulate(
    workflow: Workflow, inputs: Values, *, project: Project, options: SimulationOptions
) -> SimulatedRun:
    """What a run would take, in virtual time; nothing is executed and nothing written.

    How long tasks take: as the options say, as a recorded run says of itself, or as their steps took in the last run
    of the workflow's file in this project, from which their outputs are as well.

    Raises:
        RecipeError: inputs are missing or of the wrong type.
        UsageError: it is not known how long a step takes, or how many slots a site has.
    """
    from hepflow.simulating import past_of, simulated

    given = _prepared(workflow, taking.complete(workflow, inputs, _elsewhere(project)))
    past = past_of(project.store, _absolute(workflow.source), options.times)
    return simulated(workflow, given, options, past)


def run(
    workflow: Workflow,
    inputs: Values,
    *,
    project: Project,
    options: RunOptions = RunOptions(),
    load_options: LoadOptions = LoadOptions(),
    listener: Listener | None = None,
    publisher: Publisher = publish,
) -> RunResult:
    """Runs a workflow to its end.

    Args:
        load_options: those it was loaded with, kept so that the run can be resumed from its file.
        publisher: what places the outputs, if not as usual.

    Raises:
        RecipeError: inputs are missing or of the wrong type, or the site's file has faults.
        StoreError: the store or the results cannot be written.
        UnavailableError: there is no such site, or its executor is not installed.
    """
    given = taking.complete(workflow, inputs, _elsewhere(project))
    prepared = _prepared(workflow, given)
    # Before there is a run that could not go on.
    open_fleet(wish(options, named_sites(workflow)), project.store.sites(0))
    open_tracking(project.store, 0, workflow.tracking, options.tracking)
    # The key is the run's own, whoever may call another one by its number.
    request = {"run": plain(options), "load": plain(load_options), "key": os.urandom(8).hex()}
    root = reader.root_of(project.store)
    writer = create_run(
        project.store, name=workflow.name, recipe=_absolute(workflow.source), options=request,
        inputs=encode(given, {}, root), now=time.time(),
    )  # fmt: skip
    return drive(workflow, prepared, project.store, options, writer, listener, publisher=publisher)


def resume(
    project: Project,
    run: int | None = None,
    *,
    options: RunOptions | None = None,
    listener: Listener | None = None,
    redo: Sequence[str] = (),
) -> RunResult:
    """Goes on with a run that was interrupted, cancelled or failed; what finished is not repeated.

    Args:
        run: its number; ``None`` for the latest that did not succeed.
        options: those that differ from the defaults replace what the run was started with.
        redo: steps to run again even where they succeeded.

    Raises:
        UsageError: there is no such run, it is still running, or there is no file to reload.
    """
    summary = reader.find_run(project.store, run) if run else _resumable(project)
    workflow, prepared, stored_run = _reloaded(project, summary.id)
    writer = reopen_run(project.store, summary.id, now=time.time())
    return drive(
        workflow, prepared, project.store, merged(stored_run, options), writer, listener, redo
    )


def feed(
    name: str, *, project: Project, options: RunOptions = RunOptions(), within: int = 0
) -> FedRun:
    """Opens a run that the caller puts work into, because it plans for itself.

    One of the same name that was interrupted is gone on with: what is left of it is ended first.

    Args:
        name: what the run is called.
        within: the run that this is a part of; its options are these unless others are given.

    Raises:
        StoreError: the store cannot be written.
        UnavailableError: there is no such site, or its executor is not installed.
        RecipeError: the site's file has faults.
    """
    from hepflow.runner.feeding import FedRun, Order

    if within:
        stored = reader.stored_request(project.store, within)[1]["run"]
        assert isinstance(stored, dict)
        options = merged(stored, options)
    request = {"run": plain(options), "load": plain(LoadOptions())}
    order = Order(
        project.store, wish(options, {}), name, request, within, options.in_flight, options.reuse
    )
    return FedRun(order)


def _reloaded(project: Project, run: int) -> tuple[Workflow, Values, dict[str, object]]:
    """The workflow of a run from its file, its inputs, and the options it was started with."""
    recipe, request, text = reader.stored_request(project.store, run)
    if not recipe:
        what = f"run {run} came from a program, not from a file"
        raise UsageError.of("HF303", what, fix="run the program again: what finished is reused")
    stored_run, stored_load = request["run"], request["load"]
    assert isinstance(stored_run, dict)
    assert isinstance(stored_load, dict)
    workflow = load(Path(recipe), LoadOptions(**stored_load))
    stored = _known_inputs(workflow, decode(text, reader.root_of(project.store)))
    given = taking.complete(workflow, stored, _elsewhere(project))
    return workflow, _prepared(workflow, given), stored_run


def export_run(project: Project, run: int, target: str, folder: Path) -> tuple[str, ...]:
    """Writes a run that has succeeded down for another system to run again.

    Args:
        target: the name of the exporter, such as ``dagman``.
        folder: a new one for all that it needs.

    Returns:
        The names of the files in it that matter, the one to run first.

    Raises:
        UsageError: there is no such run, it has not succeeded, its results are gone, the exporter
            takes recipes only, or the folder is not empty.
        UnavailableError: there is no such exporter.
    """
    from hepflow.runner.tracing import write_down

    summary = reader.find_run(project.store, run)
    workflow, given, stored_run = _reloaded(project, summary.id)
    containers = merged(stored_run, None).containers
    return write_down(project.store, summary, workflow, given, target, folder, containers)


def recorded_run(project: Project, run: int) -> Workflow:
    """A run that has succeeded, as a workflow that takes the time that it took (``replay``).

    Raises:
        UsageError: there is no such run, or it has not succeeded.
    """
    with TemporaryDirectory() as folder:
        record = Path(folder) / "record"
        (name, *_) = export_run(project, run, "wfformat", record)
        return replace(load(record / name), name=reader.find_run(project.store, run).name)


def retry(
    project: Project,
    run: int | None = None,
    steps: Sequence[str] = (),
    *,
    options: RunOptions | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Runs what failed again, and the named steps even where they succeeded; reuses the rest.

    Raises:
        UsageError: there is no such run, or no such step in it.
    """
    if run is None and steps:
        run = reader.find_run(project.store, None).id
    known = {step.path for step in reader.status(project.store, run).steps}
    for step in steps:
        if step not in known:
            raise UsageError.of(
                "HF308",
                f"the run has no step '{step}'",
                why=f"its steps are {', '.join(sorted(known))}",
            )
    return resume(project, run, options=options, listener=listener, redo=steps)


def _prepared(workflow: Workflow, given: Values) -> Values:
    """Inputs as the language wants them. The store keeps them as they were given: resuming prepares
    them anew."""
    return given if workflow.prepare is None else workflow.prepare(given)


def _absolute(source: str) -> str:
    return str(Path(source).absolute()) if source else ""


def _resumable(project: Project) -> RunSummary:
    """The latest run that did not succeed."""
    found = reader.runs(project.store, whole=True)
    for summary in found:
        if summary.state is not RunState.SUCCEEDED:
            return summary
    if not found:
        return reader.find_run(project.store, None)
    raise UsageError.of(
        "HF311",
        f"nothing is left to resume: run {found[0].id} succeeded",
        fix="name a run to go through it again, or 'hepflow retry RUN STEP' to run a step anew",
    )


def _known_inputs(workflow: Workflow, stored: Values) -> dict[str, Value]:
    """Stored inputs that the file, which may have been edited since, still has; files to be read anew."""
    names = {port.name for port in workflow.inputs}
    return {name: value for name, value in stored.items() if name in names}


def cancel(project: Project, run: int | None = None) -> RunSummary:
    """Asks the head of a run to end it; its running tasks are ended, and it can be resumed.

    Raises:
        UsageError: the run is not running, or its head is on another machine.
    """
    summary = reader.find_run(project.store, run)
    if summary.state is not RunState.RUNNING:
        raise UsageError.of(
            "HF309", f"run {summary.id} is not running: it is {summary.state.value}"
        )
    if summary.host != os.uname().nodename:
        raise UsageError.of(
            "HF310", f"run {summary.id} is driven from {summary.host}", fix="cancel it there"
        )
    os.kill(summary.pid, signal.SIGTERM)
    return summary


# --- asking -----------------------------------------------------------------------------------


def runs(project: Project) -> tuple[RunSummary, ...]:
    """All runs of a project, the newest first."""
    return reader.runs(project.store)


def status(project: Project, run: int | None = None) -> RunStatus:
    """How far a run is; the latest by default."""
    return reader.status(project.store, run)


def tasks(
    project: Project, run: int | None = None, pattern: str = "*", state: TaskState | None = None
) -> tuple[TaskReport, ...]:
    """Attempts of a run, by task name, step or shell pattern."""
    return reader.tasks(project.store, reader.find_run(project.store, run).id, pattern, state)


def reused(project: Project, run: int | None = None) -> tuple[TaskReport, ...]:
    """The attempts of earlier runs that a run took its results from."""
    names = reader.reused(project.store, reader.find_run(project.store, run).id)
    return tuple(reader.reports(project.store, sorted(set(names.values()))).values())


def explain(project: Project, task: str, run: int | None = None) -> Explanation:
    """Why a task ran, was reused, waits or failed.

    Raises:
        UsageError: there is no such run, or no such task in it.
    """
    try:
        return reader.explain(project.store, task, run)
    except UsageError:
        waiting = _explain_waiting(project, task, run)
        if waiting is None:
            raise
        return waiting


def _explain_waiting(project: Project, task: str, run: int | None) -> Explanation | None:
    """Why a task of a known step has not begun: what it waits for, by the file the run came from."""
    from hepflow.runner.preview import links

    status = reader.status(project.store, run)
    steps = {step.path: step for step in status.steps}
    label = step_of(task)
    if label not in steps:
        return None
    recipe, request, _ = reader.stored_request(project.store, status.run.id)
    options = request["load"]
    assert isinstance(options, dict)
    needed = links(load(Path(recipe), LoadOptions(**options))).get(label, ()) if recipe else ()
    missing = [
        f"'{name}' ({steps[name].finished - steps[name].failed} of {max(steps[name].width, 0) or '?'} done)"
        for name in needed
        if name in steps and steps[name].finished - steps[name].failed != steps[name].width
    ]
    what = f"it waits for {', '.join(missing)}" if missing else "it waits for its turn"
    return Explanation(task, f"has not begun: {what}")


def outputs(project: Project, run: int | None = None) -> Mapping[str, Value]:
    """The outputs of a run, where they were published."""
    return reader.outputs(project.store, reader.find_run(project.store, run).id)


def record(project: Project, run: int | None = None) -> RunRecord:
    """What a run was: inputs, metrics, outputs, trials of its studies; the latest by default.

    Raises:
        UsageError: there is no such run.
    """
    from hepflow.recording import record_of

    return record_of(project.store, run)


def report(project: Project, run: int | None = None) -> str:
    """A run as one HTML page that needs no other file; the latest by default. Secrets are masked.

    Raises:
        UsageError: there is no such run.
    """
    from hepflow.reporting import page_of

    return page_of(project.store, run, load)


def gc(
    project: Project, *, keep: int = 5, older_than_days: float | None = None, dry_run: bool = False
) -> GcReport:
    """Removes old runs and what no kept run refers to."""
    from hepflow.store.gc import collect_garbage

    age = None if older_than_days is None else older_than_days * 86400
    return collect_garbage(
        project.store, keep=keep, older_than_s=age, now=time.time(), dry_run=dry_run
    )


def doctor(project: Project) -> tuple[Check, ...]:
    """What is installed, and which executors and languages are usable."""
    from hepflow.doctor import examine

    return examine(project.store)


# --- sites --------------------------------------------------------------------------------------


def check_site(
    name: str,
    workflow: Workflow | None = None,
    inputs: Values | None = None,
    *,
    project: Project,
) -> SiteReport:
    """Whether a site can be used from here, and the submit files for a sample task.

    Args:
        name: a site by name, or the path of a site file.
        workflow: what the sample is taken from: the tasks it would submit first; without it a small
            task of our own.

    Raises:
        UnavailableError: there is no such site.
        RecipeError: every fault in its file, or inputs are missing or of the wrong type.
    """
    from hepflow.surveying import survey

    given: Values = {}
    if workflow is not None:
        given = taking.complete(workflow, inputs or {}, _elsewhere(project))
    return survey(name, workflow, given, project.store)
