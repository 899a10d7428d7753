"""The warm Python worker: calls one function after the other, imports each module once.

Owns the interpreter the functions run in. It is a process of its own so that a function that dies
takes one attempt with it and not the run. Standard library only, for Python 3.9; must never know a
step, a run or the head's state.

It reads lines of JSON from a socket, each a list of tasks, ``[number, id, function, arguments,
offered, folder, outputs, texts, stage, returns]``. It starts a task only when it has read its number
(8 bytes) from a pipe: a number the head takes back out of that pipe belongs to a task that will not
start here. Answers with the lines of `report.py`.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import socket
import sys
import time
from collections.abc import Callable
from types import CodeType, TracebackType
from typing import Any, NamedTuple

from hepflow.executors.folder import Missing, collect
from hepflow.executors.placing import PLAIN, Setting, prepare
from hepflow.executors.report import BROKEN, READY, Journal, Printed, encode, result_line

HOLD_S = 0.002
"""Results wait this long for company while there is more to do."""

MEASURED_S = 0.002
"""Shorter calls are taken to need no more memory than the worker had before."""

LONG = 4096
"""Bytes of a result that does not wait."""

CO_VARKEYWORDS = 8


class Fault(Exception):
    """Why a call failed, as the reason and one sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Target(NamedTuple):
    """A function that was looked up: its parameters' names, or ``None`` if it takes any."""

    function: Callable[..., Any]
    names: frozenset[str]
    takes_any: bool


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
        self.targets: dict[str, Target] = {}
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
            values = _returned(self.call(function, arguments, offered), returns)
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

    def call(self, name: str, arguments: dict[str, Any], offered: dict[str, Any]) -> Any:
        """Call a function by its qualified name.

        Raises:
            Fault: it does not exist, does not take the arguments, or raised.
        """
        try:
            target = self.targets.get(name)
            if target is None:
                target = self.targets[name] = _look_up(name)
            if not (target.takes_any or target.names.issuperset(arguments)):
                unknown = ", ".join(sorted(set(arguments) - target.names))
                known = ", ".join(sorted(target.names)) or "none"
                message = f"{name} has no parameter {unknown} (its parameters: {known})"
                raise Fault("could not be started", message)
            for key, value in offered.items():
                if key in target.names and key not in arguments:
                    arguments[key] = value
            return target.function(**arguments)
        except Fault:
            raise
        except SystemExit as exit_:
            if exit_.code in (None, 0):
                return None
            raise Fault("program", f"{name} called sys.exit({exit_.code!r})") from None
        except BaseException as error:  # noqa: BLE001 - whatever it raises is its own failure
            raise Fault("program", _explain(error)) from None


def _look_up(name: str) -> Target:
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        searched = ", ".join(sys.path[:3])
        message = f"there is no module '{module_name}' (looked first in {searched})"
        raise Fault("could not be started", message) from None
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            have = [key for key in vars(found) if not key.startswith("_") and key[0] == part[:1]]
            hint = f" (there are: {', '.join(sorted(have)[:5])})" if have else ""
            message = f"module '{module_name}' has no function '{path}'{hint}"
            raise Fault("could not be started", message) from None
    if not callable(found):
        raise Fault("could not be started", f"'{name}' is not a function")
    names, takes_any = _parameters(found)
    return Target(found, names, takes_any)


def _parameters(function: Any) -> tuple[frozenset[str], bool]:
    """The names a function takes, and whether it takes any other; without the dear `inspect`."""
    function = getattr(function, "__wrapped__", function)
    if isinstance(function, type):
        function = function.__init__  # type: ignore[misc]
    bound = 1 if hasattr(function, "__self__") or "self" in _first(function) else 0
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if not isinstance(code, CodeType):
        return frozenset(), True
    count = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[max(code.co_posonlyargcount, bound) : count]
    return frozenset(names), bool(code.co_flags & CO_VARKEYWORDS)


def _first(function: Any) -> tuple[str, ...]:
    code = getattr(function, "__code__", None)
    return code.co_varnames[:1] if isinstance(code, CodeType) else ()


def _returned(value: Any, returns: list[Any]) -> dict[str, Any]:
    """The values of the outputs that are no files: one is the value itself, several a mapping."""
    if not returns:
        return {}
    if len(returns) == 1:
        port, optional = returns[0]
        if value is None and not optional:
            return {port: None}
        return {port: _plain(value)}
    if not isinstance(value, dict):
        ports = ", ".join(port for port, _ in returns)
        kind = type(value).__name__
        raise Fault(
            "missing output", f"the function must return a dict with the keys {ports}, not {kind}"
        )
    absent = [port for port, optional in returns if port not in value and not optional]
    if absent:
        have = ", ".join(map(str, value)) or "nothing"
        raise Fault("missing output", f"the returned dict lacks {', '.join(absent)} (has {have})")
    return {port: _plain(value.get(port)) for port, _ in returns}


def _plain(value: Any) -> Any:
    """A returned value as JSON data; numbers and arrays of numpy and paths are turned into it."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list or kind is tuple:
        return [_plain(item) for item in value]
    if kind is dict:
        for key in value:
            if not isinstance(key, str):
                raise Fault(
                    "missing output",
                    f"the returned value has the key {key!r}; keys must be text",
                )
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if hasattr(value, "item") and callable(value.item):
        return _plain(value.item())
    for plain in (bool, int, float, str):
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return _plain(dict(value))
    raise Fault(
        "missing output",
        f"the function returned a {kind.__module__}.{kind.__qualname__}, which is not JSON data"
        " (numbers, texts, lists, dicts with text keys); write it to a file instead",
    )


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


def _explain(error: BaseException) -> str:
    """The sentence for what a function raised; prints its traceback without our own frames."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    sys.__excepthook__(type(error), error.with_traceback(frames), frames)
    kind = type(error).__name__
    text = str(error).strip()
    place = ""
    last = frames
    while last is not None:
        if last.tb_next is None:
            file = os.path.basename(last.tb_frame.f_code.co_filename)
            place = f" ({file}:{last.tb_lineno})"
        last = last.tb_next
    return f"{kind}: {text}{place}" if text else f"{kind}{place}"


def _is_ours(frame: TracebackType) -> bool:
    name = frame.tb_frame.f_code.co_filename
    return name == __file__ or name.startswith("<frozen importlib") or "/importlib/" in name


def main() -> None:
    """Run until the head is gone; arguments: journal's descriptor, lane prefix, scratch, tokens, path."""
    journal, lane_prefix, scratch, tokens = sys.argv[1:5]
    path = json.loads(sys.argv[5])
    sys.path[:0] = path
    sys.argv[1:] = []
    Worker(int(journal), lane_prefix, scratch, int(tokens)).run()
