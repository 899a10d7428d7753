"""The head's end of one worker process: started, talked to, ended.

Owns the socket, the pipe of start tokens, the journal's path and the process itself. Must never know
a lane, an attempt or the queue.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hepflow.capsule.report import end_of
from hepflow.executors.journal import results_in
from hepflow.wire.spelling import decode_lines

ROOT: Final = str(Path(__file__).resolve().parents[2])
"""Where the package `hepflow` lies, for interpreters that do not look there by themselves."""

BOOT: Final = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; sys.path.append({root!r});"
    " from hepflow.executors.{module} import main; main()"
)

JOURNAL, TOKENS = 3, 4
"""The descriptors a process finds its journal under, and a Python worker its start tokens."""

LOFTY: Final = 10
"""Descriptors from here on are safe from being overwritten before they were handed on."""

MOST_HELD: Final = 2 << 20
"""More bytes of results than a Python worker ever holds back."""

SLACK: Final = 4096

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.0002, 0.01
"""Between two looks at whether a process has ended."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one worker process, all in the executor's own folder."""

    journal: str
    locked: int
    log: str
    lane_prefix: str
    scratch: str

    @classmethod
    def of(cls, workdir: Path, number: int, journal: str, locked: int) -> Places:
        """The files of the process of this number; ``locked`` is its journal's descriptor."""
        scratch = f"{workdir}/scratch-{number}"
        os.makedirs(scratch, exist_ok=True)
        log = f"{workdir}/worker-{number}.log"
        return cls(journal, locked, log, f"{workdir}/lane-{number}", scratch)


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process.

    Args:
        pid: the process; it leads a group of its own.
        connection: lines of JSON both ways.
        tokens: the read and the write end of the pipe of start tokens; empty for a launcher.
        places: its files.
        mark: the variable that all it starts inherits, to find what it leaves behind.
        is_python: a Python worker, not a launcher.
        key: which Python calls it can serve.
        ready: it has said so.
        lanes: numbers of lanes in use.
        known: the sets of variables it was told.
        heard: bytes that arrived.
        unread: the beginning of a line that arrived in part.
        unsent: lines it has not taken yet.
        alive: it was not reaped yet.
    """

    pid: int
    connection: socket.socket
    tokens: tuple[int, ...]
    places: Places
    mark: str
    is_python: bool
    key: object = None
    ready: bool = False
    lanes: set[int] = field(default_factory=set)
    known: set[int] = field(default_factory=set)
    heard: int = 0
    unread: bytes = b""
    unsent: bytes = b""
    alive: bool = True

    def send(self, lines: str) -> bool:
        """Send whole lines; false when a part must wait until the process has read more."""
        self.unsent += lines.encode()
        return self.flush()

    def flush(self) -> bool:
        """Send what waits."""
        while self.unsent:
            try:
                sent = self.connection.send(self.unsent)
            except BlockingIOError:
                return False
            except OSError:  # it is gone, which reading will tell
                self.unsent = b""
                return True
            self.unsent = self.unsent[sent:]
        return True

    def receive(self) -> tuple[list[list[Any]], bool]:
        """The messages that arrived, and whether the process is still there."""
        try:
            data = self.connection.recv(1 << 16)
        except BlockingIOError:
            return [], True
        except OSError:
            return [], False
        end = data.rfind(b"\n") + 1
        if not end:
            self.unread += data
            return [], bool(data)
        whole, self.unread = self.unread + data[:end], data[end:]
        if self.is_python:  # a launcher says much besides its results
            self.heard += len(whole)
        return decode_lines(whole), True

    def start_tokens(self, first: int, count: int) -> None:
        """Allow a Python worker to start tasks of these numbers."""
        numbers = range(first, first + count)
        os.write(self.tokens[1], b"".join([n.to_bytes(8, "little") for n in numbers]))

    def withdraw(self) -> int:
        """Take back all tokens; returns how many tasks, the last ones, will now not start."""
        try:
            return len(os.read(self.tokens[0], 1 << 16)) // 8
        except BlockingIOError:
            return 0

    def written(self) -> list[list[Any]]:
        """The results in its journal that did not arrive yet, with perhaps some that did."""
        try:
            with open(self.places.journal, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                # What it said beside its results makes the count too large, by far less than this.
                file.seek(max(0, size - MOST_HELD, min(self.heard - SLACK, size)))
                return results_in(file.read())
        except OSError:
            return []

    def printed(self) -> tuple[str, str]:
        """What is left of the printed text of a Python worker that died."""
        return end_of(self.places.lane_prefix + ".out"), end_of(self.places.lane_prefix + ".err")

    def said(self) -> str:
        """What the process itself said on its way down."""
        return end_of(self.places.log).strip()

    def signal(self, number: int) -> None:
        """Send a signal to the process and, for a Python worker, to its children."""
        try:
            if self.is_python:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def reap(self) -> tuple[int, int]:
        """Make sure it has ended; returns its exit code and its peak memory in bytes."""
        self.alive = False
        # Its socket is closed, so it has ended or is of no use any more. While it is not reaped,
        # neither its number nor its group can be anybody else's.
        self.signal(signal.SIGKILL)
        try:
            _pid, status, spent = os.wait4(self.pid, 0)
        except ChildProcessError:
            return 0, 0
        peak = spent.ru_maxrss << (0 if sys.platform == "darwin" else 10)
        return os.waitstatus_to_exitcode(status), peak

    def has_ended(self) -> bool:
        """Whether the process has exited, leaving it to be reaped."""
        try:
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, flags) is not None
        except ChildProcessError:
            return True

    def hang_up(self) -> None:
        """Close our ends: the process then ends by itself."""
        self.connection.close()
        for descriptor in self.tokens:
            os.close(descriptor)
        self.tokens = ()


def launcher(places: Places, env: Mapping[str, str], mark: str, grace_s: float) -> Worker:
    """Start a launcher."""
    arguments = [str(JOURNAL), places.lane_prefix, places.scratch, str(grace_s)]
    marked = {**env, "HEPFLOW_LAUNCHER": mark}
    flags = ["-I", "-S"]
    return _start("launcher", flags, arguments, marked, places, mark)


def python_worker(
    places: Places, env: Mapping[str, str], mark: str, path: tuple[str, ...]
) -> Worker:
    """Start a Python worker whose modules are searched in ``path`` first."""
    arguments = [str(JOURNAL), places.lane_prefix, places.scratch, str(TOKENS), json.dumps(path)]
    marked = {**env, "HEPFLOW_WORKER": mark}
    return _start("pyworker", ["-X", "faulthandler"], arguments, marked, places, mark)


def _start(
    module: str,
    flags: list[str],
    arguments: list[str],
    env: Mapping[str, str],
    places: Places,
    mark: str,
) -> Worker:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    tokens = tuple(map(_lift, os.pipe())) if module == "pyworker" else ()
    for descriptor in tokens:
        os.set_blocking(descriptor, False)
    journal = _lift(places.locked)
    log = os.open(places.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    actions: list[tuple[int, int, int]] = [
        (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
        (os.POSIX_SPAWN_DUP2, journal, JOURNAL),
    ]
    if tokens:
        actions.append((os.POSIX_SPAWN_DUP2, tokens[0], TOKENS))
    boot = BOOT.format(root=ROOT, module=module)
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *flags, "-c", boot, *arguments],
            dict(env),
            file_actions=actions,
            setpgroup=0,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGXFSZ),
        )
    finally:
        theirs.close()
        os.close(log)
        os.close(journal)
    return Worker(pid, ours, tokens, places, mark, bool(tokens))


def _lift(descriptor: int) -> int:
    lofty = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, LOFTY)
    os.close(descriptor)
    return lofty


def end_marked(prefix: str) -> None:
    """End every process whose mark begins so: what dead launchers and workers left behind."""
    # A process may start another while we look, but not after it was ended.
    for _ in range(10):
        if not _end_marked_once(prefix):
            return


def _end_marked_once(prefix: str) -> int:
    wanted = tuple(f"{name}={prefix}".encode() for name in ("HEPFLOW_LAUNCHER", "HEPFLOW_WORKER"))
    ended = 0
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if any(variable.startswith(wanted) for variable in file.read().split(b"\0")):
                    os.kill(int(name), signal.SIGKILL)
                    ended += 1
        except OSError:
            continue
    return ended


def await_end(workers: list[Worker], patience_s: float) -> list[Worker]:
    """Wait for processes to exit; returns those that have not."""
    deadline = time.monotonic() + patience_s
    left = [worker for worker in workers if not worker.has_ended()]
    pause_s = SHORTEST_PAUSE_S
    while left and time.monotonic() < deadline:
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        left = [worker for worker in left if not worker.has_ended()]
    return left
