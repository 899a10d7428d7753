"""What a worker is asked to do, and the files by which a head and its workers know of each other.

All stand in the executor's folder, which both see. A head has a word of its own, its *tag*; a foreman
works in ``TAG-HOST-PID``, whose file ``events`` it keeps locked while it lives; ``TAG.unwanted`` has the
attempts whose end is wanted, a list of ids in each line, and a lone ``"*"`` when the head wants no more.
``TAG.bundle-N`` says that a bundle was begun: engines start a bundle again whose worker was lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

EVENTS: Final = "events"
UNWANTED: Final = ".unwanted"
ALL: Final = "*"
LOOK_S: Final = 0.05
"""Seconds between two looks whether a foreman has ended."""


class Order(NamedTuple):
    """A bundle on its way.

    Args:
        version: of the hepflow that pickled the attempts.
        folder: the executor's.
        tag: the head's.
        number: the bundle's, from 0.
        settings: of the local executor that runs it; what the worker itself knows comes on top.
        env: the site's variables.
        attempts: a pickled list of ``Attempt``.
    """

    version: str
    folder: str
    tag: str
    number: int
    settings: Mapping[str, object]
    env: Mapping[str, str]
    attempts: bytes

    @property
    def claim(self) -> str:
        """The file that says it was begun."""
        return f"{self.folder}/{self.tag}.bundle-{self.number}"


def want_no_more(folder: Path, tag: str, what: object = ALL) -> None:
    """Tell foremen of a head which attempts' end is wanted; by default their own."""
    with open(folder / f"{tag}{UNWANTED}", "a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\n")


def await_foremen(folder: Path, tag: str, patience_s: float) -> bool:
    """Wait until no foreman of a head is left; false if one still is."""
    deadline = time.monotonic() + patience_s
    for path in folder.glob(f"{tag}-*/{EVENTS}"):
        while is_locked(path):
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
    return True


def is_locked(path: Path) -> bool:
    """Whether a living foreman holds this file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: nobody can tell
        return False
    finally:
        os.close(descriptor)
    return False
