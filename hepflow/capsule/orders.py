"""What one job of a batch system is to do, as a file of JSON; `hepflow.wire.orders` writes it.

An order is ``{"results": folder, "scratch": folder, "grace_s": s, "limit_s": s, "parallel": n, "copy":
bool, "fetch": {scheme: words}, "share_s": s, "tasks": [entry, ...]}``; an entry is ``{"number": n, "task": [...]}``, the
task as in `job.py` but for its variables, which stand in the place of their number, and, where there is
more to say, ``"call"`` (a Python function), ``"digests"`` (location -> digest of what is brought) and
``"checkpoint"`` (a folder that outlasts attempts, and the paths that are kept there).

Everything is kept in the folder of results under the entry's number: ``17`` is the result, whose presence
alone completes the task (its line, then that of the host); ``17.beat`` is touched while it runs and says where;
``17.cancel`` asks for its end. The orders of an array's jobs may be kept there as well: `sharing.py`.
"""

import os

from hepflow.capsule.light import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    from typing import Any


class Entry:
    """One task of an order.

    Args:
        said: the task.
        order: the file that says so.
    """

    def __init__(self, said: "dict[str, Any]", order: str) -> None:
        self.order = order
        self.number: int = said["number"]
        self.task: "list[Any]" = said["task"]
        self.call: "dict[str, Any]" = said.get("call") or {}
        self.digests: "dict[str, str]" = said.get("digests") or {}
        kept, paths = said.get("checkpoint") or ("", [])
        self.kept: str = kept
        self.paths: "list[str]" = paths


class Order:
    """All that one job is to do.

    Args:
        said: what its file says.
        path: the file.
    """

    def __init__(self, said: "dict[str, Any]", path: str) -> None:
        self.results: str = said["results"]
        self.scratch: str = said.get("scratch", "")
        self.grace_s: float = said.get("grace_s", 10.0)
        self.limit_s: float = said.get("limit_s", 0.0)
        self.parallel: int = said.get("parallel", 1)
        self.copy: bool = said.get("copy", False)
        self.fetch: "dict[str, list[str]]" = said.get("fetch") or {}
        self.share_s: float = said.get("share_s", 0.0)
        self.entries = [Entry(entry, path) for entry in said["tasks"]]

    def path(self, entry: Entry, suffix: str = "") -> str:
        """The file for the result of an entry, or one beside it."""
        return f"{self.results}/{entry.number}{suffix}"


def read(path: str) -> Order:
    """The order in a file.

    Raises:
        OSError, ValueError: there is none.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return Order(decode(file.read()), path)


def keep(path: str, line: bytes) -> None:
    """Write a result so that there is either all of it or nothing.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = f"{path}.{os.getpid()}.tmp"
    with open(unfinished, "wb") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def beat(path: str, where: str, log: str) -> None:
    """Say that a task runs, where, and what it prints into."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(encode([where, log]) + "\n")
