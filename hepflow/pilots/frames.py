"""Messages between processes of ours as pickles, each behind its length.

Must never be given what others wrote: a pickle is a program.
"""

from __future__ import annotations

import pickle
from typing import Any, Final

LENGTH: Final = 8
"""Bytes of the length in front of a message."""


def frame(message: object) -> bytes:
    """A message as bytes that tell where they end."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(LENGTH, "little") + data


def unframed(data: bytes) -> tuple[list[Any], bytes]:
    """The whole messages at the head of some bytes, and what is left."""
    messages = []
    start = 0
    while len(data) >= start + LENGTH:
        end = start + LENGTH + int.from_bytes(data[start : start + LENGTH], "little")
        if end > len(data):
            break
        messages.append(pickle.loads(data[start + LENGTH : end]))
        start = end
    return messages, data[start:]


def frames_in(path: str, start: int) -> tuple[list[Any], int]:
    """The whole messages of a file from a position on, and the position behind them."""
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read()
    messages, rest = unframed(data)
    return messages, start + len(data) - len(rest)
