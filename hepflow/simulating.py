"""Simulating a workflow: what is known of its tasks, and what sites are like.

The run in virtual time itself is the engine's.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import fmean
from typing import Final

from hepflow.engine.simulation import ModelSite, SimulatedRun, SiteUse
from hepflow.engine.simulation import simulate as run_in_virtual_time
from hepflow.model.errors import ExecutionError, UsageError
from hepflow.model.site import Price, Site
from hepflow.model.task import Resources
from hepflow.model.values import Values
from hepflow.model.workflow import Timed, Tool, Workflow
from hepflow.runner.opening import site_at
from hepflow.store import reader
from hepflow.store.database import Place
from hepflow.store.records import RunState, TaskReport, TaskState, step_of

__all__ = ["Past", "SimulatedRun", "SimulationOptions", "SiteUse", "past_of", "simulated"]

EVERY: Final = ""
"""The step that stands for all steps that are not named."""


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """What a simulation takes for granted.

    Args:
        sites: by name or path; none for slots that cost nothing.
        slots: tasks that run at a time, one number for each site; none for what the site's config says
            (``limits: {jobs: ...}``), or this machine's cores.
        times: seconds that a task takes, by its step's path without indices; ``EVERY`` for all others that nothing
            is known of.
        wait_s: seconds from a task's submission to its start.
        preemptions_per_h: how often in an hour a running task loses its slot, on average.
        seed: of the chance by which it does.
    """

    sites: Sequence[str] = ()
    slots: Sequence[int] = ()
    times: Mapping[str, float] = field(default_factory=dict)
    wait_s: float = 0.0
    preemptions_per_h: float = 0.0
    seed: int = 0


class Past:
    """What the last run of a recipe that succeeded tells of its tasks.

    Args:
        reports: its attempts; none where there is no such run.
        times: seconds that a task takes, by step, as the user says.
    """

    def __init__(self, reports: Iterable[TaskReport], times: Mapping[str, float]) -> None:
        self._times = times
        took: dict[str, list[float]] = defaultdict(list)
        self._left: dict[str, Values] = {}
        self._like: dict[str, Values] = {}
        for report in reports:
            took[report.step].append(report.wall_s)
            self._left[report.id.rpartition("#")[0]] = report.outputs
            self._like.setdefault(report.step, report.outputs)
        self._took = {step: fmean(seconds) for step, seconds in took.items()}

    def seconds(self, task: str, tool: Tool) -> float:
        """As the user says, as the tool itself knows, as its step took on average."""
        step = step_of(task)
        if step in self._times:
            return self._times[step]
        if isinstance(tool, Timed):
            return tool.seconds
        if step in self._took:
            return self._took[step]
        if EVERY in self._times:
            return self._times[EVERY]
        raise UsageError.of(
            "HF316", f"nobody knows how long a task of step '{step}' takes",
            why="no run of this recipe that had the step has succeeded in this project",
            fix=f"say it: --time '{step}=30 s', or '--time 30 s' for all that is not known",
        )  # fmt: skip

    def outputs(self, task: str) -> Values | None:
        """What the task left, or else another one of its step."""
        return self._left.get(task) or self._like.get(step_of(task))


def simulated(
    workflow: Workflow, given: Values, options: SimulationOptions, past: Past
) -> SimulatedRun:
    """A workflow's run in virtual time.

    Args:
        given: its inputs, complete.

    Raises:
        UsageError: it is not known how long a step takes or how many slots a site has.
        UnavailableError: there is no such site.
        ExecutionError: its steps cannot be joined as it says.
    """
    try:
        chance = Random(options.seed).expovariate
        return run_in_virtual_time(workflow, given, _models(options), past, chance)
    except ValueError as error:
        raise ExecutionError.of(
            "HF601", str(error), where=workflow.source or workflow.name
        ) from error


def past_of(place: Place, recipe: str, times: Mapping[str, float]) -> Past:
    """What a project's store knows of a recipe."""
    for run in reader.runs(place):
        if run.recipe == recipe and run.state is RunState.SUCCEEDED:
            earlier = reader.reports(place, sorted(set(reader.reused(place, run.id).values())))
            own = reader.tasks(place, run.id, "*", TaskState.SUCCEEDED)
            return Past((*own, *earlier.values()), times)
    return Past((), times)


def _models(options: SimulationOptions) -> list[ModelSite]:
    names = options.sites or ("",)
    slots = options.slots
    if len(slots) not in (0, 1, len(names)):
        what = f"{len(slots)} times --slots for {len(names)} sites"
        raise UsageError.of("HF316", what, fix="say it once, or once for each site")
    each = [*slots] * (len(names) if len(slots) == 1 else 1) or [0] * len(names)
    return [_model(name, number, options) for name, number in zip(names, each, strict=True)]


def _model(name: str, slots: int, options: SimulationOptions) -> ModelSite:
    site = site_at(name)[0]
    known = slots or site.limits.jobs or (0 if name else os.cpu_count() or 1)
    if not known:
        what = f"how many tasks run at a time at site '{site.name}' is not known"
        fix = "say it: --slots 500; or in the site's file: limits: {jobs: 500}"
        raise UsageError.of("HF316", what, fix=fix)
    rate = options.preemptions_per_h
    return ModelSite(site.name, known, options.wait_s, rate, _prices(site))


def _prices(site: Site) -> Callable[[Resources], Price | None]:
    """What a task costs at a site: the price of the queue that it goes to."""

    def price(resources: Resources) -> Price | None:
        queue = site.queue_for(resources)
        if isinstance(queue, str):
            raise UsageError.of("HF316", queue, fix="simulate it at a site that takes it")
        return queue.price

    return price
