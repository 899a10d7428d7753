"""Collecting every fault of a recipe, so that one run of ``validate`` tells them all.

Owns the wording of "did you mean". Knows positions only through :class:`Places`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Final, Protocol, TypeAlias

from hepflow.model.errors import Place, Problem

Path: TypeAlias = tuple[str | int, ...]
"""Where something stands in the data: keys and list positions from the top."""

MOST_CANDIDATES: Final = 5000
"""Comparing words is quadratic; beyond this many candidates a hint is not worth the wait."""


class Places(Protocol):
    """Finds the line and column of a piece of data."""

    def at(self, path: Path, *, key: bool = False, needle: str = "", line: int = 0) -> Place:
        """The place of a value (or of its key); of ``needle`` inside its text where it is found,
        from a line of that text on."""
        ...


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like ``word``; empty when none is."""
    candidates = list(known)
    if len(candidates) > MOST_CANDIDATES:
        return ""
    lowered = {candidate.lower(): candidate for candidate in candidates}
    if word.lower() in lowered:
        return lowered[word.lower()]
    found = get_close_matches(word, candidates, n=1, cutoff=0.6)
    return found[0] if found else ""


def suggestion(word: str, known: Iterable[str], noun: str = "known") -> str:
    """The ``fix`` of an unknown word: the nearest right one, else the list of all."""
    candidates = list(known)
    near = nearest(word, candidates)
    if near:
        return f"did you mean '{near}'?"
    if not candidates:
        return ""
    listed = ", ".join(str(item) for item in candidates[:20])
    return f"{noun}: {listed}{', ...' if len(candidates) > 20 else ''}"


class Faults:
    """The faults found so far in one file."""

    __slots__ = ("_finder", "_found", "_places")

    def __init__(self, finder: Callable[[], Places]) -> None:
        self._finder = finder
        self._places: Places | None = None
        self._found: dict[Problem, None] = {}

    @property
    def problems(self) -> list[Problem]:
        """All faults, in the order of the file."""
        return sorted(self._found)

    @property
    def count(self) -> int:
        """How many faults there are so far."""
        return len(self._found)

    def forget(self, count: int) -> None:
        """Drop all faults but the first ``count``."""
        self._found = dict.fromkeys(list(self._found)[:count])

    def add(
        self,
        code: str,
        path: Path,
        what: str,
        *,
        why: str = "",
        fix: str = "",
        key: bool = False,
        needle: str = "",
        line: int = 0,
    ) -> None:
        """Note a fault; ``key`` points at the key rather than its value."""
        if self._places is None:
            self._places = self._finder()
        place = self._places.at(path, key=key, needle=needle, line=line)
        self._found[Problem(place, code, what, why, fix)] = None

    def take(self, problems: Iterable[Problem]) -> None:
        """Note faults of another file."""
        self._found.update(dict.fromkeys(problems))
