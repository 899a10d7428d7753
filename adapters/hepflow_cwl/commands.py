"""From a bound command line to the task an executor runs.

Owns what a CommandLineTool says beside its words: streams, variables, limits, resources, the
container (CWL v1.2, CommandLineTool, sections "Requirements" and "Runtime environment"). Paths in a
task are words for folders that only the executor will know; nothing is touched here.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from math import ceil
from types import SimpleNamespace
from typing import Any, Final, cast

from cwltool.builder import Builder
from cwltool.command_line_tool import CommandLineTool, check_adjust
from cwltool.errors import WorkflowException
from cwltool.flatten import flatten
from cwltool.mpi import MpiConfig, MPIRequirementName
from cwltool.utils import aslist, normalizeFilesDirs
from schema_salad.sourceline import SourceLine

from hepflow.model.task import FOLDER, INPUTS, Argv, Container, Output, Resources, Task
from hepflow.model.values import Values
from hepflow_cwl.binding import Bound, Prepared, told
from hepflow_cwl.collecting import Ports
from hepflow_cwl.containers import container_of
from hepflow_cwl.setup import Setup
from hepflow_cwl.staging import Places, place

GIVEN: Final = ("HOME", "TMPDIR", "PATH")
"""Variables that the standard gives their values; no document changes them."""

SHELL: Final = ("/bin/sh", "-c")

NEVER: Final = 256
"""An exit code no process can end with: where none at all means success."""


class Command:
    """Makes the tasks of one CommandLineTool.

    Args:
        tool: the tool, prepared.
        setup: the user's choices.
    """

    def __init__(self, tool: Prepared, setup: Setup) -> None:
        self.tool = tool
        self.ports = Ports(tool)
        self._process = cast(CommandLineTool, tool.process)
        self._names = self._process.path_check_mode.value
        self._kept = setup.environment
        self._container = container_of(self._process, setup)
        self._success = _success_codes(self._process.tool)
        self._shell = tool.requirement("ShellCommandRequirement") is not None
        self._env: list[Mapping[str, str]] = (tool.requirement("EnvVarRequirement") or {}).get(
            "envDef", []
        )
        self._asked = tool.requirement("ResourceRequirement") or {}
        self._time = tool.requirement("ToolTimeLimit")
        self._network = tool.requirement("NetworkAccess")
        self._inplace = inplace(tool)
        self._generates = tool.requirement("InitialWorkDirRequirement") is not None
        self._mpi = tool.requirement(MPIRequirementName)
        self._mpi_config = MpiConfig.load(setup.mpi_config) if setup.mpi_config else MpiConfig()

    def task(self, values: Values) -> Task:
        """The task for an invocation's inputs.

        Raises:
            ValueError: an input is not as declared, or an expression failed.
        """
        bound = self.tool.bind(values)
        with told(self.tool.name):
            return self._task(bound)

    def resources(self, values: Values) -> Resources:
        """What an invocation asks for; it is bound only where that takes an expression.

        Raises:
            ValueError: an expression failed.
        """
        limit = (self._time or {}).get("timelimit")
        fixed = self.tool.resources is not None and not isinstance(limit, str)
        builder = self.tool.blank() if fixed else self.tool.bind(values).builder
        with told(self.tool.name):
            return self._resources(builder)

    def reusable(self, values: Values) -> bool:
        """Whether the result for these inputs may be taken from an earlier run (WorkReuse).

        Raises:
            ValueError: an input is not as declared, or the expression gives no boolean.
        """
        wanted = self.tool.requirement("WorkReuse") or {}
        bound = self.tool.bind(values)
        with told(self.tool.name):
            found = bound.builder.do_eval(wanted.get("enableReuse", True))
            if not isinstance(found, bool):
                raise _error(
                    wanted, "enableReuse", f"'enableReuse' must be a boolean, not {found!r}"
                )
        return found

    def _task(self, bound: Bound) -> Task:
        builder = bound.builder
        stage, texts = self._placed(bound)
        env = self._environment(builder)
        words = [*self._launch(builder, env), *self._words(builder)]
        if not words:
            raise WorkflowException(
                "its command line is empty; give it a 'baseCommand', 'arguments' or an input with"
                " an 'inputBinding'"
            )
        outputs: tuple[Output, ...] = self.ports.declared(builder)
        return Task(
            Argv(tuple(map(str, words))),
            outputs,
            self._resources(builder),
            env,
            stage,
            texts,
            self._boxed(builder),
            self._stdin(builder),
            self._stream(builder, "stdout"),
            self._stream(builder, "stderr"),
            self._success,
            confined=True,
            memo=bound,
        )

    # --- words ------------------------------------------------------------------------------------

    def _words(self, builder: Builder) -> list[str]:
        if not self._shell:
            return cast("list[str]", flatten([builder.generate_arg(b) for b in builder.bindings]))
        words: list[str] = []
        for binding in builder.bindings:
            found = aslist(builder.generate_arg(binding))
            quoted = binding.get("shellQuote", True)
            words.extend(shlex.quote(word) if quoted else word for word in found)
        return [*SHELL, " ".join(words)]

    def _launch(self, builder: Builder, env: dict[str, str]) -> list[str]:
        """The words that start a program as several processes (cwltool's MPIRequirement)."""
        if self._mpi is None:
            return []
        config = self._mpi_config
        count = builder.do_eval(self._mpi.get("processes", config.default_nproc))
        if not isinstance(count, int):
            raise _error(
                self._mpi, "processes", f"'processes' must be a whole number, not {count!r}"
            )
        if not count:
            return []
        config.pass_through_env_vars(env)
        config.set_env_vars(env)
        return [config.runner, config.nproc_flag, str(count), *config.extra_flags]

    # --- files ------------------------------------------------------------------------------------

    def _placed(self, bound: Bound) -> Any:
        """Gives every file of the job its path, and says what to place where."""
        builder = bound.builder
        inputs = Places(builder.files, INPUTS, apart=True)
        builder.pathmapper = inputs
        if not (builder.files or self._generates):
            return (), ()
        for entry in builder.files:
            self._adjust(entry, builder)
        maps = [inputs]
        if self._generates:
            generated: Any = {"class": "Directory", "listing": [], "basename": ""}
            holder: Any = SimpleNamespace(generatefiles=generated)
            self._process._initialworkdir(holder, builder)
            normalizeFilesDirs(generated)
            maps.append(Places(generated["listing"], FOLDER, apart=False))
        return place(maps, bound.known, self._inplace)

    def _adjust(self, entry: Any, builder: Builder) -> None:
        """Gives a file its path, and those with it; bindings hold the very same objects."""
        check_adjust(self._names, builder, entry)
        for other in (*entry.get("secondaryFiles", ()), *entry.get("listing", ())):
            self._adjust(other, builder)

    # --- streams ----------------------------------------------------------------------------------

    def _stdin(self, builder: Builder) -> str:
        written = self._process.tool.get("stdin")
        path = builder.do_eval(written) if written else None
        if path is None:
            return ""
        if not isinstance(path, str):
            raise self._at("stdin", f"'stdin' must be the path of a file, not {path!r}")
        assert builder.pathmapper is not None
        if builder.pathmapper.reversemap(path) is None:
            raise self._at("stdin", f"'stdin' must be one of the tool's input files, not '{path}'")
        return path

    def _stream(self, builder: Builder, name: str) -> str:
        written = self._process.tool.get(name)
        if not written:
            return ""
        path = builder.do_eval(written)
        if not isinstance(path, str):
            raise self._at(name, f"'{name}' must be the name of a file, not {path!r}")
        if os.path.isabs(path) or ".." in path.split("/"):
            raise self._at(name, f"'{name}' must stay in the tool's own folder, not be '{path}'")
        return path

    def _at(self, field: str, message: str) -> WorkflowException:
        return _error(self._process.tool, field, message)

    # --- surroundings -----------------------------------------------------------------------------

    def _environment(self, builder: Builder) -> dict[str, str]:
        env = dict(self._kept)
        for number, entry in enumerate(self._env):
            value = builder.do_eval(entry["envValue"])
            if not isinstance(value, str):
                raise _error(
                    self._env, number, f"variable '{entry['envName']}' must be text, not {value!r}"
                )
            env[entry["envName"]] = value
        for name in GIVEN:
            env.pop(name, None)
        return env

    def _resources(self, builder: Builder) -> Resources:
        """What the document asks for; what it leaves open stays open, so that a site decides."""
        found, asked = builder.resources, self._asked
        disk = 0
        for name in ("tmpdir", "outdir"):
            if f"{name}Min" in asked or f"{name}Max" in asked:
                disk += int(found[f"{name}Size"])
        memory = int(found["ram"]) if "ramMin" in asked or "ramMax" in asked else 0
        gpus = ceil(found.get("cudaDeviceCount", 0))
        return Resources(
            float(found["cores"]), memory, disk, gpus, walltime_s=self._walltime(builder)
        )

    def _walltime(self, builder: Builder) -> float:
        if self._time is None:
            return 0.0
        limit = builder.do_eval(self._time["timelimit"])
        if not isinstance(limit, int) or limit < 0:
            raise _error(
                self._time,
                "timelimit",
                f"'timelimit' must be a whole number of seconds, 0 or more, not {limit!r}",
            )
        return float(limit)

    def _boxed(self, builder: Builder) -> Container | None:
        """The container, with the network as this invocation has it.

        Tools have none unless they ask for it, since v1.1 (CWL v1.2, CommandLineTool, section
        "NetworkAccess"); v1.0 left it open.
        """
        if self._container is None:
            return None
        if self._network is None:
            allowed: Any = self.tool.version == "v1.0"
        else:
            allowed = builder.do_eval(self._network["networkAccess"])
        if not isinstance(allowed, bool):
            raise _error(
                self._network,
                "networkAccess",
                f"'networkAccess' must be a boolean, not {allowed!r}",
            )
        image, folder = self._container
        return Container(image, folder, allowed)


def inplace(tool: Prepared) -> bool:
    """Whether a tool changes the very files it is given (InplaceUpdateRequirement)."""
    return bool((tool.requirement("InplaceUpdateRequirement") or {}).get("inplaceUpdate"))


def _success_codes(tool: Mapping[str, Any]) -> tuple[int, ...]:
    """The exit codes that mean success; a code named twice counts where it is named first in the
    order success, temporary failure, permanent failure."""
    named: Iterable[int] = tool.get("successCodes", [])
    failing = {*tool.get("temporaryFailCodes", []), *tool.get("permanentFailCodes", [])}
    return tuple(sorted({*named, *({0} - failing)})) or (NEVER,)


def _error(item: Any, key: Any, message: str) -> WorkflowException:
    """An error that knows the line of a field."""
    error: WorkflowException = SourceLine(item, key, WorkflowException).makeError(message)
    return error
