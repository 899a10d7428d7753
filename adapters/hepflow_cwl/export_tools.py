"""What a step does, as a CommandLineTool."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from hepflow.model.portable import Command, Function, Node, Product, Program, Script, Text, Work
from hepflow.model.task import Read
from hepflow.model.types import ANY, Type
from hepflow.model.values import File

from .export_code import Js, Refused, literal, member, quoted
from .export_document import Document, Mapped, expression, plain_text
from .export_javascript import Names
from .export_types import (
    INT,
    STRING,
    Known,
    array,
    cwl_type,
    holds_files,
    numbers,
    optional,
    parameter,
)

BASH: Final = ("bash", "--norc", "--noprofile", "-e", "-o", "pipefail", "-c")
CODE: Final = "hepflow_code"
"""The input of a Python step that holds the modules it needs."""
LONGEST_READ_KIB: Final = 64
"""What CWL lets an expression read of a file."""
_DRIVER: Final = Path(__file__).parent / "call_function.py"
_FIELDS: Final = {
    "cpus": ("coresMin", "decimal"), "memory_mib": ("ramMin", "mebibytes"),
    "disk_mib": ("tmpdirMin", "mebibytes"), "gpus": ("", "truncated"), "walltime_s": ("", "seconds"),
}  # fmt: skip
"""Of each resource: its name in ResourceRequirement, and the helper that reads what a person wrote."""


class ToolWriter:
    """Writes the tool of one step.

    Args:
        ports: what is known of each port, and the id of the input that holds it.
    """

    def __init__(
        self, node: Node, work: Work, ports: Mapping[str, tuple[str, Known]], document: Document
    ) -> None:
        self._node = node
        self._work = work
        self._ports = ports
        self._document = document
        self._entries: list[Mapped] = []
        self._listings: dict[str, str] = {}
        values = {
            port: Js(member("inputs", name), known.type) for port, (name, known) in ports.items()
        }
        self._names = Names(values, paths=True)
        outputs = {product.port: self._path(product) for product in work.products if product.path}
        self._names = replace(
            self._names, outputs=outputs, asked=self._asked(), listing=self._listing
        )

    def write(self) -> tuple[Mapped, dict[str, Known]]:
        """The tool, and what is known of its outputs."""
        work = self._work
        tool: Mapped = {"class": "CommandLineTool"}
        does = work.does
        if isinstance(does, Function):
            body = self._function(does)
        elif isinstance(does, Program):
            body = {"arguments": [self._word(word) for word in does.words]}
        elif isinstance(does, Script):
            self._entry(does.file, self._document.string(does.text, self._names))
            body = {"arguments": [*map(plain_text, does.interpreter), plain_text(does.file)]}
        else:
            body = {"arguments": [*BASH, self._document.string(does.text, self._names)]}
        requirements = self._requirements()
        if requirements:
            tool["requirements"] = requirements
        hints = self._hints()
        if hints:
            tool["hints"] = hints
        tool.update(self._policy())
        tool["inputs"] = self._inputs(does)
        tool.update(body)
        python = isinstance(does, Function)
        tool["outputs"] = {product.port: self._output(product, python) for product in work.products}
        known = {product.port: Known(_type(product), python) for product in work.products}
        return tool, known

    # --- inputs -----------------------------------------------------------------------------------

    def _inputs(self, does: Command | Program | Script | Function) -> Mapped:
        found: Mapped = {}
        for port in self._used(does):
            name, known = self._ports[port]
            found[name] = parameter(known.type)
        if isinstance(does, Function) and does.modules:
            listing = [
                {
                    "class": "File" if isinstance(module, File) else "Directory",
                    "location": self._document.locate(module),
                }
                for module in does.modules
            ]
            code = {"class": "Directory", "basename": "code", "listing": listing}
            found[CODE] = {"type": "Directory", "default": code}
        return found

    def _used(self, does: Command | Program | Script | Function) -> list[str]:
        """The ports that the tool reads."""
        found: dict[str, None] = {}
        if isinstance(does, Function):
            found.update(dict.fromkeys((*does.arguments, *does.offered)))
        elif isinstance(does, Program):
            for word in does.words:
                found.update(dict.fromkeys(word.names))
        else:
            found.update(dict.fromkeys(does.text.names))
        for template in self._templates():
            found.update(dict.fromkeys(template.names))
        for _, computed in self._work.computed:
            found.update(dict.fromkeys(computed.names))
        return list(found)

    def _templates(self) -> Iterator[Text]:
        yield from (template for _, template in self._work.env)
        yield from (product.path for product in self._work.products if product.path is not None)
        if self._work.container is not None:
            yield self._work.container

    # --- what it asks for, and what surrounds it --------------------------------------------------

    def _asked(self) -> dict[str, Js]:
        found: dict[str, Js] = {}
        for name in ("cpus", "memory_mib", "disk_mib", "gpus", "gpu_kind", "walltime_s"):
            value = getattr(self._work.resources, name)
            whole = isinstance(value, float) and value.is_integer()
            found[name] = literal(int(value) if whole else value)
        for name, computed in self._work.computed:
            value = self._document.formula(computed, self._names)
            if name == "gpu_kind":
                found[name] = value
            elif name in ("memory_mib", "disk_mib", "gpus") or value.kind == "int":
                found[name] = Js(f"hep.{_FIELDS[name][1]}({value.code})", INT, True)
            else:
                # Whether it is told with a fraction depends on the value.
                found[name] = Js(f"hep.{_FIELDS[name][1]}({value.code})", ANY)
        return found

    def _requirements(self) -> Mapped:
        found: Mapped = {}
        work = self._work
        fixed = work.resources
        amounts: Mapped = {}
        if fixed.cpus != 1:
            amounts["coresMin"] = int(fixed.cpus) if fixed.cpus.is_integer() else fixed.cpus
        if fixed.memory_mib:
            amounts["ramMin"] = fixed.memory_mib
        if fixed.disk_mib:
            amounts["tmpdirMin"] = fixed.disk_mib
        computed = {name: expression(self._names.asked[name].code) for name, _ in work.computed}
        for name, code in computed.items():
            if name in _FIELDS and _FIELDS[name][0]:
                amounts[_FIELDS[name][0]] = code
        if amounts:
            found["ResourceRequirement"] = amounts
        if "walltime_s" in computed:
            seconds = f"Math.ceil({self._names.asked['walltime_s'].code})"
            found["ToolTimeLimit"] = {"timelimit": expression(seconds)}
        elif fixed.walltime_s:
            found["ToolTimeLimit"] = {"timelimit": math.ceil(fixed.walltime_s)}
        if work.env:
            env = {name: self._document.string(text, self._names) for name, text in work.env}
            found["EnvVarRequirement"] = {"envDef": env}
        if self._entries:
            found["InitialWorkDirRequirement"] = {"listing": self._entries}
        if not self._node.cache:
            found["WorkReuse"] = {"enableReuse": False}
        return found

    def _hints(self) -> Mapped:
        found: Mapped = {}
        container = self._work.container
        if container is not None:
            if container.constant is None:
                what = "a container that depends on values"
                self._document.refuse(
                    Refused(what, "name the image, or make a step for each"), container.place
                )
            found["DockerRequirement"] = {"dockerPull": container.constant}
        gpus = self._names.asked["gpus"].code
        if gpus != "0":
            self._document.features.add("cwltool")
            found["cwltool:CUDARequirement"] = {
                "cudaVersionMin": "11.0",
                "cudaComputeCapability": "3.0",
                "cudaDeviceCountMin": int(gpus) if gpus.isdigit() else expression(gpus),
            }
        return found

    def _policy(self) -> Mapped:
        """What CWL has no word for, in words of our own, which every other runner passes over."""
        retry, limit = self._node.retry, self._node.limit
        found: Mapped = {}
        if retry.times:
            found = {"retries": retry.times, "delay_s": retry.delay_s}
            found["memory_factor"] = retry.memory_factor
        if limit:
            found["limit"] = limit
        if not found:
            return {}
        self._document.features.add("hepflow")
        return {"hepflow:policy": found}

    # --- the kinds of work ------------------------------------------------------------------------

    def _entry(self, name: str, content: str) -> None:
        self._entries.append({"entryname": plain_text(name), "entry": content})

    def _listing(self, code: str) -> str:
        """The file an array's lines are written to; the same array goes to the same file."""
        name = self._listings.get(code)
        if name is None:
            name = self._listings[code] = f"listing{len(self._listings) + 1}.txt"
            self._entry(name, expression(code))
        return name

    def _word(self, word: Text) -> object:
        constant = word.constant
        if constant is not None:
            return plain_text(constant)
        return {"valueFrom": expression(f"hep.arguments({self._document.text(word, self._names)})")}

    def _function(self, does: Function) -> Mapped:
        self._entry(_DRIVER_NAME, plain_text(_DRIVER.read_text(encoding="utf-8")))
        self._entry(".hepflow-inputs.json", "$(inputs)")
        passed = {port: self._ports[port] for port in (*does.arguments, *does.offered)}
        kinds = {port: numbers(known.type) for port, (_, known) in passed.items()}
        if "unknown" in kinds.values():
            self._entry(".hepflow-order.json", "$(JSON.stringify(inputs))")
        for port, (_, known) in passed.items():
            if kinds[port] == "unknown" and not known.exact:
                fix = "say its type where it is made, or hand over the file and read it there"
                what = f"'{port}' may hold numbers of which nobody knows whether int or float"
                self._document.refuse(Refused(what, fix), self._node.place)
        settings = {
            "function": does.name,
            "code": CODE if does.modules else "",
            "arguments": {port: self._ports[port][0] for port in does.arguments},
            "offered": {port: self._ports[port][0] for port in does.offered},
            "floats": [port for port, kind in kinds.items() if kind == "float"],
        }
        head = json.dumps(settings)[:-1] + ', "outputs": '
        outputs = [self._told(product) for product in self._work.products]
        if all(isinstance(part, str) for part in outputs):
            argument = plain_text(head + f"[{', '.join(map(str, outputs))}]}}")
        else:
            parts = [quoted(part) if isinstance(part, str) else part.code for part in outputs]
            joined = ' + ", " + '.join(parts)
            argument = expression(f'{quoted(head + "[")} + {joined} + "]}}"')
        return {"arguments": ["python3", _DRIVER_NAME, argument]}

    def _told(self, product: Product) -> str | Js:
        """An output as the driver takes it: JSON, or code that gives it."""
        told: dict[str, object] = {
            "port": product.port, "many": product.many, "directory": product.directory,
            "read": product.read.value, "optional": product.optional,
        }  # fmt: skip
        if product.path is None and holds_files(product.type) and product.type.name != "any":
            what = f"output '{product.port}': a returned file"
            self._document.refuse(Refused(what, "declare its path"), product.place)
        constant = "" if product.path is None else product.path.constant
        if constant is not None:
            return json.dumps({**told, "path": constant})
        path = self._names.outputs[product.port].code
        head = quoted(json.dumps(told)[:-1] + ', "path": ')
        return Js(f'{head} + JSON.stringify({path}) + "}}"', STRING)

    # --- outputs ----------------------------------------------------------------------------------

    def _path(self, product: Product) -> Js:
        assert product.path is not None
        constant = product.path.constant
        if constant is not None:
            return Js(quoted(constant), STRING)
        return Js(f"hep.path({self._document.text(product.path, self._names)})", STRING)

    def _output(self, product: Product, python: bool) -> object:
        if python or product.path is None:
            return parameter(_type(product))
        constant = product.path.constant
        if product.many:
            if "**" in (constant or "**"):
                fix = "name the levels: '*/*.root'"
                self._document.refuse(Refused("the pattern '**'", fix), product.place)
            glob = plain_text(constant or "")
        elif constant is None:
            glob = expression(f"hep.literally({self._names.outputs[product.port].code})")
        else:
            glob = plain_text(constant)
        binding: Mapped = {"glob": glob}
        if product.read is not Read.FILE:
            binding["loadContents"] = True
            reading = "hep.lines(self)" if product.read is Read.TEXT else self._data(product)
            binding["outputEval"] = expression(reading)
        elif product.many:
            kind = "Directory" if product.directory else "File"
            rest = ", true" if product.optional else ""
            binding["outputEval"] = expression(f'hep.matches(self, "{kind}"{rest})')
        return {"type": cwl_type(_type(product)), "outputBinding": binding}

    def _data(self, product: Product) -> str:
        if holds_files(product.type) and product.type.name not in ("any", "record"):
            what = f"output '{product.port}': a file named inside JSON"
            self._document.refuse(Refused(what, "declare its path"), product.place)
        return Js("hep.data(self)", product.type).result


_DRIVER_NAME: Final = ".hepflow-call.py"


def _type(product: Product) -> Type:
    """The type of an output's value, as sure as the recipe is."""
    found = product.type
    if product.many and found.name == "any":
        found = array(Type("Directory" if product.directory else "File"))
    return optional(found) if product.optional and not product.many else found
