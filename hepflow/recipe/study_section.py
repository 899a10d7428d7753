"""The ``study`` section of a step: its parameters, its objective, how it is looked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from hepflow.model.values import Value
from hepflow.model.workflow import Expression, Port, Retry, Step
from hepflow.recipe.commands import code_lines
from hepflow.recipe.compiling import compile_value
from hepflow.recipe.context import Context, kind_of
from hepflow.recipe.expressions import Literal
from hepflow.recipe.faults import Path, suggestion
from hepflow.recipe.scope import Scope, Shape
from hepflow.recipe.studies import ASK, RESULT, Library, StudyTool
from hepflow.recipe.templates import is_template

KEYS: Final = (
    "parameters", "minimize", "maximize", "trials", "parallel", "sampler", "pruner", "report", "seed",
    "first", "on_failure", "plots",
)  # fmt: skip
PARAMETER_KEYS: Final = ("low", "high", "step", "log", "type", "choices")
DIRECTIONS: Final = ("minimize", "maximize")
ON_FAILURE: Final = ("continue", "stop")
SAMPLER: Final = "TPESampler"
TRIALS: Final = 20

_SCALARS: Final = (bool, int, float, str, type(None))


def read_names(context: Context, raw: Mapping[str, object], path: Path) -> tuple[str, ...]:
    """The names of a study's parameters."""
    where = (*path, "study", "parameters")
    section = raw["study"]
    written = section.get("parameters") if isinstance(section, dict) else None
    given = raw.get("inputs")
    scatter = raw.get("scatter")
    taken = {*(given if isinstance(given, dict) else ()), *(scatter if isinstance(scatter, dict) else ())}  # fmt: skip
    names: list[str] = []
    for name in context.mapping(written, where, "'parameters'"):
        here = (*where, name)
        if not context.good_name(name, here, "a parameter", identifier=True):
            continue
        if name in taken:
            what = f"the parameter '{name}' hides an input or scatter variable of that name"
            context.faults.add("HF219", here, what, fix="rename it", key=True)
            continue
        names.append(name)
    return tuple(names)


def with_result(context: Context, shape: Shape, path: Path) -> Shape:
    """What others see of a step with a study."""
    if RESULT in shape.outputs:
        what = f"an output of a step with a study cannot be called '{RESULT}'"
        why = "there it is what the study found: its best trial, table and plots"
        context.faults.add("HF212", (*path, "outputs", RESULT), what, why=why, fix="rename it")
    return shape._replace(outputs={**shape.outputs, RESULT: Port(RESULT)})


def make_study(
    context: Context,
    raw: Mapping[str, object],
    path: Path,
    step: Step,
    parameters: tuple[str, ...],
    scope: Scope,
) -> Step:
    """A step with a study from the same step without.

    Args:
        step: what one trial is, with what feeds it.
        scope: what an objective may read: a trial's inputs, parameters, and values of outputs.
    """
    where = (*path, "study")
    section = context.mapping(raw["study"], where, "'study'")
    context.unknown_keys(section, KEYS, where, "'study'")
    if not parameters and not section.get("parameters"):
        fix = "write 'parameters: {x: {low: 0, high: 1}}'"
        context.faults.add("HF227", where, "the study has no parameters", fix=fix, key=True)
    objective, direction = _objective(context, section, where, scope)
    report = _report(context, section, where, scope, looped=step.loop is not None)
    definition = _definition(context, section, where, parameters, direction)
    mine = {
        port: binding
        for port, binding in step.inputs.items()
        if binding.expression is not None
        and not set(parameters).isdisjoint(binding.expression.names)
    }
    outside = {port: binding for port, binding in step.inputs.items() if port not in mine}
    outputs = tuple(port for port in step.outputs if port.name != RESULT)
    plain = Scope(scope.around, own=scope.own, variables=step.scatter, hidden=scope.hidden)
    tool = StudyTool(
        trial=step._replace(
            name="trial",
            inputs=mine,
            outputs=outputs,
            scatter=(),
            when=None,
            limit=0,
            doc="",
            site="",
            tolerant=_word(context, section, "on_failure", ON_FAILURE, where) == "continue",
        ),
        ports=tuple(outside),
        parameters=parameters,
        library=Library(definition, tuple(code_lines(context, ASK, where))),
        objective=objective,
        report=report or objective,
        trials=_count(context, section, "trials", TRIALS, where, plain),
        parallel=_count(context, section, "parallel", 1, where, plain),
        plots=context.flag(section.get("plots", True), (*where, "plots"), "'plots'", True),
    )
    # What the expressions of a trial read from outside has been noted by now.
    hidden = {port: binding for port, binding in scope.hidden.items() if port not in outside}
    tool = replace(tool, ports=(*tool.ports, *hidden))
    return step._replace(
        run=tool, inputs={**outside, **hidden}, loop=None, retry=Retry(), cache=True
    )


def _definition(
    context: Context,
    section: Mapping[str, object],
    where: Path,
    parameters: tuple[str, ...],
    direction: str,
) -> dict[str, Value]:
    """What the library is told of the study."""
    pruner = section.get("pruner")
    return {
        "direction": direction,
        "parameters": _parameters(context, section, where, parameters),
        "sampler": _named(context, section.get("sampler", SAMPLER), (*where, "sampler")),
        "pruner": None if pruner is None else _named(context, pruner, (*where, "pruner")),
        "seed": context.whole(section.get("seed", 0), (*where, "seed"), "'seed'"),
        "first": _first(context, section, where, parameters),
    }


def _report(
    context: Context, section: Mapping[str, object], where: Path, scope: Scope, *, looped: bool
) -> Expression | None:
    """What the pruner is told of a round, where that is not the objective."""
    key = "report" if section.get("pruner") is None else "pruner"
    if section.get(key) is not None and not looped:
        why = "a trial can be ended between rounds, not within one program"
        fix = f"make the trial a loop (loop:), or remove '{key}'"
        context.faults.add(
            "HF227", (*where, key), f"'{key}' without 'loop'", why=why, fix=fix, key=True
        )
    if "report" not in section:
        return None
    return _expression(context, section["report"], (*where, "report"), scope, "'report'")


def _objective(
    context: Context, section: Mapping[str, object], where: Path, scope: Scope
) -> tuple[Expression, str]:
    given = [word for word in DIRECTIONS if word in section]
    if len(given) != 1:
        what = f"the study has {'both' if given else 'neither'} 'minimize' {'and' if given else 'nor'} 'maximize'"
        fix = 'write minimize: "{{ outputs.loss }}"'
        context.faults.add("HF227", where, what, fix=fix, key=True)
        return Literal(0.0), DIRECTIONS[0]
    word = given[0]
    found = _expression(context, section[word], (*where, word), scope, f"'{word}'")
    if "outputs" not in found.names and not isinstance(found, Literal):
        fix = "read an output of the trial: {{ outputs.loss }}"
        what = f"'{word}' reads no output of the trial"
        context.faults.add("HF227", (*where, word), what, fix=fix)
    return found, word


def _expression(context: Context, value: object, path: Path, scope: Scope, what: str) -> Expression:
    if isinstance(value, str) and is_template(value):
        return compile_value(value, scope, context.faults, path)
    fix = 'write "{{ outputs.NAME }}"'
    context.faults.add("HF113", path, f"{what} takes an expression, gets {kind_of(value)}", fix=fix)
    return Literal(0.0)


def _count(
    context: Context,
    section: Mapping[str, object],
    key: str,
    default: int,
    where: Path,
    scope: Scope,
) -> Expression:
    """A whole number above zero, or an expression that gives one."""
    value = section.get(key, default)
    if isinstance(value, str) and is_template(value):
        return compile_value(value, scope, context.faults, (*where, key))
    return Literal(context.whole(value, (*where, key), f"'{key}'", 1))


def _word(
    context: Context, section: Mapping[str, object], key: str, words: Sequence[str], where: Path
) -> str:
    word = section.get(key, words[0])
    if word in words:
        return str(word)
    fix = suggestion(str(word), words, "words")
    context.faults.add("HF113", (*where, key), f"'{key}' does not take {kind_of(word)}", fix=fix)
    return words[0]


def _named(context: Context, value: object, path: Path) -> dict[str, Value]:
    """A sampler or pruner: its name, or a record of its name and its options."""
    if isinstance(value, str) and value:
        return {"name": value, "options": {}}
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        options = {key: item for key, item in value.items() if key != "name"}
        return {"name": value["name"], "options": options}
    fix = f"write '{path[-1]}: NAME', or '{path[-1]}: {{name: NAME, option: value}}'"
    what = f"'{path[-1]}' takes a name, gets {kind_of(value)}"
    context.faults.add("HF113", path, what, fix=fix)
    return {"name": "", "options": {}}


def _first(
    context: Context, section: Mapping[str, object], where: Path, parameters: Collection[str]
) -> list[Value]:
    written = section.get("first", [])
    items = written if isinstance(written, list) else [written]
    for position, item in enumerate(items):
        here = (*where, "first", position) if items is written else (*where, "first")
        for name in context.mapping(item, here, "'first'"):
            if name not in parameters:
                fix = suggestion(name, parameters, "parameters")
                what = f"the study has no parameter '{name}'"
                context.faults.add("HF201", (*here, name), what, fix=fix, key=True)
    return items  # type: ignore[return-value]


def _parameters(
    context: Context, section: Mapping[str, object], where: Path, names: Sequence[str]
) -> dict[str, Value]:
    written = section.get("parameters")
    forms = written if isinstance(written, dict) else {}
    return {
        name: _parameter(context, name, forms[name], (*where, "parameters", name)) for name in names
    }


def _parameter(context: Context, name: str, form: object, path: Path) -> dict[str, Value]:
    """Where one parameter is looked for, as the library takes it."""
    fault = partial(context.faults.add, "HF227")
    if isinstance(form, list):
        form = {"choices": form}
    if not isinstance(form, dict):
        fix = f"write '{name}: {{low: 0, high: 1}}', or a list of choices"
        fault(
            path, f"the parameter '{name}' takes bounds or choices, gets {kind_of(form)}", fix=fix
        )
        return {"choices": [0]}
    context.unknown_keys(form, PARAMETER_KEYS, path, f"the parameter '{name}'")
    if "choices" in form:
        choices = form["choices"]
        if not isinstance(choices, list) or not choices or not all(isinstance(c, _SCALARS) for c in choices):  # fmt: skip
            fix = "write plain values: [a, b, 3]"
            fault((*path, "choices"), f"the parameter '{name}': 'choices' takes a list", fix=fix)
            return {"choices": [0]}
        return {"choices": choices}
    bounds: dict[str, int | float] = {}
    for key in ("low", "high", "step"):
        value = form.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            bounds[key] = value
        elif key in form or key != "step":
            got = f"gets {kind_of(value)}" if key in form else "is not given"
            fault((*path, key) if key in form else path, f"the parameter '{name}': '{key}' takes a number, {got}")  # fmt: skip
            return {"choices": [0]}
    log = context.flag(form.get("log", False), (*path, "log"), "'log'", False)
    whole = all(isinstance(value, int) for value in bounds.values())
    kind = form.get("type", "int" if whole else "float")
    wrong = _unsound(bounds, log, kind, whole)
    if wrong:
        fault(path, f"the parameter '{name}': {wrong}")
    return {
        "low": bounds["low"], "high": bounds["high"], "step": bounds.get("step"), "log": log,
        "type": kind,
    }  # fmt: skip


def _unsound(bounds: Mapping[str, int | float], log: bool, kind: object, whole: bool) -> str:
    """What is wrong with a parameter's bounds; empty for nothing."""
    if kind not in ("int", "float"):
        return f"'type' takes int or float, gets {kind_of(kind)}"
    if kind == "int" and not whole:
        return "it is an int, and a bound is not"
    if bounds["low"] > bounds["high"]:
        return f"'low' is {bounds['low']}, above 'high', {bounds['high']}"
    if log and bounds["low"] <= 0:
        return f"'log' needs bounds above 0, and 'low' is {bounds['low']}"
    if log and "step" in bounds:
        return "'log' and 'step' exclude each other"
    return "'step' takes a number above 0" if bounds.get("step", 1) <= 0 else ""
