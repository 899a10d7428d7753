"""Reading a recipe's file: text, data, profiles and settings laid over it, and places on demand.

Owns everything between the path and one plain mapping. Knows the names of three top-level keys
(``profiles``, ``inputs``, ``hepflow``) and nothing else of the language.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Final

from hepflow.model.errors import Place, Problem, RecipeError
from hepflow.model.protocols import LoadOptions
from hepflow.recipe.faults import Faults, Path, Places, suggestion

LARGEST_BYTES: Final = 256 * 1024 * 1024
HEAD_BYTES: Final = 4096
SHARED: Final = 1000
"""Objects of one entry that are kept to be shared, as the outputs of generated steps can be."""
_TOP_KEY: Final = re.compile(rb"""^\s*\{?\s*["']?hepflow["']?\s*:""", re.MULTILINE)


def claims(path: FilePath) -> bool:
    """Whether a file is a native recipe, by its ending and its first kilobytes."""
    if path.suffix not in (".yaml", ".yml", ".json"):
        return False
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return False
    if path.suffix == ".json":
        return re.search(rb'"hepflow"\s*:', head) is not None
    return re.search(rb"""^(\{\s*)?["']?hepflow["']?\s*:""", head, re.MULTILINE) is not None


@dataclass(slots=True)
class Document:
    """One recipe file, read.

    Args:
        path: the file; relative names in the recipe are relative to its folder.
        data: the top mapping with profiles and settings applied.
        faults: collects what is wrong; its places are found when first needed.
    """

    path: FilePath
    data: dict[str, object]
    faults: Faults
    folder: str = ""
    digest: str = ""
    finder: _Finder | None = field(default=None)

    @property
    def has_places(self) -> bool:
        """Whether lines are at hand without reading the file a second time."""
        return self.finder is not None and self.finder.is_located

    def place(self, path: Path) -> Place:
        """The place of a key, where places are at hand (not for JSON, which is read in a hurry)."""
        return self.finder.quick(path) if self.finder is not None else Place(str(self.path))


class _Finder:
    """Places of the file, of its profiles, and of settings that have no line at all."""

    def __init__(self, file: str, text: str, main: Places | None) -> None:
        self._file = file
        self._text = text
        self._main = main
        self.settings: list[tuple[Path, str]] = []
        self.profiles: list[str] = []

    def __call__(self) -> _Finder:
        return self

    @property
    def is_located(self) -> bool:
        return self._main is not None

    def quick(self, path: Path) -> Place:
        if self._main is None:
            return Place(self._file)
        return self._main.at(path, key=True)

    def at(self, path: Path, *, key: bool = False, needle: str = "", line: int = 0) -> Place:
        for target, written in reversed(self.settings):
            if path[: len(target)] == target or target[: len(path)] == path:
                return Place(f"--set {written}")
        main = self._located()
        for profile in reversed(self.profiles):
            whole: Path = ("profiles", profile, *path)
            if main.has(whole):  # type: ignore[attr-defined]
                return main.at(whole, key=key, needle=needle, line=line)
        return main.at(path, key=key, needle=needle, line=line)

    def _located(self) -> Places:
        if self._main is None:
            # JSON is a subset of YAML: the slow parser is asked only once there is a fault to show.
            from hepflow.recipe.yaml_nodes import NodePlaces, NotYaml, compose

            try:
                self._main = NodePlaces(compose(self._text, self._file), self._text, self._file)
            except NotYaml:
                self._main = _OnlyFile(self._file)
        return self._main


class _OnlyFile:
    """Places for a text whose lines cannot be told."""

    def __init__(self, file: str) -> None:
        self._file = file

    def has(self, path: Path) -> bool:
        return False

    def at(self, path: Path, *, key: bool = False, needle: str = "", line: int = 0) -> Place:
        return Place(self._file)


def read_document(path: FilePath, options: LoadOptions) -> Document:
    """Reads a file and lays profiles and settings over it.

    Raises:
        RecipeError: the file is missing, not text, or not a mapping.
    """
    file = str(path)
    text = _read_text(path)
    main: Places | None = None
    problems: list[Problem] = []
    if path.suffix == ".json":
        data = _read_json(text, file)
    else:
        from hepflow.recipe.yaml_nodes import NotYaml, load_yaml

        try:
            data, main, problems = load_yaml(text, file)
        except NotYaml as error:
            raise RecipeError(error.problems) from None
    if not isinstance(data, dict):
        what = "a recipe is a mapping of keys, such as 'hepflow: v1'"
        raise RecipeError(Problem(Place(file, 1, 1), "HF102", what))
    finder = _Finder(file, text, main)
    document = Document(path, data, Faults(finder), str(path.resolve().parent), finder=finder)
    document.faults.take(problems)
    _apply_profiles(document, finder, options.profiles)
    _apply_settings(document, finder, options.settings)
    return document


def _read_text(path: FilePath) -> str:
    file = str(path)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            what = f"larger than {LARGEST_BYTES // 1024**2} MiB: not a recipe"
            raise RecipeError(Problem(Place(file), "HF100", what))
        content = path.read_bytes()
    except FileNotFoundError:
        fix = _near_file(path)
        raise RecipeError(Problem(Place(file), "HF100", "there is no such file", "", fix)) from None
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise RecipeError(Problem(Place(file), "HF100", what)) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        what = "not UTF-8 text"
        why = f"byte 0x{content[error.start]:02x} cannot be read"
        raise RecipeError(
            Problem(Place(file, line, column), "HF101", what, why, "save the file as UTF-8")
        ) from None


def _near_file(path: FilePath) -> str:
    try:
        return suggestion(path.name, [item.name for item in path.parent.iterdir()], "in the folder")
    except OSError:
        return f"the folder '{path.parent}' does not exist either"


class _Twice(ValueError):
    """A key stands twice in one JSON object."""


class _Objects:
    """Makes the objects of a JSON text, those with one and the same short entry only once."""

    def __init__(self) -> None:
        self._short: dict[tuple[str, object], dict[str, object]] = {}

    def __call__(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(pairs) == 1 and type(pairs[0][1]) is str:
            known = self._short.get(pairs[0])
            if known is None:
                known = dict(pairs)
                if len(self._short) < SHARED:
                    self._short[pairs[0]] = known
            return known
        data = dict(pairs)
        if len(data) != len(pairs):
            raise _Twice
        return data


def _read_json(text: str, file: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_Objects())
    except _Twice:
        # Only the slow parser knows where; it finds every duplicate key at once.
        from hepflow.recipe.yaml_nodes import NotYaml, load_yaml

        try:
            problems = load_yaml(text, file)[2]
        except NotYaml as error:
            problems = error.problems
        raise RecipeError(problems) from None
    except json.JSONDecodeError as error:
        what = f"not valid JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        raise RecipeError(Problem(Place(file, error.lineno, error.colno), "HF101", what)) from None
    except RecursionError:
        raise RecipeError(Problem(Place(file, 1, 1), "HF104", "nested too deeply")) from None


# --- profiles and settings -----------------------------------------------------------------------


def _apply_profiles(document: Document, finder: _Finder, names: object) -> None:
    profiles = document.data.pop("profiles", None)
    known: Mapping[str, object] = profiles if isinstance(profiles, dict) else {}
    if profiles is not None and not isinstance(profiles, dict):
        what = "'profiles' takes a mapping of names to changes"
        document.faults.add("HF110", ("profiles",), what, key=True)
    for name, overlay in known.items():
        if not isinstance(overlay, dict):
            what = f"profile '{name}' takes a mapping of changes"
            document.faults.add("HF110", ("profiles", name), what, key=True)
    assert isinstance(names, (list, tuple))
    for name in names:
        overlay = known.get(name)
        if name not in known:
            fix = (
                suggestion(name, known, "profiles of this recipe") or "this recipe has no profiles"
            )
            document.faults.take(
                [Problem(Place(str(document.path)), "HF214", f"no profile '{name}'", "", fix)]
            )
        elif isinstance(overlay, dict):
            finder.profiles.append(name)
            document.data = _merged(document.data, overlay, ())


def _merged(
    base: Mapping[str, object], overlay: Mapping[str, object], path: Path
) -> dict[str, object]:
    """The overlay's keys win; mappings are merged, everything else is replaced."""
    result = dict(base)
    for key, value in overlay.items():
        result[key] = _laid_over(result.get(key), value, (*path, key))
    return result


def _laid_over(old: object, new: object, path: Path) -> object:
    if isinstance(old, dict) and isinstance(new, dict):
        return _merged(old, new, path)
    is_input = len(path) == 2 and path[0] == "inputs"
    if is_input and isinstance(old, dict):
        # A new value for an input keeps what the recipe says about its type and meaning.
        return {**old, "default": new}
    return new


def _apply_settings(document: Document, finder: _Finder, settings: Mapping[str, str]) -> None:
    for dotted, text in settings.items():
        parts: list[str | int] = [int(p) if p.isdigit() else p for p in dotted.split(".")]
        if not all(str(part) for part in parts):
            problem = Problem(Place(f"--set {dotted}={text}"), "HF110", "not a dotted path")
            document.faults.take([problem])
            continue
        finder.settings.append((tuple(parts), f"{dotted}={text}"))
        try:
            value = _setting_value(text)
        except ValueError as error:
            document.faults.take([Problem(Place(f"--set {dotted}={text}"), "HF101", str(error))])
            continue
        document.data = _with_value(document.data, tuple(parts), value, ())  # type: ignore[assignment]


def _setting_value(text: str) -> object:
    if re.fullmatch(r"[\w./+-]*", text):
        try:
            return json.loads(text)
        except ValueError:
            pass
    from hepflow.recipe.yaml_nodes import load_yaml, plain_scalar

    if not text.strip():
        return plain_scalar("")
    data, _, problems = load_yaml(text, "--set")
    if problems:
        raise ValueError(problems[0].what)
    return data


def _with_value(tree: object, rest: Path, value: object, done: Path) -> object:
    """A copy of the tree with one value put at a path; mappings on the way are made."""
    if not rest:
        return _laid_over(tree, value, done) if not isinstance(value, dict) else value
    head, tail = rest[0], rest[1:]
    if isinstance(tree, list) and isinstance(head, int) and head < len(tree):
        copy = list(tree)
        copy[head] = _with_value(tree[head], tail, value, (*done, head))
        return copy
    base = dict(tree) if isinstance(tree, dict) else {}
    key = str(head)
    if len(done) == 1 and done[0] == "inputs" and tail and not isinstance(base.get(key), dict):
        base[key] = {"default": base[key]} if key in base else {}
    base[key] = _with_value(base.get(key), tail, value, (*done, key))
    return base
