"""HTCondor's commands, run beside the runner's loop.

Owns the processes of `condor_submit` and its like; nobody waits for them. Must never know a job.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from hepflow.model.protocols import Sink

UNREACHABLE: Final = (
    "can't find address",
    "can't connect",
    "cannot connect",
    "failed to connect",
    "failed to fetch ads",
    "failed to begin transaction",
    "communication error",
    "connection refused",
    "timed out",
    "timeout",
    "secman",
    "too many jobs",
    "no such file or directory (schedd",
)
"""What the commands say, in small letters, where the same command may succeed later."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said, and its exit code."""

    code: int
    said: str
    complaint: str

    @property
    def transient(self) -> bool:
        """Whether it failed because nobody was there to take it."""
        text = self.complaint.lower()
        return self.code != 0 and any(words in text for words in UNREACHABLE)

    @property
    def why(self) -> str:
        """Its complaint as one line."""
        lines = [line.strip() for line in self.complaint.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line] or lines
        return " ".join(errors[:3]) or f"exit code {self.code}"


Then = Callable[[Answer], None]


class Commands:
    """Starts commands, and tells their answers on the runner's thread.

    Args:
        sink: whose loop waits for them.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._running: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}

    def run(self, words: Sequence[str], then: Then, folder: Path, lock: int = -1) -> None:
        """Start a command; ``then`` is called with its answer.

        Args:
            folder: where it runs.
            lock: a descriptor that it keeps open until it ends, also if we do not live so long.
        """
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 - it outlives this call
        try:
            process = subprocess.Popen(
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                pass_fds=[lock] if lock >= 0 else [],
                start_new_session=True,
            )
        except OSError as error:
            complaints.close()
            missing = isinstance(error, FileNotFoundError)
            why = (
                "it is not on PATH; run this on a host that submits to the pool"
                if missing
                else error
            )
            then(Answer(127, "", f"{words[0]} could not be started: {why}"))
            return
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        said: list[bytes] = []
        self._running[process.pid] = process, complaints
        self._sink.watch(
            process.stdout.fileno(), lambda: self._readable(process, complaints, said, then)
        )

    def _readable(
        self,
        process: subprocess.Popen[bytes],
        complaints: IO[bytes],
        said: list[bytes],
        then: Then,
    ) -> None:
        assert process.stdout is not None
        data = process.stdout.read(1 << 16)
        if data:
            said.append(data)
        if data or data is None:
            return
        self._sink.unwatch(process.stdout.fileno())
        process.stdout.close()
        code = process.wait()
        del self._running[process.pid]
        with complaints:
            complaints.seek(0)
            complaint = complaints.read().decode(errors="replace")
        then(Answer(code, b"".join(said).decode(errors="replace"), complaint))

    def close(self, patience_s: float = 30.0) -> None:
        """Let what runs come to its end; its answers are not told any more."""
        for process, complaints in self._running.values():
            assert process.stdout is not None
            self._sink.unwatch(process.stdout.fileno())
            process.stdout.close()
            complaints.close()
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
