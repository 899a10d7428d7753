"""Digests of files and directories: what ties a stored result to the bytes on disk.

Owns the two algorithms and nothing else; must never know a store, an executor or a task. Standard
library only and plain enough for Python 3.6, because worker processes load this module without the rest
of hepflow.

A file's digest is the SHA-256 of its content. A directory's digest is a Merkle tree: the SHA-256
over one record per entry, sorted by the bytes of its name::

    <kind> SP <64 hexadecimal digits> SP <name> NUL

``f`` a file (digest of its content), ``d`` a directory (its own digest, so empty ones count), ``l``
a symbolic link that is broken or points to a directory (digest of the text of the link: following
it could run in circles). A link to a file counts as that file. Modes, owners and times do not count.
"""

import os

from hepflow.capsule.light import sha256

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The digest of no bytes: an empty file need not be opened."""

CHUNK = 1 << 20

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    Stamp = tuple[int, int, int]
else:
    Stamp = tuple
"""What tells cheaply that a file is still the same: size, modification time in ns, inode."""


class Tree:
    """A directory's digest, the bytes in all files below it, and each file's stamp by path."""

    def __init__(self, digest: str, size: int, stamps: "dict[str, Stamp]") -> None:
        self.digest = digest
        self.size = size
        self.stamps = stamps


def stamp_of(facts: "os.stat_result") -> "Stamp":
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


def digest_file(path: str, facts: "os.stat_result | None" = None) -> str:
    """The SHA-256 of a file's content.

    Args:
        path: the file.
        facts: its ``os.stat``, where the caller has it already.

    Raises:
        OSError: the file cannot be read.
    """
    size = os.stat(path).st_size if facts is None else facts.st_size
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # One byte more than expected tells in the same call that this was all.
        block = os.read(descriptor, min(size + 1, CHUNK))
        if len(block) == size:
            return sha256(block).hexdigest()
        # Much at a time is done sooner by OpenSSL, which takes a while to load.
        import hashlib

        running = hashlib.sha256()
        while block:
            running.update(block)
            block = os.read(descriptor, CHUNK)
        return running.hexdigest()
    finally:
        os.close(descriptor)


def digest_directory(path: str) -> "Tree":
    """The digest of everything below a directory.

    Raises:
        OSError: something below it cannot be read.
    """
    stamps: dict[str, Stamp] = {}
    digest, size = _digest_level(os.fsencode(path), stamps)
    return Tree(digest, size, stamps)


def _digest_level(folder: bytes, stamps: "dict[str, Stamp]") -> "tuple[str, int]":
    total = 0
    running = sha256()
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            kind = b"d"
            digest, size = _digest_level(entry.path, stamps)
            total += size
        elif entry.is_symlink() and not entry.is_file():
            kind = b"l"
            digest = sha256(os.readlink(entry.path)).hexdigest()
        elif entry.is_file():
            kind = b"f"
            name = os.fsdecode(entry.path)
            facts = os.stat(name)  # before reading: a change while reading must show
            digest = digest_file(name, facts) if facts.st_size else EMPTY
            stamps[name] = stamp_of(facts)
            total += facts.st_size
        else:
            continue  # a socket or a named pipe has no content to speak of
        running.update(b"%s %s %s\0" % (kind, digest.encode(), entry.name))
    return running.hexdigest(), total
