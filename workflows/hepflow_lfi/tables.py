"""Tables of numbers with commas between (CSV): what programs in any language read and write.

Parameters go out with a line of names above the numbers; what comes in may have one or not.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hepflow_verbs import InputError


def write_table(
    path: str | os.PathLike[str], names: Sequence[str], rows: NDArray[np.floating]
) -> None:
    """Write ``rows`` (n, columns) under a line of ``names``; numbers come back as they were."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows.tolist())


def read_table(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Read the rows (n, columns) of a table; a first line of words is taken for its head.

    ``InputError`` names the line that is no row of finite numbers as long as the one before.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", fix="check the path")
    rows: list[list[float]] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.reader(file)
            for words in lines:
                if words and not (lines.line_num == 1 and _is_head(words)):
                    rows.append(_read_row(f"{path}:{lines.line_num}", words, rows))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, "is no table of numbers", why=str(error), fix=_FIX) from None
    if not rows:
        raise InputError(path, "holds no row of numbers", fix=_FIX)
    return np.array(rows)


_FIX = "write one line each, numbers with commas between"


def _is_head(words: Sequence[str]) -> bool:
    return all(_read_number(word) is None for word in words)


def _read_row(where: str, words: Sequence[str], before: Sequence[Sequence[float]]) -> list[float]:
    numbers: list[float] = []
    for word in words:
        number = _read_number(word)
        if number is None or not math.isfinite(number):
            raise InputError(where, f"{word!r} is no finite number", fix=_FIX)
        numbers.append(number)
    if before and len(numbers) != len(before[-1]):
        raise InputError(
            where,
            f"has {len(numbers)} numbers, the line before {len(before[-1])}",
            why="all lines of a table are equally long",
            fix=_FIX,
        )
    return numbers


def _read_number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
