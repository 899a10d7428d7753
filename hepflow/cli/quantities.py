"""Amounts of memory, ages and times given as options, in the spelling of recipes (``8 GB``, ``30d``)."""

from __future__ import annotations

import math
import re
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
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2].lower() not in _BYTES:
        raise ValueError(f"'{text}' is not an amount of memory; write '8 GB' or '512 MiB'")
    size_bytes: float = float(match[1]) * _BYTES[match[2].lower()]
    return math.ceil(size_bytes / 1024**2)


def days(text: str) -> float:
    """An age in days; a bare number is days already.

    Raises:
        ValueError: with a sentence that shows how to write it.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2].lower() not in _DAYS:
        raise ValueError(f"'{text}' is not an age; write '30d', '12h', or a number of days")
    return float(match[1]) * _DAYS[match[2].lower()]


def seconds(text: str) -> float:
    """A time in seconds; a bare number is seconds already.

    Raises:
        ValueError: with a sentence that shows how to write it.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2].lower() not in _SECONDS:
        raise ValueError(f"'{text}' is not a time; write '30 s', '5 min', or a number of seconds")
    return float(match[1]) * _SECONDS[match[2].lower()]
