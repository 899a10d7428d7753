"""The warm Python worker: calls one function after the other, imports each module once.

Owns the interpreter the functions run in. It is a process of its own so that a function that dies
takes one attempt with it and not the run. Standard library only, for Python 3.9; must never know a
step, a run or the head's state.

It reads lines of JSON from a socket, each a list of tasks, ``[number, id, function, arguments,
offered, folder, outputs, texts, stage, returns]``. It starts a task only when it has read its number
(8 bytes) from a pipe: a number the head takes back out of that pipe belongs to a task that will not
start here. Answers with the lines of `capsule.report`.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import sys
import time

from hepflow.capsule.calling import Caller, Fault, returned
from hepflow.capsule.folder import Missing, collect
from hepflow.capsule.light import encode
from hepflow.capsule.placing import PLAIN, Setting, prepare
from hepflow.capsule.report import BROKEN, READY, Journal, Printed, result_line

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker need load
    from typing import Any

HOLD_S = 0.002
"""Results wait this long for company while there is more to do."""

MEASURED_S = 0.002
"""Shorter calls are taken to need no more memory than the worker had before."""

LONG = 4096
"""Bytes of a result that does not wait."""


class Worker:
    """Takes tasks, calls, answers; one thread, one loop."""

    def __init__(self, journal: int, lane_prefix: str, scratch: str, tokens: int) -> None:
        # User code may read its standard input, so the socket moves elsewhere.
        self.socket = socket.socket(fileno=os.dup(0))
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self.tokens = tokens
        os.set_inheritable(tokens, False)
        os.set_blocking(tokens, False)
        self.journal = Journal(journal)
        self.out, self.err = Printed(lane_prefix + ".out"), Printed(lane_prefix + ".err")
        os.dup2(self.out.descriptor, 1)
        os.dup2(self.err.descriptor, 2)
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(line_buffering=True, errors="backslashreplace")
        self.scratch = os.open(scratch, os.O_RDONLY | os.O_CLOEXEC)
        self.poller = select.poll()
        self.poller.register(tokens, select.POLLIN)
        self.caller = Caller()
        self.waiting: dict[int, list[Any]] = {}
        self.unread = b""
        self.held: list[bytes] = []
        self.held_since = 0.0
        self.peak = 0

    def run(self) -> None:
        """Work until the head is gone or closes the pipe."""
        self.socket.sendall(encode([READY]).encode() + b"\n")
        while True:
            try:
                token = os.read(self.tokens, 8)
            except BlockingIOError:
                self.flush()
                self.poller.poll()
                continue
            if not token or not self.fetch(int.from_bytes(token, "little")):
                self.flush()
                return
            task = self.waiting.pop(int.from_bytes(token, "little"))
            self.tell(self.attempt(task))

    def fetch(self, number: int) -> bool:
        """Read until the task of this number is here; false when the head is gone."""
        while number not in self.waiting:
            # What has a smaller number was taken back by the head.
            self.waiting.clear()
            self.flush()
            try:
                data = self.socket.recv(1 << 16)
            except OSError:
                return False
            if not data:
                return False
            lines = (self.unread + data).split(b"\n")
            self.unread = lines.pop()
            for line in lines:
                self.waiting.update((task[0], task) for task in json.loads(line))
        return True

    def tell(self, line: bytes) -> None:
        """Keep a result in the journal, then send it, together with others if they come fast."""
        fault = self.journal.write(line)
        if fault:
            self.held.append(encode([BROKEN, fault]).encode() + b"\n")
        self.held.append(line)
        now = time.monotonic()
        if not self.held_since:
            self.held_since = now
        if now - self.held_since >= HOLD_S or len(line) > LONG:
            self.flush()

    def flush(self) -> None:
        if self.held:
            lines, self.held, self.held_since = b"".join(self.held), [], 0.0
            try:
                self.socket.sendall(lines)
            except OSError:  # the head is gone, which the next read will tell
                pass

    def attempt(self, task: list[Any]) -> bytes:
        """Do one task and spell its result."""
        _number, name, function, arguments, offered, folder, outputs, texts, stage, returns = task
        began, clock = time.time(), time.perf_counter()
        before = time.process_time()
        reason = message = text = ""
        files: list[Any] = []
        values: dict[str, Any] = {}
        try:
            setting = Setting(0, texts, stage) if texts or stage else PLAIN
            self.enter(folder, setting)
            values = returned(self.caller.call(function, arguments, offered), returns)
            text = encode(values) if values else ""
            if outputs:
                found, files = _collected(folder, outputs, setting)
                if found:
                    values.update(found)
                    text = encode(values)
        except Fault as fault:
            reason, message = fault.reason, str(fault)
        except (TypeError, ValueError, RecursionError) as error:
            reason, message = "missing output", f"the returned value is not JSON data: {error}"
        cpu = time.process_time() - before
        printed = self.printed(folder)
        wall = time.perf_counter() - clock
        if wall > MEASURED_S or not self.peak:
            self.peak = _peak_bytes()
        peak = self.peak
        if reason or files or printed[0] or printed[1]:
            usage = [round(began, 3), round(wall, 6), round(cpu, 6), peak]
            return result_line(name, reason, usage, values, files, message, 0, printed)
        # The same line, spelt by hand: this is the path of a hundred thousand small calls.
        tail = f",{text}" if text else ""
        numbers = f"[{began:.3f},{wall:.6f},{cpu:.6f},{peak}]"
        return f'[0,{encode(name)},"",{numbers}{tail}]\n'.encode()

    def enter(self, folder: str, setting: Setting) -> None:
        try:
            if folder:
                prepare(folder, setting)
                os.chdir(folder)
            else:
                os.fchdir(self.scratch)
        except (OSError, ValueError) as error:
            message = f"its folder could not be made ready: {error}"
            raise Fault("could not be started", message) from None

    def printed(self, folder: str) -> tuple[str, str]:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (AttributeError, OSError, ValueError):  # the function closed or replaced them
            pass
        return self.out.take(folder, ".stdout"), self.err.take(folder, ".stderr")


def _collected(
    folder: str, outputs: list[Any], setting: Setting
) -> tuple[dict[str, Any], list[Any]]:
    try:
        return collect(folder, outputs, -1, setting)
    except Missing as error:
        raise Fault("missing output", str(error)) from None
    except OSError as error:
        raise Fault("missing output", f"an output could not be read: {error}") from None


def _peak_bytes() -> int:
    """The most memory this process has had (`ru_maxrss` would begin at its parent's)."""
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    maxrss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maxrss << (0 if sys.platform == "darwin" else 10)


def main() -> None:
    """Run until the head is gone; arguments: journal's descriptor, lane prefix, scratch, tokens, path."""
    journal, lane_prefix, scratch, tokens = sys.argv[1:5]
    path = json.loads(sys.argv[5])
    sys.path[:0] = path
    sys.argv[1:] = []
    Worker(int(journal), lane_prefix, scratch, int(tokens)).run()
