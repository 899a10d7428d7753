"""YAML text as plain data, with the line and column of every piece.

YAML 1.2 core rules on top of libyaml: ``yes`` and ``on`` are words, ``1:30`` is a word, ``1e5`` is
a number. Duplicate keys, aliases that blow up, and keys that are not words are faults.
Knows nothing of recipes.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from hepflow.model.errors import Place, Problem
from hepflow.recipe.faults import Path

TAG: Final = "tag:yaml.org,2002:"
DEEPEST: Final = 200
"""Levels of nesting; far beyond any recipe, far below where the C parser's stack ends."""
MOST_COPIES: Final = 20_000
"""Pieces that aliases may repeat beyond what is written in the file."""
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NUMERIC_START: Final = frozenset("0123456789+-.")


class NotYaml(ValueError):
    """The text cannot be read; carries the problems."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.what for problem in problems))
        self.problems = problems


def plain_scalar(text: str) -> object:
    """What an unquoted word means under YAML 1.2 core."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC_START:
        return text
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return text


_PARSER: Any = vars(yaml.cyaml)["CParser"] if yaml.__with_libyaml__ else None


def _tag_of(kind: type, implicit: Any) -> str:
    """A node's tag: words keep none of their own here, ``_scalar`` reads them."""
    if kind is yaml.ScalarNode:
        return "plain" if implicit[0] else f"{TAG}str"
    return f"{TAG}map" if kind is yaml.MappingNode else f"{TAG}seq"


class _Resolution:
    """What a YAML composer asks for; replaces PyYAML's YAML 1.1 rules."""

    def resolve(self, kind: type, value: Any, implicit: Any) -> str:
        return _tag_of(kind, implicit)

    def descend_resolver(self, node: Any, index: Any) -> None:
        """No path rules."""

    def ascend_resolver(self) -> None:
        """No path rules."""


if _PARSER is not None:

    class _Composer(_Resolution, _PARSER):  # type: ignore[misc]
        """libyaml's composer."""

        def __init__(self, text: str) -> None:
            _PARSER.__init__(self, text)

else:  # pragma: no cover - only where PyYAML was built without libyaml

    class _Composer(  # type: ignore[no-redef]
        _Resolution,
        yaml.reader.Reader,
        yaml.scanner.Scanner,
        yaml.parser.Parser,
        yaml.composer.Composer,
    ):
        """PyYAML's own composer."""

        def __init__(self, text: str) -> None:
            yaml.reader.Reader.__init__(self, text)
            yaml.scanner.Scanner.__init__(self)
            yaml.parser.Parser.__init__(self)
            yaml.composer.Composer.__init__(self)


def compose(text: str, file: str) -> Any:
    """The tree of nodes of a text with one document.

    Raises:
        NotYaml: it is not well-formed.
    """
    try:
        _check_depth(text, file)
        root = _Composer(text).get_single_node()
    except yaml.YAMLError as error:
        raise NotYaml([_explained(error, text, file)]) from None
    except RecursionError:
        raise NotYaml([Problem(Place(file, 1, 1), "HF104", "nested too deeply")]) from None
    if root is None:
        what = "the file is empty"
        fix = "begin with 'hepflow: v1'; 'hepflow init' writes a starter recipe"
        raise NotYaml([Problem(Place(file, 1, 1), "HF102", what, "", fix)])
    return root


def _check_depth(text: str, file: str) -> None:
    """The C composer recurses on the C stack, which ends in a crash: look before it leaps."""
    brackets = text.count("[") + text.count("{")
    if brackets <= DEEPEST and max(map(len, text.splitlines()), default=0) <= 2 * DEEPEST:
        return
    parser = _Composer(text)
    depth = 0
    while True:
        event = parser.get_event()
        if event is None or isinstance(event, yaml.StreamEndEvent):
            return
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                place = _place(file, event.start_mark)
                what = f"nested more than {DEEPEST} levels deep"
                raise NotYaml([Problem(place, "HF104", what)])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _place(file: str, mark: Any) -> Place:
    return Place(file, mark.line + 1, mark.column + 1) if mark is not None else Place(file, 1, 1)


def _explained(error: Any, text: str, file: str) -> Problem:
    """A parser's complaint as one sentence with a remedy."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        what = "holds a control character that YAML does not allow"
        return Problem(Place(file, line, 1), "HF101", what, "", "remove it, or write it as \\u0000")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or str(error)
    lines = text.split("\n")
    shown = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    before = lines[mark.line - 1] if mark is not None and mark.line else ""
    fix = ""
    if "\t" in shown[: mark.column + 1 if mark is not None else 0]:
        said, fix = "a tab is used to indent", "indent with blanks"
    elif re.search(r":\s*\{\{", shown) or re.search(r":\s*\{\{", before):
        fix = 'put quotes around an expression: "{{ ... }}"'
    elif "mapping values are not allowed" in said:
        fix = "quote a text that holds ': ', or write it as a block after '|'"
    elif "another document" in said:
        said = "a second document begins"
        fix = "one recipe a file: remove '---'"
    elif "undefined alias" in said:
        fix = "define it before with '&name'"
    elif "expected <block end>" in said or "could not find expected ':'" in said:
        fix = "look at the indentation and at the line before"
    why = str(getattr(error, "context", None) or "")
    return Problem(_place(file, mark), "HF101", f"not valid YAML: {said}", why, fix)


class Reader:
    """Turns nodes into plain data; collects what is wrong with them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._sizes: dict[int, int] = {}
        self._copies = 0

    def read(self, node: Any) -> object:
        """The data of a node and all below it."""
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        key = id(node)
        if key in self._open:
            self._fault("HF105", node, "an alias that holds itself")
            return None
        if key in self._sizes:
            self._copies += self._sizes[key]
            if self._copies > MOST_COPIES:
                what = f"aliases repeat more than {MOST_COPIES:,} pieces"
                raise NotYaml([Problem(_place(self.file, node.start_mark), "HF105", what)])
        self._open.add(key)
        copies = self._copies
        is_map = isinstance(node, yaml.MappingNode)
        data: Any = self._mapping(node) if is_map else [self.read(item) for item in node.value]
        self._open.discard(key)
        if key not in self._sizes:
            self._sizes[key] = 1 + len(node.value) + self._inside(node) + self._copies - copies
        if node.tag != (f"{TAG}map" if is_map else f"{TAG}seq"):
            self._fault("HF106", node, f"the tag '{node.tag}' is not known here", fix="remove it")
        return data

    def _inside(self, node: Any) -> int:
        parts = (
            [value for _, value in node.value] if isinstance(node, yaml.MappingNode) else node.value
        )
        return sum(self._sizes.get(id(part), 0) for part in parts)

    def _scalar(self, node: Any) -> object:
        tag = node.tag
        if tag == "plain":
            return plain_scalar(node.value)
        if tag == f"{TAG}str" or tag == "!":
            return node.value
        if tag.startswith(TAG):
            data = plain_scalar(node.value)
            wanted = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}
            if isinstance(data, wanted.get(tag.removeprefix(TAG), ())):  # type: ignore[arg-type]
                return float(data) if tag == f"{TAG}float" else data  # type: ignore[arg-type]
        self._fault("HF106", node, f"the tag '{tag}' does not fit {node.value!r}", fix="remove it")
        return node.value

    def _mapping(self, node: Any) -> dict[str, object]:
        data: dict[str, object] = {}
        merged: dict[str, object] = {}
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            if (
                isinstance(key_node, yaml.ScalarNode)
                and key_node.value == "<<"
                and key_node.tag == "plain"
            ):
                for name, value in self._merge(value_node).items():
                    merged.setdefault(name, value)
                continue
            key = self._key(key_node)
            if key is None:
                continue
            if key in seen:
                what = f"the key '{key}' stands twice"
                self._fault(
                    "HF103", key_node, what, why=f"first in line {seen[key]}", fix="keep one"
                )
            seen[key] = key_node.start_mark.line + 1
            data[key] = self.read(value_node)
        return {**merged, **data} if merged else data

    def _key(self, node: Any) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            braces = isinstance(node, yaml.MappingNode)
            fix = 'put quotes around an expression: "{{ ... }}"' if braces else ""
            self._fault("HF107", node, "a key must be a word", fix=fix)
            return None
        key = self._scalar(node)
        if isinstance(key, str):
            return key
        self._fault(
            "HF107", node, f"the key {node.value} is not a word", fix=f'quote it: "{node.value}"'
        )
        return None

    def _merge(self, node: Any) -> dict[str, object]:
        data = self.read(node)
        parts = data if isinstance(data, list) else [data]
        found: dict[str, object] = {}
        for part in parts:
            if not isinstance(part, dict):
                self._fault("HF106", node, "'<<' takes a mapping or a list of mappings")
                return {}
            for key, value in part.items():
                found.setdefault(key, value)
        return found

    def _fault(self, code: str, node: Any, what: str, *, why: str = "", fix: str = "") -> None:
        self.problems.append(Problem(_place(self.file, node.start_mark), code, what, why, fix))


def load_yaml(text: str, file: str) -> tuple[object, NodePlaces, list[Problem]]:
    """Data, its places, and the faults that do not keep one from going on.

    Raises:
        NotYaml: no data can be had.
    """
    root = compose(text, file)
    reader = Reader(file)
    try:
        data = reader.read(root)
    except NotYaml as error:
        raise NotYaml([*reader.problems, *error.problems]) from None
    return data, NodePlaces(root, text, file), reader.problems


class NodePlaces:
    """Line and column of any piece of a composed text."""

    def __init__(self, root: Any, text: str, file: str) -> None:
        self._root = root
        self._text = text
        self._file = file
        self._lines: list[str] | None = None
        self._keys: dict[int, dict[str, tuple[Any, Any]]] = {}

    def has(self, path: Path) -> bool:
        """Whether the whole path is written here."""
        return self._walk(path)[2] == len(path)

    def at(self, path: Path, *, key: bool = False, needle: str = "", line: int = 0) -> Place:
        """The place of a value, of its key, or of a text within it; of the nearest parent if gone."""
        key_node, value_node, depth = self._walk(path)
        if depth < len(path):
            return _place(self._file, (key_node or value_node).start_mark)
        if key and key_node is not None:
            return _place(self._file, key_node.start_mark)
        found = self._within(value_node, needle, line) if needle else None
        return found or _place(self._file, value_node.start_mark)

    def _walk(self, path: Path) -> tuple[Any, Any, int]:
        """Key node, value node, and how many parts of the path were found."""
        key_node, node = None, self._root
        for depth, part in enumerate(path):
            if isinstance(node, yaml.MappingNode):
                pair = self._pairs(node).get(str(part))
                if pair is None:
                    return key_node, node, depth
                key_node, node = pair
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                if part >= len(node.value):
                    return key_node, node, depth
                key_node, node = None, node.value[part]
            else:
                return key_node, node, depth
        return key_node, node, len(path)

    def _pairs(self, node: Any) -> dict[str, tuple[Any, Any]]:
        found = self._keys.get(id(node))
        if found is None:
            found = self._keys[id(node)] = {}
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value == "<<":
                        for source in (
                            value.value if isinstance(value, yaml.SequenceNode) else [value]
                        ):
                            if isinstance(source, yaml.MappingNode):
                                found = {**self._pairs(source), **found}
                    else:
                        found[key.value] = (key, value)
            self._keys[id(node)] = found
        return found

    def _within(self, node: Any, needle: str, line: int) -> Place | None:
        """Where a text stands in a scalar's own lines (its escapes and folds left as written)."""
        if self._lines is None:
            self._lines = self._text.split("\n")
        pattern = re.compile(rf"(?<![\w.]){re.escape(needle)}(?!\w)")
        in_block = isinstance(node, yaml.ScalarNode) and node.style == "|"
        first, last = node.start_mark, node.end_mark
        begin = first.line + line + 1 if in_block else first.line
        for number in range(begin, min(last.line, len(self._lines) - 1) + 1):
            start = first.column if number == first.line else 0
            match = pattern.search(self._lines[number], start)
            if match and not (number == last.line and match.end() > last.column):
                return Place(self._file, number + 1, match.start() + 1)
        return None
