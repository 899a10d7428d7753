"""yadage's workflows as the model's: a step for each stage, linked to those that its queries begin with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from hepflow.model.errors import Place, Problem, RecipeError
from hepflow.model.types import ANY
from hepflow.model.values import Values
from hepflow.model.workflow import Binding, Port, Ref, Step, Workflow
from hepflow_yadage.documents import Library, Record, parse
from hepflow_yadage.reading import INIT, SELECTOR, query_of, read_workflow, references_in
from hepflow_yadage.results import Entry, Folders, Published
from hepflow_yadage.setup import Setup
from hepflow_yadage.specs import JSON, Kind, Scope, Stage
from hepflow_yadage.stages import GIVEN, NODE, NODES, InitTool, NodeTool, StageTool

FOLDERS: Final = "workdir"
"""The output with the folders of all nodes."""

_JQ_FIELD: Final = re.compile(r"""\s*\.(?:"([^"]+)"|([A-Za-z_]\w*))""")
_PLAIN: Final = re.compile(r"[\w-]+")


def load_workflow(path: Path, setup: Setup) -> Workflow:
    """The workflow in a file, as ``YadageLanguage.load``.

    Raises:
        RecipeError: with every fault found.
    """
    scope = read_workflow(Library(setup.toplevel).load(path), str(path))
    return _Translation(setup).whole(replace(scope, discover=True), path)


class _Translation:
    """One file's scopes on their way into the model; each becomes one workflow, however often it runs."""

    def __init__(self, setup: Setup) -> None:
        self._initdir = setup.initdir
        self._inner: dict[Scope, Workflow] = {}

    def whole(self, scope: Scope, path: Path) -> Workflow:
        """The workflow of a file."""
        found = {asked.name: asked for asked in parameters_of(scope)}
        ports = [Port(name, ANY, None, place=asked.place) for name, asked in found.items()]
        rest = Port(INIT, ANY, {}, "any other parameters, by name")
        names = tuple(found)
        init = Step(
            INIT,
            InitTool(scope, names, self._initdir),
            {name: Binding((Ref("", name),)) for name in (*names, INIT)},
            (Port(NODES),),
        )
        values = registered(scope)
        entry = Entry(scope, values)
        every = tuple(Ref(stage.name, NODES) for stage in scope.stages)
        folders = FOLDERS
        while any(stage.name == folders for stage in scope.stages):
            folders += "_"
        outputs = {folders: Binding((Ref(INIT, NODES), *every), expression=Folders(entry))}
        for stage in scope.stages:
            published = Published(stage.name, stage.scheduler.kind is Kind.SINGLE)
            outputs[stage.name] = Binding((Ref(stage.name, NODES),), expression=published)
        return Workflow(
            path.stem,
            (*ports, rest),
            (init, *self._steps(scope)),
            outputs,
            source=str(path),
            prepare=_demand([asked for asked in found.values() if asked.required]),
            read=_parameter_file(frozenset(names)),
        )

    def inner(self, scope: Scope) -> Workflow:
        """The workflow of a scope within a stage."""
        known = self._inner.get(scope)
        if known is None:
            init = Step(INIT, InitTool(scope), {GIVEN: Binding((Ref("", GIVEN),))}, (Port(NODES),))
            steps = (init, *self._steps(scope))
            every = tuple(Ref(step.name, NODES) for step in steps)
            values = registered(scope)
            outputs = {
                NODE: Binding(every, expression=Entry(scope, values)),
                NODES: Binding(every, expression=Entry(scope, values, listed=True)),
            }
            known = Workflow("workflow", (Port(GIVEN),), steps, outputs)
            self._inner[scope] = known
        return known

    def _steps(self, scope: Scope) -> Iterator[Step]:
        values = registered(scope)
        for stage in scope.stages:
            where = f"stage '{stage.name}' ({stage.place})"
            many = self._many(stage, where)
            yield Step(
                stage.name,
                StageTool(stage, values, where, self.inner, many),
                {name: Binding((Ref(name, NODES),)) for name in stage.needs},
                (Port(NODES),),
                place=stage.place,
            )

    def _many(self, stage: Stage, where: str) -> Workflow:
        """What a stage of several nodes answers with."""
        step = Step(
            NODE,
            NodeTool(stage.scheduler.body, where, self.inner),
            {GIVEN: Binding((Ref("", GIVEN),))},
            (Port(NODE),),
            scatter=(GIVEN,),
            place=stage.place,
        )
        outputs = {NODES: Binding((Ref(NODE, NODE),))}
        return Workflow(stage.name, (Port(GIVEN),), (step,), outputs)


def registered(scope: Scope) -> dict[str, tuple[str, JSON]]:
    """The registered expressions of a scope by name, each with the stage that registers it."""
    return {
        key: (stage.name, value)
        for stage in scope.stages
        for key, value in stage.scheduler.values.items()
    }


# --- parameters ---------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A parameter of a workflow that a stage reads.

    Args:
        required: the stage cannot do without it.
    """

    name: str
    place: Place
    required: bool


def parameters_of(scope: Scope) -> Iterator[Asked]:
    """The parameters that a workflow reads, as far as its text tells: yadage declares none."""
    for stage in scope.stages:
        scheduler = stage.scheduler
        for value in scheduler.parameters.values():
            yield from _selected(value, stage.place, required=True)
        for value in (*stage.fulfilled, *scheduler.values.values()):
            yield from _selected(value, stage.place, required=False)
        for nodes, results in references_in(scheduler.bindings):
            field = _JQ_FIELD.match(results)
            start = _JQ_FIELD.match(nodes)
            if field and start and (start[1] or start[2]) == INIT:
                yield Asked(field[1] or field[2], stage.place, False)


def _selected(expression: JSON, place: Place, *, required: bool) -> Iterator[Asked]:
    if not isinstance(expression, dict) or expression.get("expression_type") != SELECTOR:
        return
    output = expression.get("output")
    if query_of(expression).strip() == INIT and output and _PLAIN.fullmatch(str(output)):
        at = expression.at("output") if isinstance(expression, Record) else place
        yield Asked(str(output), at, required)


def _demand(required: list[Asked]) -> Callable[[Values], Values]:
    """What refuses inputs that lack a parameter."""

    def prepared(inputs: Values) -> Values:
        more = inputs.get(INIT)
        there = {name for name, value in inputs.items() if value is not None}
        there |= set(more) if isinstance(more, Mapping) else set()
        problems = [
            Problem(
                asked.place, "HF225", f"the parameter '{asked.name}' has no value",
                fix=f"give it: {asked.name}=...",
            )
            for asked in required
            if asked.name not in there
        ]  # fmt: skip
        if problems:
            raise RecipeError(problems)
        return inputs

    return prepared


def _parameter_file(names: frozenset[str]) -> Callable[[str], Values]:
    """What reads a file of parameters; those that no stage names come as ``init``."""

    def read(path: str) -> Values:
        try:
            data: Any = parse(Path(path).read_text(encoding="utf-8"), path)
        except (OSError, UnicodeDecodeError) as error:
            what = f"cannot read the inputs file: {error}"
            raise RecipeError(Problem(Place(path), "HF223", what)) from None
        if not isinstance(data, Record):
            what = "an inputs file is a mapping of name: value"
            raise RecipeError(Problem(Place(path, 1, 1), "HF224", what))
        own = {name: value for name, value in data.items() if name in names}
        rest = {name: value for name, value in data.items() if name not in names}
        return {**own, INIT: rest} if rest else own

    return read
