"""How a command becomes a process: search path, shells, variables, and what can go wrong.

Standard library only, for Python 3.6. Owns what is started, how, and the words for its failure. Must never
know lanes, results or the head.
"""

import errno
import os

from hepflow.capsule.light import signal
from hepflow.capsule.placing import DUPLICATED, OPENED

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no launcher need load
    from collections.abc import Callable
    from typing import Any

ARGV, WORDS, SH, BASH, CALLED = 0, 1, 2, 3, 4
"""How a command runs: its words; its words if they can be spawned, else its text by bash; its
text by the plain shell; its text by bash; a function, called in a fork of this process."""

LEAST = (b"PATH", b"HEPFLOW_LAUNCHER", b"CUDA_VISIBLE_DEVICES")
"""What a confined task sees of its starter's variables: the second one finds what outlives it, and a
batch system says by the third which accelerators are its own."""

LONGEST_ARGUMENT = 100_000
"""The kernel refuses single arguments above 128 KiB: a longer text becomes a script."""

# Python ignores or handles these; a child must die of them as under any shell.
OURS = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT}

CAN_SPAWN = hasattr(os, "posix_spawn")

_DEFAULT_SIGNALS = (
    [
        int(number)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}  # novermin
        if number in OURS or signal.getsignal(number) != signal.SIG_IGN
    ]
    if CAN_SPAWN
    else []
)
"""What is at its default in a child: all but what whoever started us ignores. It would be without
being named here, but of those not named ``posix_spawn`` asks the kernel first, one by one."""


class Spawner:
    """Starts commands in the current folder.

    Args:
        environ: the variables they see.
    """

    def __init__(self, environ: "dict[str, str]") -> None:
        self._start = spawn if CAN_SPAWN else fork
        self.base = {os.fsencode(name): os.fsencode(value) for name, value in environ.items()}
        self._least = {name: self.base[name] for name in LEAST if name in self.base}
        self.envs: dict[int, dict[bytes, bytes]] = {}
        self._known: dict[tuple[str, str], str] = {}
        path = environ.get("PATH", os.defpath)
        bash = self.find("bash", path)
        self._shell = [self.find("sh", path) or "/bin/sh", "-e"]
        strict = [bash, "--norc", "--noprofile", "-e", "-o", "pipefail"]
        self._strict_shell = strict if bash else self._shell

    def learn(self, number: int, changes: "dict[str, str]", confined: bool) -> None:
        """Remember a set of variables, on top of the launcher's own or (confined) of the least."""
        env = self._least.copy() if confined else self.base.copy()
        env.update((os.fsencode(name), os.fsencode(value)) for name, value in changes.items())
        self.envs[number] = env

    def find(self, word: str, path: str) -> str:
        """The program a word names, or nothing.

        A word with a slash is taken as it is: the kernel then says what is wrong with it.
        """
        if "/" in word:
            return word
        found = self._known.get((word, path), "")
        if found:
            return found
        for folder in path.split(os.pathsep):
            candidate = os.path.join(folder or ".", word)
            if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
                if candidate.startswith("/"):
                    self._known[word, path] = candidate
                return candidate
        return ""

    def spawn(
        self,
        how: int,
        body: "Any",
        env: "dict[bytes, bytes]",
        files: "list[Any]",
        script: str,
    ) -> int:
        """Start a command and return its process, which leads a group of its own.

        Args:
            how: one of the constants above.
            body: words, a text, a function that takes the variables, or for ``WORDS`` text, words, target
                of standard output, append.
            env: its variables.
            files: what becomes of the descriptors 0, 1 and 2.
            script: where a text goes that is too long for an argument.

        Raises:
            OSError, ValueError: it cannot be started.
        """
        if how == CALLED:
            return fork_call(body, env, files)
        path = os.fsdecode(env.get(b"PATH", b""))
        if how == ARGV:
            program = self.find(body[0], path)
            if not program:
                raise OSError(errno.ENOENT, f"looked in {path or 'an empty PATH'}", body[0])
            return self._start(program, body, env, files)
        if how == WORDS:
            body, words, target, append = body
            how = BASH
            program = self.find(words[0], path)
            if program:
                actions = [files[0], _onto(target, append), files[2]] if target else files
                try:
                    return self._start(program, words, env, actions)
                except OSError as error:
                    if error.errno in (errno.E2BIG, errno.EAGAIN, errno.ENOMEM):
                        raise
            # The shell says better than we could what is wrong with the command.
        shell = self._shell if how == SH else self._strict_shell
        if len(body) * 4 > LONGEST_ARGUMENT and len(os.fsencode(body)) > LONGEST_ARGUMENT:
            with open(script, "wb") as file:
                file.write(os.fsencode(body))
            return self._start(shell[0], [*shell, script], env, files)
        return self._start(shell[0], [*shell, "-c", body], env, files)


def _onto(target: str, append: int) -> "tuple[Any, ...]":
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
    return OPENED, 1, target, flags, 0o666


def spawn(program: str, words: "list[str]", env: "dict[bytes, bytes]", files: "list[Any]") -> int:
    """Start a program as the leader of a process group, the quickest way there is; returns its process.

    Raises:
        OSError: the program cannot be executed, or a stream cannot be opened.
    """
    return os.posix_spawn(  # novermin
        program,
        words,
        env,
        file_actions=files,
        setpgroup=0,
        setsigmask=(),
        setsigdef=_DEFAULT_SIGNALS,
    )


def fork(program: str, words: "list[str]", env: "dict[bytes, bytes]", files: "list[Any]") -> int:
    """The same where Python has no ``posix_spawn`` yet (before 3.8).

    Raises:
        OSError: the program cannot be executed, or a stream cannot be opened.
    """
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _lead_a_group(files)
            os.execve(program, words, env)
        except (OSError, ValueError) as error:
            os.write(tell, str(getattr(error, "errno", errno.EINVAL)).encode())
        finally:
            os._exit(127)
    os.close(tell)
    try:
        fault = os.read(told, 16)
    finally:
        os.close(told)
    if not fault:
        return pid
    os.waitpid(pid, 0)
    raise OSError(int(fault), os.strerror(int(fault)), program)


def fork_call(
    function: "Callable[[dict[bytes, bytes]], None]", env: "dict[bytes, bytes]", files: "list[Any]"
) -> int:
    """Call a function in a fork of this process; its exit code is 0, or 127 if that raised.

    Raises:
        OSError: there can be no more processes.
    """
    pid = os.fork()
    if pid == 0:
        code = 127
        try:
            _lead_a_group(files)
            function(env)
            code = 0
        except BaseException as error:  # noqa: BLE001 - above this is the work of the parent
            os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
        finally:
            os._exit(code)
    return pid


def _lead_a_group(files: "list[Any]") -> None:
    """What a new process does first: a group of its own, ordinary signals, its streams."""
    os.setpgid(0, 0)
    for number in OURS:
        signal.signal(number, signal.SIG_DFL)
    for what, first, *rest in files:
        if what == DUPLICATED:
            os.dup2(first, rest[0])
        else:
            opened = os.open(*rest)
            if opened != first:
                os.dup2(opened, first)
                os.close(opened)
            else:
                os.set_inheritable(first, True)


def start_fault(error: "Exception", how: int, body: "Any") -> str:
    """One sentence that says why a command could not be started."""
    program = body[0] if how == ARGV else "the shell"
    number = error.errno if isinstance(error, OSError) else 0
    if number == errno.E2BIG:
        return (
            "the argument list is too long for this system; hand the values over in a file"
            " instead (`{{ values | listing }}`)"
        )
    if number == errno.ENOENT and how == ARGV:
        if "/" not in program:
            return f"there is no program '{program}' ({error.args[1]})"
        if os.path.exists(program):
            return f"'{program}' cannot be executed: the interpreter in its first line is missing"
        return f"there is no program '{program}'"
    if number == errno.EACCES:
        return f"'{program}' may not be executed: it lacks the permission"
    if number == errno.ENOEXEC:
        return f"'{program}' cannot be executed: no program for this machine, nor '#!' at its head"
    said = error.strerror if isinstance(error, OSError) else str(error)
    return f"{program!r} could not be started: {said}"
