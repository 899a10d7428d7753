"""Templates and expressions that need all of Jinja2: filters, arithmetic, blocks.

The only module that imports Jinja; sandboxed, undefined names are errors, values cannot be changed.
``{{# ... #}}`` is a comment (Jinja's own ``{#`` would collide with bash's ``${#array[@]}``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any, Final, NamedTuple

from jinja2 import (
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
    Undefined,
    nodes,
    pass_context,
)
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hepflow.model.values import Directory, File, Value, Values
from hepflow.model.workflow import Expression
from hepflow.recipe.expressions import Literal
from hepflow.recipe.faults import Faults, Path, suggestion
from hepflow.recipe.scope import FUNCTIONS, OUTPUT, PORT, Access, Chain, Scope
from hepflow.recipe.spelling import (
    SPELLINGS,
    FilePath,
    Raw,
    ShellLexer,
    location_of,
    plain,
    quoted,
    with_paths,
)
from hepflow.recipe.templates import (
    FILE_PARTS,
    Constant,
    Frame,
    TextTemplate,
    file_part,
    reporter,
    stem_of,
    suffix_of,
)

LARGEST_POWER: Final = 10_000
LONGEST_REPEAT: Final = 10_000_000
TEXTS: Final = "_hepflow_texts"
_DATA: Final = (str, int, float, bool, type(None), list, tuple, range, dict, File, Directory)


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja with our data: keys of records before methods, parts of files, bounded arithmetic."""

    intercepted_binops = frozenset(["**", "*"])

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, (FilePath, File, Directory)) and attribute in FILE_PARTS:
            if isinstance(obj, FilePath):
                return file_part(obj.file, attribute, str(obj))
            return file_part(obj, attribute)
        if isinstance(obj, (int, float, File, Directory)):
            return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and isinstance(right, (int, float)) and abs(right) > LARGEST_POWER:
            raise ValueError(f"an exponent beyond {LARGEST_POWER}")
        for items, times in ((left, right), (right, left)) if operator == "*" else ():
            repeats = isinstance(items, (str, list, tuple)) and isinstance(times, int)
            if repeats and len(items) * times > LONGEST_REPEAT:
                raise ValueError(f"a repetition beyond {LONGEST_REPEAT} items")
        return super().call_binop(context, operator, left, right)


def _spelled(value: Any, *, mode: str) -> str:
    if isinstance(value, Undefined):
        str(value)  # raises with Jinja's own sentence
    if not isinstance(value, _DATA):
        value = _settled(value)
    return SPELLINGS[mode](value, location_of)


def _spelling(mode: str) -> str:
    """The hidden filter that spells values in a mode; a name without quotes, which Jinja needs."""
    return "_as_" + mode.replace('"', "_double").replace("$'", "_ansi").replace("'", "_single")


@pass_context
def _listing(context: Context, value: Any) -> str:
    """Writes an array, one item a line, into a file beside the task; gives the file's name."""
    texts: list[tuple[str, str]] | None = context.get(TEXTS)
    if texts is None:
        raise ValueError("'listing' can be used in 'command' and 'script' only")
    items = value if isinstance(value, (list, tuple, range)) else [value]
    lines = [plain(item, location_of) for item in items]
    for line in lines:
        if "\n" in line:
            raise ValueError(f"'listing' cannot hold {line!r}: it has several lines")
    content = "".join(f"{line}\n" for line in lines)
    for name, known in texts:
        if known == content and name.startswith("listing"):
            return name
    name = f"listing{len(texts) + 1}.txt"
    texts.append((name, content))
    return name


def _name_of(value: Any) -> str:
    return (
        value.name
        if isinstance(value, (File, Directory))
        else str(value).rstrip("/").rpartition("/")[2]
    )


def _path(value: Any) -> str:
    return value.location if isinstance(value, (File, Directory)) else str(value)


def _each(function: Any) -> Any:
    """A filter on one path that also takes an array of paths."""

    def apply(value: Any) -> Any:
        if isinstance(value, Undefined):
            str(value)
        return (
            [function(item) for item in value]
            if isinstance(value, (list, tuple))
            else function(value)
        )

    return apply


def _json(value: Any, indent: int | None = None) -> str:
    if isinstance(value, Undefined):
        str(value)
    return json.dumps(with_paths(_settled(value), location_of), ensure_ascii=False, indent=indent)


@cache
def environment() -> _Environment:
    """The one Jinja environment of this process."""
    made = _Environment(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        comment_start_string="{{#",
        comment_end_string="#}}",
    )
    made.globals.update(
        range=range, enumerate=enumerate, zip=zip, len=len, min=min, max=max, sum=sum, abs=abs,
        round=round, int=int, float=float, str=str, sorted=sorted,
    )  # fmt: skip
    made.filters.update(
        basename=_each(_name_of),
        stem=_each(lambda value: stem_of(_path(value))),
        suffix=_each(lambda value: suffix_of(_path(value))),
        dirname=_each(lambda value: _path(value).rstrip("/").rpartition("/")[0]),
        quote=lambda value: Raw(quoted(plain(value, location_of))),
        raw=lambda value: Raw(plain(value, location_of)),
        json=_json,
        tojson=_json,
        listing=_listing,
    )
    made.filters.update({_spelling(mode): partial(_spelled, mode=mode) for mode in SPELLINGS})
    return made


def _settled(value: Any) -> Value:
    """What Jinja computed as data: iterators become arrays.

    Raises:
        ValueError: it is no data (a function, an object of Jinja's).
    """
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, str):
        return str(value) if type(value) is not str else value
    if isinstance(value, Mapping):
        return {str(key): _settled(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return (
            value
            if all(type(item) in (int, str, float) for item in value)
            else [*map(_settled, value)]
        )
    if isinstance(value, _DATA) or value is None:
        return value
    if isinstance(value, Iterable) and not callable(value):
        return [_settled(item) for item in value]
    raise ValueError(f"the result is a {type(value).__name__}, not a value")


# --- reading a template --------------------------------------------------------------------------


class Parsed(NamedTuple):
    """What is known of a template's text alone.

    Args:
        chains: dotted names it reads from outside.
        whole: the expression inside, when the text is one ``{{ }}``; else empty.
        unknown: names of filters and tests that do not exist.
    """

    chains: tuple[Chain, ...]
    whole: str
    unknown: tuple[tuple[str, str], ...]


@lru_cache(maxsize=4096)
def parse(text: str) -> Parsed:
    """Reads a template.

    Raises:
        TemplateSyntaxError: it is malformed.
    """
    jinja = environment()
    tree = jinja.parse(text)
    unknown = {
        (kind, node.name): None
        for kind, node_type, known in (
            ("filter", nodes.Filter, jinja.filters),
            ("test", nodes.Test, jinja.tests),
        )
        for node in tree.find_all(node_type)
        if node.name not in known
    }
    chains: dict[Chain, None] = {}
    if not unknown:
        _visit(tree, find_undeclared_variables(tree), chains)
    return Parsed(tuple(chains), _whole_of(text), tuple(unknown))


def _whole_of(text: str) -> str:
    stripped = text.strip()
    if not (stripped.startswith("{{") and stripped.endswith("}}")):
        return ""
    body = environment().parse(stripped).body
    if len(body) != 1 or not isinstance(body[0], nodes.Output) or len(body[0].nodes) != 1:
        return ""
    if isinstance(body[0].nodes[0], nodes.TemplateData):
        return ""
    inner = stripped[2:-2]
    inner = inner[1:] if inner[:1] in ("-", "+") else inner
    return inner[:-1] if inner[-1:] == "-" else inner


def _visit(node: nodes.Node, outside: set[str], chains: dict[Chain, None]) -> None:
    chain = _chain(node, outside)
    if chain is not None:
        chains[chain] = None
        return
    for child in node.iter_child_nodes():
        _visit(child, outside, chains)


def _chain(node: nodes.Node, outside: set[str]) -> Chain | None:
    """The dotted name a node is, if it begins with a name from outside."""
    parts: list[str] = []
    while True:
        if isinstance(node, nodes.Getattr):
            parts.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            if not isinstance(node.arg.value, str):
                return None
            parts.append(node.arg.value)
        elif isinstance(node, nodes.Name) and node.ctx == "load" and node.name in outside:
            return (node.name, *reversed(parts))
        else:
            return None
        node = node.node


class _Row(NamedTuple):
    """One value to hand to Jinja: under ``root``, or under ``root.member``."""

    root: str
    member: str
    kind: int
    name: str


@dataclass(frozen=True, slots=True)
class Names:
    """The values a template reads, and how Jinja sees them."""

    rows: tuple[_Row, ...]
    ports: tuple[str, ...]
    resources: bool

    def context(self, frame: Frame, *, paths: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for root, member, kind, name in self.rows:
            value: Value
            if kind == PORT:
                value = frame.values.get(name)
                value = with_paths(value, frame.path_of) if paths else value
            else:
                value = frame.outputs[name] if kind == OUTPUT else frame.resources[name]
            if member:
                found.setdefault(root, {})[member] = value
            else:
                found[root] = value
        return found


def _read(text: str, scope: Scope, faults: Faults, path: Path) -> tuple[Parsed, Names] | None:
    """Parses a template and finds its names; ``None`` after noting what is wrong."""
    try:
        parsed = parse(text)
    except TemplateSyntaxError as error:
        lines = text.splitlines() or [""]
        number = min(error.lineno, len(lines)) - 1
        line = lines[number].strip()
        what = f"not a valid template: {(error.message or '').rstrip('.')}"
        why = f"in: {line}" if line else ""
        needle = line[max(line.rfind("{{"), line.rfind("{%"), 0) :]
        faults.add("HF120", path, what, why=why, fix=_syntax_fix(text), needle=needle, line=number)
        return None
    except RecursionError:
        faults.add("HF120", path, "not a valid template: nested too deeply")
        return None
    jinja = environment()
    for kind, name in parsed.unknown:
        known = [
            word for word in (jinja.filters if kind == "filter" else jinja.tests) if word[:1] != "_"
        ]
        fix = suggestion(name, known)
        faults.add("HF209", path, f"there is no {kind} '{name}'", fix=fix, needle=name)
    rows: dict[_Row, None] = {}
    sound = not parsed.unknown
    for chain in parsed.chains:
        if chain[0] in FUNCTIONS and chain[0] not in scope.variables:
            continue
        members = (
            scope.members(chain[0]) if len(chain) == 1 and chain[0] not in scope.variables else []
        )
        several: list[Chain] = [(chain[0], member) for member in members]
        for one in several or [chain]:
            access = scope.resolve(one, reporter(faults, path))
            if access is None:
                sound = False
            else:
                rows[_row(one, access)] = None
    if not sound:
        return None
    ports = tuple(dict.fromkeys(row.name for row in rows if row.kind == PORT))
    resources = any(row.kind not in (PORT, OUTPUT) for row in rows)
    return parsed, Names(tuple(rows), ports, resources)


def _row(chain: Chain, access: Access) -> _Row:
    direct = len(chain) - len(access.attributes) == 1
    return _Row(chain[0], "" if direct else chain[1], access.kind, access.name)


def _syntax_fix(text: str) -> str:
    if text.count("{{") != text.count("}}"):
        return "every '{{' needs its '}}'"
    if text.count("{%") != text.count("%}"):
        return "every '{%' needs its '%}'; for a plain '{%' write {{ '{%' }}"
    return ""


# --- what comes of it ----------------------------------------------------------------------------


def compile_jinja_text(
    text: str, mode: str, scope: Scope, faults: Faults, path: Path
) -> TextTemplate:
    """A template in the full language."""
    found = _read(text, scope, faults, path)
    return JinjaText(text, mode, found[1]) if found is not None else Constant(text)


def compile_jinja_value(text: str, scope: Scope, faults: Faults, path: Path) -> Expression:
    """An expression in the full language; a text around it makes it a string."""
    found = _read(text, scope, faults, path)
    if found is None:
        return Literal(None)
    parsed, names = found
    if parsed.whole:
        return JinjaValue(parsed.whole, names)
    return JinjaMixed(JinjaText(text, "text", names))


@lru_cache(maxsize=1024)
def _template(text: str, mode: str) -> Any:
    """The compiled template, each slot wrapped in the spelling its place asks for."""
    jinja = environment()
    tree = jinja.parse(text)
    lexer = ShellLexer()
    for output in tree.find_all(nodes.Output):
        wrapped: list[nodes.Expr] = []
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                lexer.feed(node.data)
                wrapped.append(node)
                continue
            spelling = _spelling(mode + lexer.quote if mode == "shell" else mode)
            lexer.value()
            wrapped.append(nodes.Filter(node, spelling, [], [], None, None, lineno=node.lineno))
        output.nodes = wrapped
    tree.set_environment(jinja)
    return jinja.from_string(tree)


@lru_cache(maxsize=1024)
def _expression(text: str) -> Any:
    return environment().compile_expression(text, undefined_to_none=False)


def _sentence(text: str, error: BaseException) -> str:
    shown = text.strip().splitlines()[0] if text.strip() else text
    return f"'{shown[:60]}': {str(error) or type(error).__name__}"


@dataclass(frozen=True, slots=True)
class JinjaText:
    """A text in the full language."""

    text: str
    mode: str
    names: Names

    @property
    def ports(self) -> tuple[str, ...]:
        return self.names.ports

    @property
    def resources(self) -> bool:
        return self.names.resources

    def render(self, frame: Frame) -> str:
        context = self.names.context(frame, paths=True)
        context[TEXTS] = frame.texts
        try:
            return str(_template(self.text, self.mode).render(context))
        except (TemplateError, ArithmeticError, LookupError, MemoryError, RecursionError) as error:
            raise ValueError(_sentence(self.text, error)) from None
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(_sentence(self.text, error)) from None


@dataclass(frozen=True, slots=True)
class JinjaMixed:
    """Text around values: a string."""

    template: JinjaText

    @property
    def names(self) -> tuple[str, ...]:
        return self.template.ports

    def evaluate(self, values: Values) -> Value:
        return self.template.render(Frame(values, {}, {}, location_of, []))


@dataclass(frozen=True, slots=True)
class JinjaValue:
    """One expression, whose value keeps its type."""

    text: str
    read: Names

    @property
    def names(self) -> tuple[str, ...]:
        return self.read.ports

    def evaluate(self, values: Values) -> Value:
        context = self.read.context(Frame(values, {}, {}, location_of, []), paths=False)
        try:
            return _settled(_expression(self.text)(context))
        except (TemplateError, ArithmeticError, LookupError, MemoryError, RecursionError) as error:
            raise ValueError(_sentence(self.text, error)) from None
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(_sentence(self.text, error)) from None
