"""Submit files for ``sbatch``.

Owns the text of them: what of a shape becomes which line. Must never know an attempt's fate.
"""

from __future__ import annotations

import math
import re

from hepflow.batch.hooks import Paper
from hepflow.batch.shapes import comment, interpreter, limit_s, memory_mib, preamble, start_line


def script(paper: Paper) -> str:
    """The submit file for some jobs of one shape."""
    many = len(paper.elements) > 1
    lines = [
        f"--job-name={_word(paper.name)}",
        f"--comment={_word(comment(paper))}",
        f"--chdir={_word(paper.folder)}",
        f"--output={_word(_log(paper.folder, many))}",
        "--open-mode=append",
        "--requeue" if paper.restarts else "--no-requeue",
        *_asked(paper),
    ]
    if many:
        lines.append(f"--array=0-{len(paper.elements) - 1}")
    return "\n".join(
        [
            interpreter(paper),
            *[f"#SBATCH {line}" for line in lines],
            *paper.site.lines,
            *paper.queue.lines,
            *preamble(paper),
            start_line(paper, "${SLURM_ARRAY_TASK_ID}"),
            "",
        ]
    )


def _asked(paper: Paper) -> list[str]:
    """The options that say what a job needs and where."""
    queue, resources = paper.queue, paper.resources
    lines = ["--nodes=1", "--ntasks=1", f"--cpus-per-task={max(1, math.ceil(resources.cpus))}"]
    named = {"partition": queue.partition, "qos": queue.qos, "account": paper.site.account}
    lines += [f"--{option}={_word(value)}" for option, value in named.items() if value]
    if queue.constraint:
        lines.append(f"--constraint={_word(queue.constraint)}")
    if memory := memory_mib(paper):
        lines.append(f"--mem={memory}M")
    if resources.disk_mib:
        lines.append(f"--tmp={resources.disk_mib}M")
    if resources.gpus:
        kind = queue.gpu_kinds.get(resources.gpu_kind, resources.gpu_kind)
        lines.append(f"--gres=gpu:{f'{kind}:' if kind else ''}{resources.gpus}")
    if limit := limit_s(queue, resources, paper.most):
        lines.append(f"--time={int(limit // 60)}")
    if queue.exclusive:
        lines.append("--exclusive")
    return lines


def _log(folder: str, many: bool) -> str:
    return f"{folder.replace('%', '%%')}/{'%a' if many else '0'}.log"


def _word(text: str) -> str:
    """A value as sbatch reads it in a line of a submit file."""
    if re.fullmatch(r"[\w@%+=:,./&|()\[\]*-]+", text, re.ASCII):
        return text
    escaped = re.sub(r'(["\\])', r"\\\1", " ".join(text.split()))
    return f'"{escaped}"'
