"""A run told again: every task it ran, in an order in which they can, with what each left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hepflow import plugins
from hepflow.engine import Policy, Scheduler
from hepflow.model.errors import UsageError
from hepflow.model.events import Answered, Conclude, Event, Plan, Planned, Unplannable
from hepflow.model.protocols import Done, RunExporter
from hepflow.model.task import Usage
from hepflow.model.values import Values
from hepflow.model.workflow import Workflow
from hepflow.runner.planner import Planner, Rules
from hepflow.runner.preview import links
from hepflow.store import reader
from hepflow.store.database import Place
from hepflow.store.records import RunState, RunSummary, step_of
from hepflow.store.results import Results


def write_down(
    place: Place,
    run: RunSummary,
    workflow: Workflow,
    inputs: Values,
    target: str,
    folder: Path,
    containers: bool,
) -> tuple[str, ...]:
    """Writes a run for another system to run again; as ``api.export_run``, whose workflow it loaded.

    Args:
        containers: whether its tasks ran in their images.
    """
    exporter = plugins.load(plugins.EXPORTERS, target)()
    if not isinstance(exporter, RunExporter):
        what = f"'{target}' is written from a recipe, not from a run"
        fix = f"name the recipe: hepflow export RECIPE --to {target}"
        raise UsageError.of("HF314", what, fix=fix)
    if run.state is not RunState.SUCCEEDED:
        what = f"run {run.id} has not succeeded, so not all is known"
        raise UsageError.of("HF314", what, fix=f"hepflow resume {run.id}")
    if folder.is_dir() and any(folder.iterdir()):
        what = f"the folder '{folder}' is not empty"
        raise UsageError.of("HF312", what, fix="name a new folder, or remove it first")
    results = Results.of(place)
    try:
        root = reader.root_of(place)
        planner = Planner(results, Rules(reuse=False, containers=containers), root)
        finder = Planner(results, Rules(run.id, containers=containers), root)
        done, outputs = trace(workflow, inputs, planner, finder)
        done = _with_measurements(place, workflow, done, [attempt for _, attempt in finder.reused])
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(exporter.export_run(workflow.name, done, outputs, folder))
    except ValueError as error:
        what = f"run {run.id} cannot be exported"
        raise UsageError.of("HF314", what, why=str(error)) from error
    except OSError as error:
        what = f"cannot write '{error.filename or folder}': {error.strerror or error}"
        raise UsageError.of("HF307", what) from error
    finally:
        results.close()


def _with_measurements(
    place: Place, workflow: Workflow, done: Sequence[Done], attempts: Sequence[int]
) -> list[Done]:
    """Tasks with what each used and waited for.

    Args:
        attempts: the ids of their attempts.
    """
    known = reader.reports(place, attempts)
    needed = links(workflow)
    found = []
    for task, attempt in zip(done, attempts, strict=True):
        report = known[attempt]
        usage = Usage(report.started, report.wall_s, report.cpu_s, report.peak_bytes)
        after = needed.get(step_of(task.name), ())
        found.append(task._replace(usage=usage, where=report.where, after=after))
    return found


def trace(
    workflow: Workflow, inputs: Values, planner: Planner, finder: Planner
) -> tuple[list[Done], Values]:
    """The tasks of a run that has succeeded, and its outputs where the tasks left them.

    Args:
        planner: plans every task, whatever the store has.
        finder: finds what the run has left.

    Raises:
        ValueError: something cannot be planned any more, or what it left is gone; a sentence.
    """
    scheduler = Scheduler(workflow, inputs, Policy(planning=True, window=4096))
    done: list[Done] = []
    actions = scheduler.handle((), 0.0)
    while not isinstance(actions[-1], Conclude):
        plans = {action.invocation: action.name for action in actions if isinstance(action, Plan)}
        events: list[Event] = []
        for event in planner.answer([action for action in actions if isinstance(action, Plan)]):
            if isinstance(event, Unplannable):
                raise ValueError(f"{plans[event.invocation]}: {event.message}")
            if not isinstance(event, Planned):
                events.append(event)
                continue
            name = plans[event.invocation]
            outputs = finder.find(planner.identities.pop(event.invocation))
            if outputs is None:
                raise ValueError(f"{name}: what it left is gone, was changed, or was never there")
            done.append(Done(name, event.task, outputs))
            events.append(Answered(event.invocation, outputs))
        actions = scheduler.handle(events, 0.0)
    return done, actions[-1].outputs
