"""The sentences feature files are made of, and what each means for a run.

The sentences are those of `reana-client test` (docs.reana.io, "Testing workflows").
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from hepflow_reana.checks.facts import Facts

_UNITS: Final = {
    "": 1, "bytes": 1, "B": 1, **{f"{letter}iB": 1024**n for n, letter in enumerate("KMGTP", 1)},
}  # fmt: skip


class Unmet(Exception):
    """A sentence that does not hold; the text says what does."""


class NotAsked(Exception):
    """A scenario is about another kind of run, or about something there is not here; the text says why."""


Meaning: TypeAlias = Callable[..., None]


def hold(text: str, facts: Facts) -> None:
    """Makes sure that a sentence holds.

    Raises:
        Unmet: it does not.
        NotAsked: its scenario does not apply.
        KeyError: nobody knows the sentence.
    """
    for pattern, meaning in SENTENCES:
        match = pattern.fullmatch(text.strip())
        if match is not None:
            meaning(facts, *match.groups())
            return
    raise KeyError(text)


# --- what they mean -------------------------------------------------------------------------------


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Unmet(otherwise)


def _given_completed(facts: Facts) -> None:
    if facts.status not in ("finished", "failed"):
        raise NotAsked(f"the run is {facts.status}")


def _given_status(facts: Facts, status: str) -> None:
    if facts.status != _plain(status):
        raise NotAsked(f"the run is {facts.status}")


def _status(facts: Facts, status: str) -> None:
    _require(facts.status == _plain(status), f"it is {facts.status}")


def _outputs(facts: Facts) -> None:
    missing = [
        path for path in facts.promised
        if path not in facts.files and not any(name.startswith(f"{path}/") for name in facts.files)
    ]  # fmt: skip
    _require(not missing, f"there is no {', '.join(missing)}")


def _there(facts: Facts, path: str) -> None:
    _require(_path(path) in facts.files, "it is not there")


def _not_there(facts: Facts, path: str) -> None:
    _require(_path(path) not in facts.files, "it is there")


def _logs(facts: Facts, content: str) -> None:
    _require(any(content in text for text in facts.logs.values()), "no step has printed that")


def _engine_logs(_facts: Facts, _content: str) -> None:
    raise NotAsked("the log of another engine is not imitated")


def _step_logs(facts: Facts, step: str, content: str) -> None:
    name = _step(facts, step)
    _require(content in facts.logs[name], "it has not printed that")


def _content(facts: Facts, path: str, content: str) -> None:
    text = _file(facts, path).read_text(encoding="utf-8", errors="replace")
    _require(content in text, f"it holds {text[:60]!r}")


def _checksum(facts: Facts, algorithm: str, path: str, expected: str) -> None:
    data = _file(facts, path).read_bytes()
    name = _plain(algorithm).lower()
    if name == "adler32":
        found = format(zlib.adler32(data), "08x")
    elif name in hashlib.algorithms_guaranteed and not name.startswith("shake"):
        found = hashlib.new(name, data).hexdigest()
    else:
        raise NotAsked(f"there is no checksum '{algorithm}'")
    _require(found == _plain(expected).lower(), f"it is {found}")


def _run_time(facts: Facts, minutes: str) -> None:
    _require(facts.took_s < 60 * float(_plain(minutes)), f"it took {facts.took_s:.1f} s")


def _step_time(facts: Facts, step: str, minutes: str) -> None:
    took = facts.steps_s[_step(facts, step)]
    _require(took < 60 * float(_plain(minutes)), f"it took {took:.1f} s")


def _exact_size(facts: Facts, path: str, size: str) -> None:
    found = _file(facts, path).stat().st_size
    _require(found == _bytes(size), f"it has {found} bytes")


def _size_between(facts: Facts, path: str, one: str, other: str) -> None:
    low, high = sorted((_bytes(one), _bytes(other)))
    found = _file(facts, path).stat().st_size
    _require(low <= found <= high, f"it has {found} bytes")


def _workspace_below(facts: Facts, size: str) -> None:
    found = _all_bytes(facts)
    _require(found <= _bytes(size), f"it has {found} bytes")


def _workspace_above(facts: Facts, size: str) -> None:
    found = _all_bytes(facts)
    _require(found >= _bytes(size), f"it has {found} bytes")


SENTENCES: Final[list[tuple[re.Pattern[str], Meaning]]] = [
    (re.compile(pattern, re.DOTALL), meaning)
    for pattern, meaning in (
        ("the workflow execution completes", _given_completed),
        ("the workflow (?:status )?is (.+)", _given_status),
        ("the workflow (?:status )?should be (.+)", _status),
        ("(?:all )?the outputs should be included in the workspace", _outputs),
        ("the workspace should (?:include|contain) (.+)", _there),
        ("the workspace should not (?:include|contain) (.+)", _not_there),
        ("(.+) should be in the workspace", _there),
        ("(.+) should not be in the workspace", _not_there),
        ('the (?:job )?logs should contain "(.*)"', _logs),
        ('the engine logs should contain "(.*)"', _engine_logs),
        ('the job logs for the step (.+?) should contain "(.*)"', _step_logs),
        ('the job logs for the (.+?) step should contain "(.*)"', _step_logs),
        ('the file (.+?) should (?:include|contain) "(.*)"', _content),
        ("the (.+) checksum of the file (.+) should be (.+)", _checksum),
        ("the workflow run duration should be less than (.+) minutes", _run_time),
        ("the duration of the step (.+) should be less than (.+) minutes", _step_time),
        ("the size of the file (.+) should be exactly (.+)", _exact_size),
        ("the size of the file (.+) should be between (.+) and (.+)", _size_between),
        ("the workspace size should be less than (.+)", _workspace_below),
        ("the workspace size should be more than (.+)", _workspace_above),
    )
]


# --- the words in them ----------------------------------------------------------------------------


def _plain(text: str) -> str:
    return text.strip().strip('"')


def _path(text: str) -> str:
    return _plain(text).removeprefix("./").removeprefix("/")


def _file(facts: Facts, path: str) -> Path:
    place = facts.files.get(_path(path))
    if place is None or not place.is_file():
        raise Unmet("it is not there")
    return place


def _step(facts: Facts, name: str) -> str:
    plain = _plain(name)
    if plain not in facts.logs:
        raise Unmet(f"there is no such step; there are {', '.join(facts.logs)}")
    return plain


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", _plain(text))
    if match is None or match[2] not in _UNITS:
        raise Unmet(f"'{text}' is not a size; write one as 30 KiB")
    return int(float(match[1]) * _UNITS[match[2]])


def _all_bytes(facts: Facts) -> int:
    return sum(path.stat().st_size for path in facts.files.values() if path.is_file())
