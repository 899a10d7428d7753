"""Amounts of memory, ages and times given as options, in the spelling of recipes (``8 GB``, ``30d``)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

_BYTES: Final[dict[str, int]] = {
    "": 1024**2,
    "b": 1,
    **{f"{prefix}b": 1000 ** (n + 1) for n, prefix in enumerate("kmgt")},
    **{f"{prefix}ib": 1024 ** (n + 1) for n, prefix in enumerate("kmgt")},
}
_DAYS: Final[dict[str, float]] = {
    "": 1.0,
    "d": 1.0,
    "w": 7.0,
    "h": 1 / 24,
    "m": 1 / 1440,
    "min": 1 / 1440,
}
_SECONDS: Final[dict[str, float]] = {
    "": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_QUANTITY: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([A-Za-z]*)\s*")


def mebibytes(text: str) -> int:
    """Memory in MiB, rounded up; a bare number is MiB already.

    Raises:
        ValueError: with a sentence that shows how to write it.
    """
    wrong = f"'{text}' is not an amount of memory; write '8 GB' or '512 MiB'"
    return math.ceil(_amount(text, _BYTES, wrong) / 1024**2)


def days(text: str) -> float:
    """An age in days; a bare number is days already.

    Raises:
        ValueError: with a sentence that shows how to write it.
    """
    wrong = f"'{text}' is not an age; write '30d', '12h', or a number of days"
    return _amount(text, _DAYS, wrong)


def seconds(text: str) -> float:
    """A time in seconds; a bare number is seconds already.

    Raises:
        ValueError: with a sentence that shows how to write it.
    """
    wrong = f"'{text}' is not a time; write '30 s', '5 min', or a number of seconds"
    return _amount(text, _SECONDS, wrong)


def _amount(text: str, units: Mapping[str, float], wrong: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2].lower() not in units:
        raise ValueError(wrong)
    return float(match[1]) * units[match[2].lower()]
