"""Where a tool finds its files: the library's path map, with words for folders not yet known.

Each input file gets a folder of its own below ``INPUTS``, in which its secondary files stand beside
it; what InitialWorkDirRequirement asks for stands below ``FOLDER`` (CWL v1.2, CommandLineTool,
sections "Runtime environment" and "InitialWorkDirRequirement"). Nothing is linked or copied here:
the executor does that, when it knows where.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, MutableSequence
from urllib.parse import urlsplit

from cwltool.pathmapper import MapperEnt, PathMapper
from cwltool.utils import downloadHttpFile

from hepflow.model.task import FOLDER, INPUTS, Staged
from hepflow.model.values import Directory, File
from hepflow_cwl.values import CWL, LITERAL, to_path


class Places(PathMapper):
    """The library's path map, which asks the file system nothing and leaves nothing to chance.

    Args:
        entries: File and Directory objects, each with its ``location`` and ``basename``.
        root: the folder they are placed below.
        apart: give each a numbered folder of its own.
    """

    def __init__(self, entries: MutableSequence[CWL], root: str, apart: bool) -> None:
        self._origins: dict[str, tuple[str, str]] = {}
        super().__init__(entries, "", root, apart)

    def setup(self, referenced_files: Iterable[CWL], basedir: str) -> None:
        for number, entry in enumerate(referenced_files):
            folder = f"{self.stagedir}/{number}" if self.separateDirs else self.stagedir
            self.visit(entry, folder, basedir, bool(entry.get("writable")), staged=True)

    def visit(
        self, obj: CWL, stagedir: str, basedir: str, copy: bool = False, staged: bool = False
    ) -> None:
        location = obj["location"]
        if location in self._pathmap:
            return
        stagedir = obj.get("dirname") or stagedir
        target = os.path.join(stagedir, obj["basename"])
        writable = "Writable" if copy else ""
        if obj["class"] == "Directory":
            here = to_path(location)
            self._pathmap[location] = MapperEnt(here, target, f"{writable}Directory", staged)
            below = staged and location.startswith(LITERAL)
            self.visitlisting(obj.get("listing", []), target, basedir, copy, below)
            return
        if location.startswith(LITERAL):
            kind, resolved = f"Create{writable}File", obj["contents"]
        else:
            kind, resolved = f"{writable}File", local_path(location)
        self._pathmap[location] = MapperEnt(resolved, target, kind, staged)
        self.visitlisting(obj.get("secondaryFiles", []), stagedir, basedir, copy, staged)

    def reversemap(self, target: str) -> tuple[str, str] | None:
        if len(self._origins) != len(self._pathmap):
            self._origins = {
                entry.target: (location, entry.resolved)
                for location, entry in reversed(self._pathmap.items())
            }
        return self._origins.get(target)

    def update(
        self, key: str, resolved: str, target: str, ctype: str | None, stage: bool | None
    ) -> MapperEnt:
        self._origins = {}
        return super().update(key, resolved, target, ctype, stage)


def local_path(location: str) -> str:
    """Where a file is on this machine; one on the web is fetched, once, into the user's cache."""
    if urlsplit(location).scheme in ("http", "https"):
        return downloadHttpFile(location)[0]
    return to_path(location)


def place(
    maps: Iterable[PathMapper], known: Mapping[str, File | Directory], inplace: bool
) -> tuple[tuple[Staged, ...], tuple[tuple[str, str], ...]]:
    """What the executor has to place for a task.

    Args:
        maps: where everything goes.
        known: the model's files by their location, for their digests.
        inplace: what is writable is the original itself (InplaceUpdateRequirement).

    Returns:
        files and directories, and the texts of literals.

    Raises:
        ValueError: two different things would go to the same place.
    """
    stage: list[Staged] = []
    texts: list[tuple[str, str]] = []
    taken: dict[str, str] = {}
    for location, entry in [item for places in maps for item in places.items()]:
        kind, target, resolved = entry.type or "", entry.target, entry.resolved
        other = taken.setdefault(target, resolved) if "File" in kind else resolved
        if other != resolved:
            raise ValueError(
                f"two files would be staged as '{_shown(target)}':"
                f" '{other[:200]}' and '{resolved[:200]}'"
            )
        if not entry.staged:
            continue
        path = target.removeprefix(f"{FOLDER}/")
        if kind.startswith("Create"):
            texts.append((path, resolved))
        else:
            writable = kind.startswith("Writable") and not inplace
            stage.append(Staged(_what(kind, resolved, known.get(location)), path, writable))
    return tuple(dict.fromkeys(stage)), tuple(dict.fromkeys(texts))


def _what(kind: str, resolved: str, known: File | Directory | None) -> File | Directory:
    if resolved.startswith(LITERAL):
        return Directory("")
    if known is not None and known.location == resolved:
        return known
    return Directory(resolved) if "Directory" in kind else File(resolved)


def _shown(target: str) -> str:
    """A place as the author of a document would name it."""
    if target.startswith(f"{INPUTS}/"):
        return target.rsplit("/", 1)[-1]
    return target.removeprefix(f"{FOLDER}/")
