"""``hepflow validate``: is this recipe right?"""

from __future__ import annotations

import click

from hepflow.cli import machine as for_program
from hepflow.cli import words
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import Source, as_json, takes_recipe
from hepflow.model.workflow import REQUIRED, From, Port

EXAMPLES = """
hepflow validate recipe.yaml                  # all faults at once, each at its line
hepflow validate recipe.yaml n=many           # the inputs too
hepflow validate recipe.yaml --json           # for an editor
"""


@verb(EXAMPLES)
@takes_recipe
@as_json
def command(source: Source, machine: bool) -> int:
    """Check a recipe and the inputs given for it, and show what it takes. Runs nothing."""
    workflow = api.validate(source.path, source.load, source.files, source.values)
    if machine:
        for_program.emit(
            {
                "valid": True,
                "name": workflow.name,
                "doc": workflow.doc,
                "inputs": [_port(port) for port in workflow.inputs],
                "steps": [step.name for step in workflow.steps],
                "outputs": list(workflow.outputs),
            }
        )
        return 0
    name = click.style(workflow.name, bold=True)
    steps = words.count(len(workflow.steps), "step")
    words.say(f"{source.path}: {click.style('valid', fg='green')}: {name}, {steps}")
    if workflow.doc:
        words.say(f"  {workflow.doc.strip()}")
    if workflow.inputs:
        words.say()
        rows = [[port.name, str(port.type), _default(port), port.doc] for port in workflow.inputs]
        for line in words.table(["input", "type", "default", ""], rows):
            words.say(line)
    return 0


def _default(port: Port) -> str:
    if port.default is REQUIRED:
        return click.style("required", fg="yellow")
    if isinstance(port.default, From):
        return str(port.default)
    return words.value(port.default, 40)  # type: ignore[arg-type]


def _port(port: Port) -> dict[str, object]:
    required = port.default is REQUIRED
    return {
        "name": port.name,
        "type": str(port.type),
        "required": required,
        "default": None if required or isinstance(port.default, From) else port.default,
        "from": port.default.text if isinstance(port.default, From) else None,
        "doc": port.doc,
    }
