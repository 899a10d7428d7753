"""YAML files with the place of every piece, and what their ``$ref`` lead to (JSON references, RFC 6901
pointers), from this machine or from the web.

The reader is PyYAML's safe one, as yadage's is, so that words mean what they mean to yadage. Knows nothing
of stages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import yaml

from hepflow.model.errors import Place, Problem, RecipeError
from hepflow_yadage.addresses import base_of, folder_of, joined, text_at

UNREADABLE: Final = "HF271"
MISSING: Final = "HF272"
_TAG: Final = "tag:yaml.org,2002:"


class Record(dict[str, Any]):
    """A mapping that knows where it stands, and each of its keys."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, Place] = {}

    def at(self, key: str) -> Place:
        """Where a key stands; the mapping itself where there is no such key."""
        return self.places.get(key, self.place)


class Source(NamedTuple):
    """Where a document came from.

    Args:
        name: a path or a URL.
        bases: folders or URLs, each ending in ``/``, that its references are relative to, in order.
    """

    name: str
    bases: tuple[str, ...]


class Library:
    """All documents of one workflow, each read once.

    Args:
        toplevel: what the references of the first document are relative to. Empty for its own folder
            and, where a name is not there, those above it: yadage takes the folder it is started in,
            which is one of them in every published workflow.
    """

    def __init__(self, toplevel: str = "") -> None:
        self._toplevel = base_of(toplevel) if toplevel else ""
        self._lasting = (self._toplevel,) if self._toplevel else ()
        self._read: dict[str, Any] = {}
        self._resolved: dict[tuple[str, str], Any] = {}
        self._open: list[tuple[str, str]] = []
        self.problems: list[Problem] = []

    def load(self, path: Path) -> Any:
        """A document with all references replaced by what they lead to.

        Raises:
            RecipeError: with every document that is not there or cannot be read.
        """
        folder = path.absolute().parent
        above = [base_of(str(base)) for base in (folder, *folder.parents)]
        source = Source(str(path), (self._toplevel,) if self._toplevel else tuple(above))
        resolved = self._replaced(self._document(source.name, Place(source.name)), source)
        if self.problems:
            raise RecipeError(dict.fromkeys(self.problems))
        return resolved

    def _document(self, name: str, asked: Place) -> Any:
        if name not in self._read:
            try:
                self._read[name] = parse(text_at(name), name)
            except ValueError as error:
                self._read[name] = None
                self._fault(asked, UNREADABLE, f"'{name}' cannot be read: {error}")
            except RecipeError as error:
                self._read[name] = None
                self.problems += error.problems
        return self._read[name]

    def _replaced(self, value: Any, source: Source) -> Any:
        if isinstance(value, Record):
            reference = value.get("$ref")
            if isinstance(reference, str):
                return self._target(reference, source, value.at("$ref"))
            record = Record(value.place)
            record.places = value.places
            for key, item in value.items():
                record[key] = self._replaced(item, source)
            return record
        if isinstance(value, list):
            return [self._replaced(item, source) for item in value]
        return value

    def _target(self, reference: str, source: Source, asked: Place) -> Any:
        name, _, pointer = reference.partition("#")
        found = self._located(name, source, asked) if name else source
        if found is None:
            return None
        key = (found.name, pointer)
        if key in self._open:
            self._fault(asked, MISSING, f"'{reference}' leads back to itself")
            return None
        if key not in self._resolved:
            self._open.append(key)
            document = self._document(found.name, asked)
            piece = None if document is None else self._piece(document, reference, found, asked)
            self._resolved[key] = self._replaced(piece, found)
            self._open.pop()
        return self._resolved[key]

    def _located(self, name: str, source: Source, asked: Place) -> Source | None:
        """The document a reference names, looked for at each base in order."""
        places = [joined(base, name) for base in source.bases]
        for place in places:
            if "://" in place or os.path.isfile(place):
                return Source(place, (folder_of(place), *self._lasting))
        folder = os.path.dirname(places[0])
        there = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        near = get_close_matches(os.path.basename(name), there, n=1)
        fix = "put it there, or say what references are relative to: --set toplevel=DIR"
        if not there:
            fix = f"the folder '{folder}' is empty or not there: is it a git submodule? else {fix}"
        if near:
            fix = f"did you mean '{near[0]}'?"
        self._fault(
            asked, MISSING, f"$ref leads to '{name}', and there is no such file",
            f"looked for {places[0]}" + (" and in the folders above" if places[1:] else ""), fix,
        )  # fmt: skip
        return None

    def _piece(self, document: Any, reference: str, source: Source, asked: Place) -> Any:
        """What the JSON pointer of a reference leads to, which may begin without its slash and pass through
        other references, as yadage has it."""
        pointer = reference.partition("#")[2].lstrip("/")
        piece = document
        for part in unquote(pointer).split("/") if pointer else ():
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(piece, Record) and isinstance(piece.get("$ref"), str):
                piece = self._target(piece["$ref"], source, piece.at("$ref"))
            if isinstance(piece, dict) and key in piece:
                piece = piece[key]
            elif isinstance(piece, list) and key.isdigit() and int(key) < len(piece):
                piece = piece[int(key)]
            else:
                names = list(piece) if isinstance(piece, dict) else []
                near = get_close_matches(key, names, n=1)
                fix = f"did you mean '{near[0]}'?" if near else ""
                why = f"there is {', '.join(names)}" if names else ""
                self._fault(asked, MISSING, f"there is no '{key}' for '{reference}'", why, fix)
                return None
        return piece

    def _fault(self, place: Place, code: str, what: str, why: str = "", fix: str = "") -> None:
        self.problems.append(Problem(place, code, what, why, fix))


# --- YAML -----------------------------------------------------------------------------------------------


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Reader(_Base):  # type: ignore[misc]
    """PyYAML's safe loader, with mappings that know their place; dates stay the texts they are."""

    file = ""

    def place(self, node: Any) -> Place:
        mark = node.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1)

    def record(self, node: Any) -> Generator[Record, None, None]:
        self.flatten_mapping(node)  # what '<<' merges comes first, so that own keys win
        record = Record(self.place(node))
        yield record
        for key, value in node.value:
            name = _name(self.construct_object(key, deep=True))
            record.places[name] = self.place(key)
            record[name] = self.construct_object(value)


_Reader.add_constructor(f"{_TAG}map", _Reader.record)
_Reader.add_constructor(f"{_TAG}timestamp", yaml.SafeLoader.construct_scalar)


def _name(key: object) -> str:
    """A key as JSON spells it."""
    return key if isinstance(key, str) else json.dumps(key)


def parse(text: str, file: str) -> Any:
    """A text as plain data with places.

    Raises:
        RecipeError: it is not YAML.
    """
    reader = _Reader(text)
    reader.file = file
    try:
        return reader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        what = f"not valid YAML: {getattr(error, 'problem', None) or error}"
        raise RecipeError(Problem(place, UNREADABLE, what)) from None
    except RecursionError:
        raise RecipeError(Problem(Place(file, 1, 1), UNREADABLE, "nested too deeply")) from None
    finally:
        reader.dispose()
