"""Whether files are still what they were when somebody digested them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from hepflow.model.values import Directory, File, Value
from hepflow.staging.digests import Stamp, digest_directory, digest_file, stamp_of


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
        if isinstance(value, File):
            if value.digest or "://" in value.location:
                return value
            try:
                digest, size = self.digest(value.location)
            except IsADirectoryError:
                raise ValueError(f"{value.location} is a directory, a File is expected") from None
            except OSError as error:
                raise ValueError(f"cannot read {value.location}: {error.strerror}") from None
            return replace(value, digest=digest, size=size)
        if isinstance(value, Directory):
            return value if value.digest else _with_digest(value)
        if isinstance(value, Mapping):
            return {key: self.with_digests(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.with_digests(item) for item in value]
        return value


def _with_digest(value: Directory) -> Directory:
    try:
        tree = digest_directory(value.location)
    except OSError as error:
        raise ValueError(f"cannot read directory {value.location}: {error.strerror}") from None
    return replace(value, digest=tree.digest, size=tree.size)
