"""What a task of this machine keeps when it has to make way, for its next attempt to find."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from typing import Final

from hepflow.model.task import Attempt, Reason, Staged
from hepflow.model.values import Directory, File

MADE_WAY: Final = frozenset({Reason.TIMEOUT, Reason.CANCELLED})
"""How an attempt ends that was told to: it had a moment to write its checkpoint."""


def restored(attempt: Attempt) -> Attempt:
    """The attempt with copies of what an earlier one kept, if that did."""
    found = []
    for path in attempt.task.checkpoint:
        kept = f"{attempt.checkpoint}/{path}"
        if os.path.lexists(kept):
            what = Directory(kept) if os.path.isdir(kept) else File(kept)
            found.append(Staged(what, path, writable=True))
    if not found:
        return attempt
    return attempt._replace(task=replace(attempt.task, stage=(*attempt.task.stage, *found)))


def keep(attempt: Attempt) -> None:
    """Move what an attempt leaves as its checkpoint out of its folder, each path whole or not at all."""
    for path in attempt.task.checkpoint:
        source, target = f"{attempt.folder}/{path}", f"{attempt.checkpoint}/{path}"
        if not attempt.folder or not os.path.lexists(source):
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(target) and not os.path.islink(target):
            shutil.rmtree(target)
        with suppress(OSError):  # a disk that is full: the next attempt begins anew
            os.replace(source, target)
