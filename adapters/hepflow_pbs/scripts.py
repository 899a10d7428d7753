"""Submit files for ``qsub``.

Owns the text of them: what of a shape becomes which line, for Torque and for PBS Pro. Must never know an
attempt's fate.
"""

from __future__ import annotations

import math
import shlex

from hepflow.batch.hooks import Paper
from hepflow.batch.shapes import interpreter, limit_s, memory_mib, preamble, start_line
from hepflow.model.site import number, text

TORQUE, PRO = "torque", "pbspro"
FLAVOURS = (TORQUE, PRO)
NODES = "nodes=1:ppn={ppn}"
INDEX = {TORQUE: "PBS_ARRAYID", PRO: "PBS_ARRAY_INDEX"}


def torque_script(paper: Paper) -> str:
    """The submit file for some jobs of one shape, for Torque."""
    resources = paper.resources
    limits = [_nodes(paper)]
    if memory := memory_mib(paper):
        limits.append(f"mem={memory}mb")
    if resources.disk_mib:
        limits.append(f"file={resources.disk_mib}mb")
    if paper.queue.qos:
        limits.append(f"qos={paper.queue.qos}")
    lines = [f"-l {limit}" for limit in limits]
    if paper.queue.exclusive:
        lines.append("-n")
    return _script(paper, lines, "-t", INDEX[TORQUE])


def pro_script(paper: Paper) -> str:
    """The same for PBS Pro and OpenPBS."""
    queue, resources = paper.queue, paper.resources
    parts = [f"select=1:ncpus={_cpus(paper)}"]
    if memory := memory_mib(paper):
        parts.append(f"mem={memory}mb")
    if resources.gpus:
        parts.append(f"ngpus={resources.gpus}")
        kind = queue.gpu_kinds.get(resources.gpu_kind, resources.gpu_kind)
        parts += [f"gpu_type={kind}"] if kind else []
    if queue.constraint:
        parts.append(queue.constraint)
    lines = [f"-l {':'.join(parts)}"]
    if queue.exclusive:
        lines.append("-l place=excl")
    return _script(paper, lines, "-J", INDEX[PRO])


def _nodes(paper: Paper) -> str:
    """Torque's word for a node and what is wanted of it, as the site spells it."""
    queue, resources = paper.queue, paper.resources
    said = paper.site.settings_for(queue)
    wanted = text(said, "nodes", NODES)
    ppn = int(number(said, "ppn", 0)) or _cpus(paper)
    spelt = wanted.format(ppn=ppn, constraint=queue.constraint)
    if "{constraint}" not in wanted and queue.constraint:
        spelt += f":{queue.constraint}"
    if resources.gpus and "gpus" not in spelt and not text(said, "launcher"):
        spelt += f":gpus={resources.gpus}"
    return spelt


def _script(paper: Paper, asked: list[str], array: str, index: str) -> str:
    many = len(paper.elements) > 1
    lines = [
        f"-N {paper.name}",
        "-S /bin/bash" if preamble(paper) else "-S /bin/sh",
        "-V",
        "-o /dev/null",  # the job writes its own log: PBS copies one only when all is over
        "-e /dev/null",
        f"-r {'y' if paper.restarts else 'n'}",
        *asked,
    ]
    named = {"q": paper.queue.partition, "A": paper.site.account}
    lines += [f"-{option} {value}" for option, value in named.items() if value]
    if limit := limit_s(paper.queue, paper.resources, paper.most):
        lines.append(f"-l walltime={_clock(limit)}")
    if many:
        lines.append(f"{array} 0-{len(paper.elements) - 1}")
    place = f"${{{index}}}"
    folder = shlex.quote(paper.folder)
    launcher = text(paper.site.settings_for(paper.queue), "launcher").format(cpus=_cpus(paper))
    start = start_line(paper, place)
    return "\n".join(
        [
            interpreter(paper),
            *[f"#PBS {line}" for line in lines],
            *paper.site.lines,
            *paper.queue.lines,
            f"cd {folder} && exec >>{folder}/{place if many else 0}.log 2>&1 || exit 126",
            *preamble(paper),
            start.replace("exec ", f"exec {launcher} ", 1) if launcher else start,
            "",
        ]
    )


def _cpus(paper: Paper) -> int:
    return max(1, math.ceil(paper.resources.cpus))


def _clock(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{left:02}"
