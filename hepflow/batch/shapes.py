"""What is equal for the tasks of one array, and what a job is called and given for it."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from typing import Final, NamedTuple

from hepflow.batch.hooks import Paper
from hepflow.model.site import Queue, number
from hepflow.model.task import Resources
from hepflow.wire.bundle import START

SLACK_S: Final = 30.0
"""A job may take so much longer than its tasks: the capsule ends them, not Slurm."""


class Shape(NamedTuple):
    """What is equal for all tasks of one array."""

    queue: str
    resources: Resources


def limit_s(site_queue: Queue, resources: Resources, tasks: int) -> float:
    """Seconds to ask for, in whole minutes as Slurm counts; 0 where nobody says."""
    each = site_queue.walltime(resources)
    if not each:
        return 0.0
    wanted = each * tasks + SLACK_S if resources.walltime_s or tasks > 1 else each
    longest = site_queue.walltime_s
    return 60.0 * math.ceil((min(wanted, longest) if longest else wanted) / 60)


def shared_s(wanted: float, site_queue: Queue, resources: Resources, tasks: int) -> float:
    """Seconds of its life in which a job may take what waits for others, and still end within its limit.

    Args:
        wanted: as many as the site wants at most.
        tasks: that each of the jobs has to begin with.
    """
    limit = limit_s(site_queue, resources, tasks)
    if not limit or not resources.walltime_s:
        return wanted
    return min(wanted, max(0.0, limit - tasks * resources.walltime_s) / 2)


def memory_mib(paper: Paper) -> int:
    """Mebibytes to ask for, by the tasks or else by the site; 0 where nobody says."""
    site = paper.site.settings_for(paper.queue)
    return paper.resources.memory_mib or int(number(site, "memory_mib", 0))


def job_name(tag: str, serial: int, attempts: Sequence[str], longest: int) -> str:
    """A job's name, by which it is found again: it begins like its first attempt's id.

    Args:
        tag, serial: of the executor's folder, and of the submission there.
        longest: characters it may have.
    """
    step = re.sub(r"[^A-Za-z0-9_.-]", "_", re.split(r"[\[#]", attempts[0])[0])
    mark = f".{tag}-{serial}"
    # Some systems want a letter first.
    start = step if step[:1].isalpha() else f"h{step}"
    return start[: max(1, longest - len(mark))] + mark


def in_words(shape: Shape) -> str:
    """What a shape asks for, as the end of a message."""
    resources = shape.resources
    parts = [f"{resources.cpus:g} cpus"]
    if resources.memory_mib:
        parts.append(f"{resources.memory_mib} MiB of memory")
    if resources.gpus:
        parts.append(f"{resources.gpus} {resources.gpu_kind} gpus".replace("  ", " "))
    if resources.walltime_s:
        parts.append(f"{resources.walltime_s:g} s")
    where = f" of queue '{shape.queue}'" if shape.queue else ""
    return f"{', '.join(parts)}{where}"


def start_line(paper: Paper, index: str) -> str:
    """The last line of a submit file: the capsule with its order.

    Args:
        index: of a job in its array, as a shell there expands it.
    """
    programs = paper.programs
    many = len(paper.elements) > 1
    how = ["share"] if many and paper.shared else []
    started = (programs.python, "-I", "-S", "-c", START, programs.capsule, *how)
    words = " ".join([shlex.quote(word) for word in started])
    return f"exec {words} {shlex.quote(paper.folder)}/{index if many else 0}.json"


def comment(paper: Paper) -> str:
    """What a person who looks at the queue reads of a job."""
    first, last = paper.elements[0][0], paper.elements[-1][-1]
    return f"hepflow {first}" + (f" to {last}" if last != first else "")


def preamble(paper: Paper) -> list[str]:
    """The site's own lines before a task."""
    site = paper.site
    return [*[f"module load {shlex.quote(module)}" for module in site.modules], *site.setup]


def interpreter(paper: Paper) -> str:
    """The first line: environment modules are a function that only login shells know."""
    return "#!/bin/bash -l" if preamble(paper) else "#!/bin/sh"
