"""CommandLineTool and ExpressionTool as tools of the model.

These objects are kept with a loaded document and come back with it, so they are small, and they
import the library only when something is to be planned: what is reused never is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, cast

from hepflow.model.errors import Problem, RecipeError
from hepflow.model.task import Outcome, Task
from hepflow.model.values import Values, canonical
from hepflow.model.workflow import PlanContext, Planning, Step, Workflow
from hepflow_cwl.containers import Image, container_of, unsupported
from hepflow_cwl.definition import Definition
from hepflow_cwl.setup import Lane, Setup

if TYPE_CHECKING:
    from cwltool.process import Process

    from hepflow_cwl.binding import Prepared
    from hepflow_cwl.commands import Command


def tool_for(process: Process, setup: Setup) -> CommandTool | ExpressionTool | RefusedTool:
    """The model's tool for a process that is no workflow.

    Args:
        process: as the library made it.
        setup: the user's choices.

    Raises:
        RecipeError: it is of a class that nobody can run (code ``HF249``).
    """
    kind = process.tool["class"]
    if kind == "ExpressionTool":
        return ExpressionTool(process, setup)
    if kind == "CommandLineTool":
        try:
            return CommandTool(process, setup)
        except RecipeError as error:
            return RefusedTool(error.problems)
    raise unsupported(
        process,
        f"it is an {kind}, which says what a step is but not how to run it",
        "put a CommandLineTool, an ExpressionTool or a Workflow in its place",
    )


def refusals(steps: Iterable[Step]) -> Iterator[Problem]:
    """Why some of the tools that steps run cannot run here."""
    for step in steps:
        if isinstance(step.run, Workflow):
            yield from refusals(step.run.steps)
        elif isinstance(step.run, RefusedTool):
            yield from step.run.problems


@dataclass(frozen=True, slots=True)
class RefusedTool:
    """What cannot run here. Its document can still be read, planned and exported.

    Args:
        problems: why, with the code ``HF249``.
    """

    problems: tuple[Problem, ...]

    def fingerprint(self, inputs: Values) -> str:
        return ""

    def plan(self, inputs: Values, context: PlanContext) -> Planning:
        raise ValueError(self.problems[0].what)

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        """Never asked for: there is no task."""
        raise AssertionError("a tool that cannot run leaves nothing to collect")


SECRETS: Final = "http://commonwl.org/cwltool#Secrets"


def _refuse_secrets(process: Process) -> None:
    """A secret would stand in the store, in the command that it keeps: better that nothing runs."""
    asked, _ = process.get_requirement(SECRETS)
    if asked is not None:
        ids = (str(name) for name in cast("Iterable[object]", asked.get("secrets") or ()))
        names = ", ".join(f"'{name.rpartition('#')[2].rpartition('/')[2]}'" for name in ids)
        raise unsupported(
            process,
            f"it has secrets ({names}), and hepflow keeps inputs and commands in its store, for all who"
            " may read the project folder",
            "have it read the secret from a file whose path is an input of type string, or from where"
            " the service's own tools keep it, and take out cwltool:Secrets",
        )


class CommandTool:
    """A CommandLineTool.

    Args:
        process: as the library made it.
        setup: the user's choices.

    Raises:
        RecipeError: it cannot run here.
    """

    def __init__(self, process: Process, setup: Setup) -> None:
        _refuse_secrets(process)
        self.definition = Definition(process)
        self.setup = setup
        self._ports = _input_ports(process)
        self._cached = _Reuse(process)
        image = container_of(process, setup)
        if image is not None and setup.lane is Lane.WORKER:
            raise unsupported(
                process,
                "it needs a container, which a Python worker cannot start",
                "have steps bound by the head, or leave containers out",
            )
        self._head = _head(self.definition, setup, image)

    @cached_property
    def _command(self) -> Command:
        from hepflow_cwl.binding import Prepared
        from hepflow_cwl.commands import Command

        return Command(Prepared(self.definition.process, self.setup), self.setup)

    @cached_property
    def _packed(self) -> str:
        from hepflow_cwl.remote import packed

        return packed(self.definition, self.setup)

    def fingerprint(self, inputs: Values) -> str:
        if not self._cached.always and not self._may_be_reused(inputs):
            return ""
        values = [(name, inputs[name]) for name in self._ports if name in inputs]
        return self._head + "\n".join(
            [f"inputs.{name}={canonical(value, _shorten)}" for name, value in values]
        )

    def _may_be_reused(self, inputs: Values) -> bool:
        """Whether the result for these inputs may come from an earlier run."""
        if self._cached.never:
            return False
        if any(inputs.get(name) is None for name in self._cached.file_defaults):
            return False  # the default is a file, whose content the inputs do not tell
        return not self._cached.expression or self._command.reusable(inputs)

    def plan(self, inputs: Values, context: PlanContext) -> Planning:
        if self.setup.lane is Lane.WORKER:
            from hepflow_cwl.remote import step_task

            return step_task(self._packed, inputs, self._command.resources(inputs))
        return self._command.task(inputs)

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        if self.setup.lane is Lane.WORKER:
            from hepflow_cwl.remote import step_outputs

            return step_outputs(outcome)
        return self._command.ports.collect(task, outcome, folder)

    def __getstate__(self) -> dict[str, Any]:
        made = ("_command", "_packed")
        return {name: value for name, value in vars(self).items() if name not in made}


class ExpressionTool:
    """An ExpressionTool: its outputs are computed when it is planned.

    Args:
        process: as the library made it.
        setup: the user's choices.
    """

    def __init__(self, process: Process, setup: Setup) -> None:
        self.definition = Definition(process)
        self.setup = setup

    @cached_property
    def _prepared(self) -> Prepared:
        from hepflow_cwl.binding import Prepared

        return Prepared(self.definition.process, self.setup)

    def fingerprint(self, inputs: Values) -> str:
        """Empty: to compute the outputs costs less than to look them up."""
        return ""

    def plan(self, inputs: Values, context: PlanContext) -> Planning:
        from hepflow_cwl.collecting import computed

        return computed(self._prepared, inputs)

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        """Never asked for: planning gives the outputs."""
        raise AssertionError("an ExpressionTool leaves no task to collect from")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_prepared"}


# --- what is the same for all invocations ---------------------------------------------------------


class _Reuse:
    """Whether results of a tool may be reused, as far as that is known before its inputs are.

    Args:
        process: the library's tool.
    """

    def __init__(self, process: Process) -> None:
        wanted = (process.get_requirement("WorkReuse")[0] or {}).get("enableReuse", True)
        in_place, _ = process.get_requirement("InplaceUpdateRequirement")
        self.never = bool(in_place and in_place.get("inplaceUpdate"))
        self.expression = wanted if isinstance(wanted, str) else ""
        self.file_defaults = tuple(
            _short(port["id"])
            for port in process.tool["inputs"]
            if _holds_file(port.get("default"))
        )
        self.always = not (self.never or self.expression or self.file_defaults)


def _holds_file(value: object) -> bool:
    if isinstance(value, Mapping):
        return "class" in value or any(_holds_file(item) for item in value.values())
    return isinstance(value, list) and any(_holds_file(item) for item in value)


def _short(identifier: str) -> str:
    return identifier.rpartition("#")[2].rpartition("/")[2]


def _input_ports(process: Process) -> tuple[str, ...]:
    return tuple(sorted(_short(port["id"]) for port in process.tool["inputs"]))


def _head(definition: Definition, setup: Setup, image: Image | None) -> str:
    """The lines of a fingerprint that are the same for all invocations."""
    lines = [f"cwl={definition.digest}"]
    if image is not None:
        lines.append(f"container={image.reference}")
    lines += [f"env.{name}={value!r}" for name, value in sorted(setup.environment.items())]
    if setup.mpi_config:
        with open(setup.mpi_config, "rb") as file:
            lines.append(f"mpi={sha256(file.read()).hexdigest()}")
    return "\n".join(lines) + "\n"


def _shorten(text: str) -> str:
    return f"sha256:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
