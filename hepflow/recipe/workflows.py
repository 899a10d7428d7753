"""A workflow: its inputs, all its steps, its outputs, and what only shows when all are together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from hepflow.model.workflow import Binding, Port, Step, Workflow
from hepflow.recipe.bulk import Bulk
from hepflow.recipe.context import Context, kind_of
from hepflow.recipe.faults import Path, suggestion
from hepflow.recipe.inputs import read_inputs
from hepflow.recipe.links import Links
from hepflow.recipe.modifiers import check_defaults
from hepflow.recipe.products import NOTHING
from hepflow.recipe.scope import FUNCTIONS, Scope, Shape, Surroundings
from hepflow.recipe.steps import Outline, build, outline

KEYS: Final = (
    "hepflow",
    "name",
    "doc",
    "inputs",
    "defaults",
    "steps",
    "outputs",
    "profiles",
    "tracking",
)
BODY_KEYS: Final = ("inputs", "steps", "outputs", "doc")
VERSIONS: Final = ("v1",)


def compile_file(context: Context) -> Workflow:
    """The workflow of a whole file; faults are noted in the context."""
    data = context.document.data
    faults = context.faults
    context.unknown_keys(data, KEYS, (), "a recipe")
    version = data.get("hepflow")
    if version not in VERSIONS:
        what = (
            "the recipe does not say its version"
            if version is None
            else f"unknown version {version!r}"
        )
        faults.add("HF114", ("hepflow",), what, fix="begin with 'hepflow: v1'")
    name = data.get("name")
    title = context.text(name, ("name",), "'name'") if name is not None else ""
    doc = (
        context.text(data["doc"], ("doc",), "'doc'").strip() if data.get("doc") is not None else ""
    )
    context.defaults = check_defaults(context, data["defaults"]) if "defaults" in data else {}
    inputs = read_inputs(context, data.get("inputs"), ("inputs",))
    tracking = _tracking(context, data["tracking"]) if data.get("tracking") is not None else {}
    workflow = _compile(context, title or context.document.path.stem, data, inputs, (), doc)
    return replace(workflow, tracking=tracking) if tracking else workflow


def _tracking(context: Context, written: object) -> dict[str, Mapping[str, str]]:
    """Who is to keep a record of runs: a name, a list of names, or names with settings."""
    path = ("tracking",)
    if isinstance(written, (str, list)):
        names = written if isinstance(written, list) else [written]
        return {context.text(name, path, "'tracking'"): {} for name in names}
    found: dict[str, Mapping[str, str]] = {}
    for name, settings in context.mapping(written, path, "'tracking'").items():
        found[name] = {
            key: str(value)
            if isinstance(value, (bool, int, float))
            else context.text(value, (*path, name, key), f"'{key}'")
            for key, value in context.mapping(settings, (*path, name), f"'{name}'").items()
        }
    return found


def _compile(
    context: Context,
    name: str,
    data: Mapping[str, object],
    inputs: tuple[Port, ...],
    path: Path,
    doc: str = "",
) -> Workflow:
    source = context.document.path
    bulk = Bulk(context, path)
    shapes, outlines = _outlines(context, data, path, bulk)
    around = Surroundings({port.name: port.type for port in inputs}, shapes)
    links = Links(context, around)
    steps: list[Step] = []
    written: dict[str, dict[str, object]] = data["steps"] if shapes else {}  # type: ignore[assignment]
    # Of the file's own steps nobody else has a look: each makes room for what is made from it.
    # (What stands further inside may, in YAML, stand in several places.)
    take = written.__getitem__ if path else written.pop
    for name_ in shapes:
        found = outlines.get(name_)
        if found is None:
            raw = take(name_)
            step = bulk.build(name_, raw, around)
            if step is not None:
                steps.append(step)
                continue
            found = _outline(context, name_, raw, (*path, "steps", name_))
        steps.append(build(context, found, around, links))
    outputs = _outputs(context, data, around, links, path)
    if len(bulk.built) < len(steps) or not bulk.in_order:
        _check_cycles(context, steps, path)
    return Workflow(name, inputs, tuple(steps), outputs, doc, str(source))


def _outlines(
    context: Context, data: Mapping[str, object], path: Path, bulk: Bulk
) -> tuple[dict[str, Shape], dict[str, Outline]]:
    """The first pass over all steps: their shapes, and whole outlines of those that are not plain."""
    shapes: dict[str, Shape] = {}
    outlines: dict[str, Outline] = {}
    raw = data.get("steps")
    where = (*path, "steps")
    if raw is None or raw == {}:
        context.faults.add(
            "HF217", where, "there are no steps", fix="add 'steps:' with at least one"
        )
        return shapes, outlines
    if isinstance(raw, list):
        fix = "write 'steps:' and below it 'name: {command: ...}' for each"
        context.faults.add("HF110", where, "'steps' takes names with steps, gets a list", fix=fix)
        return shapes, outlines
    for name, step in context.mapping(raw, where, "'steps'").items():
        shape = bulk.outline(name, step)
        if shape is not None:
            shapes[name] = shape
            continue
        here = (*where, name)
        if context.good_name(name, here, "a step"):
            if name in FUNCTIONS:
                why = f"'{name}' is a function in expressions"
                context.faults.add(
                    "HF112", here, f"a step cannot be called '{name}'", why=why, key=True
                )
            outlines[name] = _outline(context, name, step, here)
            shapes[name] = outlines[name].shape
    return shapes, outlines


def _outline(context: Context, name: str, raw: object, path: Path) -> Outline:
    def nested(outer: Outline, body: Mapping[str, object], inside: Path) -> Workflow | None:
        return _in_place(context, outer, body, inside)

    found = outline(context, name, raw, path, nested)
    # What could not be read stands in as a step without ports, so that the rest is checked as well.
    return found if found is not None else Outline(name, {}, path, "nothing", NOTHING, Shape({}))


def _in_place(context: Context, outer: Outline, body: Mapping[str, object], path: Path) -> Workflow:
    """A ``workflow:`` inside a step: the step's inputs and scatter variables are its inputs."""
    context.unknown_keys(body, BODY_KEYS, path, "'workflow'")
    given = outer.raw.get("inputs")
    names = [*(given if isinstance(given, dict) else ()), *outer.names]
    ports = read_inputs(context, body.get("inputs"), (*path, "inputs"))
    if "inputs" not in body:
        ports = tuple(Port(name) for name in dict.fromkeys(names))
    return _compile(context, outer.name, body, ports, path)


# --- outputs -------------------------------------------------------------------------------------


def _outputs(
    context: Context, data: Mapping[str, object], around: Surroundings, links: Links, path: Path
) -> dict[str, Binding]:
    found: dict[str, Binding] = {}
    where = (*path, "outputs")
    for name, value in context.mapping(data.get("outputs"), where, "'outputs'").items():
        here = (*where, name)
        if not context.good_name(name, here, "an output"):
            continue
        scope = Scope(around)
        before = context.faults.count
        feed = links.feed(value, scope, here)
        binding = feed.binding
        if binding.expression is not None:
            refs = tuple(ref for hidden in scope.hidden.values() for ref in hidden.sources)
            binding = Binding(refs, expression=binding.expression)
        elif not binding.sources and context.faults.count == before:
            _not_a_source(context, name, value, around, here)
        found[name] = binding
    return found


def _not_a_source(
    context: Context, name: str, value: object, around: Surroundings, path: Path
) -> None:
    fix = "name a step's output: step.port"
    if isinstance(value, str):
        ports = [f"{step}.{port}" for step, shape in around.steps.items() for port in shape.outputs]
        fix = suggestion(value, ports, "outputs of steps") or fix
    what = f"the output '{name}' comes from no step: {kind_of(value)}"
    context.faults.add("HF206", path, what, fix=fix)


# --- cycles --------------------------------------------------------------------------------------


def _check_cycles(context: Context, steps: Sequence[Step], path: Path) -> None:
    """Steps that wait for each other can never run. Most recipes are written in order: a quick look first."""
    seen: set[str] = set()
    in_order = True
    for step in steps:
        for binding in step.inputs.values():
            for owner, _ in binding.sources:
                if owner and owner not in seen:
                    in_order = False
        seen.add(step.name)
    if in_order:
        return
    needs = {
        step.name: list(
            dict.fromkeys(
                ref.step for binding in step.inputs.values() for ref in binding.sources if ref.step
            )
        )
        for step in steps
    }
    cycle = _cycle(needs)
    if cycle:
        shown = " -> ".join([*cycle, cycle[0]])
        what = f"these steps wait for each other: {shown}"
        if len(cycle) == 1:
            what = f"step '{cycle[0]}' waits for its own output"
        context.faults.add(
            "HF223", (*path, "steps", cycle[0]), what, fix="break one of the links", key=True
        )


def _cycle(needs: Mapping[str, list[str]]) -> list[str]:
    """Some cycle, in the direction values flow; without recursion, for chains may be long."""
    done: set[str] = set()
    for start in needs:
        trail: list[str] = []
        on_trail: dict[str, int] = {}
        waiting: list[tuple[str, int]] = [(start, 0)]
        while waiting:
            name, position = waiting.pop()
            if position == 0:
                if name in done or name not in needs:
                    continue
                on_trail[name] = len(trail)
                trail.append(name)
            if position < len(needs[name]):
                waiting.append((name, position + 1))
                following = needs[name][position]
                if following in on_trail:
                    found = trail[on_trail[following] :]
                    found.reverse()
                    lowest = found.index(min(found, key=list(needs).index))
                    return found[lowest:] + found[:lowest]
                waiting.append((following, 0))
            else:
                done.add(name)
                trail.pop()
                del on_trail[name]
    return []
