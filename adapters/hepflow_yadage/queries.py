"""The two query languages of yadage specifications, jq and JSONPath; each query is compiled once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jq
import jsonpath_ng
from jsonpath_ng.exceptions import JSONPathError

MOST_QUERIES = 4096
"""Compiled queries that are kept; a workflow has dozens."""


def run_jq(script: str, data: object) -> list[Any]:
    """All that a jq program gives for some JSON data.

    Raises:
        ValueError: the program is wrong, or fails; a sentence.
    """
    try:
        found: list[Any] = _compiled(script).input_value(data).all()
    except ValueError as error:
        raise ValueError(f"jq '{script.strip()}': {_first_line(error)}") from None
    return found


def first_of_jq(script: str, data: object) -> Any:
    """The first thing that a jq program gives.

    Raises:
        ValueError: as :func:`run_jq`, or it gives nothing.
    """
    found = run_jq(script, data)
    if not found:
        raise ValueError(f"jq '{script.strip()}' gives nothing")
    return found[0]


def text_of_jq(script: str, data: object) -> str:
    """What jq prints: each result as JSON on a line of its own.

    Raises:
        ValueError: as :func:`run_jq`.
    """
    try:
        text: str = _compiled(script).input_value(data).text()
    except ValueError as error:
        raise ValueError(f"jq '{script.strip()}': {_first_line(error)}") from None
    return text


def check_jq(script: str) -> str:
    """Why a jq program cannot be compiled; empty if it can."""
    try:
        _compiled(script)
    except ValueError as error:
        return _first_line(error)
    return ""


def find(path: str, data: object) -> list[Any]:
    """The values that a JSONPath matches, in order.

    Raises:
        ValueError: it is not JSONPath.
    """
    return [match.value for match in _parsed(path).find(data)]


def check_path(path: str) -> str:
    """Why a text is no JSONPath; empty if it is one."""
    try:
        _parsed(path)
    except ValueError as error:
        return str(error)
    return ""


@lru_cache(MOST_QUERIES)
def _compiled(script: str) -> Any:
    return jq.compile(script)


@lru_cache(MOST_QUERIES)
def _parsed(path: str) -> Any:
    try:
        return jsonpath_ng.parse(path)
    except JSONPathError as error:
        raise ValueError(f"'{path}' is not JSONPath: {error}") from None


def _first_line(error: ValueError) -> str:
    return str(error).strip().splitlines()[0].removeprefix("jq: error: ") if str(error) else "fails"
