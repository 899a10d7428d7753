"""The quick lane for the plainest steps: a command or a Python function, links, constants, and
names of outputs, nothing else.

Generated recipes have 100,000 of these. Whatever is not as plain as expected, right or wrong, is
left to the thorough lane in ``steps.py``; both make the same steps (a test compares them).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from hepflow.model.errors import Place
from hepflow.model.types import Type
from hepflow.model.workflow import Binding, Port, Ref, Step, Tool
from hepflow.recipe.commands import code_lines, fingerprint_of, setting_lines
from hepflow.recipe.context import Context
from hepflow.recipe.modifiers import (
    Written,
    read_cache,
    read_container,
    read_env,
    read_limit,
    read_resources,
    read_retry,
    read_site,
)
from hepflow.recipe.plain_tools import Kit, PlainTool
from hepflow.recipe.products import Declared, declare
from hepflow.recipe.scope import FUNCTIONS, RESERVED, Scope, Shape, Surroundings
from hepflow.recipe.templates import is_template
from hepflow.recipe.tools import Products, PythonTool

_KEYS: Final = frozenset({"command", "python", "inputs", "outputs"})
_TAKEN: Final = RESERVED | FUNCTIONS
_CONSTANTS: Final = frozenset({int, float, bool})

_Written: TypeAlias = Mapping[str, object] | list[object] | None


def _plain(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and name.isascii() and name not in _TAKEN


class _Outputs:
    """One set of outputs, shared by all steps that declare the same."""

    __slots__ = ("ports", "products", "shape")

    def __init__(self, declared: Declared) -> None:
        types: dict[str, Type] = {
            name: port.type for name, port in declared.ports.items() if port.type.name != "any"
        }
        self.shape = Shape(declared.ports)
        self.ports: tuple[Port, ...] = tuple(declared.ports.values())
        self.products = Products(declared.outputs, (), types)


class Bulk:
    """Builds plain steps of one workflow; remembers what they have in common.

    Attributes:
        built: the names of the steps it built.
        in_order: whether these take values only from those that it built before.
    """

    def __init__(self, context: Context, path: tuple[str | int, ...]) -> None:
        self._context = context
        self._path = path
        self._outputs: dict[tuple[object, ...], _Outputs | None] = {}
        self._of_shape: dict[int, _Outputs] = {}
        self._names: dict[str, str] = {}
        self.built: set[str] = set()
        self.in_order = True
        self._bindings: dict[str, Binding | None] = {}
        self._kits: dict[tuple[tuple[str, ...], _Outputs], Kit | None] = {}
        self._tools: dict[tuple[str, tuple[str, ...], _Outputs], PythonTool | None] = {}
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
            self._site = read_site(context, written)
            self._lines = setting_lines(self._env, self._container)

    def outline(self, name: str, raw: object) -> Shape | None:
        """What others see of a step, if it is plain as far as one can tell now."""
        if type(raw) is not dict or not raw.keys() <= _KEYS or not self._applies:
            return None
        if not _plain(name):
            return None
        python = "python" in raw
        if type(raw.get("python" if python else "command")) is not str:
            return None
        if (python and "command" in raw) or type(raw.get("inputs", raw)) is not dict:
            return None
        written = raw.get("outputs")
        if type(written) is dict:
            key: tuple[object, ...] = (python, *written.items())
        elif python and type(written) is list:
            key = (None, *written)
        elif "outputs" not in raw:
            key = ("none", python)  # to a function that is not the same as `outputs: {}`
        else:
            return None
        try:
            found = self._outputs[key]
        except TypeError:
            return None
        except KeyError:
            found = self._outputs[key] = self._declared(written, python)
        if found is None:
            return None
        self._names[name] = name
        return found.shape

    def _declared(self, written: _Written, python: bool) -> _Outputs | None:
        for name in written or ():
            form = written[name] if isinstance(written, dict) else ""
            if type(form) is not str or "{" in form or not _plain(name):
                return None
        before = self._context.faults.count
        found = declare(self._context, written, (*self._path, "steps"), python=python)
        if self._context.faults.count > before:
            # Its faults must point at the step's own lines: let the thorough lane find them again.
            self._context.faults.forget(before)
            return None
        outputs = _Outputs(found)
        self._of_shape[id(outputs.shape)] = outputs
        return outputs

    def build(self, name: str, raw: Mapping[str, object], around: Surroundings) -> Step | None:
        """The step, or nothing if it is not so plain after all."""
        outputs = self._of_shape[id(around.steps[name])]
        bindings: dict[str, Binding] = {}
        known = self._bindings
        inputs: Mapping[str, object] = raw.get("inputs", bindings)  # type: ignore[assignment]
        for port, value in inputs.items():
            if type(value) is str:
                binding = known[value] if value in known else self._text(value, around)
                if binding is None:
                    return None
            elif type(value) in _CONSTANTS:
                binding = Binding(default=value)  # type: ignore[arg-type]
            else:
                return None
            bindings[port] = binding
        tool = self._tool(raw, tuple(bindings), outputs)
        if tool is None:
            return None
        self.built.add(name)
        return Step(
            name,
            tool,
            bindings,
            outputs.ports,
            retry=self._retry,
            cache=self._cache,
            limit=self._limit,
            site=self._site,
            place=self._placed(name),
        )

    def _placed(self, name: str) -> Place:
        if self._placeless:
            if self._place is None:
                self._place = self._context.document.place(self._path)
            return self._place
        return self._context.document.place((*self._path, "steps", name))

    def _text(self, text: str, around: Surroundings) -> Binding | None:
        """A link, or a text that cannot be taken for one."""
        owner, dot, port = text.partition(".")
        found: Binding | None = None
        if not dot:
            found = None if "{" in text else Binding(default=text)
        elif owner == "inputs":
            if port in around.inputs:
                found = Binding((Ref("", port),))
        elif owner in around.steps and port in around.steps[owner].outputs:
            # One object for each name, so that no table of steps has to compare texts.
            outputs = around.steps[owner].outputs
            # Asked when the link is first met: whoever takes it later is later in the file as well.
            self.in_order = self.in_order and owner in self.built
            found = Binding((Ref(self._names.get(owner, owner), outputs[port].name),))
        self._bindings[text] = found
        return found

    # --- tools --------------------------------------------------------------------------------

    def _tool(
        self, raw: Mapping[str, object], names: tuple[str, ...], outputs: _Outputs
    ) -> Tool | None:
        if "python" in raw:
            function = str(raw["python"])
            key = (function, names, outputs)
            if key not in self._tools:
                self._tools[key] = self._python(function, names, outputs)
            return self._tools[key]
        form = (names, outputs)
        try:
            kit = self._kits[form]
        except KeyError:
            kit = self._kits[form] = self._kit(names, outputs)
        command: str = raw["command"]  # type: ignore[assignment]
        return PlainTool(command, kit) if kit is not None and kit.takes(command) else None

    def _kit(self, names: tuple[str, ...], outputs: _Outputs) -> Kit | None:
        if not all(map(_plain, names)):
            return None
        lines = "".join([line + "\n" for line in self._lines])
        products = outputs.products
        return Kit(names, products, self._request, self._env, self._container, lines)

    def _python(
        self, function: str, names: tuple[str, ...], outputs: _Outputs
    ) -> PythonTool | None:
        if not all(map(_plain, names)):
            return None
        before = self._context.faults.count
        code = code_lines(self._context, function, (*self._path, "steps"))
        if self._context.faults.count > before:
            self._context.faults.forget(before)
            return None
        products = outputs.products
        head = [f"tool=python {function}", *code, *self._lines]
        return PythonTool(
            fingerprint_of(head, products, names), function, names, (), (self._context.folder,),
            products, self._request, self._env, self._container,
        )  # fmt: skip
