"""One head's work on a run, from taking it up to closing its books.

Owns how a run ends: its state, the outputs where the user wants them, and what goes into the store of it. Must never
know where the workflow came from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from hepflow.engine import Policy, Scheduler
from hepflow.model.errors import ExecutionError, HepflowError, StoreError
from hepflow.model.values import Value, Values
from hepflow.model.workflow import Workflow
from hepflow.options import RunOptions, wish
from hepflow.runner.books import Books
from hepflow.runner.drive import Runner
from hepflow.runner.loop import Loop
from hepflow.runner.opening import open_fleet
from hepflow.runner.placing import named_sites
from hepflow.runner.planner import Planner, Rules
from hepflow.runner.telling import Progress, Telling
from hepflow.staging.publish import publish
from hepflow.store import reader
from hepflow.store.codec import encode
from hepflow.store.database import Place
from hepflow.store.records import RunState, RunStatus, RunSummary
from hepflow.store.writer import RunWriter
from hepflow.tracking import open_tracking

Listener: TypeAlias = Callable[[Progress], None]
Publisher: TypeAlias = Callable[[Values, Path], Mapping[str, Value]]
"""Places the outputs of a run in a folder; returns them with their new locations."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. ``outputs`` have their published locations; empty unless it succeeded.
    ``warnings`` tell what went wrong beside it, such as a record that could not be kept."""

    run: RunSummary
    outputs: Mapping[str, Value]
    status: RunStatus
    published: Path | None
    warnings: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        return self.run.state is RunState.SUCCEEDED


def drive(
    workflow: Workflow,
    given: Values,
    place: Place,
    options: RunOptions,
    writer: RunWriter,
    listener: Listener | None,
    redo: Sequence[str] = (),
    publisher: Publisher = publish,
) -> RunResult:
    """Works on a run until it has ended.

    Args:
        given: its inputs, as the language wants them.
        place: the project's store.
        writer: of this run; it is closed in the end.
        redo: steps to run again even where they succeeded.
        publisher: what places the outputs.

    Raises:
        ExecutionError: the run cannot go on, through no fault of a task.
        HepflowError: a site, the store or the results cannot be used.
    """
    number, loop = writer.run, Loop()
    tracking = open_tracking(place, number, workflow.tracking, options.tracking)
    state, message = RunState.FAILED, ""
    outputs: Values = {}
    published: Path | None = None
    try:
        fleet = open_fleet(wish(options, named_sites(workflow)), place.sites(number))
        rules = Rules(number, options.reuse, frozenset(redo), writer.new_id(), options.containers)
        tracking.begin()
        policy = Policy(
            in_flight=options.in_flight or fleet.capacity,
            keep_going=options.keep_going,
            earlier=writer.attempts_so_far(),
        )
        scheduler = Scheduler(workflow, given, policy)
        root = reader.root_of(place)
        runner = Runner(
            scheduler,
            Planner(writer.results(), rules, root, weigh=len(fleet.offers) > 1),
            writer,
            Books(str(place.work(number)), root),
            fleet,
            Telling(scheduler, number, workflow.name, listener),
            loop,
        )
        conclusion = runner.run()
        if conclusion.succeeded:
            published = options.publish or place.project / "results" / workflow.name
            outputs = publisher(conclusion.outputs, published)
            state = RunState.SUCCEEDED
        elif conclusion.cancelled:
            state = RunState.CANCELLED
        message = "; ".join(runner.failures[:3])
        writer.end_run(state, encode(outputs, {}, root), message, time.time())
    except ValueError as error:
        writer.end_run(RunState.FAILED, "", str(error), time.time())
        raise ExecutionError.of(
            "HF601", str(error), where=workflow.source or workflow.name
        ) from error
    except HepflowError as error:
        _note_failure(writer, error)
        raise
    else:
        # Before the writer closes: with the last connection the store is tidied up, at some cost.
        status = reader.status(place, number)
        return RunResult(status.run, outputs, status, published, tracking.end())
    finally:
        tracking.end()
        loop.close()
        writer.close()


def _note_failure(writer: RunWriter, error: HepflowError) -> None:
    """Keeps the reason in the store where that is still possible; the disk may be what failed."""
    try:
        writer.end_run(RunState.FAILED, "", error.problems[0].what, time.time())
    except StoreError:
        pass  # the error on its way says it; the run stays resumable as interrupted
