"""Which bodies are refused: the published schemas, and rules that they cannot express."""

from __future__ import annotations

import re
from typing import Any

import kubernetes_validate

from .objects import JOBS, PODS, RESOURCES, Object, Objects, Refused, Resource

VERSION = "1.32"

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_KEY = re.compile(rf"({SUBDOMAIN.pattern}/)?[A-Za-z0-9]([-\w.]{{0,61}}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?")
VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(m|[kMGTPE]|[KMGTPE]i|e\d+)?")

UNSUPPORTED = {
    "job": ("podFailurePolicy", "successPolicy", "maxFailedIndexes", "manualSelector"),
    "pod": ("ephemeralContainers", "topologySpreadConstraints", "resourceClaims", "hostAliases"),
    "container": ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe", "restartPolicy"),
}
"""Fields that mean something which the stand-in does not do."""

VOLUMES = ("configMap", "emptyDir", "hostPath", "persistentVolumeClaim", "secret")


def check(resource: Resource, body: Object, objects: Objects) -> None:
    """Raise ``Refused`` with all that is wrong with a new object."""
    if body.get("kind") != resource.kind or body.get("apiVersion") != resource.group:
        raise Refused(400, "BadRequest", f"the object is no {resource.kind} of {resource.group}")
    try:
        kubernetes_validate.validate(body, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(map(str, error.path)) or "object"
        raise Refused(
            400, "BadRequest", f"strict decoding error: {where}: {error.message}"
        ) from None
    faults = _metadata(resource, body.get("metadata", {}))
    if resource is JOBS:
        faults += _job(body["spec"])
    elif resource is PODS:
        faults += _pod("spec", body["spec"])
    if faults:
        name = body.get("metadata", {}).get("name", "")
        raise Refused(422, "Invalid", f'{resource.kind} "{name}" is invalid: ' + "; ".join(faults))
    namespace = body["metadata"].get("namespace", "")
    if resource.namespaced and not objects.exists(RESOURCES["v1", "namespaces"], "", namespace):
        raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')


def _metadata(resource: Resource, metadata: Object) -> list[str]:
    faults = []
    if "name" in metadata:
        form, most = (LABEL, 63) if resource is JOBS else (SUBDOMAIN, 253)
        if not form.fullmatch(metadata["name"]) or len(metadata["name"]) > most:
            faults.append(f'metadata.name: Invalid value: "{metadata["name"]}"')
    elif "generateName" not in metadata:
        faults.append("metadata.name: Required value: name or generateName is required")
    for key, value in (metadata.get("labels") or {}).items():
        if not LABEL_KEY.fullmatch(key):
            faults.append(f'metadata.labels: Invalid value: "{key}"')
        if not LABEL_VALUE.fullmatch(value):
            faults.append(f'metadata.labels: Invalid value: "{value}"')
    faults += [
        f'metadata.annotations: Invalid value: "{key}"'
        for key in metadata.get("annotations") or {}
        if not LABEL_KEY.fullmatch(key)
    ]
    return faults


def _job(spec: Object) -> list[str]:
    faults = _unsupported("job", "spec", spec)
    template = spec["template"].get("spec")
    if template is None:
        return [*faults, "spec.template.spec.containers: Required value"]
    if template.get("restartPolicy") not in ("Never", "OnFailure"):
        faults.append(
            'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
        )
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in ("Indexed", "NonIndexed"):
        faults.append(f'spec.completionMode: Unsupported value: "{mode}"')
    if mode == "Indexed" and spec.get("completions") is None:
        faults.append("spec.completions: Required value: when completion mode is Indexed")
    if mode != "Indexed" and "backoffLimitPerIndex" in spec:
        faults.append("spec.backoffLimitPerIndex: Invalid value: requires indexed completion mode")
    for name in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds"):
        if (spec.get(name) or 0) < 0:
            faults.append(f"spec.{name}: Invalid value: {spec[name]}: must be >= 0")
    labels = {"labels": spec["template"].get("metadata", {}).get("labels"), "name": "x"}
    return faults + _metadata(PODS, labels) + _pod("spec.template.spec", template)


def _pod(where: str, spec: Object) -> list[str]:
    faults = _unsupported("pod", where, spec)
    policy = spec.get("restartPolicy", "Always")
    if policy != "Never":
        faults.append(f"{where}.restartPolicy: the stand-in restarts no container, not '{policy}'")
    volumes = spec.get("volumes") or []
    for volume in volumes:
        if not any(kind in volume for kind in VOLUMES):
            faults.append(f"{where}.volumes[{volume['name']}]: no kind that the stand-in has")
    known = {volume["name"] for volume in volumes}
    names: set[str] = set()
    for group in ("initContainers", "containers"):
        for place, container in enumerate(spec.get(group) or []):
            path = f"{where}.{group}[{place}]"
            faults += _container(path, container, known)
            if container["name"] in names:
                faults.append(f'{path}.name: Duplicate value: "{container["name"]}"')
            names.add(container["name"])
    if not spec["containers"]:
        faults.append(f"{where}.containers: Required value")
    return faults


def _container(path: str, container: Object, volumes: set[str]) -> list[str]:
    faults = _unsupported("container", path, container)
    if not LABEL.fullmatch(container["name"]):
        faults.append(f'{path}.name: Invalid value: "{container["name"]}"')
    if not container.get("image"):
        faults.append(f"{path}.image: Required value")
    if not container.get("command"):
        faults.append(f"{path}.command: the stand-in has no images, hence no entry points")
    for variable in container.get("env") or []:
        if not VARIABLE.fullmatch(variable["name"]):
            faults.append(f'{path}.env[].name: Invalid value: "{variable["name"]}"')
    for mount in container.get("volumeMounts") or []:
        if mount["name"] not in volumes:
            faults.append(f'{path}.volumeMounts[].name: Not found: "{mount["name"]}"')
        if not mount["mountPath"].startswith("/"):
            faults.append(f'{path}.volumeMounts[].mountPath: the stand-in wants "/" in front')
    return faults + _resources(path, container.get("resources") or {})


def _resources(path: str, resources: Object) -> list[str]:
    faults = []
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for group, amounts in (("requests", requests), ("limits", limits)):
        for name, amount in amounts.items():
            if not QUANTITY.fullmatch(str(amount)):
                faults.append(f"{path}.resources.{group}[{name}]: Invalid value: {amount!r}")
            elif "/" not in name and name not in ("cpu", "memory", "ephemeral-storage"):
                faults.append(f"{path}.resources.{group}[{name}]: must be a standard resource")
    if faults:
        return faults
    for name, amount in requests.items():
        if name in limits and quantity(amount) > quantity(limits[name]):
            faults.append(f"{path}.resources.requests: must be less than or equal to {name} limit")
        elif "/" in name and quantity(amount) != quantity(limits.get(name, -1)):
            faults.append(
                f"{path}.resources.limits: Limit must be set for non overcommitable resources"
            )
    return faults


def _unsupported(kind: str, where: str, spec: Object) -> list[str]:
    return [
        f"{where}.{name}: the stand-in does not do this"
        for name in UNSUPPORTED[kind]
        if name in spec
    ]


def check_change(resource: Resource, before: Object, after: Object) -> None:
    """Raise ``Refused`` where a change touches what may not change."""
    fixed = {JOBS: ("template", "completions", "completionMode", "selector")}.get(resource, ())
    touched = [
        name
        for name in fixed
        if before.get("spec", {}).get(name) != after.get("spec", {}).get(name)
    ]
    if resource is PODS and before.get("spec") != after.get("spec"):
        touched = ["*"]
    if touched:
        raise Refused(422, "Invalid", f"spec.{touched[0]}: Invalid value: field is immutable")


def quantity(text: Any) -> float:
    """An amount of a resource as a number."""
    match = QUANTITY.fullmatch(str(text))
    if not match:
        return -1.0
    number, unit = float(match[1]), match[2] or ""
    if unit == "m":
        return number / 1000
    if unit.startswith("e"):
        return number * 10.0 ** int(unit[1:])
    if unit.endswith("i"):
        return number * 1024.0 ** ("KMGTPE".index(unit[0]) + 1)
    return number * 1000.0 ** ("kMGTPE".index(unit) + 1) if unit else number
