"""`hepflow export RUN --to snakemake`: a run as a Snakefile that Snakemake runs again, without hepflow.

    Snakefile      a rule for each task; its inputs are the folders that other tasks leave
    task.sh        what each runs: the capsule, with the order of its number
    orders/N.json  those orders
    iN/            files that come from outside, each once
    oN/            what task N leaves
    outputs.json   the outputs of the workflow, by where they will be

Values that one task handed to another (not files) are as they were in the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hepflow.model.protocols import Done
from hepflow.model.task import Resources
from hepflow.model.values import Values
from hepflow.wire.containers import image_uri
from hepflow.wire.packing import CAPSULE, ORDERS, OUTPUTS, Package
from hepflow.wire.travel import HERE

SNAKEFILE, SCRIPT = "Snakefile", "task.sh"
MINUTE_S: Final = 60

TASK_SH: Final = """\
#!/bin/sh
# The capsule carries out the order of a task here; this fails as the task does.
here=$(pwd -P)
mkdir -p "o$1" results
sed "s|{word}|$here|g" "orders/$1.json" >"results/$1.json"
python3 capsule.pyz "results/$1.json" || exit 1
python3 - "results/$1" <<'END'
import json, sys
with open(sys.argv[1]) as file:
    told = json.loads(file.readline())
if len(told) > 2 and told[2]:
    sys.exit("%s: %s" % (told[2], told[6] if len(told) > 6 else ""))
END
"""


class SnakemakeExporter:
    """Writes runs for Snakemake."""

    def export_run(
        self, name: str, tasks: Sequence[Done], outputs: Values, folder: Path
    ) -> list[str]:
        """The package.

        Raises:
            ValueError: a task's command or files cannot be written down; a sentence.
        """
        package = Package(folder, "Snakemake")
        rules = [_rule(number, done, needs) for number, done, needs in package.fill(tasks, outputs)]
        everything = "".join(f'        "o{number}",\n' for number in range(len(tasks)))
        head = f"# {name}: {len(tasks)} tasks, by hepflow\n\n\nrule all:\n    input:\n{everything}"
        (folder / SNAKEFILE).write_text("\n\n".join([head, *rules]), encoding="utf-8")
        (folder / SCRIPT).write_text(TASK_SH.replace("{word}", HERE), encoding="utf-8")
        return [SNAKEFILE, SCRIPT, OUTPUTS]


def _rule(number: int, done: Done, needs: Sequence[str]) -> str:
    """The rule of one task."""
    inputs = [CAPSULE, SCRIPT, f"{ORDERS}/{number}.json", *needs]
    asked = done.task.resources
    return "\n".join(
        [
            f"rule t{number}:",
            "    input:",
            *(f'        "{path}",' for path in inputs),
            "    output:",
            f'        directory("o{number}"),',
            "    log:",
            f'        "logs/{number}.log",',
            f"    threads: {max(1, math.ceil(asked.cpus))}",
            *_resources(asked),
            *_image(done),
            f"    message: {_plain(done.name)!r}",
            "    shell:",
            f'        "sh {SCRIPT} {number} > {{log}} 2>&1"',
            "",
        ]
    )


def _resources(asked: Resources) -> list[str]:
    """What a task asks for, in Snakemake's standard resources; nothing of what it does not say."""
    said = {
        "mem_mib": asked.memory_mib,
        "disk_mib": asked.disk_mib,
        "runtime": math.ceil(asked.walltime_s / MINUTE_S),
        "gpu": asked.gpus,
    }
    lines = [f"        {name}={value}," for name, value in said.items() if value]
    return ["    resources:", *lines] if lines else []


def _image(done: Done) -> list[str]:
    """The image that a task runs in, as ``snakemake --sdm apptainer`` takes it."""
    container = done.task.container
    if container is None:
        return []
    return ["    container:", f"        {image_uri(container.image)!r}"]


def _plain(name: str) -> str:
    """A name in a message, whose braces Snakemake would fill in."""
    return name.replace("{", "{{").replace("}", "}}")
