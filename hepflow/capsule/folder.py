"""The folder of one attempt, searched for outputs after the end.

Plain standard library for Python 3.6; knows tasks only in the spelling of `hepflow.wire`. Must never
know a process or the head.

An output is spelled ``[port, path, flags]``. What is found comes back in two parts: ``values``
(port -> content) and ``files``, a list of ``[port, kind, path, digest, size, stamps]`` with one
entry for each file or directory; a seventh element is the name it had in the folder where that is
not the last part of its path.
"""

import os
import stat

from hepflow.capsule.digests import EMPTY, digest_directory, digest_file
from hepflow.capsule.placing import COPY, IN, PLAIN, copy, leaves

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no launcher need load
    from collections.abc import Iterator, Sequence
    from typing import Any

    from hepflow.capsule.placing import Setting, Slot

    Found = list[Any]

MANY, DIRECTORY, JSON, TEXT, OPTIONAL, EITHER = 1, 2, 4, 8, 16, 32
"""The flags of an output."""

FILE_KIND, LIST_KIND, DIRECTORY_KIND, DIRECTORIES_KIND = 0, 1, 2, 3
"""What a found entry is: a file, one of a list of files, a directory, one of a list of those."""

LONGEST_CONTENT = 16 << 20
"""Bytes of a file whose content becomes a value; values travel through memory and the store."""

MOST_LINKS = 40
"""Links in a row that are followed, as by the system."""

MOST_AT_ONCE = 64
"""Matches of a pattern that are digested here and now rather than beside other work."""


class Missing(Exception):
    """A declared output is not there or is not what it should be; the text says so to a person."""


class Large(Exception):
    """Digesting would take long enough to be done beside other work."""


def collect(
    folder: str,
    outputs: "Sequence[Sequence[Any]]",
    limit: int,
    setting: "Setting" = PLAIN,
    slot: "Slot | None" = None,
) -> "tuple[dict[str, Any], list[Found]]":
    """Find and digest what a task had to leave.

    Args:
        folder: where it ran.
        outputs: what it declared; entries without a path (returned values) are passed over.
        limit: bytes of one file that may be digested here and now; -1 for any number.
        setting: what was placed for it, which an output may be a link to.
        slot: where its inputs are.

    Raises:
        Missing: an output is not there, or is not what was declared.
        Large: there is more to digest than ``limit``.
        OSError: something cannot be read.
    """
    values: dict[str, Any] = {}
    files: list[Found] = []
    search = _Search(folder, setting, slot)
    for port, path, flags in outputs:
        if not path:
            continue
        if not folder:
            raise Missing(f"output '{port}': a task without a folder cannot leave '{path}'")
        if leaves(path):
            raise Missing(f"output '{port}': '{path}' stands outside the task's folder")
        if flags & MANY:
            _collect_many(search, port, path, flags, limit, values, files)
        else:
            found = search.find(port, path, flags, limit)
            if found is None:
                values[port] = None
            elif flags & (JSON | TEXT):
                values[port] = _content(port, path, found[2], flags)
            else:
                files.append(found)
    return values, files


def _collect_many(
    search: "_Search",
    port: str,
    pattern: str,
    flags: int,
    limit: int,
    values: "dict[str, Any]",
    files: "list[Found]",
) -> None:
    from hepflow.capsule.patterns import matches

    posix, directories = bool(flags & EITHER), bool(flags & DIRECTORY)
    names = matches(search.folder, pattern, posix=posix, directories=directories)
    if not names and not flags & OPTIONAL:
        there = _there(search.folder, pattern)
        raise Missing(f"output '{port}': nothing matches '{pattern}'; {there}")
    if limit >= 0 and len(names) > MOST_AT_ONCE:
        raise Large
    share = limit // len(names) if limit > 0 and names else limit
    found = [search.find(port, name, flags, share) for name in names]
    kept = [entry for entry in found if entry is not None]
    if flags & (JSON | TEXT):
        values[port] = [_content(port, entry[2], entry[2], flags) for entry in kept]
    elif kept:
        files.extend(kept)
    else:
        values[port] = []


# --- what is there --------------------------------------------------------------------------------


class _Search:
    """Looks in the folder of one attempt."""

    def __init__(self, folder: str, setting: "Setting", slot: "Slot | None") -> None:
        self.folder = folder
        self._inputs = slot.inputs if slot is not None else ""
        self._setting = setting
        self._real = ""

    def find(self, port: str, path: str, flags: int, limit: int) -> "Found | None":
        """One output: where it is, its digest and stamp; nothing where it is not and need not be.

        Raises: as :func:`collect`.
        """
        full = f"{self.folder}/{path}" if path != "." else self.folder
        try:
            facts = os.lstat(full)
            if stat.S_ISLNK(facts.st_mode) or "/" in path:
                full = self._followed(port, path, full)
                facts = os.stat(full)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(full):
                raise Missing(f"output '{port}': '{path}' is a link to nothing") from None
            if flags & OPTIONAL:
                return None
            there = _there(self.folder, path)
            raise Missing(f"output '{port}': there is no '{path}'; {there}") from None
        many = 1 if flags & MANY else 0
        is_directory = stat.S_ISDIR(facts.st_mode)
        if is_directory != bool(flags & DIRECTORY) and not flags & EITHER:
            kind = "a file, not a directory" if flags & DIRECTORY else "a directory, not a file"
            raise Missing(f"output '{port}': '{path}' is {kind}")
        own = path.rpartition("/")[2]
        name = [] if own in (".", os.path.basename(full)) else [own]
        if is_directory:
            if limit >= 0:
                raise Large
            if self._setting is not PLAIN and full.startswith(self.folder):
                self._settle_below(full)
            tree = digest_directory(full)
            return [port, DIRECTORY_KIND + many, full, tree.digest, tree.size, tree.stamps, *name]
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
        return [port, FILE_KIND + many, full, digest, facts.st_size, stamp, *name]

    def _followed(self, port: str, path: str, full: str) -> str:
        """Where an output that is a link, or stands behind one, is to be had."""
        if self._setting is not PLAIN:
            self._settle(full)
        real = os.path.realpath(full)
        self._real = self._real or os.path.realpath(self.folder)
        if f"{real}/".startswith(self._real + "/"):
            return full
        # What a task was given it may pass on: the output is then that very input.
        for location in self._given():
            own = os.path.realpath(location)
            if f"{real}/".startswith(own + "/"):
                return f"{location}{real[len(own) :]}"
        raise Missing(
            f"output '{port}': '{path}' is a link that leaves the task's folder (to {real})"
        )

    def _given(self) -> "Iterator[str]":
        """Where the inputs of the task really are."""
        for location, _path, *how in self._setting.stage:
            if location and COPY not in how:
                yield location
        for _inside, location in self._setting.mounts:
            yield location

    def _settle(self, link: str) -> None:
        """Have a link mean the same when the folder of inputs, or the container, is gone."""
        for _ in range(MOST_LINKS):
            if not os.path.islink(link):
                return
            target = os.readlink(link)
            seen = os.path.normpath(os.path.join(os.path.dirname(link), target))
            lasting = self._lasting(seen)
            if lasting != seen:
                os.unlink(link)
                if lasting:
                    os.symlink(lasting, link)
                else:  # a text or a copy among the inputs, which will go
                    copy(seen, link)
                return
            link = seen

    def _lasting(self, seen: str) -> str:
        """The path that will still lead where one seen by the task led; empty where none will."""
        for inside, here in self._setting.mounts:
            if f"{seen}/".startswith(inside + "/"):
                return f"{here}{seen[len(inside) :]}"
        inputs = self._inputs
        if not inputs or not seen.startswith(inputs + "/"):
            return seen
        named = IN + seen[len(inputs) :]
        for location, path, *how in self._setting.stage:
            if location and COPY not in how and f"{named}/".startswith(path + "/"):
                return f"{location}{named[len(path) :]}"
        return "" if os.path.lexists(seen) else seen

    def _settle_below(self, directory: str) -> None:
        for place, directories, files in os.walk(directory):
            for name in [*directories, *files]:
                self._settle(f"{place}/{name}")


def _content(port: str, name: str, path: str, flags: int) -> "Any":
    with open(path, "rb") as file:
        content = file.read(LONGEST_CONTENT + 1)
    if len(content) > LONGEST_CONTENT:
        raise Missing(
            f"output '{port}': '{name}' is too long to become a value (limit"
            f" {LONGEST_CONTENT >> 20} MiB); declare it as a file instead"
        )
    try:
        text = content.decode("utf-8")
        if not flags & JSON:
            return text
        import json

        return json.loads(text)
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


def _names(folder: str, prefix: str, limit: int) -> "Iterator[str]":
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
