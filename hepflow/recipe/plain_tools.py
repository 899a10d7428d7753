"""The tool of a plain step: its command as written, and all it shares with steps of the same form.

A hundred thousand commands that differ by a number would each hold a parsed template and a spelled
fingerprint; here both are made when asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from hepflow.model.task import Outcome, Resources, Task
from hepflow.model.values import Values
from hepflow.model.workflow import PlanContext
from hepflow.recipe.commands import form_line, outputs_line
from hepflow.recipe.scope import PORT
from hepflow.recipe.spelling import quoted, shell_word
from hepflow.recipe.templates import Constant, Slot, Slots, TextTemplate, split_slots
from hepflow.recipe.tools import CommandTool, Fingerprint, Products, Request, ShellForm, labelled

REMEMBERED: Final = 256
"""Parsed commands that are kept for the next invocation of the same step."""

_LITERAL: Final = r"""[^{'"`\\#(\r]++|\{(?![{%])"""
"""What leaves a shell text's quoting as it is, and begins no template."""


@dataclass(frozen=True, slots=True, eq=False)
class Kit:
    """What plain commands with the same ports have in common.

    Args:
        inputs: the step's own ports.
        lines: of the fingerprint, about environment and container.
    """

    inputs: Sequence[str]
    products: Products
    request: Request
    env: tuple[tuple[str, TextTemplate], ...]
    container: TextTemplate
    lines: str
    paths: dict[str, str] = field(init=False)
    labels: tuple[tuple[str, str], ...] = field(init=False)
    tail: str = field(init=False)
    _known: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        paths = {output.port: quoted(output.path) for output in self.products.outputs}
        names = [f"outputs\\.{name}" for name in paths] + [
            f"inputs\\.{name}" for name in self.inputs
        ]
        slot = rf"\{{\{{[ \t\n]*(?:{'|'.join(names)})[ \t\n]*\}}\}}"
        put = object.__setattr__
        put(self, "paths", paths)
        put(self, "labels", labelled(sorted(self.inputs)))
        put(self, "tail", f"\n{self.lines}{outputs_line(self.products)}\n")
        pattern = rf"\s*(?=\S)(?:{_LITERAL}{'|' + slot if names else ''})*+"
        put(self, "_known", re.compile(pattern))

    def takes(self, command: str) -> bool:
        """Whether a command is a plain text around names of this kit."""
        return self._known.fullmatch(command) is not None

    def fingerprint(self, command: str) -> Fingerprint:
        """What a command of this kit is."""
        return Fingerprint(form_line("command", "", command) + self.tail, self.labels)

    def template(self, command: str) -> TextTemplate:
        """A command parsed; names of output files, always the same, are filled in."""
        split = split_slots(command)
        assert split is not None
        slots: list[Slot] = []
        text = ""
        for literal, (root, name) in split[0]:
            text += literal
            if root == "outputs":
                text += self.paths[name]
            else:
                slots.append(Slot(text, PORT, name, (), shell_word))
                text = ""
        text += split[1]
        ports = tuple(dict.fromkeys([slot.name for slot in slots]))
        return Slots(command, tuple(slots), text, ports, False) if slots else Constant(text)


@lru_cache(REMEMBERED)
def _form(command: str, kit: Kit) -> ShellForm:
    return ShellForm(kit.template(command))


class PlainTool(NamedTuple):
    """A plain command of a kit."""

    command: str
    kit: Kit

    @property
    def resources(self) -> Resources | None:
        return self.kit.request.known

    def fingerprint(self, inputs: Values) -> str:
        return self.kit.fingerprint(self.command).of(inputs)

    def plan(self, inputs: Values, context: PlanContext) -> Task:
        return self.whole().plan(inputs, context)

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        return self.kit.products.collect(task, outcome)

    def whole(self) -> CommandTool:
        """The same tool with nothing left to be made."""
        kit = self.kit
        form = _form(self.command, kit)
        print_ = kit.fingerprint(self.command)
        return CommandTool(print_, form, kit.products, kit.request, kit.env, kit.container)
