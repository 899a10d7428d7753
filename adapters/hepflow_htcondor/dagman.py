"""`hepflow export RUN --to dagman`: a run as a DAG that `condor_submit_dag` runs again, without hepflow.

    workflow.dag   a node for each task, by what it was called; edges where one reads what another leaves
    task.sub       the submit description of all nodes
    task.sh        what each runs: the capsule, with the order of its number
    orders/N.json  those orders
    in/            files that come from outside, each once
    oN, rN         what node N leaves, and how it ended
    outputs.json   the outputs of the workflow, by where they will be

Values that one task handed to another (not files) are as they were in the run.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from hepflow.model.protocols import Done
from hepflow.model.site import Site
from hepflow.model.task import Attempt, Call, Output, Task
from hepflow.model.values import File, Value, Values, files_in, to_json
from hepflow.wire.bundle import write_capsule
from hepflow.wire.orders import Orders
from hepflow.wire.spelling import encode
from hepflow.wire.travel import HERE, Luggage
from hepflow_htcondor.description import plain
from hepflow_htcondor.luggage import lay_out

DAG, DESCRIPTION, SCRIPT = "workflow.dag", "task.sub", "task.sh"

TASK_SUB: Final = """\
# One node of a run of hepflow. Add what your pool asks for: accounting, requirements, a container.
universe = vanilla
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
        return _Package(folder).write(name, tasks, outputs)


class _Package:
    """The folder, while it is filled.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._orders = Orders(Site("dagman", executor="htcondor"), "python3")
        self._luggage = Luggage(partial(lay_out, folder / "in"))
        self._made: dict[str, str] = {}
        """Location of what a task left -> its path at whoever reads it."""

    def write(self, name: str, tasks: Sequence[Done], outputs: Values) -> list[str]:
        """Everything."""
        for made in ("in", "orders", "logs"):
            (self._folder / made).mkdir()
        nodes, edges = [], []
        for number, done in enumerate(tasks):
            needs = self._order(number, done)
            nodes.append(_node(number, done, needs))
            parents = [need[1:] for need in needs if need[0] == "o"]
            if parents:
                above = " ".join(f"t{parent}" for parent in parents)
                edges.append(f"PARENT {above} CHILD t{number}")
            self._made.update(_left(number, done, self._luggage.places))
        lines = [f"# {name}: {len(tasks)} tasks, by hepflow", *nodes, *edges]
        (self._folder / DAG).write_text("\n".join(lines) + "\n", encoding="utf-8")
        (self._folder / DESCRIPTION).write_text(TASK_SUB, encoding="utf-8")
        script = self._folder / SCRIPT
        script.write_text(TASK_SH.replace("{word}", HERE), encoding="utf-8")
        script.chmod(0o755)
        write_capsule(self._folder / "capsule.pyz")
        said = {port: self._placed(value) for port, value in outputs.items()}
        text = json.dumps(said, indent=2, ensure_ascii=False)
        (self._folder / "outputs.json").write_text(text + "\n", encoding="utf-8")
        return [DAG, DESCRIPTION, SCRIPT, "outputs.json"]

    def _order(self, number: int, done: Done) -> list[str]:
        """Write the order of one task; returns the folders that it needs."""
        task = done.task
        if task.container is not None:
            raise ValueError(
                f"{done.name} runs in an image ({task.container.image}), which DAGMan's export does not write yet"
            )
        for file in _named(task):
            place = self._place_made(file.location)
            if place:
                self._luggage.places[file.location] = place
        attempt = Attempt(f"{done.name}#1", task, f"/{number}")
        there, needs = self._luggage.pack(attempt, f"o{number}")
        entry = self._luggage.rewritten(encode(self._orders.entry(there, number)), needs)
        order = self._orders.text([entry], f"{HERE}/results")
        path = self._folder / "orders" / f"{number}.json"
        path.write_text(order, encoding="utf-8", errors="surrogateescape")
        return needs

    def _place_made(self, location: str) -> str:
        """Where a file of another task will be, also one in a directory of its; empty for none."""
        above = location
        while above not in self._made:
            shorter = os.path.dirname(above)
            if shorter == above:
                return ""
            above = shorter
        return self._made[above] + location[len(above) :]

    def _placed(self, value: Value) -> object:
        """A value of the outputs, with files as they will be in the package."""
        if isinstance(value, list | tuple):
            return [self._placed(item) for item in value]
        if isinstance(value, Mapping):
            return {key: self._placed(item) for key, item in value.items()}
        said: Any = to_json(value)
        if isinstance(said, dict) and "location" in said:
            place = self._place_made(
                value.location if isinstance(value, File) else said["location"]
            )
            said["location"] = place.removeprefix(f"{HERE}/") or said["location"]
        return said


def _named(task: Task) -> Iterator[Any]:
    """Every file that a task reads."""
    command = task.command
    values: list[Value] = [*(item.what for item in task.stage), *task.inputs.values()]
    if isinstance(command, Call):
        values += [*command.arguments.values(), *command.offered.values()]
    return (file for value in values for file in files_in(value) if file.location)


def _left(number: int, done: Done, places: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What a task left: location, and path at whoever reads it."""
    for output in done.task.outputs:
        if not output.path or output.port not in done.outputs:
            continue
        for file in files_in(done.outputs[output.port]):
            if file.location and file.location not in places:
                yield file.location, f"{HERE}/o{number}/{_inner(output, file.location, done.name)}"


def _inner(output: Output, location: str, name: str) -> str:
    """The path of an output in its task's folder."""
    if not output.many:
        return output.path
    above, _, pattern = output.path.rpartition("/")
    if re.search(r"[*?\[]", above) or "**" in pattern:
        raise ValueError(f"{name}: where '{output.path}' was found cannot be told from its name")
    return os.path.join(above, os.path.basename(location.rstrip("/")))


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
    words = " ".join(f'{name}="{value}"' for name, value in said.items())
    return f"JOB t{number} {DESCRIPTION}\nVARS t{number} {words}"
