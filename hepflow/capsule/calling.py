"""Calling a Python function by its name, and what it returns as plain data.

Shared by the warm worker of this machine and the capsule on a worker node: plain standard library for
Python 3.6. Must never know where a task runs or how it is told of.
"""

import atexit
import importlib
import json
import os
import signal
import sys
import threading
from collections import namedtuple
from types import CodeType

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    from types import TracebackType
    from typing import Any

CO_VARKEYWORDS = 8

HEEDED = {b"PYTHONPATH", b"PYTHONUNBUFFERED", b"PYTHONDONTWRITEBYTECODE"}
"""Variables of Python's that a fork of the capsule can still follow."""

COMMON = ("datetime", "enum", "inspect", "pathlib", "random", "subprocess", "tempfile", "typing")
"""Modules that most Python programs load: a capsule loads them once for all its calls."""


class Fault(Exception):
    """Why a call failed, as the reason and one sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


Target = namedtuple("Target", "function names takes_any")
"""A function that was looked up, the names of its parameters, and whether it takes any other."""


class Caller:
    """Calls functions, and looks up each once."""

    def __init__(self) -> None:
        self.targets: "dict[str, Target]" = {}

    def call(self, name: str, arguments: "dict[str, Any]", offered: "dict[str, Any]") -> "Any":
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


def _look_up(name: str) -> "Target":
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


def _parameters(function: "Any") -> "tuple[frozenset[str], bool]":
    """The names a function takes, and whether it takes any other; without the dear `inspect`."""
    function = getattr(function, "__wrapped__", function)
    if isinstance(function, type):
        function = function.__init__  # type: ignore[misc]
    bound = 1 if hasattr(function, "__self__") or "self" in _first(function) else 0
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if not isinstance(code, CodeType):
        return frozenset(), True
    count = code.co_argcount + code.co_kwonlyargcount
    positional = getattr(code, "co_posonlyargcount", 0)  # not before Python 3.8
    names = code.co_varnames[max(positional, bound) : count]
    return frozenset(names), bool(code.co_flags & CO_VARKEYWORDS)


def _first(function: "Any") -> "tuple[str, ...]":
    code = getattr(function, "__code__", None)
    return code.co_varnames[:1] if isinstance(code, CodeType) else ()


def returned(value: "Any", returns: "list[Any]") -> "dict[str, Any]":
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


def _plain(value: "Any") -> "Any":
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


def _explain(error: "BaseException") -> str:
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


def _is_ours(frame: "TracebackType") -> bool:
    name = frame.tb_frame.f_code.co_filename
    return (
        name == _is_ours.__code__.co_filename
        or name.startswith("<frozen importlib")
        or "/importlib/" in name
    )


# --- as a process of its own ----------------------------------------------------------------------


def answer(call: "dict[str, Any]", path: str) -> None:
    """Make a call and write what became of it: reason, message, and the values by port."""
    reason = message = ""
    values: "dict[str, Any]" = {}
    try:
        value = Caller().call(call["function"], call["arguments"], call["offered"])
        values = returned(value, call["returns"])
        text = json.dumps(["", "", values])
    except Fault as fault:
        reason, message = fault.reason, str(fault)
    except (TypeError, ValueError, RecursionError) as error:
        reason, message = "missing output", f"the returned value is not JSON data: {error}"
    if reason:
        text = json.dumps([reason, message, {}])
    sys.stdout.flush()
    sys.stderr.flush()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def can_fork(program: str, env: "dict[bytes, bytes]") -> bool:
    """Whether a fork of this process is as good for a call as a new one.

    Args:
        program: the interpreter that is asked for.
        env: the call's variables; Python reads some of them only when it starts.
    """
    told = {name for name in env if name.startswith(b"PYTHON")}
    return program == sys.executable and told <= HEEDED


def answer_in_fork(call: "dict[str, Any]", path: str, env: "dict[bytes, bytes]") -> None:
    """As :func:`answer`, in a fork of a capsule: as if the interpreter had just been started.

    Starting Python costs more than most short calls, and a capsule is one already.
    """
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update((os.fsdecode(name), os.fsdecode(value)) for name, value in env.items())
    searched = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    forget_ourselves([*call["path"], *searched])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    if os.environ.get("PYTHONUNBUFFERED") and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        answer(call, path)
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()


def forget_ourselves(path: "list[str]") -> None:
    """Have nothing of hepflow's in a function's way: this program's file stands first in the path."""
    sys.path[:1] = path
    sys.meta_path[:] = [one for one in sys.meta_path if not hasattr(one, "is_capsule")]
    sys.argv[1:] = []
    for name in [name for name in sys.modules if name.partition(".")[0] == "hepflow"]:
        del sys.modules[name]


def know_installed_packages() -> None:
    """A capsule is started without them, for it needs none and they take time."""
    import site

    for name in COMMON:
        importlib.import_module(name)
    if sys.flags.no_site:
        site.main()
        own = site.getusersitepackages()
        if sys.prefix == sys.base_prefix and os.path.isdir(own) and own not in sys.path:
            site.addsitedir(own)  # it is left out for the capsule's own safety


def outcome_of(path: str) -> "tuple[str, str, dict[str, Any]] | None":
    """What a call wrote; nothing if it did not come to that."""
    try:
        with open(path, encoding="utf-8") as file:
            reason, message, values = json.load(file)
    except (OSError, ValueError):
        return None
    return reason, message, values
