"""The quickest way to a new process: ``posix_spawn``.

Owns that one call; must never know what is started or why.
"""

from __future__ import annotations

import os
import signal

from hepflow.capsule.spawning import OURS

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no launcher need load
    from typing import Any

DEFAULT_SIGNALS = tuple(
    int(number)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    if number in OURS or signal.getsignal(number) is not signal.SIG_IGN
)
"""What is at its default in a child: all but what whoever started us ignores. It would be without
being named here, but of those not named ``posix_spawn`` asks the kernel first, one by one."""


def spawn(program: str, words: list[str], env: dict[bytes, bytes], files: list[Any]) -> int:
    """Start a program as the leader of a process group; returns its process.

    Raises:
        OSError: it cannot be started.
    """
    return os.posix_spawn(
        program,
        words,
        env,
        file_actions=files,
        setpgroup=0,
        setsigmask=(),
        setsigdef=DEFAULT_SIGNALS,
    )
