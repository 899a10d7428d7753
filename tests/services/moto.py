"""moto's server: the wire protocol of AWS on loopback. S3 keeps what it is given; **Batch runs nothing**.

A job there ends as SUCCEEDED without its command ever having run, so a test must not believe a state:
it looks at what was asked for (`describe_jobs`), or runs the command itself.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .daemons import HOST, free_ports, launch, wait_until

MODULES = ("boto3", "flask", "flask_cors", "moto")


@dataclass(frozen=True, slots=True)
class Moto:
    """What a test does to the server beyond what any user could do."""

    at: Path

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": (self.at / "url").read_text(),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def post(self, path: str, body: object = None) -> None:
        """One of moto's own requests."""
        request = urllib.request.Request(
            self.env["AWS_ENDPOINT_URL"] + path,
            method="POST",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    def clear(self) -> None:
        """Leave nothing of what tests made."""
        self.post("/moto-api/reset")


def start(at: Path) -> dict[str, str]:
    """Start the server."""
    (port,) = free_ports(1)
    url = f"http://{HOST}:{port}"
    (at / "url").write_text(url)
    # The folder is named on the command line so that the process can be told by it.
    code = "import sys; from moto.server import main; main(sys.argv[2:])"
    launch(
        sys.executable,
        "-c",
        code,
        at,
        "-H",
        HOST,
        "-p",
        str(port),
        pid_file=at / "server.pid",
        log=at / "server.log",
    )
    server = Moto(at)

    def answers() -> bool:
        try:
            # Without this it would look for a container engine.
            server.post("/moto-api/config", {"batch": {"use_docker": False}})
        except OSError:
            return False
        return True

    wait_until(answers, "moto's server", limit_s=30)
    return server.env
