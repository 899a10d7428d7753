"""Reading quantities a person writes: memory and disk in MiB, times in seconds."""

from __future__ import annotations

import math
import re
from typing import Final

_BYTES: Final = {
    "": 1024**2,
    "b": 1,
    **{f"{p}b": 1000 ** (n + 1) for n, p in enumerate("kmgtp")},
    **{f"{p}ib": 1024 ** (n + 1) for n, p in enumerate("kmgtp")},
    **{p: 1000 ** (n + 1) for n, p in enumerate("kmgtp")},
    **{f"{p}i": 1024 ** (n + 1) for n, p in enumerate("kmgtp")},
}
_SECONDS: Final = {
    "": 1, "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400,
    "ms": 0.001,
}  # fmt: skip
_QUANTITY: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*")
_CLOCK: Final = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")


def mebibytes(value: object) -> int:
    """Memory: a number of MiB, or text such as ``1 GB`` (10^9 bytes) or ``512 MiB``; rounded up.

    Raises:
        ValueError: with a sentence that shows how to write it.
    """
    how = "write '2 GB' (10^9 bytes), '512 MiB', or a number of MiB"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is not an amount of memory; {how}")
    match = _QUANTITY.fullmatch(str(value))
    unit = _BYTES.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{value!r} is not an amount of memory; {how}")
    # Decimal digits of a float may not be exact: forgive a byte before rounding up.
    size_bytes: int = round(float(match[1]) * unit)
    return math.ceil(size_bytes / 1024**2)


def seconds(value: object) -> float:
    """Time: a number of seconds, or text such as ``30 min``, ``2 h``, ``1:30:00``, ``2-00:00:00``.

    Raises:
        ValueError: with a sentence that shows how to write it.
    """
    how = "write '30 min', '2 h', '1:30:00', or a number of seconds"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is not a time; {how}")
    text = str(value).strip()
    clock = _CLOCK.fullmatch(text)
    if clock:
        days, first, second, third = (int(part or 0) for part in clock.groups())
        if clock[4] is None:
            raise ValueError(
                f"{value!r} may mean hours or minutes; write '{text}:00' or '{text} ...'"
            )
        return float(((days * 24 + first) * 60 + second) * 60 + third)
    parts = re.findall(r"([0-9.]+)\s*([A-Za-z]*)", text)
    if not parts or re.sub(r"([0-9.]+)\s*([A-Za-z]*)", "", text).strip():
        raise ValueError(f"{value!r} is not a time; {how}")
    total = 0.0
    for number, unit in parts:
        if unit.lower() not in _SECONDS or number.count(".") > 1 or number == ".":
            raise ValueError(f"{value!r} is not a time; {how}")
        total += float(number) * _SECONDS[unit.lower()]
    return total
