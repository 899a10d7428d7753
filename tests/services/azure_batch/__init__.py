"""A stand-in for Azure Batch and for Blob storage: their REST interfaces, of our own, on loopback.

What is real: the clients (unchanged, told by the environment where to go and whose key to use) and the
models of the service that come with them, by which every body is read, so that an unknown field, a missing one or
a wrong type is refused. What is made up: the service, and the machines, which run a container's command on this
machine in a sandbox that has the machine's programs and nothing else: one machine of four slots for each
pool. A command line is split as a shell splits it, but for variables; a variable with a line end is refused, because
Azure hands them to containers line by line. Job names, sizes of collections and slots are held to the limits of the
reference. A task whose machine is taken away goes back to the queue, as there. An image whose name has
`absent` in it cannot be pulled. Of a machine `Standard_None` or `Standard_TooMany` there is none. No signature of a request is checked, but those of links are: by making them
again with the client's own code. What Azure says of failures is known from others' programs and its pages only.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.services.daemons import HOST, free_ports, launch, wait_until

MODULES = ("azure.batch", "azure.identity", "azure.storage.blob")
PROGRAMS = ("bwrap",)
PACKAGES = ("bubblewrap",)
ROOT = Path(__file__).resolve().parents[3]
ACCOUNT = "mine"
KEY = "c2VjcmV0IG9mIHRoZSBzdGFuZC1pbg=="
"""The key of both accounts."""


@dataclass(frozen=True, slots=True)
class AzureBatchStandIn:
    """What a test does beyond what a user could."""

    at: Path

    @property
    def env(self) -> dict[str, str]:
        url = (self.at / "url").read_text()
        return {
            "AZURE_BATCH_ACCOUNT": ACCOUNT,
            "AZURE_BATCH_ACCESS_KEY": KEY,
            "AZURE_BATCH_ENDPOINT": url,
            "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};"
            f"AccountKey={KEY};BlobEndpoint={url}/{ACCOUNT};",
        }

    def preempt(self, job: str, task: str) -> None:
        """Take the machine of a task away."""
        self._post("preempt", {"job": job, "task": task})

    def lose(self, job: str, task: str) -> None:
        """Leave the service as if a task had never been added."""
        self._post("lose", {"job": job, "task": task})

    def lose_answers(self, tries: int) -> None:
        """Make the next job without ever saying so, however often it is asked for within so many tries."""
        self._post("unheard", {"tries": tries})

    def jobs(self) -> dict[str, int]:
        """The jobs that are there, and how many tasks each has."""
        said: dict[str, int] = self._post("jobs", {})
        return said

    def clear(self) -> None:
        """Leave nothing of what tests made."""
        self._post("clear", {})

    def _post(self, what: str, body: object) -> dict[str, int]:
        url = f"{self.env['AZURE_BATCH_ENDPOINT']}/stand-in/{what}"
        request = urllib.request.Request(url, method="POST", data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            said: dict[str, int] = json.loads(answer.read())
        return said


def start(at: Path) -> dict[str, str]:
    """Start the server."""
    (port,) = free_ports(1)
    (at / "url").write_text(f"http://{HOST}:{port}")
    launch(
        sys.executable, "-m", "tests.services.azure_batch.server", at, str(port),
        pid_file=at / "server.pid", log=at / "server.log", env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    service = AzureBatchStandIn(at)

    def answers() -> bool:
        try:
            service.clear()
        except OSError:
            return False
        return True

    wait_until(answers, "the stand-in for Azure Batch")
    return service.env
