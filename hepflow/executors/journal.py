"""Journals: what worker processes wrote down in case nobody heard them.

Owns the reading side; `report.Journal` writes. Must never know a live process of this head.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hepflow.capsule.report import RESULT
from hepflow.model.task import Outcome
from hepflow.wire.spelling import finished

PATTERN = "journal-*.jsonl"
PATIENCE_S = 10.0
"""How long a process of a killed head may take to write its last line."""


def claim_journal(workdir: Path, start: int) -> tuple[int, str, int]:
    """Make a journal that nobody else has; returns its number, path and locked descriptor.

    The lock goes over to the process that inherits the descriptor, so there is no moment at which
    a journal in use looks abandoned.
    """
    number = start
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    while True:
        path = f"{workdir}/journal-{number}.jsonl"
        try:
            descriptor = os.open(path, flags, 0o666)
        except FileExistsError:
            number += 1
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return number, path, descriptor


def results_in(data: bytes) -> list[list[Any]]:
    """The results of a stretch of journal; lines that were torn by a crash are passed over."""
    found = []
    for line in data.split(b"\n"):
        if not line.startswith(b"[0,") or not line.endswith(b"]"):
            continue
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if len(message) >= 4 and message[0] == RESULT:
            found.append(message)
    return found


def read_journal(workdir: Path) -> Mapping[str, Outcome]:
    """How attempts of earlier heads ended, by attempt id."""
    outcomes: dict[str, Outcome] = {}
    where = os.uname().nodename
    for path in sorted(workdir.glob(PATTERN)):
        for message in results_in(path.read_bytes()):
            event = finished(message, where)
            outcomes[event.attempt] = event.outcome
    return outcomes


def clear_journals(workdir: Path) -> None:
    """Forget results that a store has safely."""
    for path in workdir.glob(PATTERN):
        path.unlink(missing_ok=True)


def wait_for_writers(workdir: Path, pause: Callable[[float], None] = time.sleep) -> bool:
    """Wait until no process of an earlier head writes any more; false when some still does."""
    deadline = time.monotonic() + PATIENCE_S
    for path in workdir.glob(PATTERN):
        with path.open("rb") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        return False
                    pause(0.01)
    return True
