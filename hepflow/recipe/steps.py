"""One step: from its keys to a node of the workflow.

In two passes, because links may point forward: ``outline`` tells what others see of a step,
``build`` makes the step once all outlines are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from hepflow.model.types import ANY, Type
from hepflow.model.values import Value
from hepflow.model.workflow import (
    Binding,
    Expression,
    From,
    Loop,
    Port,
    Required,
    Scatter,
    Step,
    Tool,
    Workflow,
    at_site,
)
from hepflow.recipe.commands import build_tool
from hepflow.recipe.compiling import compile_value
from hepflow.recipe.context import SYNONYMS, Context, kind_of
from hepflow.recipe.expressions import Literal
from hepflow.recipe.faults import Path, nearest, suggestion
from hepflow.recipe.links import Feed, Links, accepts
from hepflow.recipe.modifiers import (
    Written,
    read_cache,
    read_limit,
    read_method,
    read_retry,
    read_site,
)
from hepflow.recipe.products import NOTHING, Declared, declare
from hepflow.recipe.scope import Scope, Shape, Surroundings
from hepflow.recipe.studies import RESULT
from hepflow.recipe.study_section import make_study, read_names, with_result
from hepflow.recipe.templates import is_template

KINDS: Final = ("command", "script", "python", "uses", "workflow")
KEYS: Final = frozenset({
    *KINDS, "inputs", "outputs", "scatter", "method", "when", "loop", "resources", "env", "container",
    "retries", "cache", "limit", "site", "sources", "checkpoint", "study", "doc",
})  # fmt: skip
LOOP_KEYS: Final = ("while", "next", "collect", "limit")

Nested = Callable[["Outline", Mapping[str, object], Path], "Workflow | None"]
"""Compiles a ``workflow:`` in place, whose inputs are the step's."""


@dataclass(slots=True)
class Outline:
    """A step before its links are known."""

    name: str
    raw: Mapping[str, object]
    path: Path
    kind: str
    declared: Declared
    shape: Shape
    variables: tuple[str, ...] = ()
    inner: Workflow | None = None
    parameters: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What is reached by its bare name: scatter variables, and the parameters of a study."""
        return (*self.variables, *self.parameters)

    @property
    def produced(self) -> Mapping[str, Port]:
        """What one invocation leaves; of a study, what one of its trials leaves."""
        outputs = self.shape.outputs
        if "study" not in self.raw:
            return outputs
        return {name: port for name, port in outputs.items() if name != RESULT}


@dataclass(slots=True)
class Parts:
    """A step's ports while they are collected."""

    bindings: dict[str, Binding] = field(default_factory=dict)
    feeds: dict[str, Feed] = field(default_factory=dict)


def outline(context: Context, name: str, raw: object, path: Path, nested: Nested) -> Outline | None:
    """The first pass over one step; ``None`` when it is beyond reading."""
    if not isinstance(raw, dict):
        what = f"step '{name}' takes a mapping, gets {kind_of(raw)}"
        context.faults.add("HF110", path, what, fix=f"write '{name}: {{command: ...}}'")
        return None
    if not raw.keys() <= KEYS:
        context.unknown_keys(raw, KEYS, path, f"step '{name}'")
    kind = _kind(context, name, raw, path)
    variables = _variables(context, name, raw, path) if "scatter" in raw else ()
    found = Outline(name, raw, path, kind, NOTHING, Shape({}), variables)
    if "study" in raw:
        found.parameters = read_names(context, raw, path)
    if kind in ("uses", "workflow"):
        _outline_inner(context, found, nested)
    else:
        found.declared = declare(
            context, raw.get("outputs"), (*path, "outputs"), python=kind == "python"
        )
        found.shape = _shape(raw, found.declared.ports, variables)
    if "study" in raw:
        found.shape = with_result(context, found.shape, path)
    return found


def _shape(
    raw: Mapping[str, object], ports: Mapping[str, Port], variables: tuple[str, ...]
) -> Shape:
    if not variables and "when" not in raw and "loop" not in raw:
        return Shape(ports)
    depth = (
        (len(variables) if raw.get("method") in ("nested", Scatter.NESTED.value) else 1)
        if variables
        else 0
    )
    loop = raw.get("loop")
    kept = isinstance(loop, dict) and loop.get("collect") == "all"
    return Shape(ports, depth + kept, "when" in raw or (loop is not None and not kept))


def _outline_inner(context: Context, found: Outline, nested: Nested) -> None:
    raw, path = found.raw, found.path
    if found.kind == "uses":
        written = context.text(raw["uses"], (*path, "uses"), "'uses'")
        found.inner = context.uses(written, (*path, "uses")) if written else None
    else:
        body = context.mapping(raw["workflow"], (*path, "workflow"), "'workflow'")
        found.inner = nested(found, body, (*path, "workflow"))
    for key in ("outputs", "resources", "env", "container", "cache", "sources", "checkpoint"):
        if key in raw:
            why = (
                f"the steps of what it {'uses' if found.kind == 'uses' else 'holds'} have their own"
            )
            what = f"step '{found.name}': '{key}' means nothing beside '{found.kind}'"
            context.faults.add("HF216", (*path, key), what, why=why, fix="remove it", key=True)
    names = found.inner.outputs if found.inner is not None else ()
    found.shape = _shape(raw, {name: Port(name) for name in names}, found.variables)


def _kind(context: Context, name: str, raw: Mapping[str, object], path: Path) -> str:
    """Which of the kinds of work a step is."""
    kinds = [kind for kind in KINDS if kind in raw]
    if len(kinds) == 1:
        return kinds[0]
    if not kinds:
        meant = [nearest(key, KEYS) or SYNONYMS.get(key, "") for key in raw if key not in KEYS]
        if any(word in KINDS for word in meant):
            return "nothing"  # the misspelt key is told already
        fix = f"give it one of {', '.join(KINDS)}"
        context.faults.add("HF217", path, f"step '{name}' has nothing to run", fix=fix, key=True)
        return "nothing"
    what = f"step '{name}' has both '{kinds[0]}' and '{kinds[1]}'"
    context.faults.add(
        "HF218", (*path, kinds[1]), what, fix="keep one, or make two steps", key=True
    )
    return kinds[0]


def _variables(
    context: Context, name: str, raw: Mapping[str, object], path: Path
) -> tuple[str, ...]:
    """The names a step scatters over."""
    scatter = raw["scatter"]
    where = (*path, "scatter")
    own = raw.get("inputs")
    names = own if isinstance(own, dict) else {}
    if isinstance(scatter, str):
        scatter = [scatter]
    if isinstance(scatter, list):
        for position, item in enumerate(scatter):
            if not isinstance(item, str) or item not in names:
                fix = (
                    suggestion(str(item), names, "inputs")
                    or "write 'scatter: {name: ...}' to make one"
                )
                what = f"step '{name}' has no input {item!r} to scatter over"
                context.faults.add("HF201", (*where, position), what, fix=fix)
        return tuple(item for item in scatter if isinstance(item, str) and item in names)
    if not isinstance(scatter, dict) or not scatter:
        what = f"'scatter' takes names with arrays, gets {kind_of(scatter)}"
        fix = 'write scatter: {i: "{{ range(10) }}"}'
        context.faults.add("HF110", where, what, fix=fix)
        return ()
    found: list[str] = []
    for variable in scatter:
        here = (*where, variable)
        if not context.good_name(variable, here, "a scatter variable", identifier=True):
            continue
        if variable in names:
            what = f"the scatter variable '{variable}' hides the input '{variable}'"
            fix = f"to scatter over the input write 'scatter: [{variable}]'"
            context.faults.add("HF219", here, what, fix=fix, key=True)
            continue
        found.append(variable)
    return tuple(found)


# --- the second pass -----------------------------------------------------------------------------


def build(context: Context, found: Outline, around: Surroundings, links: Links) -> Step:
    """The step itself."""
    raw, path = found.raw, found.path
    parts = Parts()
    hidden: dict[str, Binding] = {}
    for variable in found.names:
        if variable in around.steps:
            scattered = variable in found.variables
            kind = "scatter variable" if scattered else "parameter"
            what = f"the {kind} '{variable}' hides the step '{variable}'"
            where = (*path, *(("scatter",) if scattered else ("study", "parameters")), variable)
            context.faults.add("HF219", where, what, fix="rename it", key=True)
    _bind_inputs(context, found, around, links, parts, hidden)
    _check_types(context, found, parts)
    own = list(parts.bindings)
    if isinstance(raw.get("scatter"), dict):
        own = [name for name in own if name not in found.variables]
    run = _run(context, found, around, own, hidden)
    written = Written(raw, path, context.defaults)
    site = read_site(context, written)
    if isinstance(run, Workflow) and site:
        run = at_site(run, site)
    values = Scope(around, own=own, variables=found.names, hidden=hidden)
    when = loop = None
    if "when" in raw:
        whole = Scope(around, own=own, variables=found.variables, hidden=hidden)
        when = _condition(context, raw["when"], (*path, "when"), whole, "'when'")
    if "loop" in raw:
        loop = _loop(context, found, values)
    doc = context.text(raw["doc"], (*path, "doc"), "'doc'").strip() if "doc" in raw else ""
    step = Step(
        found.name,
        run,
        {**parts.bindings, **hidden},
        tuple(found.shape.outputs.values()),
        found.variables,
        read_method(context, raw, path),
        when,
        loop,
        read_retry(context, written),
        read_cache(context, written),
        read_limit(context, written),
        doc,
        context.document.place(path),
        "" if isinstance(run, Workflow) else site,
    )
    if "study" not in raw:
        return step
    after = Scope(
        around,
        own=own,
        variables=found.names,
        outputs=found.produced,
        outputs_are_values=True,
        hidden=hidden,
    )
    return make_study(context, raw, path, step, found.parameters, after)


def _run(
    context: Context,
    found: Outline,
    around: Surroundings,
    own: list[str],
    hidden: dict[str, Binding],
) -> Tool | Workflow:
    """What the step runs."""
    if found.kind in ("uses", "workflow"):
        return found.inner if found.inner is not None else Workflow(found.name)
    outputs = found.declared.outputs
    scope = Scope(
        around,
        own=own,
        variables=found.names,
        outputs=found.produced,
        resources=True,
        paths={output.port: output.path for output in outputs if not is_template(output.path)},
        hidden=hidden,
    )
    declared, names = found.declared, found.names
    return build_tool(context, found.kind, found.raw, found.path, declared, scope, own, names)


def _bind_inputs(
    context: Context,
    found: Outline,
    around: Surroundings,
    links: Links,
    parts: Parts,
    hidden: dict[str, Binding],
) -> None:
    raw, path = found.raw, found.path
    written = raw.get("inputs")
    scattered_inputs = isinstance(raw.get("scatter"), (list, str))
    outer = Scope(around, hidden=hidden)
    inner = Scope(around, variables=found.names, hidden=hidden) if found.names else outer
    if written is not None:
        for name, value in context.mapping(written, (*path, "inputs"), "'inputs'").items():
            where = (*path, "inputs", name)
            if context.good_name(name, where, "an input"):
                is_array = scattered_inputs and name in found.variables
                feed = links.feed(value, outer if is_array else inner, where)
                parts.feeds[name] = feed
                parts.bindings[name] = feed.binding
    scatter = raw.get("scatter")
    if isinstance(scatter, dict):
        for variable in found.variables:
            feed = links.feed(scatter[variable], outer, (*path, "scatter", variable))
            parts.feeds[variable] = feed
            parts.bindings[variable] = feed.binding


# --- checking types ------------------------------------------------------------------------------


def _check_types(context: Context, found: Outline, parts: Parts) -> None:
    wanted: Mapping[str, Port] = {}
    if found.inner is not None:
        wanted = {port.name: port for port in found.inner.inputs}
        _check_inner_inputs(context, found, wanted, parts)
    elif not found.variables and all(feed.declared is None for feed in parts.feeds.values()):
        return
    for name, feed in parts.feeds.items():
        in_scatter = isinstance(found.raw.get("scatter"), dict) and name in found.variables
        where = (*found.path, "scatter" if in_scatter else "inputs", name)
        source = feed.type
        if name in found.variables:
            if source.name not in ("array", "any") and feed.binding.expression is None:
                _not_an_array(context, found, name, feed, where)
                continue
            source = source.items if source.items is not None else ANY
        target = wanted[name].type if name in wanted else feed.declared
        if target is None:
            continue
        is_constant = not feed.binding.sources and feed.binding.expression is None
        if is_constant and name not in found.variables:
            if feed.declared is None:
                value = context.constant(
                    feed.binding.default, target, where, f"step '{found.name}': input '{name}'"
                )
                parts.bindings[name] = Binding(default=value)
        elif not accepts(target, source):
            _mismatched(context, found, name, feed, target, source, where)


def _not_an_array(context: Context, found: Outline, name: str, feed: Feed, path: Path) -> None:
    fix = "scatter over an array"
    value = feed.binding.default
    if isinstance(value, int) and not feed.binding.sources:
        fix = f'write "{{{{ range({value}) }}}}"'
    elif feed.type.name == "int" and feed.binding.sources:
        ref = feed.binding.sources[0]
        fix = f'write "{{{{ range({ref.step or "inputs"}.{ref.port}) }}}}"'
    what = f"step '{found.name}': cannot scatter '{name}' over {feed.type}"
    context.faults.add("HF203", path, what, fix=fix)


def _mismatched(
    context: Context, found: Outline, name: str, feed: Feed, target: Type, source: Type, path: Path
) -> None:
    origin = ", ".join(f"{ref.step or 'inputs'}.{ref.port}" for ref in feed.binding.sources)
    why, fix = f"'{origin}' is {source}", ""
    if target.items is not None and accepts(target.items, source):
        why = f"'{origin}' is one {source}; '{found.name}' has no scatter over it"
        fix = f"write [{origin}] for an array of one, or scatter the step it comes from"
    elif source.items is not None and accepts(target, source.items):
        why = f"'{origin}' is an array; '{found.name}' takes one at a time"
        fix = f"run '{found.name}' for each with 'scatter: [{name}]'"
    what = f"step '{found.name}': input '{name}' takes {target}, gets {source}"
    context.faults.add("HF203", path, what, why=why, fix=fix)


def _read_by_others(parts: Parts) -> set[str]:
    """The ports that a step's input expressions read."""
    expressions = (feed.binding.expression for feed in parts.feeds.values())
    return {name for found in expressions if found is not None for name in found.names}


def _check_inner_inputs(
    context: Context, found: Outline, wanted: Mapping[str, Port], parts: Parts
) -> None:
    """Every input a nested workflow needs is given, and nothing else."""
    for name in parts.feeds:
        if name not in wanted:
            in_scatter = name in found.variables and isinstance(found.raw.get("scatter"), dict)
            if in_scatter and name in _read_by_others(parts):
                continue  # a variable that only helps to compute what is handed in
            where = (*found.path, "scatter" if in_scatter else "inputs", name)
            what = f"step '{found.name}': what it runs has no input '{name}'"
            fix = suggestion(name, wanted, "inputs") or "it has no inputs"
            context.faults.add("HF201", where, what, fix=fix, key=True)
    for name in found.parameters:
        if name not in wanted and name not in _read_by_others(parts):
            where = (*found.path, "study", "parameters", name)
            what = f"step '{found.name}': what it runs has no input '{name}'"
            fix = suggestion(name, wanted, "inputs") or "it has no inputs"
            context.faults.add("HF201", where, what, fix=fix, key=True)
    for name, port in wanted.items():
        if name in found.parameters:
            continue
        if name not in parts.feeds and isinstance(port.default, Required | From):
            what = f"step '{found.name}': the input '{name}' is not given"
            has = "has no default for it"
            if isinstance(port.default, From):
                has = f"would take it {port.default}, which only a run of its own can"
            why = f"what it runs takes '{name}' ({port.type}) and {has}"
            context.faults.add(
                "HF205", found.path, what, why=why, fix=f"add 'inputs: {{{name}: ...}}'", key=True
            )


# --- conditions and loops ------------------------------------------------------------------------


def _condition(context: Context, value: object, path: Path, scope: Scope, what: str) -> Expression:
    if isinstance(value, bool):
        return Literal(value)
    if not isinstance(value, str) or not is_template(value):
        fix = f'write "{{{{ {value} }}}}"' if isinstance(value, str) else 'write "{{ ... }}"'
        context.faults.add(
            "HF113", path, f"{what} takes an expression, gets {kind_of(value)}", fix=fix
        )
        return Literal(True)
    return compile_value(value, scope, context.faults, path)


def _loop(context: Context, found: Outline, scope: Scope) -> Loop | None:
    path = (*found.path, "loop")
    raw = context.mapping(found.raw["loop"], path, "'loop'")
    context.unknown_keys(raw, LOOP_KEYS, path, "'loop'")
    if "while" not in raw:
        context.faults.add(
            "HF220", path, "the loop has no 'while'", fix='add while: "{{ ... }}"', key=True
        )
        return None
    condition = _condition(context, raw["while"], (*path, "while"), scope, "'while'")
    after = Scope(
        scope.around,
        own=scope.own,
        variables=scope.variables,
        outputs=found.produced,
        outputs_are_values=True,
        hidden=scope.hidden,
    )
    carry: dict[str, Expression] = {}
    for name, text in context.mapping(raw.get("next"), (*path, "next"), "'next'").items():
        where = (*path, "next", name)
        if name not in scope.own and name not in scope.variables:
            fix = suggestion(name, scope.own, "inputs") or "declare it under 'inputs' of the step"
            what = f"step '{found.name}' has no input '{name}' to carry on"
            context.faults.add("HF201", where, what, fix=fix, key=True)
            continue
        constant: Value = text  # type: ignore[assignment]
        is_text = isinstance(text, str) and is_template(text)
        carry[name] = (
            compile_value(str(text), after, context.faults, where) if is_text else Literal(constant)
        )
    collect = raw.get("collect", "last")
    if collect not in ("last", "all"):
        fix = suggestion(str(collect), ["last", "all"], "words")
        context.faults.add(
            "HF113", (*path, "collect"), f"'collect' does not take {kind_of(collect)}", fix=fix
        )
    limit = context.whole(raw.get("limit", 1000), (*path, "limit"), "'limit'", 1)
    return Loop(condition, carry, collect == "all", limit)
