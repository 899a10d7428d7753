"""What there is in the cluster, the version of each object, and who watches."""

from __future__ import annotations

import copy
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""An object of the API as JSON has it."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object and where it is found."""

    group: str
    """With its version: ``v1``, ``batch/v1``."""
    plural: str
    kind: str
    short: tuple[str, ...] = ()
    namespaced: bool = True


RESOURCES = {
    (resource.group, resource.plural): resource
    for resource in (
        Resource("v1", "configmaps", "ConfigMap", ("cm",)),
        Resource("v1", "events", "Event", ("ev",)),
        Resource("v1", "namespaces", "Namespace", ("ns",), namespaced=False),
        Resource("v1", "nodes", "Node", ("no",), namespaced=False),
        Resource("v1", "persistentvolumeclaims", "PersistentVolumeClaim", ("pvc",)),
        Resource("v1", "pods", "Pod", ("po",)),
        Resource("v1", "secrets", "Secret"),
        Resource("v1", "serviceaccounts", "ServiceAccount", ("sa",)),
        Resource("batch/v1", "jobs", "Job"),
        Resource(
            "scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", ("pc",), namespaced=False
        ),
    )
}
PODS = RESOURCES["v1", "pods"]
JOBS = RESOURCES["batch/v1", "jobs"]


class Refused(Exception):
    """A request cannot be granted; what the server answers instead."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


@dataclass(frozen=True, slots=True)
class Change:
    """Something that watchers are told."""

    version: int
    type: str
    resource: Resource
    object: Object


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def suffix(length: int = 5) -> str:
    """What the server adds to a name it makes up."""
    return "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=length))


class Objects:
    """All objects; every method is safe from any thread, and objects that come out are copies."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.changes: list[Change] = []
        self._version = 0
        self._all: dict[tuple[Resource, str, str], Object] = {}

    @property
    def version(self) -> int:
        return self._version

    def create(self, resource: Resource, given: Object) -> Object:
        """Take on a new object."""
        made = copy.deepcopy(given)
        metadata = made["metadata"]
        if "name" not in metadata:
            metadata["name"] = metadata["generateName"] + suffix()
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
        key = (resource, metadata.get("namespace", ""), metadata["name"])
        with self.changed:
            if key in self._all:
                name = f'{resource.plural} "{metadata["name"]}"'
                raise Refused(409, "AlreadyExists", f"{name} already exists")
            self._all[key] = made
            self._note("ADDED", resource, made)
            return copy.deepcopy(made)

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        with self.changed:
            return copy.deepcopy(self._get(resource, namespace, name))

    def exists(self, resource: Resource, namespace: str, name: str) -> bool:
        return (resource, namespace, name) in self._all

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        """Those of a namespace, or all."""
        with self.changed:
            return [
                copy.deepcopy(made)
                for (kind, where, _), made in self._all.items()
                if kind is resource and namespace in ("", where)
            ]

    def view(self, resource: Resource) -> list[Object]:
        """All of a kind as they are: to be read only, and only by who holds ``changed``."""
        return [made for (kind, _, _), made in self._all.items() if kind is resource]

    def change(
        self, resource: Resource, namespace: str, name: str, how: Callable[[Object], object]
    ) -> Object:
        """Alter an object in place; nothing is told if it stays as it was."""
        with self.changed:
            made = self._get(resource, namespace, name)
            before = copy.deepcopy(made)
            try:
                how(made)
            except Refused:
                self._all[resource, namespace, name] = before
                raise
            if made != before:
                self._note("MODIFIED", resource, made)
            return copy.deepcopy(made)

    def remove(self, resource: Resource, namespace: str, name: str) -> Object:
        with self.changed:
            made = self._get(resource, namespace, name)
            del self._all[resource, namespace, name]
            self._note("DELETED", resource, made)
            return made

    def wait(self, version: int, timeout_s: float) -> int:
        """Wait until there is something newer than a version; returns the newest."""
        with self.changed:
            self.changed.wait_for(lambda: self._version > version, timeout_s)
            return self._version

    def since(self, version: int, timeout_s: float) -> Iterator[Change]:
        """What happened after a version; ends when nothing more does for so long."""
        while self.wait(version, timeout_s) > version:
            news = self.changes[version:]  # one change a version: it is a place in the list, too
            yield from news
            version = news[-1].version

    def _get(self, resource: Resource, namespace: str, name: str) -> Object:
        made = self._all.get((resource, namespace, name))
        if made is None:
            raise Refused(404, "NotFound", f'{resource.plural} "{name}" not found')
        return made

    def _note(self, type: str, resource: Resource, made: Object) -> None:
        self._version += 1
        made["metadata"]["resourceVersion"] = str(self._version)
        self.changes.append(Change(self._version, type, resource, copy.deepcopy(made)))
        self.changed.notify_all()
