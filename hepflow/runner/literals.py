"""Files that stand nowhere yet, written down for tools that take files by path.

A literal's place follows from its content, so it is written once, whichever steps and runs use it.
"""

from __future__ import annotations

import os
import shutil
from hashlib import sha256

from hepflow.model.values import Directory, File, canonical

UNNAMED = "literal"


class Literals:
    """The literals of one project.

    Args:
        folder: where they are written; made if need be.
        write: whether to write them. A preview only wants to know their places.
    """

    def __init__(self, folder: str, *, write: bool) -> None:
        self._folder = folder
        self._write = write
        self._known: set[str] = set()

    def path_of(self, value: File | Directory) -> str:
        """Where a task on this machine finds a file; literals are written on the way.

        Raises:
            ValueError: a literal cannot be written, or one of its names is no name of a file.
        """
        if value.location:
            return value.location
        digest = sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        path = f"{self._folder}/{digest}/{_name(value)}"
        if self._write and path not in self._known:
            try:
                self._keep(value, f"{self._folder}/{digest}")
            except OSError as error:
                raise ValueError(f"the file '{_name(value)}' cannot be written: {error}") from None
            self._known.add(path)
        return path

    def _keep(self, value: File | Directory, home: str) -> None:
        """Write one, whole or not at all: another run may be about to do the same."""
        if os.path.isdir(home):
            return
        fresh = f"{home}.{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        os.makedirs(fresh)
        _write(value, fresh)
        try:
            os.rename(fresh, home)
        except OSError:
            shutil.rmtree(fresh)
            if not os.path.isdir(home):
                raise


def _write(value: File | Directory, folder: str) -> None:
    path = f"{folder}/{_name(value)}"
    if value.location:
        os.symlink(value.location, path)
    elif isinstance(value, Directory):
        os.mkdir(path)
        for entry in value.listing or ():
            _write(entry, path)
    else:
        with open(path, "x", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(value.contents or "")


def _name(value: File | Directory) -> str:
    name = value.name or UNNAMED
    if "/" in name or "\0" in name or name in (".", ".."):
        raise ValueError(f"{name!r} cannot be the name of a file")
    return name
