"""What worker processes tell: the line of one result, the journal it is kept in, printed text.

Plain standard library for Python 3.6. Owns the
spelling of results on the wire; must never know the head, a process or a folder's content.

A result is one line of JSON, ``[0, id, reason, [started, wall, cpu, peak], values, files, message,
exit code, stdout, stderr]`` with trailing empty parts left out; a task with accelerators has two figures
more in the first list, their work and their memory. The very same line goes to the
journal first and to the head afterwards, so that a head that was killed loses nothing.
"""

import os

from hepflow.capsule.light import encode

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no launcher need load
    from typing import Any

RESULT, STARTED, RECALLED, READY, BROKEN = 0, 1, 2, 3, 4
"""The first element of every line a worker process sends."""

SHORT = 64 << 10
"""Bytes of printed text that a result carries whole; of longer text only the two ends."""

HEAD, TAIL = 16 << 10, 47 << 10


def result_line(
    name: str,
    reason: str,
    usage: "list[float]",
    values: "dict[str, Any] | None" = None,
    files: "list[Any] | None" = None,
    message: str = "",
    exit_code: int = 0,
    printed: "tuple[str, str]" = ("", ""),
) -> bytes:
    """One result as a line of JSON."""
    parts: list[Any] = [RESULT, name, reason, usage, values or 0, files or 0]
    parts += [message, exit_code, *printed]
    while not parts[-1]:
        parts.pop()
    return encode(parts).encode() + b"\n"


class Journal:
    """The file a worker process writes its results to before it tells them.

    Its descriptor is inherited and locked: whoever reads it after a crash of the head can wait until
    this process has written its last line. What this process starts must not keep it open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._torn = False
        os.set_inheritable(descriptor, False)

    def write(self, line: bytes) -> str:
        """Append one line; returns why it could not be, or nothing."""
        try:
            if self._torn:
                line = b"\n" + line
            self._torn = os.write(self._descriptor, line) != len(line)
        except OSError as error:
            return error.strerror or str(error)
        return "the disk is full" if self._torn else ""


class Printed:
    """A file that takes what one task after the other prints, emptied in between."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = self._open()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC
        return os.open(self.path, flags, 0o666)

    def take(self, folder: str, name: str) -> str:
        """What was printed since the last time.

        Text that is too long for a result is kept whole as the file ``name`` in ``folder``.
        """
        size = os.fstat(self.descriptor).st_size
        if not size:
            return ""
        if size <= SHORT:
            text = os.pread(self.descriptor, size, 0)
            os.ftruncate(self.descriptor, 0)
            return text.decode("utf-8", "replace")
        start = os.pread(self.descriptor, HEAD, 0).decode("utf-8", "replace")
        end = os.pread(self.descriptor, TAIL, size - TAIL).decode("utf-8", "replace")
        kept = ""
        if folder:
            try:
                self._copy(os.path.join(folder, name))
                kept = f"; all of it is in {name} of the task's folder"
            except OSError as error:
                kept = f"; it could not be kept whole: {error.strerror}"
        os.ftruncate(self.descriptor, 0)
        return f"{start}\n[... {size - HEAD - TAIL} bytes left out{kept} ...]\n{end}"

    def _copy(self, path: str) -> None:
        with open(path, "wb") as copy:
            position = 0
            block = os.pread(self.descriptor, 1 << 20, position)
            while block:
                position += copy.write(block)
                block = os.pread(self.descriptor, 1 << 20, position)


def end_of(path: str) -> str:
    """The end of a file of text, as much as a result carries; empty where there is none."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - SHORT))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def last_line(text: str) -> str:
    """The last line that says something, shortened, as the end of a message."""
    for line in reversed(text.splitlines()):
        if line.strip():
            line = line.strip()
            return f": {line[:300]}…" if len(line) > 300 else f": {line}"
    return ""


def signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def oom_kills() -> int:
    """How many processes the kernel has ended here for want of memory; -1 if unknown.

    Here is our own control group, where there is one: others on this node are no business of ours.
    """
    for path in [*_counters(), "/proc/vmstat"]:
        try:
            with open(path, "rb") as file:
                for line in file:
                    if line.startswith(b"oom_kill "):
                        return int(line.split()[1])
        except OSError:
            pass
    return -1


def _counters() -> "list[str]":
    """Where control groups of version 1 and 2 count them (kernel: admin-guide/cgroup-v1, cgroup-v2)."""
    found = []
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                _number, kinds, path = line.rstrip("\n").split(":", 2)
                if kinds == "memory":
                    found.append(f"/sys/fs/cgroup/memory{path}/memory.oom_control")
                elif not kinds and path != "/":
                    found.append(f"/sys/fs/cgroup{path}/memory.events")
    except (OSError, ValueError):
        pass
    return found


def memory_verdict(peak_bytes: int, asked_mib: int, kills_before: int) -> str:
    """Why a process that somebody else ended with SIGKILL lacked memory; nothing if it did not."""
    near = asked_mib and peak_bytes >= 0.9 * asked_mib * (1 << 20)
    if not near and oom_kills() <= kills_before:
        return ""
    asked = f" of {asked_mib} MiB asked for" if asked_mib else ""
    return f"it was killed, probably out of memory (peak {peak_bytes >> 20} MiB{asked})"
