"""From a document to its stages, with every fault at its place (yadage-schemas 0.11.1, ``yadage/``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from hepflow.model.errors import Place, Problem, RecipeError
from hepflow_yadage.documents import Record
from hepflow_yadage.processes import Packtivities
from hepflow_yadage.queries import check_jq, check_path
from hepflow_yadage.shapes import INVALID, Default, Needed, Shape, fields_of
from hepflow_yadage.specs import JSON, Body, Case, Kind, Scheduler, Scope, Stage

SELECTOR: Final = "stage-output-selector"
FROM_VALUE: Final = "fromvalue"
INIT: Final = "init"

_NAME: Final = re.compile(r"[A-Za-z_][\w-]*")
_FIRST: Final = re.compile(r"""\s*(?:\$\s*\.\s*)?(?:'([^']+)'|"([^"]+)"|([A-Za-z_][\w-]*))""")
_JQ_FIELDS: Final = re.compile(r"""\.\s*(?:"([^"]+)"|([A-Za-z_]\w*))""")

_BODIES: Final = ("step", "workflow", "cases")
_COMMON: Final[Shape] = {
    "scheduler_type": Needed(str),
    "step": Default((dict, type(None)), None),
    "workflow": Default((dict, type(None)), None),
    "cases": Default(list, None),
    "workflow_opts": Default(dict, None),
    "register_values": Default((dict, type(None)), None),
}
_SINGLE: Final[Shape] = {**_COMMON, "parameters": Default((dict, list), ())}
_SCHEDULERS: Final[Mapping[Kind, Shape]] = {
    Kind.SINGLE: _SINGLE,
    Kind.MULTI: {
        **_SINGLE,
        "scatter": Needed(dict),
        "batchsize": Default(int, 0),
        "partitionsize": Default(int, 0),
    },
    Kind.JQ: {
        **_COMMON,
        "bindings": Needed((dict, list)),
        "stepscript": Default(str, "[.]"),
        "postscript": Default(str, "."),
    },
}


def read_workflow(document: Any, file: str) -> Scope:
    """The workflow in a document whose references have been replaced.

    Raises:
        RecipeError: with every fault found.
    """
    if not isinstance(document, Record):
        raise RecipeError(
            Problem(Place(file), INVALID, "a yadage workflow is a mapping with 'stages'")
        )
    reading = _Reading()
    scope = reading.scope(document, {})
    if reading.problems:
        raise RecipeError(dict.fromkeys(reading.problems))
    return scope


class _Reading:
    """One document on its way into stages; what several places refer to is read once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._packtivities = Packtivities(self.problems)

    def _tell(self, problem: Problem) -> None:
        self.problems.append(problem)

    def _fault(self, place: Place, what: str, fix: str = "", why: str = "") -> None:
        self.problems.append(Problem(place, INVALID, what, why, fix))

    # --- stages -----------------------------------------------------------------------------------

    def scope(self, record: Record, options: Mapping[str, JSON]) -> Scope:
        """A workflow."""
        said = fields_of(record, {"stages": Needed(list)}, "a yadage workflow", self._tell)
        stages: list[Stage] = []
        records = said["stages"] if said else []
        named = [r for r in records if isinstance(r, Record) and isinstance(r.get("name"), str)]
        order = [INIT, *(record["name"] for record in named)]
        registered = {
            key: (record["name"], value)
            for record in named
            for key, value in _registered(record).items()
            if not _expression_fault(value)  # else it is told where it stands
        }
        for item in records:
            if not isinstance(item, Record):
                self._fault(record.at("stages"), "a stage is a mapping with 'name' and 'scheduler'")
            elif (stage := self._stage(item, order, registered)) is not None:
                if any(other.name == stage.name for other in stages):
                    self._fault(item.at("name"), f"there are two stages '{stage.name}'")
                stages.append(stage)
        discover, relative = options.get("discover", False), options.get("relative", True)
        return Scope(tuple(stages), record.place, bool(discover), bool(relative))

    def _stage(
        self, record: Record, order: list[str], registered: Mapping[str, tuple[str, JSON]]
    ) -> Stage | None:
        shape: Shape = {
            "name": Needed(str),
            "dependencies": Default((dict, list, type(None)), None),
            "scheduler": Needed(dict),
        }
        said = fields_of(record, shape, "a stage", self._tell)
        if said is None:
            return None
        name, place = said["name"], record.at("name")
        if not _NAME.fullmatch(name) or name == INIT:
            fix = "letters, digits, '_' and '-', and not 'init'"
            self._fault(place, f"'{name}' cannot be the name of a stage", fix)
            return None
        scheduler = self._scheduler(said["scheduler"])
        if scheduler is None:
            return None
        if scheduler.kind is not Kind.JQ:
            self._packtivities.check_words(name, scheduler.body, scheduler.parameters)
        ready, fulfilled = self._dependencies(said["dependencies"], record.at("dependencies"))
        needs = set(self._first_names(ready, record.at("dependencies")))
        for expression in (*fulfilled, *scheduler.parameters.values()):
            needs |= self._names_in(expression, record.place, registered, frozenset())
        needs |= set(_names_in_bindings(scheduler.bindings, order))
        for unknown in sorted(needs - set(order)):
            near = get_close_matches(unknown, order, n=1)
            fix = f"did you mean '{near[0]}'?" if near else f"its stages are {', '.join(order[1:])}"
            self._fault(
                place, f"stage '{name}' reads from '{unknown}', which is no stage here", fix
            )
        if name in needs:
            self._fault(place, f"stage '{name}' waits for itself")
        needed = tuple(other for other in order if other in needs)
        return Stage(name, scheduler, ready, fulfilled, needed, place)

    def _dependencies(self, said: JSON, place: Place) -> tuple[tuple[str, ...], tuple[JSON, ...]]:
        if said is None:
            return (), ()
        if isinstance(said, list):
            return self._paths(said, place), ()
        shape = {"dependency_type": Needed(str), "expressions": Needed(list)}
        fields = fields_of(said, shape, "dependencies", self._tell)
        if fields is None:
            return (), ()
        if fields["dependency_type"] == "jsonpath_ready":
            return self._paths(fields["expressions"], said.at("expressions")), ()
        if fields["dependency_type"] == "expressions_fulfilled":
            place = said.at("expressions")
            sound = [item for item in fields["expressions"] if self._expression(item, place)]
            return (), tuple(sound)
        fix = "jsonpath_ready or expressions_fulfilled"
        what = f"there is no dependency_type '{fields['dependency_type']}'"
        self._fault(said.at("dependency_type"), what, fix)
        return (), ()

    def _paths(self, found: list[JSON], place: Place) -> tuple[str, ...]:
        return tuple(item for item in found if self._is_path(item, place))

    def _is_path(self, item: JSON, place: Place) -> bool:
        why = _path_fault(item)
        if why:
            self._fault(place, why)
        return not why

    # --- what a stage reads ---------------------------------------------------------------------------

    def _expression(self, value: JSON, place: Place) -> bool:
        """Whether a value is an expression as it should be; one with faults is told."""
        why = _expression_fault(value)
        if why:
            self._fault(value.place if isinstance(value, Record) else place, why)
        return not why

    def _first_names(self, paths: Iterable[str], place: Place) -> Iterator[str]:
        """The stages that JSONPaths begin with."""
        for path in paths:
            match = _FIRST.match(path)
            if match is None:
                fix = "name the stage it is about: 'stage', 'stage[*].inner'"
                self._fault(place, f"'{path}' does not begin with the name of a stage", fix)
            else:
                yield match[1] or match[2] or match[3]

    def _names_in(
        self,
        expression: JSON,
        place: Place,
        registered: Mapping[str, tuple[str, JSON]],
        seen: frozenset[str],
    ) -> set[str]:
        """The stages that an expression reads from, also by way of registered values."""
        kind = expression.get("expression_type") if isinstance(expression, dict) else None
        at = expression.place if isinstance(expression, Record) else place
        if kind == SELECTOR:
            return set(self._first_names([query_of(expression)], at))
        if kind != FROM_VALUE:
            return set()
        if "scope" in expression:
            return set(self._first_names([expression["scope"]], at))
        key = expression["key"]
        if key not in registered or key in seen:
            fix = f"registered are {', '.join(registered) or 'none'}"
            self._fault(at, f"no stage of this workflow registers a value '{key}'", fix)
            return set()
        stage, value = registered[key]
        return {stage} | self._names_in(value, at, registered, seen | {key})

    # --- schedulers -----------------------------------------------------------------------------------

    def _scheduler(self, record: Record) -> Scheduler | None:
        names = {kind.value: kind for kind in Kind}
        kind = names.get(str(record.get("scheduler_type")))
        if kind is None:
            near = get_close_matches(str(record.get("scheduler_type")), names, n=1)
            fix = f"did you mean '{near[0]}'?" if near else f"one of {', '.join(names)}"
            what = f"there is no scheduler_type '{record.get('scheduler_type')}'"
            self._fault(record.at("scheduler_type"), what, fix)
            return None
        said = fields_of(record, _SCHEDULERS[kind], f"a '{kind.value}'", self._tell)
        if said is None:
            return None
        body = self._body(record, said["workflow_opts"] or {})
        parameters = self._parameters(said.get("parameters", ()), record.at("parameters"))
        values = said["register_values"] or {}
        for value in values.values():
            self._expression(value, record.at("register_values"))
        scatter, cartesian = self._scatter(said.get("scatter"), parameters)
        for key in ("batchsize", "partitionsize"):
            if key in record and said.get(key, 1) < 1:
                self._fault(record.at(key), f"'{key}' is at least 1, here it is {said[key]}")
        for key in ("stepscript", "postscript"):
            why = check_jq(said[key]) if key in said else ""
            if why:
                self._fault(record.at(key), f"'{key}' is not jq: {why}")
        if body is None:
            return None
        return Scheduler(
            kind, body, parameters, scatter, cartesian,
            said.get("batchsize", 0), said.get("partitionsize", 0),
            said.get("bindings"), said.get("stepscript", ""), said.get("postscript", ""), values,
        )  # fmt: skip

    def _parameters(self, said: JSON, place: Place) -> dict[str, JSON]:
        """Parameters, selections spelt out; as a mapping or as a list of ``key`` and ``value``."""
        if isinstance(said, Record):
            found: dict[str, JSON] = {}
            for key, value in said.items():
                if isinstance(value, Record) and value.keys() & {"steps", "stages", "step"}:
                    value = _retyped(value)
                found[key] = value
        else:
            found = {}
            for item in said:
                if isinstance(item, Record) and item.keys() == {"key", "value"}:
                    found[str(item["key"])] = item["value"]
                else:
                    self._fault(place, "a parameter in a list has a 'key' and a 'value'")
        sound = {}
        for key, value in found.items():
            expression = isinstance(value, dict) and "expression_type" in value
            if not expression or self._expression(value, place):
                sound[key] = value
        return sound

    def _scatter(
        self, said: Record | None, parameters: Mapping[str, JSON]
    ) -> tuple[tuple[str, ...], bool]:
        if said is None:
            return (), False
        shape = {"method": Needed(str), "parameters": Needed(list)}
        fields = fields_of(said, shape, "'scatter'", self._tell)
        if fields is None:
            return (), False
        if fields["method"] not in ("zip", "cartesian"):
            what = f"there is no scatter method '{fields['method']}'"
            self._fault(said.at("method"), what, "zip or cartesian")
        for name in fields["parameters"]:
            if not isinstance(name, str) or name not in parameters:
                near = get_close_matches(str(name), parameters, n=1)
                fix = f"did you mean '{near[0]}'?" if near else ""
                self._fault(
                    said.at("parameters"), f"there is no parameter '{name}' to scatter", fix
                )
        if not fields["parameters"]:
            self._fault(said.at("parameters"), "nothing to scatter over")
        return tuple(fields["parameters"]), fields["method"] == "cartesian"

    # --- what a node is -------------------------------------------------------------------------------

    def _body(self, record: Record, options: Mapping[str, JSON]) -> Body | None:
        present = [key for key in _BODIES if record.get(key) is not None]
        if len(present) != 1:
            fix = f"keep one of {', '.join(present)}" if present else ""
            self._fault(record.place, "it has one of 'step', 'workflow' and 'cases'", fix)
            return None
        key = present[0]
        wanted = list if key == "cases" else Record
        if not isinstance(record[key], wanted):
            kind = "a list" if key == "cases" else "a mapping"
            self._fault(record.at(key), f"'{key}' is {kind}, here it is {record[key]!r:.60}")
            return None
        if key == "step":
            return self._packtivities.read(record[key])
        if key == "workflow":
            return self.scope(record[key], options)
        return tuple(case for item in record[key] for case in self._case(item, record))

    def _case(self, item: JSON, record: Record) -> Iterator[Case]:
        if not isinstance(item, Record) or not isinstance(item.get("if"), str):
            self._fault(record.at("cases"), "a case has an 'if', a jq program over the parameters")
            return
        why = check_jq(item["if"])
        if why:
            self._fault(item.at("if"), f"'if' is not jq: {why}")
            return
        body = self._body(item, {})
        if body is not None:
            yield Case(item["if"], body, item.place)


def _path_fault(item: JSON) -> str:
    """Why something is no JSONPath; empty if it is one."""
    if isinstance(item, str):
        return check_path(item)
    return f"a stage is named by a text or a JSONPath, here it is {item!r:.60}"


def _expression_fault(value: JSON) -> str:
    """Why something is no expression; empty if it is one."""
    kind = value.get("expression_type") if isinstance(value, dict) else None
    if kind == SELECTOR:
        queries = [value[key] for key in ("stages", "steps", "step") if key in value]
        if len(queries) != 1:
            return "a selection has one of 'stages', 'steps' and 'step'"
        if not isinstance(value.get("output", ""), (str, type(None))):
            return f"'output' is a name or a JSONPath, here it is {value['output']!r:.60}"
        return _path_fault(queries[0])
    if kind == FROM_VALUE:
        if not isinstance(value.get("key"), str):
            return "'fromvalue' needs a 'key', the name of a registered value"
        return _path_fault(value["scope"]) if "scope" in value else ""
    return f"there is no expression_type '{kind}': it is {SELECTOR} or {FROM_VALUE}"


def query_of(selection: Mapping[str, JSON]) -> str:
    """The JSONPath of a selection."""
    return next(str(selection[key]) for key in ("stages", "steps", "step") if key in selection)


def _retyped(selection: Record) -> Record:
    """A selection that says what it is."""
    record = Record(selection.place)
    record.places = selection.places
    record.update(selection)
    record.setdefault("expression_type", SELECTOR)
    return record


def _registered(stage: Record) -> Mapping[str, JSON]:
    scheduler = stage.get("scheduler")
    values = scheduler.get("register_values") if isinstance(scheduler, Record) else None
    return values if isinstance(values, Record) else {}


def references_in(bindings: JSON) -> Iterator[tuple[str, str]]:
    """What the bindings of a ``jq-stage`` refer to: pairs of programs, for nodes and for their results."""
    if isinstance(bindings, dict):
        reference = bindings.get("$wflowref")
        if isinstance(reference, list) and len(reference) == 2:
            yield str(reference[0]), str(reference[1])
            return
        bindings = list(bindings.values())
    if isinstance(bindings, list):
        for item in bindings:
            yield from references_in(item)


def _names_in_bindings(bindings: JSON, stages: list[str]) -> Iterator[str]:
    """The stages that jq programs mention; what else looks so is a key of something inside."""
    for nodes, _ in references_in(bindings):
        for match in _JQ_FIELDS.finditer(nodes):
            name = match[1] or match[2]
            if name in stages:
                yield name
