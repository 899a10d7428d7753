"""The quick lane for the plainest steps: a command, links, and file names, nothing else.

Generated recipes have 100,000 of these. Whatever is not as plain as expected, right or wrong, is
left to the thorough lane in ``steps.py``; both make the same steps (a test compares them).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hepflow.model.errors import Place
from hepflow.model.types import Type
from hepflow.model.workflow import Binding, Port, Ref, Step
from hepflow.recipe.commands import form_line, outputs_line, setting_lines
from hepflow.recipe.context import Context
from hepflow.recipe.modifiers import (
    Written,
    read_cache,
    read_container,
    read_env,
    read_limit,
    read_resources,
    read_retry,
)
from hepflow.recipe.products import Declared, declare
from hepflow.recipe.scope import FUNCTIONS, PORT, RESERVED, Scope, Shape, Surroundings
from hepflow.recipe.spelling import QUOTING, quoted, shell_word
from hepflow.recipe.templates import Constant, Slot, Slots, is_template, split_slots
from hepflow.recipe.tools import CommandTool, Fingerprint, Products, ShellForm, labelled

_KEYS: Final = frozenset({"command", "inputs", "outputs"})
_TAKEN: Final = RESERVED | FUNCTIONS


def _plain(name: str) -> bool:
    return name.isidentifier() and name.isascii() and name not in _TAKEN


class _Outputs:
    """One set of output files, shared by all steps that declare the same."""

    __slots__ = ("line", "paths", "ports", "products", "shape")

    def __init__(self, declared: Declared) -> None:
        types: dict[str, Type] = {name: port.type for name, port in declared.ports.items()}
        self.shape = Shape(declared.ports)
        self.ports: tuple[Port, ...] = tuple(declared.ports.values())
        self.products = Products(declared.outputs, (), types)
        self.line = outputs_line(self.products)
        self.paths = {output.port: quoted(output.path) for output in declared.outputs}


class Bulk:
    """Builds plain steps of one workflow; remembers what they have in common."""

    def __init__(self, context: Context, path: tuple[str | int, ...]) -> None:
        self._context = context
        self._path = path
        self._outputs: dict[tuple[tuple[str, object], ...], _Outputs | None] = {}
        self._bindings: dict[str, Binding | None] = {}
        self._tools: dict[tuple[object, ...], CommandTool] = {}
        self._by_step: dict[str, _Outputs] = {}
        self._labels: dict[tuple[str, ...], tuple[tuple[str, str], ...]] = {}
        self._placeless = not context.document.has_places
        self._place: Place | None = None
        # Templates in defaults may depend on the step, constants cannot.
        self._applies = not is_template(str(context.defaults))
        written = Written({}, (), context.defaults)
        nothing = Scope(Surroundings({}, {}))
        if self._applies:
            self._request = read_resources(context, written, nothing)
            self._env = read_env(context, written, nothing)
            self._container = read_container(context, written, nothing)
            self._retry = read_retry(context, written)
            self._cache = read_cache(context, written)
            self._limit = read_limit(context, written)
            self._lines = [line + "\n" for line in setting_lines(self._env, self._container)]

    def outline(self, name: str, raw: object) -> Shape | None:
        """What others see of a step, if it is plain as far as one can tell now."""
        if type(raw) is not dict or not raw.keys() <= _KEYS or not self._applies:
            return None
        if not _plain(name):
            return None
        if type(raw.get("command")) is not str or type(raw.get("inputs", raw)) is not dict:
            return None
        written = raw.get("outputs", {})
        if type(written) is not dict:
            return None
        key = tuple(written.items())
        try:
            found = self._outputs[key]
        except TypeError:
            return None
        except KeyError:
            found = self._outputs[key] = self._declared(written)
        if found is None:
            return None
        self._by_step[name] = found
        return found.shape

    def _declared(self, written: Mapping[str, object]) -> _Outputs | None:
        for name, form in written.items():
            if type(form) is not str or "{" in form or not _plain(name):
                return None
        before = self._context.faults.count
        found = declare(self._context, written, (*self._path, "steps"), python=False)
        if self._context.faults.count > before:
            # Its faults must point at the step's own lines: let the thorough lane find them again.
            self._context.faults.forget(before)
            return None
        return _Outputs(found)

    def build(self, name: str, raw: Mapping[str, object], around: Surroundings) -> Step | None:
        """The step, or nothing if it is not so plain after all."""
        outputs = self._by_step[name]
        bindings: dict[str, Binding] = {}
        inputs = raw.get("inputs")
        if inputs:
            known = self._bindings
            for port, text in inputs.items():  # type: ignore[attr-defined]
                if type(text) is not str or not _plain(port):
                    return None
                binding = known[text] if text in known else self._link(text, around)
                if binding is None:
                    return None
                bindings[port] = binding
        command: str = raw["command"]  # type: ignore[assignment]
        key = (command, tuple(bindings), outputs)
        tool = self._tools.get(key)
        if tool is None:
            tool = self._tool(command, bindings, outputs)
            if tool is None:
                return None
            self._tools[key] = tool
        return Step(
            name,
            tool,
            bindings,
            outputs.ports,
            retry=self._retry,
            cache=self._cache,
            limit=self._limit,
            place=self._placed(name),
        )

    def _placed(self, name: str) -> Place:
        if self._placeless:
            if self._place is None:
                self._place = self._context.document.place(self._path)
            return self._place
        return self._context.document.place((*self._path, "steps", name))

    def _link(self, text: str, around: Surroundings) -> Binding | None:
        owner, _, port = text.partition(".")
        found: Binding | None = None
        if owner == "inputs":
            if port in around.inputs:
                found = Binding((Ref("", port),))
        elif owner in around.steps and port in around.steps[owner].outputs:
            found = Binding((Ref(owner, port),))
        self._bindings[text] = found
        return found

    def _tool(
        self, command: str, own: Mapping[str, Binding], outputs: _Outputs
    ) -> CommandTool | None:
        split = split_slots(command)
        if split is None or not command.strip():
            return None
        pieces, last = split
        slots: list[Slot] = []
        text = ""
        for literal, chain in pieces:
            if QUOTING.search(literal) is not None or len(chain) != 2:
                return None
            text += literal
            root, name = chain
            if root == "outputs" and name in outputs.paths:
                text += outputs.paths[name]
            elif root == "inputs" and name in own:
                slots.append(Slot(text, PORT, name, (), shell_word))
                text = ""
            else:
                return None
        text += last
        ports = tuple(dict.fromkeys([slot.name for slot in slots]))
        template = Slots(command, tuple(slots), text, ports, False) if slots else Constant(text)
        names = tuple(own)
        labels = self._labels.get(names)
        if labels is None:
            labels = self._labels[names] = labelled(sorted(names))
        head = f"{form_line('command', '', command)}\n{''.join(self._lines)}{outputs.line}\n"
        form, products = ShellForm(template), outputs.products
        print_ = Fingerprint(head, labels)
        return CommandTool(print_, form, products, self._request, self._env, self._container)
