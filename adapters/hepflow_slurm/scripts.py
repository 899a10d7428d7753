"""Submit files.

Owns the text of them: what of a shape becomes which line. Must never know an attempt's fate.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from typing import Final, NamedTuple

from hepflow.model.site import Queue, Site
from hepflow.model.task import Resources
from hepflow.wire.bundle import START

SLACK_S: Final = 30.0
"""A job may take so much longer than its tasks: the capsule ends them, not Slurm."""

LONGEST_NAME: Final = 60


class Shape(NamedTuple):
    """What is equal for all tasks of one array."""

    queue: str
    resources: Resources


class Programs(NamedTuple):
    """What runs a capsule on a node: the interpreter and the capsule's file."""

    python: str
    capsule: str


def limit_s(site_queue: Queue, resources: Resources, tasks: int) -> float:
    """Seconds to ask for, in whole minutes as Slurm counts; 0 where nobody says."""
    each = site_queue.walltime(resources)
    if not each:
        return 0.0
    wanted = each * tasks + SLACK_S if resources.walltime_s or tasks > 1 else each
    longest = site_queue.walltime_s
    return 60.0 * math.ceil((min(wanted, longest) if longest else wanted) / 60)


def job_name(tag: str, serial: int, attempts: Sequence[str]) -> str:
    """A job's name, by which it is found again: it begins like its first attempt's id."""
    step = re.split(r"[\[#]", attempts[0])[0]
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', step)[:LONGEST_NAME]}.{tag}-{serial}"


def script(
    site: Site,
    queue: Queue,
    resources: Resources,
    elements: Sequence[Sequence[str]],
    *,
    folder: str,
    name: str,
    programs: Programs,
    requeue: bool,
) -> str:
    """The submit file for some jobs of one shape.

    Args:
        elements: the attempts of each job, by id.
        folder: where the orders are, ``0.json`` and so on.
        name: of the job.
    """
    lines = [
        f"--job-name={_word(name)}",
        f"--comment={_word(_comment(elements))}",
        f"--chdir={_word(folder)}",
        f"--output={_word(_log(folder, len(elements)))}",
        "--open-mode=append",
        "--requeue" if requeue else "--no-requeue",
        *_asked(site, queue, resources, max(map(len, elements))),
    ]
    if len(elements) > 1:
        lines.append(f"--array=0-{len(elements) - 1}")
    own = [*site.lines, *queue.lines]
    index = "${SLURM_ARRAY_TASK_ID}" if len(elements) > 1 else "0"
    words = [
        shlex.quote(word) for word in (programs.python, "-I", "-S", "-c", START, programs.capsule)
    ]
    # The environment modules are a function that only login shells know.
    shell = "#!/bin/bash -l" if site.modules or site.setup else "#!/bin/sh"
    return "\n".join(
        [
            shell,
            *[f"#SBATCH {line}" for line in lines],
            *own,
            *[f"module load {shlex.quote(module)}" for module in site.modules],
            *site.setup,
            f"exec {' '.join(words)} {shlex.quote(folder)}/{index}.json",
            "",
        ]
    )


def _asked(site: Site, queue: Queue, resources: Resources, tasks: int) -> list[str]:
    """The options that say what a job needs and where."""
    lines = ["--nodes=1", "--ntasks=1", f"--cpus-per-task={max(1, math.ceil(resources.cpus))}"]
    named = {"partition": queue.partition, "qos": queue.qos, "account": site.account}
    lines += [f"--{option}={_word(value)}" for option, value in named.items() if value]
    if queue.constraint:
        lines.append(f"--constraint={_word(queue.constraint)}")
    if resources.memory_mib:
        lines.append(f"--mem={resources.memory_mib}M")
    if resources.disk_mib:
        lines.append(f"--tmp={resources.disk_mib}M")
    if resources.gpus:
        kind = queue.gpu_kinds.get(resources.gpu_kind, resources.gpu_kind)
        lines.append(f"--gres=gpu:{f'{kind}:' if kind else ''}{resources.gpus}")
    if limit := limit_s(queue, resources, tasks):
        lines.append(f"--time={int(limit // 60)}")
    if queue.exclusive:
        lines.append("--exclusive")
    return lines


def _comment(elements: Sequence[Sequence[str]]) -> str:
    first, last = elements[0][0], elements[-1][-1]
    return f"hepflow {first}" + (f" to {last}" if last != first else "")


def _log(folder: str, jobs: int) -> str:
    return f"{folder.replace('%', '%%')}/{'%a' if jobs > 1 else '0'}.log"


def _word(text: str) -> str:
    """A value as sbatch reads it in a line of a submit file."""
    if re.fullmatch(r"[\w@%+=:,./&|()\[\]*-]+", text, re.ASCII):
        return text
    escaped = re.sub(r'(["\\])', r"\\\1", " ".join(text.split()))
    return f'"{escaped}"'


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
