"""What the libraries complain of, as problems with a place and a sentence.

They tell in two ways: as a tree of exceptions, each with its line, and as text whose lines begin
with ``file:line:column:``. Owns the reading of both, and what of it is noise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cwltool.errors import UnsupportedRequirement
from schema_salad.exceptions import SchemaSaladException

from hepflow.model.errors import Place, Problem
from hepflow_cwl.places import readable

INVALID: Final = "HF241"
UNREADABLE: Final = "HF242"
WRONG_INPUT: Final = "HF244"
UNSUPPORTED: Final = "HF249"
"""A document that is right, but asks for what is not to be had here."""

_FIELD: Final = re.compile(r"the ['`](.+)['`] field is not valid because")
_POSITION: Final = re.compile(r"^\s*(?P<file>\S.*?):(?P<line>\d+):(?P<column>\d+):\s*(?P<text>.*)$")
_REWORDED: Final = (
    (r"^Field '(\w+)' references unknown identifier '([^']+)', tried .*", r"field '\1' names '\2', which is not there"),
    (r"^Field 'class' contains undefined reference to '\S*?([\w:]+)'", r"CWL has no class '\1'"),
    (r"^Field '(\w+)' contains undefined reference to '([^']+)'", r"field '\1' names \2, which is not there"),
    (r"^The following steps have circular dependency: \[(.*)\]", r"steps wait for each other: \1"),
    (r"^Tool file contains graph of multiple objects, must specify one of (.*)", r"the document has several processes and none called 'main': name one of \1"),
    (r"^Invalid job input record:? ?", ""),
    (r'\{ "class": "(?:File|Directory)",[^{}]*?"location": "([^"]*)"[^{}]*\}', r"\1"),
    (r"\bfile://\S*?#([\w./-]+)", r"\1"),
    (r"\bfile://", ""),
)  # fmt: skip
"""Words of the libraries, and ours for the same: shorter, and without their URIs."""

_ANOTHER_KIND: Final = re.compile(r"Expected class|is not a dict|Missing 'class'")


def problems_of(error: BaseException, document: str, code: str = INVALID) -> list[Problem]:
    """The problems behind an exception of the libraries.

    Args:
        document: where a problem stands that has no place of its own.
        code: what they are, if the document does not ask for something unsupported.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, UnsupportedRequirement):
            code = UNSUPPORTED
        if isinstance(seen, SchemaSaladException) and seen.children:
            found = list(_leaves(seen, Place(document), ()))
            return list(dict.fromkeys(Problem(place, code, what) for place, what in found))
        seen = seen.__cause__
    text, place = str(error), Place(document)
    if isinstance(error, SchemaSaladException):
        # As text it would be broken into lines anew, and what belongs together no longer be seen.
        text, place = error.message, _place(error, place)
    return [Problem(at, code, what) for at, what in _told(text, place)]


# --- exceptions in a tree -------------------------------------------------------------------------


def _place(error: SchemaSaladException, above: Place) -> Place:
    if not error.file or error.start is None:
        return above
    line, column = error.start
    return Place(readable(error.file), int(line or 0), int(column or 0))


def _leaves(
    error: SchemaSaladException, above: Place, fields: tuple[str, ...]
) -> Iterator[tuple[Place, str]]:
    place = _place(error, above)
    field = _FIELD.search(error.message)
    if field:
        fields = (*fields, field[1].rpartition("#")[2])
    children = list(error.children)
    if not children:
        where = f"field {' / '.join(repr(name) for name in fields)}: " if fields else ""
        yield place, where + _sentence(error.message)
    elif all(child.message.startswith("tried ") for child in children):
        yield from _leaves(min(children, key=_distance), place, fields)
    else:
        for child in children:
            yield from _leaves(child, place, fields)


def _distance(alternative: SchemaSaladException) -> tuple[int, int]:
    """How far a value is from what one alternative of a union wants: that of another class farthest."""
    leaves = alternative.leaves()
    other = sum(_ANOTHER_KIND.search(leaf.message) is not None for leaf in leaves)
    return other, len(leaves)


# --- text -----------------------------------------------------------------------------------------


def _told(text: str, document: Place) -> Iterator[tuple[Place, str]]:
    """Places and sentences from lines of text; what is indented, or stands at the same place, goes
    on with the line before."""
    place, words, margin = document, "", -1
    for line in text.splitlines():
        match = _POSITION.match(line)
        said = match["text"] if match else line.strip()
        column = line.rfind(said) if said else 0
        if match and (margin < 0 or (column <= margin and _marked(match) != place)):
            if margin >= 0:
                yield place, _sentence(words)
                words = ""
            place, margin = _marked(match), column
        words = f"{words} {said}"
    if words.strip():
        yield place, _sentence(words)


def _marked(match: re.Match[str]) -> Place:
    return Place(readable(match["file"]), int(match["line"]), int(match["column"]))


def _sentence(text: str) -> str:
    """Words in one line, without the libraries' bullets."""
    text = re.sub(r"\s+", " ", text).strip(" -*\n")
    for theirs, ours in _REWORDED:
        text = re.sub(theirs, ours, text)
    return text
