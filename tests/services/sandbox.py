"""What stands for a container on this machine: bubblewrap, with the machine's programs and nothing of its users."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

IMAGE = ("/usr", "/etc", "/opt")
"""What every image has: this machine's programs."""


def words(
    command: Sequence[str],
    environment: Mapping[str, str],
    mounts: Sequence[tuple[str, str, str]] = (),
    folder: str = "/",
) -> list[str]:
    """What ``bwrap`` is told.

    Args:
        mounts: source, target, and ``--bind`` or ``--ro-bind``.
        folder: where the command runs.
    """
    told = ["--unshare-pid", "--as-pid-1"]
    told += ["--die-with-parent", "--clearenv", "--tmpfs", "/", "--proc", "/proc"]
    told += ["--dev", "/dev", "--tmpfs", "/tmp"]
    for path in filter(os.path.isdir, IMAGE):
        told += ["--ro-bind", path, path]
    for link in ("/bin", "/lib", "/lib64", "/sbin"):
        if os.path.islink(link):
            told += ["--symlink", os.readlink(link), link]
        elif os.path.isdir(link):
            told += ["--ro-bind", link, link]
    for source, target, how in mounts:
        told += [how, source, target]
    for name, value in environment.items():
        told += ["--setenv", name, value]
    return [*told, "--chdir", folder, "--", *command]


def start(told: Sequence[str], output: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a sandbox; returns its process, and that of the command within."""
    read, write = os.pipe()
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["bwrap", "--info-fd", str(write), *told],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            pass_fds=[write],
            start_new_session=True,
        )
    os.close(write)
    with os.fdopen(read) as info:
        said = info.read()
    return process, json.loads(said)["child-pid"] if said else process.pid
