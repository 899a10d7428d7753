"""A stand-in for Google Cloud Batch: its REST interface, of our own, on loopback.

What is real: the client (unchanged, but told where to go and to show no credentials) and the definition of the service, by which
every job is read, so that an unknown field or a wrong type is refused. What is made up: the service, and
the machines, which run a container's command on this machine in a sandbox that has the machine's
programs and nothing else. Four tasks run at a time, each on a machine of as much memory as it asks for, whose kernel
ends the largest process when there is no more. An image whose name has `absent` in it cannot be pulled.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.daemons import HOST, free_ports, launch, wait_until

MODULES = ("google.cloud.batch_v1",)
PROGRAMS = ("bwrap",)
PACKAGES = ("bubblewrap",)
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class GoogleBatchStandIn:
    """What a test does beyond what a user could."""

    at: Path

    @property
    def env(self) -> dict[str, str]:
        return {}

    @property
    def host(self) -> str:
        return (self.at / "host").read_text()

    def preempt(self, task: str) -> None:
        """Take the machine of a task away; its name as the service has it."""
        self._post("preempt", {"task": task})

    def refuse(self, code: int, message: str, *, unheard: bool = False) -> None:
        """Refuse the next job with this status; ``unheard``: take it, though the answer says not."""
        self._post("refuse", {"code": code, "message": message, "unheard": unheard})

    def made(self) -> list[str]:
        """The jobs that were taken, whether they are still there or not."""
        names: list[str] = self._post("made", {})["jobs"]
        return names

    def clear(self) -> None:
        """Leave nothing of what tests made."""
        self._post("clear", {})

    def _post(self, what: str, body: object) -> Any:
        url = f"http://{self.host}/stand-in/{what}"
        request = urllib.request.Request(url, method="POST", data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def start(at: Path) -> dict[str, str]:
    """Start the server."""
    (port,) = free_ports(1)
    (at / "host").write_text(f"{HOST}:{port}")
    launch(
        sys.executable, "-m", "tests.services.google_batch.server", at, str(port),
        pid_file=at / "server.pid", log=at / "server.log", env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    service = GoogleBatchStandIn(at)

    def answers() -> bool:
        try:
            service.clear()
        except OSError:
            return False
        return True

    wait_until(answers, "the stand-in for Google Batch")
    return service.env
