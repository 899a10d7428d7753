"""A stand-in for Kubernetes, of which no API server can be had here: HTTP of our own on loopback.

What is real: the clients (`kubectl` and the Python client speak to it unchanged) and the schemas:
every body is held against the published ones, strictly. What is made up: the server, the controller of
Jobs, and the nodes, which run a container's command on this machine in a sandbox that has the
machine's programs and, beyond those, only the volumes that the Pod mounts. So it shows that hepflow's
objects are well formed and that it follows what becomes of them; it shows nothing of images, networks,
quotas, or of who may do what.

    objects.py   what there is, its versions, and who watches
    checks.py    which bodies are refused
    jobs.py      the controller of Jobs
    pods.py      where Pods go, and how they run and end
    server.py    the HTTP

Stricter than the real one: an unknown field is always refused. What it does not do, it refuses too
(`checks.UNSUPPORTED`). An image whose name has `absent` in it cannot be pulled.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.services.daemons import HOST, free_ports, launch, wait_until

MODULES = ("kubernetes_validate",)
PROGRAMS = ("bwrap",)
PACKAGES = ("bubblewrap",)
NAMESPACE = "hepflow"
ROOT = Path(__file__).resolve().parents[3]

CONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: stand-in, cluster: {{server: "{url}"}}}}]
users: [{{name: tester, user: {{}}}}]
contexts: [{{name: stand-in, context: {{cluster: stand-in, user: tester, namespace: {namespace}}}}}]
current-context: stand-in
"""


@dataclass(frozen=True, slots=True)
class KubernetesStandIn:
    """What a test does to a cluster by raw HTTP, so as to depend on no client."""

    at: Path

    @property
    def env(self) -> dict[str, str]:
        return {"KUBECONFIG": f"{self.at}/config"}

    @property
    def url(self) -> str:
        return (self.at / "url").read_text()

    def request(self, verb: str, path: str, body: object = None) -> dict[str, object]:
        """One request, JSON both ways; raises ``HTTPError`` for a refusal."""
        request = urllib.request.Request(
            self.url + path,
            method=verb,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            read: dict[str, object] = json.load(answer)
        return read

    def log(self, pod: str) -> str:
        """What a Pod has printed so far; empty before it has started."""
        try:
            path = f"{self.url}/api/v1/namespaces/{NAMESPACE}/pods/{pod}/log"
            with urllib.request.urlopen(path, timeout=10) as answer:
                text: str = answer.read().decode()
        except urllib.error.HTTPError as error:
            error.close()
            return ""
        return text

    def evict(self, pod: str) -> None:
        """Take a Pod off its node, as a drain or a more urgent Pod does."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        self.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction", body)

    def clear(self) -> None:
        """Leave nothing of what tests made."""
        kept = f"/namespaces/{NAMESPACE}/"
        self.request("DELETE", f"/apis/batch/v1{kept}jobs?propagationPolicy=Background")
        for name in ("pods", "configmaps", "secrets", "persistentvolumeclaims"):
            self.request("DELETE", f"/api/v1{kept}{name}?gracePeriodSeconds=0")
        wait_until(
            lambda: not self.request("GET", f"/api/v1{kept}pods")["items"], "no Pods", limit_s=30
        )


def start(at: Path) -> dict[str, str]:
    """Start the server."""
    (port,) = free_ports(1)
    url = f"http://{HOST}:{port}"
    (at / "url").write_text(url)
    (at / "config").write_text(CONFIG.format(url=url, namespace=NAMESPACE))
    launch(
        sys.executable,
        "-m",
        "tests.services.kubernetes.server",
        at,
        str(port),
        pid_file=at / "server.pid",
        log=at / "server.log",
        env={"PYTHONPATH": str(ROOT)},
    )
    cluster = KubernetesStandIn(at)

    def answers() -> bool:
        try:
            cluster.request("GET", "/version")
        except OSError:
            return False
        return True

    wait_until(answers, "the API server")
    return cluster.env
