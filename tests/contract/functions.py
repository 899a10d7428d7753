"""Functions that the contract's Python tasks call; a worker imports this file as a module."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

SEEN: list[int] = []


def double(x: int) -> int:
    return 2 * x


def several(count: int, ledger: str = "") -> list[float]:
    """A value of some size; leaves a trace where it is asked to."""
    if ledger:
        with open(ledger, "a", encoding="utf-8") as file:
            file.write("made\n")
    return [n / 8 for n in range(count)]


def total(values: list[float], more: list[list[float]] = [], factor: int = 1) -> float:  # noqa: B006
    return factor * (sum(values) + sum(map(sum, more)))


def process() -> int:
    return os.getpid()


def offered(x: int, index: int = -1) -> list[int]:
    return [x, index]


def two() -> dict[str, int]:
    return {"one": 1, "two": 2}


def grow(i: int) -> list[int]:
    """Returns the same list again and again, changed meanwhile."""
    SEEN.append(i)
    return SEEN


def whatever(kind: str) -> Any:
    return {
        "set": {1},
        "path": Path("/some/where"),
        "bytes": b"1",
        "nested": {"a": [1, (2.5, None)], "b": {"c": True}},
        "keys": {1: 2},
        "nan": float("nan"),
    }[kind]


def raises(text: str) -> None:
    raise ValueError(text)


def leaves() -> None:
    sys.exit(3)


def writes(out: str, text: str = "hello") -> None:
    Path(out).write_text(text, encoding="utf-8")


def prints(text: str, times: int = 1) -> None:
    for _ in range(times):
        print(text)
    print("to stderr", file=sys.stderr)


def sleeps(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def dies(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)
    time.sleep(10)


def variable(name: str) -> str | None:
    return os.environ.get(name)


def where() -> str:
    return str(Path.cwd())


def keeps() -> str:
    """Begin, or go on from the file ``at``, which is written when there is no more time."""
    if os.path.exists("at"):
        with open("at", encoding="utf-8") as file:
            return file.read()

    def save(number: int, _frame: object) -> None:
        with open("at", "w", encoding="utf-8") as file:
            file.write("half")
        sys.exit(number)

    signal.signal(signal.SIGTERM, save)
    time.sleep(60)
    return "whole"
