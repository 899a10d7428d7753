"""Servers on this machine: free ports, waiting with a limit, and processes known by their pid files.

Nothing is ever looked for by its name. A pid file counts only while the process it names has the
pid file's own folder on its command line or in its environment, so that a number used again by a
stranger is left alone.
"""

from __future__ import annotations

import os
import pwd
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

HOST = "127.0.0.1"
USER = pwd.getpwuid(os.getuid()).pw_name

PORTS = range(20_000, 32_000)
"""Below the ports that the system hands out by itself: nobody is given one before we listen on it."""


SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
"""Servers lie in folders that a user's PATH may lack."""


class Unavailable(Exception):
    """A service cannot start here; the message says why."""


def free_ports(count: int) -> list[int]:
    """As many different ports of the loopback address on which nobody listens."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise Unavailable(f"no {count} free ports between {PORTS.start} and {PORTS.stop}")


def run(
    *argv: str | Path, env: Mapping[str, str] | None = None, stdin: str = "", limit_s: float = 30
) -> str:
    """What a command prints; raises ``Unavailable`` with its complaint if it fails."""
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            env=_environment(env),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{argv[0]} did not end within {limit_s:g} s") from error
    except OSError as error:
        raise Unavailable(f"{argv[0]}: {error.strerror}") from error
    if done.returncode:
        raise Unavailable(f"{argv[0]} ended with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def launch(
    *argv: str | Path, pid_file: Path, log: Path, env: Mapping[str, str] | None = None
) -> None:
    """Start a server that stays in the foreground, in a session of its own, and note its pid."""
    # Through a shell that ends at once, so that nobody is left to wait for the server.
    script = 'log=$1 pid=$2; shift 2; "$@" >>"$log" 2>&1 </dev/null & echo $! >"$pid"'
    subprocess.run(
        ["sh", "-c", script, "sh", log, pid_file, *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_environment(env),
        start_new_session=True,
        check=True,
    )


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, "PATH": SEARCH_PATH, **(more or {})}


def wait_until(ready: Callable[[], bool], what: str, limit_s: float = 20) -> None:
    """Return as soon as ``ready`` says so; ``Unavailable`` when it has not within the limit."""
    end = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > end:
            raise Unavailable(f"{what}: not within {limit_s:g} s")
        time.sleep(0.02)


def succeeds(*argv: str | Path, env: Mapping[str, str] | None = None) -> bool:
    """Whether a probe succeeds, and soon."""
    try:
        run(*argv, env=env, limit_s=2)
    except Unavailable:
        return False
    return True


def process_of(pid_file: Path) -> int | None:
    """The living process that a pid file names, if it is still the one that was meant."""
    try:
        pid = int(pid_file.read_text())
        told = [Path(f"/proc/{pid}/{what}").read_bytes() for what in ("cmdline", "environ")]
    except (OSError, ValueError):
        return None
    return pid if any(os.fsencode(pid_file.parent) in text for text in told) else None


def end(pid_files: Iterable[Path], limit_s: float = 10) -> None:
    """Ask the processes to end, all at once, and make them after the limit."""
    pid_files = list(pid_files)

    def gone() -> bool:
        return not any(map(process_of, pid_files))

    _signal(pid_files, signal.SIGTERM)
    try:
        wait_until(gone, "end", limit_s)
    except Unavailable:
        _signal(pid_files, signal.SIGKILL)
        wait_until(gone, f"end of {', '.join(map(str, pid_files))}")
    for path in pid_files:
        path.unlink(missing_ok=True)


def _signal(pid_files: Iterable[Path], number: signal.Signals) -> None:
    for pid in map(process_of, pid_files):
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass


def tails(folder: Path, lines: int = 8) -> str:
    """The last lines of every log in a folder, for an error message."""
    return "\n".join(
        f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
        for path in sorted(folder.glob("*.log"))
    )
