"""The ``inputs`` of a recipe: short and long forms as typed ports."""

from __future__ import annotations

from hepflow.model.types import ANY, Type, parse_type, type_of
from hepflow.model.values import Value
from hepflow.model.workflow import REQUIRED, From, Port, Required
from hepflow.recipe.context import Context
from hepflow.recipe.faults import Path

KEYS = ("type", "default", "from", "doc", "symbols", "enum", "optional")


def read_inputs(context: Context, raw: object, path: Path) -> tuple[Port, ...]:
    """The typed inputs of a workflow. A list of names is short for inputs of any type."""
    if isinstance(raw, list) and all(isinstance(name, str) for name in raw):
        raw = dict.fromkeys(raw, "any")
    ports: list[Port] = []
    for name, form in context.mapping(raw, path, "'inputs'").items():
        where = (*path, name)
        if context.good_name(name, where, "an input"):
            ports.append(_port(context, name, form, where))
    return tuple(ports)


def _port(context: Context, name: str, form: object, path: Path) -> Port:
    place = context.document.place(path)
    if isinstance(form, dict):
        return _long(context, name, form, path)
    if form is None:
        return Port(name, ANY, None, "", place)
    if isinstance(form, str):
        try:
            return Port(name, parse_type(form), REQUIRED, "", place)
        except ValueError:
            return Port(name, Type("string"), form, "", place)
    value: Value = form  # type: ignore[assignment]
    return Port(name, type_of(value), value, "", place)


def _long(context: Context, name: str, form: dict[str, object], path: Path) -> Port:
    what = f"input '{name}'"
    context.unknown_keys(form, KEYS, path, what)
    given = form.get("default", REQUIRED)
    found = read_type(context, form, path, what)
    if found is None:
        found = ANY if given is REQUIRED or given is None else type_of(given)  # type: ignore[arg-type]
    default: Value | Required | From = REQUIRED
    if "from" in form:
        default = _from_elsewhere(context, form, path, what)
    elif given is None and "default" in form:
        default = None
        found = Type(found.name, found.items, found.symbols, found.name != "any")
    elif not isinstance(given, Required):
        default = context.constant(given, found, (*path, "default"), f"the default of {what}")
    elif found.optional:
        default = None
    doc = context.text(form["doc"], (*path, "doc"), "'doc'") if "doc" in form else ""
    return Port(name, found, default, doc.strip(), context.document.place(path))


def _from_elsewhere(
    context: Context, form: dict[str, object], path: Path, what: str
) -> Required | From:
    """The output of another run as a default."""
    where = (*path, "from")
    if "default" in form:
        context.faults.add("HF113", where, f"{what} takes 'default' or 'from', not both", key=True)
    if len(path) > len(("inputs", "name")):
        fix = "have the recipe's own input come from there, and hand it in"
        context.faults.add("HF113", where, f"{what}: 'from' is for inputs of a recipe", fix=fix)
    folder = str(context.document.path.absolute().parent)
    text = context.text(form["from"], where, f"'from' of {what}")
    return From(text, folder, context.document.place(where)) if text else REQUIRED


def read_type(context: Context, form: dict[str, object], path: Path, what: str) -> Type | None:
    """The type a long form declares: ``type``, or the words of an ``enum``; ``None`` if it does not."""
    words_key = "symbols" if "symbols" in form else "enum"
    found: Type | None = None
    if words_key in form:
        words = form[words_key]
        if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
            found = Type("enum", symbols=tuple(words))
        else:
            context.faults.add(
                "HF113", (*path, words_key), f"{what}: '{words_key}' takes a list of words"
            )
            return ANY
    spelling = form.get("type")
    if spelling is not None and not (found is not None and spelling in ("enum", "string")):
        try:
            found = parse_type(context.text(spelling, (*path, "type"), "'type'"))
        except ValueError as error:
            if isinstance(spelling, str):
                context.faults.add(
                    "HF210", (*path, "type"), f"{what}: {_first_clause(error)}", fix=_fix(error)
                )
            return ANY
    if form.get("optional") is True and found is not None:
        found = Type(found.name, found.items, found.symbols, True)
    return found


def _first_clause(error: ValueError) -> str:
    return str(error).partition("; ")[0]


def _fix(error: ValueError) -> str:
    return str(error).partition("; ")[2]
