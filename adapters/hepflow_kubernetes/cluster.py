"""Which cluster and namespace: as ``kubectl`` finds them, or those of the Pod that we are in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from kubernetes import client, config

from hepflow.arrays.service import Fault

INSIDE: Final = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
"""Where a Pod finds the name of its own namespace."""


class Cluster(NamedTuple):
    """The parts of the client that are needed, and where objects go."""

    batch: Any
    core: Any
    namespace: str


def connect(context: str, namespace: str) -> Cluster:
    """A client; nobody is asked anything yet.

    Args:
        context: of the kubeconfig; empty for its current one.
        namespace: empty for the context's.

    Raises:
        Fault: no cluster is configured here.
    """
    file = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    inside = "KUBERNETES_SERVICE_HOST" in os.environ
    try:
        if inside and not any(Path(one).exists() for one in file.split(os.pathsep)):
            settings = client.Configuration()
            config.load_incluster_config(client_configuration=settings)
            api = client.ApiClient(settings)
            namespace = namespace or Path(INSIDE).read_text(encoding="ascii").strip()
        else:
            api = config.new_client_from_config(file, context or None)
            contexts, current = config.list_kube_config_contexts(file)
            chosen = next((one for one in contexts if one["name"] == context), current)
            namespace = namespace or str(chosen["context"].get("namespace", "default"))
    except config.ConfigException as error:
        raise Fault(f"no Kubernetes cluster is configured here: {error}") from error
    return Cluster(client.BatchV1Api(api), client.CoreV1Api(api), namespace)
