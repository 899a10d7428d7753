"""The folder of one attempt: made ready before the start, searched for outputs after the end.

Shared by the launcher and the Python worker, so it is plain standard library for Python 3.9 and
knows tasks only in the spelling of the wire (`wire.py`). Must never know a process or the head.

An output is spelled ``[port, path, flags]``. What is found comes back in two parts: ``values``
(port -> content) and ``files``, a list of ``[port, kind, path, digest, size, stamps]`` with one
entry for each file or directory.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import stat
from collections.abc import Iterator, Sequence

from hepflow.staging.digests import EMPTY, digest_directory, digest_file

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no launcher need load
    from typing import Any

    Found = list[Any]

MANY, DIRECTORY, JSON, TEXT, OPTIONAL = 1, 2, 4, 8, 16
"""The flags of an output."""

FILE_KIND, LIST_KIND, DIRECTORY_KIND, DIRECTORIES_KIND = 0, 1, 2, 3
"""What a found entry is: a file, one of a list of files, a directory, one of a list of those."""

LONGEST_CONTENT = 16 << 20
"""Bytes of a file whose content becomes a value; values travel through memory and the store."""


class Missing(Exception):
    """A declared output is not there or is not what it should be; the text says so to a person."""


class Large(Exception):
    """Digesting would take long enough to be done beside other work."""


# --- before the start -----------------------------------------------------------------------------


def prepare(folder: str, texts: Sequence[Sequence[str]], stage: Sequence[Sequence[str]]) -> None:
    """Make the folder with the texts and links a task starts with.

    Raises:
        OSError: it cannot be made, or another attempt's leavings are in it.
    """
    try:
        os.mkdir(folder)
    except FileNotFoundError:
        os.makedirs(folder)
    except FileExistsError:
        # Left by a launcher that ended between making the folder and starting the program.
        if not os.path.isdir(folder) or os.listdir(folder):
            raise OSError(
                errno.ENOTEMPTY, "the folder of a new attempt is not empty", folder
            ) from None
    for name, content in texts:
        path = _inner(folder, name)
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(content)
    for location, name in stage:
        os.symlink(location, _inner(folder, name))


def _inner(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    if "/" in name:
        if leaves(name):
            raise OSError(errno.EPERM, "a staged file must stay inside the task's folder", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def leaves(path: str) -> bool:
    """Whether a relative path, by its spelling, points out of the folder it starts in."""
    return path.startswith("/") or ".." in path.split("/")


# --- after the end --------------------------------------------------------------------------------


def collect(
    folder: str, outputs: Sequence[Sequence[Any]], limit: int
) -> tuple[dict[str, Any], list[Found]]:
    """Find and digest what a task had to leave.

    Args:
        folder: where it ran.
        outputs: what it declared; entries without a path (returned values) are passed over.
        limit: bytes of one file that may be digested here and now; -1 for any number.

    Raises:
        Missing: an output is not there, or is not what was declared.
        Large: there is more to digest than ``limit``.
        OSError: something cannot be read.
    """
    values: dict[str, Any] = {}
    files: list[Found] = []
    for port, path, flags in outputs:
        if not path:
            continue
        if not folder:
            raise Missing(f"output '{port}': a task without a folder cannot leave '{path}'")
        if leaves(path):
            raise Missing(f"output '{port}': '{path}' stands outside the task's folder")
        if flags & (MANY | DIRECTORY) and limit >= 0:
            raise Large
        if flags & MANY:
            _collect_many(folder, port, path, flags, values, files)
        else:
            found = _find(folder, port, path, flags, limit)
            if found is None:
                values[port] = None
            elif flags & (JSON | TEXT):
                values[port] = _content(port, path, found[2], flags)
            else:
                files.append(found)
    return values, files


def _collect_many(
    folder: str, port: str, pattern: str, flags: int, values: dict[str, Any], files: list[Found]
) -> None:
    start = len(folder) + 1
    names = sorted(
        path[start:]
        for path in glob.glob(os.path.join(glob.escape(folder), pattern), recursive=True)
        if os.path.isdir(path) == bool(flags & DIRECTORY)
    )
    if not names and not flags & OPTIONAL:
        raise Missing(f"output '{port}': nothing matches '{pattern}'; {_there(folder, pattern)}")
    found = [_find(folder, port, name, flags, -1) for name in names]
    kept = [entry for entry in found if entry is not None]
    if flags & (JSON | TEXT):
        values[port] = [_content(port, entry[2][start:], entry[2], flags) for entry in kept]
    elif kept:
        files.extend(kept)
    else:
        values[port] = []


def _find(folder: str, port: str, path: str, flags: int, limit: int) -> Found | None:
    full = f"{folder}/{path}"
    try:
        facts = os.lstat(full)
        if stat.S_ISLNK(facts.st_mode) or "/" in path:
            real = os.path.realpath(full)
            if not real.startswith(os.path.realpath(folder) + "/"):
                raise Missing(
                    f"output '{port}': '{path}' is a link that leaves the task's folder (to {real})"
                )
            facts = os.stat(full)
    except (FileNotFoundError, NotADirectoryError):
        if flags & OPTIONAL:
            return None
        raise Missing(f"output '{port}': there is no '{path}'; {_there(folder, path)}") from None
    many = 1 if flags & MANY else 0
    if stat.S_ISDIR(facts.st_mode) != bool(flags & DIRECTORY):
        kind = "a file, not a directory" if flags & DIRECTORY else "a directory, not a file"
        raise Missing(f"output '{port}': '{path}' is {kind}")
    if flags & DIRECTORY:
        tree = digest_directory(full)
        return [port, DIRECTORY_KIND + many, full, tree.digest, tree.size, tree.stamps]
    if not stat.S_ISREG(facts.st_mode):
        raise Missing(f"output '{port}': '{path}' is not a regular file")
    if facts.st_size == 0:
        digest = EMPTY
    elif flags & (JSON | TEXT):
        digest = ""
    elif 0 <= limit < facts.st_size:
        raise Large
    else:
        digest = digest_file(full, facts)
    stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
    return [port, FILE_KIND + many, full, digest, facts.st_size, stamp]


def _content(port: str, name: str, path: str, flags: int) -> Any:
    with open(path, "rb") as file:
        content = file.read(LONGEST_CONTENT + 1)
    if len(content) > LONGEST_CONTENT:
        raise Missing(
            f"output '{port}': '{name}' is too long to become a value (limit"
            f" {LONGEST_CONTENT >> 20} MiB); declare it as a file instead"
        )
    try:
        text = content.decode("utf-8")
        return json.loads(text) if flags & JSON else text
    except UnicodeDecodeError as error:
        raise Missing(f"output '{port}': '{name}' is not UTF-8 text ({error.reason})") from None
    except ValueError as error:
        raise Missing(f"output '{port}': '{name}' is not JSON: {error}") from None


def _there(folder: str, wanted: str) -> str:
    """What a folder holds, likest names first, as the end of a sentence."""
    names = list(_names(folder, "", 500))
    if not names:
        return "the task left no file at all"
    names.sort(key=lambda name: (-_likeness(name, wanted), name))
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"it left {', '.join(names[:8])}{more}"


def _names(folder: str, prefix: str, limit: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if limit <= 0:
                    return
                limit -= 1
                if entry.is_dir(follow_symlinks=False):
                    for name in _names(entry.path, f"{prefix}{entry.name}/", limit):
                        limit -= 1
                        yield name
                else:
                    yield prefix + entry.name
    except OSError:
        return


def _likeness(one: str, other: str) -> int:
    """How many characters two names share at their beginning and at their end."""
    shortest = min(len(one), len(other))
    start = 0
    while start < shortest and one[start] == other[start]:
        start += 1
    end = 0
    while end < shortest - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return start + end
