"""Where Pods go, and how they run and end: the scheduler and the nodes' kubelet."""

from __future__ import annotations

import base64
import copy
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.services import sandbox
from tests.services.memory import memory_kib

from .checks import quantity
from .objects import PODS, RESOURCES, Object, Objects, Refused, now

GPU = "nvidia.com/gpu"
NODES = {
    "cpu-1": {"labels": {}, "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"}},
    "gpu-1": {
        "labels": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110", GPU: "2"},
    },
}
POLL_S = 0.3
FINAL = ("Succeeded", "Failed")


class NotYet(Exception):
    """A container cannot start for now: a reason that its state gives, and why."""


def nodes() -> list[Object]:
    """The nodes as objects."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/hostname": name, **node["labels"]},
            },
            "spec": {},
            "status": {
                "capacity": node["capacity"],
                "allocatable": node["capacity"],
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        }
        for name, node in NODES.items()
    ]


def wants(pod: Object) -> dict[str, float]:
    """What a Pod asks of a node."""
    total: dict[str, float] = {"pods": 1}
    for container in pod["spec"]["containers"]:
        resources = container.get("resources") or {}
        for name, amount in (
            {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        ).items():
            total[name] = total.get(name, 0) + quantity(amount)
    return total


def free_on_nodes(pods: list[Object]) -> dict[str, dict[str, float]]:
    """What each node has left beside the Pods that it has."""
    free = {
        node["metadata"]["name"]: {
            key: quantity(value) for key, value in node["status"]["capacity"].items()
        }
        for node in nodes()
    }
    for pod in pods:
        name = pod["spec"].get("nodeName")
        if name and pod["status"]["phase"] not in FINAL:
            take(free[name], pod)
    return free


def take(free: dict[str, float], pod: Object) -> None:
    """Take what a Pod asks for from what a node has left."""
    for key, amount in wants(pod).items():
        free[key] = free.get(key, 0) - amount


def place(
    pod: Object, free: dict[str, dict[str, float]], claims: Callable[[str], bool]
) -> tuple[str | None, str]:
    """The node for a Pod, or none and why."""
    for volume in pod["spec"].get("volumes") or []:
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claim and not claims(claim):
            return None, f'persistentvolumeclaim "{claim}" not found'
    asked = wants(pod)
    faults = []
    for node in nodes():
        name = node["metadata"]["name"]
        lacking = [key for key, amount in asked.items() if amount > free[name].get(key, 0)]
        if not _suits(pod["spec"], node["metadata"]["labels"]):
            faults.append("1 node(s) didn't match Pod's node affinity/selector")
        elif lacking:
            faults.append(f"1 Insufficient {', '.join(lacking)}")
        else:
            return name, ""
    return None, f"0/{len(NODES)} nodes are available: {', '.join(faults)}."


def _suits(spec: Object, labels: dict[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(
        all(_matches(rule, labels) for rule in term.get("matchExpressions", []))
        for term in required["nodeSelectorTerms"]
    )


def _matches(rule: Object, labels: dict[str, str]) -> bool:
    key, values = rule["key"], rule.get("values", [])
    match rule["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case "Gt":
            return key in labels and float(labels[key]) > float(values[0])
        case _:
            return key in labels and float(labels[key]) < float(values[0])


class Kubelet:
    """Runs the Pods that have a node, a thread each, in folders beneath its own."""

    def __init__(self, at: Path, objects: Objects) -> None:
        self.at = at
        self.objects = objects
        self.running: dict[str, _Running] = {}
        """Pod's uid -> what runs of it."""

    def reconcile(self) -> None:
        """Give each Pod a node, start what has one, end what is to go."""
        pods = self.objects.view(PODS)
        free = free_on_nodes(pods)
        for pod in pods:
            uid, phase = pod["metadata"]["uid"], pod["status"]["phase"]
            if "deletionTimestamp" in pod["metadata"]:
                self._end(pod)
            elif phase == "Pending" and "nodeName" not in pod["spec"]:
                self._schedule(pod, free)
            elif phase == "Pending" and uid not in self.running:
                self.running[uid] = _Running(self, copy.deepcopy(pod))
                self.running[uid].start()

    def _schedule(self, pod: Object, free: dict[str, dict[str, float]]) -> None:
        namespace = pod["metadata"]["namespace"]
        claims = RESOURCES["v1", "persistentvolumeclaims"]
        node, why = place(pod, free, lambda name: self.objects.exists(claims, namespace, name))
        condition = {"type": "PodScheduled", "status": "True"}
        if node is None:
            condition |= {"status": "False", "reason": "Unschedulable", "message": why}
        else:
            take(free[node], pod)  # the next one is placed beside it

        def note(made: Object) -> None:
            if node:
                made["spec"]["nodeName"] = node
            made["status"]["conditions"] = [condition]

        self.change(pod, note)

    def _end(self, pod: Object) -> None:
        metadata = pod["metadata"]
        running = self.running.get(metadata["uid"])
        if running and running.is_alive():
            spec = pod["spec"]
            grace_s = metadata.get(
                "deletionGracePeriodSeconds", spec.get("terminationGracePeriodSeconds", 30)
            )
            running.terminate(grace_s)
        else:
            self.running.pop(metadata["uid"], None)
            try:
                self.objects.remove(PODS, metadata["namespace"], metadata["name"])
            except Refused:
                pass  # removed meanwhile
            shutil.rmtree(self.at / "pods" / metadata["uid"], ignore_errors=True)

    def change(self, pod: Object, how: Callable[[Object], object]) -> None:
        metadata = pod["metadata"]
        try:
            self.objects.change(PODS, metadata["namespace"], metadata["name"], how)
        except Refused:
            pass  # removed meanwhile

    def log(self, pod: Object, container: str) -> Path:
        """Where a container's output is kept."""
        return self.at / "pods" / pod["metadata"]["uid"] / f"{container}.output"

    def close(self) -> None:
        """End everything at once."""
        for running in self.running.values():
            running.terminate(0)
        for running in self.running.values():
            running.join(5)


class _Running(threading.Thread):
    """One Pod on its node."""

    def __init__(self, kubelet: Kubelet, pod: Object) -> None:
        super().__init__(daemon=True)
        self.kubelet, self.pod = kubelet, pod
        self.spec = pod["spec"]
        self.folder = kubelet.at / "pods" / pod["metadata"]["uid"]
        self.processes: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
        """Container -> its sandbox and the process within."""
        self.states: dict[str, Object] = {}
        self.stopping = threading.Event()
        self.killed_for_memory: set[str] = set()

    def run(self) -> None:
        self.folder.mkdir(parents=True)
        for container in self.spec.get("initContainers") or []:
            if self._run([container]) or self.stopping.is_set():
                self._conclude(failed=True)
                return
        self._conclude(failed=self._run(self.spec["containers"]) or self.stopping.is_set())

    def terminate(self, grace_s: float) -> None:
        """Ask its processes to end, and make them after the grace period."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        self._kill(signal.SIGTERM if grace_s else signal.SIGKILL)
        if grace_s:
            timer = threading.Timer(grace_s, self._kill, [signal.SIGKILL])
            timer.daemon = True
            timer.start()

    def _kill(self, number: signal.Signals) -> None:
        for process, inner in list(self.processes.values()):
            if process.poll() is None:
                try:
                    os.kill(inner, number)
                except ProcessLookupError:
                    pass

    def _run(self, containers: list[Object]) -> bool:
        """Run containers beside each other to their end; whether one failed."""
        for container in containers:
            while not self._try_to_start(container):
                if self.stopping.wait(POLL_S):
                    return True
        self._tell("Running")
        mine = [container["name"] for container in containers]
        while any(self.processes[name][0].poll() is None for name in mine):
            self._limit(containers)
            time.sleep(0.02)
        failed = False
        for name in mine:
            code = self.processes[name][0].returncode
            reason = "Completed" if code == 0 else "Error"
            if name in self.killed_for_memory:
                reason = "OOMKilled"
            started = self.states[name]["running"]["startedAt"]
            self.states[name] = {
                "terminated": {
                    "exitCode": code,
                    "reason": reason,
                    "startedAt": started,
                    "finishedAt": now(),
                }
            }
            failed |= code != 0
        return failed

    def _try_to_start(self, container: Object) -> bool:
        name = container["name"]
        try:
            if "absent" in container["image"]:
                raise NotYet("ImagePullBackOff", f'Back-off pulling image "{container["image"]}"')
            told = self._sandbox(container)
        except NotYet as error:
            reason, message = error.args
            self.states[name] = {"waiting": {"reason": reason, "message": message}}
            self._tell("Pending")
            return False
        self.processes[name] = sandbox.start(told, self.kubelet.log(self.pod, name))
        self.states[name] = {"running": {"startedAt": now()}}
        return True

    def _sandbox(self, container: Object) -> list[str]:
        """What `bwrap` is told: the image, the volumes, the environment, the command."""
        environment = self._environment(container)

        def expanded(text: str) -> str:
            return re.sub(
                r"\$\$|\$\(([-._a-zA-Z0-9]+)\)",
                lambda match: "$" if match[0] == "$$" else environment.get(match[1], match[0]),
                text,
            )

        mounts = [
            (
                str(self._volume(mount["name"]) / mount.get("subPath", "")),
                mount["mountPath"],
                "--ro-bind" if mount.get("readOnly") else "--bind",
            )
            for mount in container.get("volumeMounts") or []
        ]
        command = [*container["command"], *(container.get("args") or [])]
        return sandbox.words(
            [expanded(word) for word in command],
            {name: expanded(value) for name, value in environment.items()},
            mounts,
            container.get("workingDir", "/"),
        )

    def _environment(self, container: Object) -> dict[str, str]:
        found = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/"}
        found["HOSTNAME"] = self.pod["metadata"]["name"]
        limits = (container.get("resources") or {}).get("limits") or {}
        if GPU in limits:
            found["NVIDIA_VISIBLE_DEVICES"] = ",".join(
                f"GPU-{number}" for number in range(int(quantity(limits[GPU])))
            )
        for source in container.get("envFrom") or []:
            for kind, resource in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
                if kind in source:
                    for key, value in self._data(resource, source[kind]["name"]).items():
                        found[source.get("prefix", "") + key] = value.decode()
        for variable in container.get("env") or []:
            found[variable["name"]] = str(variable.get("value") or self._value(variable, limits))
        return found

    def _value(self, variable: Object, limits: Object) -> str:
        source = variable.get("valueFrom") or {}
        for kind, resource in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if kind in source:
                data = self._data(resource, source[kind]["name"])
                if source[kind]["key"] not in data:
                    raise NotYet("CreateContainerConfigError", f"no key {source[kind]['key']}")
                return data[source[kind]["key"]].decode()
        if "fieldRef" in source:
            return self._field(source["fieldRef"]["fieldPath"])
        if "resourceFieldRef" in source:
            amount = limits.get(source["resourceFieldRef"]["resource"].removeprefix("limits."), 0)
            return str(int(quantity(amount)))
        return ""

    def _field(self, path: str) -> str:
        match = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
        if match:
            return str(self.pod["metadata"].get(match[1], {}).get(match[2], ""))
        found: Any = self.pod
        for name in path.split("."):
            found = found.get(name, "")
        return str(found)

    def _data(self, plural: str, name: str) -> dict[str, bytes]:
        namespace = self.pod["metadata"]["namespace"]
        try:
            made = self.kubelet.objects.get(RESOURCES["v1", plural], namespace, name)
        except Refused as error:
            raise NotYet("CreateContainerConfigError", str(error)) from None
        coded = (made.get("data") if plural == "secrets" else made.get("binaryData")) or {}
        plain = (made.get("stringData") if plural == "secrets" else made.get("data")) or {}
        return {
            **{key: base64.b64decode(value) for key, value in coded.items()},
            **{key: value.encode() for key, value in plain.items()},
        }

    def _volume(self, name: str) -> Path:
        """A volume's folder on this machine."""
        volume = next(one for one in self.spec["volumes"] if one["name"] == name)
        namespace = self.pod["metadata"]["namespace"]
        if "hostPath" in volume:
            return Path(volume["hostPath"]["path"])
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            folder = self.kubelet.at / "claims" / namespace / claim
        else:
            folder = self.folder / "volumes" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o777)
            for kind, plural, key in (
                ("configMap", "configmaps", "name"),
                ("secret", "secrets", "secretName"),
            ):
                if kind in volume:
                    self._fill(folder, volume[kind], self._data(plural, volume[kind][key]))
        return folder

    def _fill(self, folder: Path, source: Object, data: dict[str, bytes]) -> None:
        paths = {item["key"]: item["path"] for item in source.get("items") or []}
        for key, value in data.items():
            if not paths or key in paths:
                target = folder / paths.get(key, key)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(value)
                target.chmod(source.get("defaultMode", 0o644))

    def _limit(self, containers: list[Object]) -> None:
        """Kill what uses more memory than its limit, as the kernel does."""
        limits = {
            container["name"]: quantity(container["resources"]["limits"]["memory"])
            for container in containers
            if "memory" in ((container.get("resources") or {}).get("limits") or {})
        }
        if not limits or self.stopping.wait(0.1):
            return
        used = memory_kib([self.processes[name][1] for name in limits])
        for name, limit in limits.items():
            process, inner = self.processes[name]
            if used[inner] * 1024 > limit and process.poll() is None:
                self.killed_for_memory.add(name)
                os.kill(inner, signal.SIGKILL)

    def _conclude(self, failed: bool) -> None:
        self._tell("Failed" if failed else "Succeeded")

    def _tell(self, phase: str) -> None:
        """Publish how it stands."""

        def statuses(group: str) -> list[Object]:
            return [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": "running" in self._state(container),
                    "started": "running" in self._state(container),
                    "restartCount": 0,
                    "state": self._state(container),
                }
                for container in self.spec.get(group) or []
            ]

        def note(made: Object) -> None:
            status = made["status"]
            status |= {"phase": phase, "hostIP": "127.0.0.1", "podIP": "127.0.0.1"}
            status.setdefault("startTime", now())
            status["containerStatuses"] = statuses("containers")
            if self.spec.get("initContainers"):
                status["initContainerStatuses"] = statuses("initContainers")

        self.kubelet.change(self.pod, note)

    def _state(self, container: Object) -> Object:
        return self.states.get(container["name"], {"waiting": {"reason": "PodInitializing"}})
