"""`hepflow export RUN --to dagman`: a run as a DAG that `condor_submit_dag` runs again, without hepflow.

    workflow.dag   a node for each task, by what it was called; edges where one reads what another leaves
    task.sub       the submit description of nodes; image.sub: of those that run in a container image
    task.sh        what each runs: the capsule, with the order of its number
    orders/N.json  those orders
    in/            files that come from outside, each once
    oN, rN         what node N leaves, and how it ended
    outputs.json   the outputs of the workflow, by where they will be

Values that one task handed to another (not files) are as they were in the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hepflow.model.protocols import Done
from hepflow.model.values import Values
from hepflow.wire.containers import image_uri
from hepflow.wire.packing import OUTPUTS, Package
from hepflow.wire.travel import HERE
from hepflow_htcondor.description import plain

DAG, DESCRIPTION, SCRIPT = "workflow.dag", "task.sub", "task.sh"
IN_IMAGE: Final = "image.sub"

TASK_SUB: Final = """\
# One node of a run of hepflow. Add what your pool asks for: accounting, requirements.
{universe}
executable = task.sh
arguments = $(number)
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
transfer_input_files = capsule.pyz, orders/$(number).json$(brings)
transfer_output_files = o$(number), r$(number)
request_cpus = $(cpus)
request_memory = $(memory)
request_disk = $(disk)
request_gpus = $(gpus)
log = nodes.log
error = logs/$(number).err
output = logs/$(number).out
My.HepflowAttempt = "$(name)"
queue
"""

TASK_SH: Final = """\
#!/bin/sh
# The capsule carries out the order of a node here; it fails as the task does.
here=$(pwd -P)
mkdir -p "o$1" results
sed "s|{word}|$here|g" "$1.json" >order.json
python3 capsule.pyz order.json || exit 1
sed "s|$here|{word}|g" "results/$1" >"r$1"
python3 - "r$1" <<'END'
import json, sys
with open(sys.argv[1]) as file:
    told = json.loads(file.readline())
if len(told) > 2 and told[2]:
    sys.exit("%s: %s" % (told[2], told[6] if len(told) > 6 else ""))
END
"""


class DagmanExporter:
    """Writes runs for DAGMan."""

    def export_run(
        self, name: str, tasks: Sequence[Done], outputs: Values, folder: Path
    ) -> list[str]:
        """The package.

        Raises:
            ValueError: a task's command or files cannot be written down; a sentence.
        """
        for made in ("in", "logs"):
            (folder / made).mkdir()
        nodes, edges = [], []
        for number, done, needs in Package(folder, "DAGMan", "in").fill(tasks, outputs):
            nodes.append(_node(number, done, needs))
            parents = [need[1:] for need in needs if need[0] == "o"]
            if parents:
                above = " ".join(f"t{parent}" for parent in parents)
                edges.append(f"PARENT {above} CHILD t{number}")
        lines = [f"# {name}: {len(tasks)} tasks, by hepflow", *nodes, *edges]
        (folder / DAG).write_text("\n".join(lines) + "\n", encoding="utf-8")
        written = [DAG, DESCRIPTION, SCRIPT, OUTPUTS]
        plain_nodes = TASK_SUB.replace("{universe}", "universe = vanilla")
        (folder / DESCRIPTION).write_text(plain_nodes, encoding="utf-8")
        if any(done.task.container for done in tasks):
            in_image = "universe = container\ncontainer_image = $(image)"
            (folder / IN_IMAGE).write_text(
                TASK_SUB.replace("{universe}", in_image), encoding="utf-8"
            )
            written.append(IN_IMAGE)
        script = folder / SCRIPT
        script.write_text(TASK_SH.replace("{word}", HERE), encoding="utf-8")
        script.chmod(0o755)
        return written


def _node(number: int, done: Done, needs: Sequence[str]) -> str:
    """The lines of one node."""
    asked = done.task.resources
    brings = [f"in/{need}" if need[0] == "i" else need for need in needs]
    said = {
        "number": str(number),
        "name": plain(done.name),
        "cpus": str(max(1, math.ceil(asked.cpus))),
        "memory": f"{asked.memory_mib or 1024}M",
        "disk": f"{asked.disk_mib or 1024}M",
        "gpus": str(asked.gpus),
        "brings": "".join(f", {path}" for path in brings),
    }
    container, description = done.task.container, DESCRIPTION
    if container is not None:
        said["image"], description = image_uri(container.image), IN_IMAGE
    words = " ".join(f'{name}="{value}"' for name, value in said.items())
    return f"JOB t{number} {description}\nVARS t{number} {words}"
