"""The files that travel with the jobs of a cluster, laid out for HTCondor to take."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hepflow.wire.travel import Piece


def lay_out(above: Path, piece: Piece) -> None:
    """Put a file or a directory into a folder of its own, without a copy where that is possible."""
    folder = above / piece.name
    folder.mkdir(parents=True)
    target = folder / os.path.basename(piece.location.rstrip("/"))
    if piece.files:
        for path in piece.files:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            _link(f"{piece.location}/{path}", str(target / path))
    elif os.path.isdir(piece.location):
        shutil.copytree(piece.location, target, copy_function=_link)
    else:
        _link(piece.location, str(target))


def _link(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system
        shutil.copy2(source, target)
