"""A stand-in for AWS Batch, which moto only claims to be: HTTP of our own on loopback.

What is real: the client (boto3, unchanged) and the model of the service, against which every request is held,
so that an unknown field or a wrong type is refused. What is made up: the service, and the machines,
which run a container's command on this machine in a sandbox that has the machine's programs and nothing
else. It also keeps the logs of jobs as CloudWatch does. Object stores are moto's.

Job queues are `work` and `gpu`, four cores each. An image whose name has `absent` in it cannot be pulled; a
job that asks for more than a queue has waits for ever and says so, as Batch does.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.services.daemons import HOST, free_ports, launch, wait_until

MODULES = ("boto3",)
PROGRAMS = ("bwrap",)
PACKAGES = ("bubblewrap",)
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class AwsBatchStandIn:
    """What a test does beyond what a user could."""

    at: Path

    @property
    def env(self) -> dict[str, str]:
        url = (self.at / "url").read_text()
        return {"AWS_ENDPOINT_URL_BATCH": url, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": url}

    def reclaim(self, job: str) -> None:
        """Take the machine of a job away, with a notice, as a spot machine is."""
        self._post("reclaim", {"job": job})

    def lose_answer(self) -> None:
        """Take the next job, though the answer says not."""
        self._post("lose", {})

    def clear(self) -> None:
        """Leave nothing of what tests made."""
        self._post("clear", {})

    def _post(self, what: str, body: object) -> None:
        request = urllib.request.Request(
            f"{(self.at / 'url').read_text()}/stand-in/{what}",
            method="POST",
            data=json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=30):
            pass


def start(at: Path) -> dict[str, str]:
    """Start the server."""
    (port,) = free_ports(1)
    (at / "url").write_text(f"http://{HOST}:{port}")
    launch(
        sys.executable, "-m", "tests.services.aws_batch.server", at, str(port),
        pid_file=at / "server.pid", log=at / "server.log", env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    service = AwsBatchStandIn(at)

    def answers() -> bool:
        try:
            service.clear()
        except OSError:
            return False
        return True

    wait_until(answers, "the stand-in for AWS Batch")
    return service.env
