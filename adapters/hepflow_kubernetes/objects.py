"""The manifests: what of an array and its site becomes which field of a Job.

Owns their text. Must never know a server's answers.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any, Final

from hepflow.arrays.service import Array
from hepflow.model.site import Site, number, text, words
from hepflow.model.task import Resources

Manifest = dict[str, Any]

MANAGER: Final = "app.kubernetes.io/managed-by"
EXECUTOR: Final = "hepflow/executor"
"""The label by which all objects of one run at one site are found."""

ATTEMPT: Final = "hepflow/attempt"
"""The annotation that says, for people, which attempt is an array's first."""

INDEX: Final = "$JOB_COMPLETION_INDEX"
TTL_S: Final = 86_400
"""A Job of which nobody has taken note goes by itself so long after its end."""


class Pods:
    """What a site says of all its Pods.

    Args:
        site: the site.
        grace_s: seconds between SIGTERM and SIGKILL.

    Raises:
        ValueError: a setting is wrong; a sentence for the user.
    """

    def __init__(self, site: Site, grace_s: int) -> None:
        for settings in (site.settings, *(site.settings_for(queue) for queue in site.queues)):
            if number(settings, "limits_over_requests", 1.0) < 1:
                raise ValueError("the setting 'limits_over_requests' is a factor of at least 1")
            for name in ("memory_mib", "disk_mib", "parallelism"):
                number(settings, name, 0)
            for name in ("gpu_label", "gpu_resource", "priority_class", "service_account"):
                text(settings, name)
            if not isinstance(settings.get("pod", {}), Mapping):
                raise ValueError("the setting 'pod' takes a part of a Pod's spec, as a mapping")
            _mounts(settings)
            _tolerations(settings)
        for queue in (site.anywhere, *site.queues):
            _labels(queue.constraint)
        self._site = site
        self._grace_s = grace_s

    def job(self, array: Array, tag: str) -> Manifest:
        """The Job of an array: each element has one Pod and one try, whatever becomes of the others."""
        settings = self._site.settings_for(array.queue)
        labels = {MANAGER: "hepflow", EXECUTOR: tag}
        notes = {ATTEMPT: array.title}
        most = int(number(settings, "parallelism", 1000))
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": array.name, "labels": labels, "annotations": notes},
            "spec": {
                "completionMode": "Indexed",
                "completions": array.size,
                "parallelism": min(array.size, most),
                "backoffLimitPerIndex": 0,
                "ttlSecondsAfterFinished": TTL_S,
                "template": {
                    "metadata": {"labels": labels, "annotations": notes},
                    "spec": _merged(self._pod(array, settings), settings.get("pod", {})),
                },
            },
        }

    def _pod(self, array: Array, settings: Mapping[str, object]) -> Manifest:
        mounts, volumes = _mounts(settings)
        container: Manifest = {
            "name": "task",
            "image": array.image,
            # A dollar sign is Kubernetes' own: two of them are one.
            "command": ["sh", "-c", array.script.replace("$", "$$")],
            "resources": _resources(array.resources, settings),
            "volumeMounts": mounts,
            "env": [{"name": name, "value": value} for name, value in array.env.items()],
        }
        if array.secret:
            container["envFrom"] = [{"secretRef": {"name": array.name}}]
        pod: Manifest = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": self._grace_s,
            "containers": [container],
            "volumes": volumes,
            "tolerations": _tolerations(settings),
            "nodeSelector": self._selector(array, settings),
        }
        named = {
            "serviceAccountName": text(settings, "service_account"),
            "priorityClassName": array.queue.qos or text(settings, "priority_class"),
        }
        pod |= {name: value for name, value in named.items() if value}
        if array.walltime_s:
            pod["activeDeadlineSeconds"] = math.ceil(array.walltime_s)
        return {name: value for name, value in pod.items() if value not in ([], {})}

    def _selector(self, array: Array, settings: Mapping[str, object]) -> dict[str, str]:
        chosen = _labels(array.queue.constraint)
        if array.resources.gpus and array.resources.gpu_kind:
            kind = array.resources.gpu_kind
            label = text(settings, "gpu_label", "nvidia.com/gpu.product")
            chosen[label] = array.queue.gpu_kinds.get(kind, kind)
        return chosen


def secret(array: Array, tag: str) -> Manifest:
    """What only the Pods of an array may see."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": array.name, "labels": {MANAGER: "hepflow", EXECUTOR: tag}},
        "data": {
            name: base64.b64encode(value.encode()).decode() for name, value in array.secret.items()
        },
    }


def owned_by(job: Manifest) -> Manifest:
    """The change of an object that goes when its Job goes."""
    metadata = job["metadata"]
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    return {"metadata": {"ownerReferences": [owner]}}


def _resources(asked: Resources, settings: Mapping[str, object]) -> Manifest:
    """Requests, and limits that are as much greater as the site says; of GPUs both are the same."""
    over = number(settings, "limits_over_requests", 1.0)
    cpus_m = max(1, math.ceil(asked.cpus * 1000))
    memory_mib = asked.memory_mib or int(number(settings, "memory_mib", 1024))
    requests = {"cpu": f"{cpus_m}m", "memory": f"{memory_mib}Mi"}
    limits = {"cpu": f"{math.ceil(cpus_m * over)}m", "memory": f"{math.ceil(memory_mib * over)}Mi"}
    disk_mib = asked.disk_mib or int(number(settings, "disk_mib", 0))
    if disk_mib:
        requests["ephemeral-storage"] = f"{disk_mib}Mi"
        limits["ephemeral-storage"] = f"{math.ceil(disk_mib * over)}Mi"
    if asked.gpus:
        gpu = text(settings, "gpu_resource", "nvidia.com/gpu")
        requests[gpu] = limits[gpu] = str(asked.gpus)
    return {"requests": requests, "limits": limits}


def _mounts(settings: Mapping[str, object]) -> tuple[list[Manifest], list[Manifest]]:
    """Mounts and volumes."""
    mounts: list[Manifest] = []
    volumes: list[Manifest] = []
    for place, said in enumerate(words(settings, "volumes")):
        source, path, how = [*said.split(":"), "", ""][:3]
        if not source or not path.startswith("/") or how not in ("", "ro", "rw"):
            raise ValueError(
                f"a volume is CLAIM:/path or /folder:/path, and :ro behind; this is '{said}'"
            )
        reads = how == "ro"
        name = f"v{place}"
        mounts.append({"name": name, "mountPath": path, "readOnly": reads})
        if source.startswith("/"):
            volumes.append({"name": name, "hostPath": {"path": source}})
        else:
            claim = {"claimName": source, "readOnly": reads}
            volumes.append({"name": name, "persistentVolumeClaim": claim})
    return mounts, volumes


def _tolerations(settings: Mapping[str, object]) -> list[Manifest]:
    found = []
    for said in words(settings, "tolerations"):
        taint, sign, effect = said.rpartition(":")
        key, equals, value = taint.partition("=")
        if not sign or not key or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            raise ValueError(f"a toleration is key:effect or key=value:effect; this is '{said}'")
        how = {"operator": "Equal", "value": value} if equals else {"operator": "Exists"}
        found.append({"key": key, "effect": effect, **how})
    return found


def _labels(constraint: str) -> dict[str, str]:
    """Labels that nodes must have, out of ``label=value, label=value``."""
    chosen = {}
    for said in filter(None, (part.strip() for part in constraint.split(","))):
        label, equals, value = said.partition("=")
        if not equals or not label:
            raise ValueError(f"a constraint is label=value, ...; this is '{constraint}'")
        chosen[label] = value
    return chosen


def _merged(ours: Manifest, more: object) -> Manifest:
    """A spec with a user's own fields: mappings are merged, lists made longer, the rest replaced."""
    assert isinstance(more, Mapping)
    made = dict(ours)
    for name, value in more.items():
        before = made.get(name)
        if isinstance(before, dict) and isinstance(value, Mapping):
            made[name] = _merged(before, value)
        elif isinstance(before, list) and isinstance(value, (list, tuple)):
            made[name] = [*before, *value]
        else:
            made[name] = value
    return made
