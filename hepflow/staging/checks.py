"""Whether files are still what they were when somebody digested them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from hepflow.capsule.digests import Stamp, digest_directory, digest_file, stamp_of
from hepflow.model.values import Directory, File, Value, Values, files_in


def first_fault(expected: Iterable[tuple[str, Stamp, str]]) -> str:
    """The first file that has neither the stamp it had nor still the content; empty when all are well.

    Args:
        expected: path, stamp, and SHA-256 (empty when only the stamp is known) of each file.
    """
    for path, stamp, digest in expected:
        try:
            facts = os.stat(path)
            if (facts.st_size, facts.st_mtime_ns, facts.st_ino) == stamp:
                continue
            if not digest or facts.st_size != stamp[0] or digest_file(path) != digest:
                return path
        except OSError:
            return path
    return ""


class Memory:
    """Digests of files outside the store, asked of the store's memory before the disk.

    Args:
        recall: paths -> (size, mtime, inode, sha256) for those remembered.
    """

    def __init__(
        self, recall: Callable[[Iterable[str]], Mapping[str, tuple[int, int, int, str]]]
    ) -> None:
        self._recall = recall
        self._known: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._learned: list[tuple[str, int, int, int, str]] = []

    def digest(self, path: str) -> tuple[str, int]:
        """SHA-256 and size of a file.

        Raises:
            OSError: it cannot be read.
        """
        facts = os.stat(path)
        stamp = stamp_of(facts)
        known = self._known.get(path)
        if known is None:
            remembered = self._recall([path]).get(path)
            if remembered is not None:
                known = (remembered[:3], remembered[3])
        if known is None or tuple(known[0]) != stamp:
            known = (stamp, digest_file(path))
            self._learned.append((path, *stamp, known[1]))
        self._known[path] = known
        return known[1], facts.st_size

    def take_learned(self) -> list[tuple[str, int, int, int, str]]:
        """What the store should remember: path, size, mtime, inode, digest; told once."""
        learned, self._learned = self._learned, []
        return learned

    def with_digests(self, value: Value) -> Value:
        """A value whose files all have digest and size.

        Raises:
            ValueError: a file is missing or cannot be read, with a sentence that says which.
        """
        return _completed(value, self._read)

    def _read(self, entry: File | Directory) -> tuple[str, int]:
        if isinstance(entry, File):
            return self.digest(entry.location)
        tree = digest_directory(entry.location)
        return tree.digest, tree.size


def settled(
    outputs: Values, found: Values, stamps: Mapping[str, Stamp]
) -> tuple[Values, Mapping[str, Stamp]]:
    """Outputs as a tool collected them, with digest and size of every file, and the files' stamps.

    Args:
        outputs: as collected; files in there may have no digest yet.
        found: files that the executor has digested.
        stamps: of those, by path.

    Raises:
        ValueError: a file is missing or cannot be read, with a sentence that says which.
    """
    if not any(_is_unread(entry) for value in outputs.values() for entry in files_in(value)):
        return outputs, stamps
    known = {entry.location: entry for value in found.values() for entry in files_in(value)}
    more = dict(stamps)

    def read(entry: File | Directory) -> tuple[str, int]:
        there = known.get(entry.location)
        if there is not None and type(there) is type(entry):
            return there.digest, there.size
        if isinstance(entry, File):
            facts = os.stat(entry.location)
            digest = digest_file(entry.location, facts)
            more[entry.location] = stamp_of(facts)
            return digest, facts.st_size
        tree = digest_directory(entry.location)
        more.update(tree.stamps)
        return tree.digest, tree.size

    return {port: _completed(value, read) for port, value in outputs.items()}, more


def _is_unread(entry: File | Directory) -> bool:
    """Whether a file or directory of this machine has no digest."""
    return not entry.digest and bool(entry.location) and "://" not in entry.location


def _completed(value: Value, read: Callable[[File | Directory], tuple[str, int]]) -> Value:
    """A value with digest and size of every file in it, asked of ``read`` where they lack."""
    if isinstance(value, (File, Directory)):
        return _completed_entry(value, read)
    if isinstance(value, Mapping):
        return {key: _completed(item, read) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_completed(item, read) for item in value]
    return value


def _completed_entry(
    entry: File | Directory, read: Callable[[File | Directory], tuple[str, int]]
) -> File | Directory:
    if isinstance(entry, File):
        if entry.secondary:
            more = tuple(_completed_entry(item, read) for item in entry.secondary)
            entry = replace(entry, secondary=more)
    elif entry.listing is not None:
        inner = tuple(_completed_entry(item, read) for item in entry.listing)
        return replace(entry, listing=inner)
    if not _is_unread(entry):
        return entry
    try:
        digest, size = read(entry)
    except IsADirectoryError:
        raise ValueError(f"{entry.location} is a directory, a File is expected") from None
    except NotADirectoryError:
        raise ValueError(f"{entry.location} is a file, a Directory is expected") from None
    except OSError as error:
        raise ValueError(f"cannot read {entry.location}: {error.strerror}") from None
    return replace(entry, digest=digest, size=size)
