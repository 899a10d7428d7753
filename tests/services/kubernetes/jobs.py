"""The controller of Jobs: as many Pods as are wanted, and what came of them."""

from __future__ import annotations

import copy
import time
from calendar import timegm
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from .objects import JOBS, PODS, RESOURCES, Object, Objects, Refused, Resource, now, suffix

INDEX = "batch.kubernetes.io/job-completion-index"
BACKOFF_S = 0.2
"""After the first failure, doubled for each further one; the real one begins with ten seconds."""


def defaults(job: Object) -> None:
    """Fill in what the server fills in."""
    spec = job["spec"]
    completions = spec.get("completions")
    spec.setdefault("parallelism", 1)
    if completions is None and spec["parallelism"] == 1:
        spec["completions"] = 1
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("backoffLimit", 2**31 - 1 if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    job.setdefault("status", {})


def label(job: Object) -> None:
    """Mark a new Job's Pods as its own; needs the Job's uid."""
    metadata, template = job["metadata"], job["spec"]["template"]
    uid, name = metadata["uid"], metadata["name"]
    template.setdefault("metadata", {}).setdefault("labels", {}).update(
        {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": name,
            "controller-uid": uid,
            "job-name": name,
        }
    )
    job["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def ended(job: Object) -> bool:
    return any(
        condition["type"] in ("Complete", "Failed") and condition["status"] == "True"
        for condition in job["status"].get("conditions", [])
    )


def seconds_since(stamp: str) -> float:
    return time.time() - timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ"))


@dataclass(frozen=True, slots=True)
class Record:
    """What came of a Pod; ``Dropped`` if the controller itself ended it early."""

    phase: str
    index: int | None


class Controller:
    """Brings Jobs closer to what they ask for; called whenever something has changed."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.not_before: dict[str, float] = {}
        """Job's uid -> when its next Pod may be made, after a failure."""
        self.records: dict[str, dict[str, Record]] = {}
        """Job's uid -> what came of each Pod it ever had, by the Pod's uid."""

    def reconcile(self) -> None:
        """Look at every Job once."""
        pods: dict[str, list[Object]] = {}
        for pod in self.objects.view(PODS):
            for owner in pod["metadata"].get("ownerReferences", []):
                pods.setdefault(owner["uid"], []).append(pod)
        for job in self.objects.view(JOBS):
            mine = pods.get(job["metadata"]["uid"], [])
            if not ended(job):
                self._reconcile(job, mine)
            else:
                self._expire(job)

    def _expire(self, job: Object) -> None:
        ttl_s = job["spec"].get("ttlSecondsAfterFinished")
        stamp = job["status"]["conditions"][-1]["lastTransitionTime"]
        if ttl_s is not None and seconds_since(stamp) > ttl_s:
            self.delete(job, "Background")

    def delete(self, job: Object, policy: str) -> None:
        """Remove a Job; its Pods go with it unless they are to be orphans."""
        metadata = job["metadata"]
        self.objects.remove(JOBS, metadata["namespace"], metadata["name"])
        for pod in self.objects.list(PODS, metadata["namespace"]):
            if any(
                owner["uid"] == metadata["uid"]
                for owner in pod["metadata"].get("ownerReferences", [])
            ):
                if policy == "Orphan":
                    self._change(pod, lambda made: made["metadata"].pop("ownerReferences"))
                else:
                    self._terminate(pod)

    def _reconcile(self, job: Object, pods: list[Object]) -> None:
        spec, status, uid = job["spec"], job["status"], job["metadata"]["uid"]
        records = self._note(uid, pods)
        done = [record for record in records if record.phase == "Succeeded"]
        failures = sum(record.phase == "Failed" for record in records)
        active = [
            pod
            for pod in pods
            if pod["status"]["phase"] in ("Pending", "Running")
            and "deletionTimestamp" not in pod["metadata"]
        ]
        new: Object = {
            **{key: value for key, value in status.items() if key in ("startTime", "conditions")},
            "active": len(active),
            "ready": sum(pod["status"]["phase"] == "Running" for pod in active),
            "succeeded": len(done),
            "failed": failures,
        }
        lost = _failed_indexes(spec, records)
        if spec["completionMode"] == "Indexed":
            new["completedIndexes"] = _ranges({record.index for record in done})
        if "backoffLimitPerIndex" in spec:
            new["failedIndexes"] = _ranges(lost)
        if not spec["suspend"]:
            new.setdefault("startTime", now())
        if failures > status.get("failed", 0) and "backoffLimitPerIndex" not in spec:
            delay_s = BACKOFF_S * 2 ** min(failures - 1, 6)
            self.not_before[uid] = time.monotonic() + delay_s
        started, deadline_s = new.get("startTime"), spec.get("activeDeadlineSeconds")
        wanted = spec.get("completions")
        if failures > spec["backoffLimit"]:
            self._end(job, new, active, "Failed", "BackoffLimitExceeded")
        elif started and deadline_s is not None and seconds_since(started) > deadline_s:
            self._end(job, new, active, "Failed", "DeadlineExceeded")
        elif lost and len(done) + len(lost) >= wanted:
            self._end(job, new, active, "Failed", "FailedIndexes")
        elif len(done) >= wanted if wanted is not None else done and not active:
            self._end(job, new, active, "Complete", "CompletionsReached")
        else:
            self._store(job, new)
            self._scale(job, active, done, lost)

    def _note(self, uid: str, pods: list[Object]) -> list[Record]:
        """Keep what came of each Pod: one deleted before it had ended has failed."""
        records = self.records.setdefault(uid, {})
        for gone in records.keys() - {pod["metadata"]["uid"] for pod in pods}:
            if records[gone].phase in ("Pending", "Running"):
                records[gone] = Record("Failed", records[gone].index)
        for pod in pods:
            known = records.get(pod["metadata"]["uid"])
            if known is None or known.phase != "Dropped":
                records[pod["metadata"]["uid"]] = Record(_phase(pod), _index(pod))
        return list(records.values())

    def _end(self, job: Object, status: Object, active: list[Object], type: str, why: str) -> None:
        status["conditions"] = [
            *status.get("conditions", []),
            *(
                {
                    "type": name,
                    "status": "True",
                    "reason": why,
                    "message": _MESSAGES[why],
                    "lastProbeTime": now(),
                    "lastTransitionTime": now(),
                }
                for name in (
                    {"Failed": "FailureTarget", "Complete": "SuccessCriteriaMet"}[type],
                    type,
                )
            ),
        ]
        status["active"] = status["ready"] = 0
        if type == "Complete":
            status["completionTime"] = now()
        self._store(job, status)
        for pod in active:
            self._terminate(pod)

    def _store(self, job: Object, status: Object) -> None:
        self._change(job, lambda made: made.__setitem__("status", status), JOBS)

    def _scale(self, job: Object, active: list[Object], done: list[Record], lost: set[int]) -> None:
        spec, uid = job["spec"], job["metadata"]["uid"]
        wanted = 0 if spec["suspend"] else spec["parallelism"]
        for pod in active[wanted:]:
            self.records[uid][pod["metadata"]["uid"]] = Record("Dropped", _index(pod))
            self._terminate(pod)
        if time.monotonic() < self.not_before.get(uid, 0):
            return
        free: list[int | None]
        if spec["completionMode"] == "Indexed":
            taken = {record.index for record in done} | {_index(pod) for pod in active} | lost
            free = [index for index in range(spec["completions"]) if index not in taken]
        elif spec.get("completions") is not None:
            free = [None] * max(0, spec["completions"] - len(done) - len(active))
        else:
            free = [] if done else [None] * wanted
        for index in free[: max(0, wanted - len(active))]:
            self._make(job, index)

    def _make(self, job: Object, index: int | None) -> None:
        metadata, template = job["metadata"], copy.deepcopy(job["spec"]["template"])
        why = _refusal(self.objects, metadata["namespace"], template["spec"])
        if why:
            self._complain(metadata, why)
            return
        name = metadata["name"] if index is None else f"{metadata['name']}-{index}"
        pod: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            **template,
            "status": {"phase": "Pending"},
        }
        pod["metadata"] |= {
            "name": f"{name[:57]}-{suffix()}",
            "generateName": f"{name}-",
            "namespace": metadata["namespace"],
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }
        if index is not None:
            pod["metadata"].setdefault("annotations", {})[INDEX] = str(index)
            pod["metadata"]["labels"][INDEX] = str(index)
            for group in ("initContainers", "containers"):
                for container in pod["spec"].get(group) or []:
                    variable = {"name": "JOB_COMPLETION_INDEX", "value": str(index)}
                    container.setdefault("env", []).append(variable)
        self.objects.create(PODS, pod)

    def _complain(self, metadata: Object, why: str) -> None:
        """Say in an event why a Job gets no Pod, once."""
        namespace, name = metadata["namespace"], f"{metadata['name']}.refused"
        events = RESOURCES["v1", "events"]
        if not self.objects.exists(events, namespace, name):
            involved = {"kind": "Job", "name": metadata["name"], "namespace": namespace}
            event = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": namespace},
                "involvedObject": involved,
                "reason": "FailedCreate",
                "message": f"Error creating: {why}",
                "type": "Warning",
            }
            self.objects.create(events, event)

    def _terminate(self, pod: Object) -> None:
        self._change(pod, lambda made: made["metadata"].setdefault("deletionTimestamp", now()))

    def _change(
        self, made: Object, how: Callable[[Object], object], resource: Resource = PODS
    ) -> None:
        metadata = made["metadata"]
        try:
            self.objects.change(resource, metadata["namespace"], metadata["name"], how)
        except Refused:
            pass  # somebody was faster and removed it


_MESSAGES = {
    "BackoffLimitExceeded": "Job has reached the specified backoff limit",
    "DeadlineExceeded": "Job was active longer than specified deadline",
    "FailedIndexes": "Job has failed indexes",
    "CompletionsReached": "Reached expected number of succeeded pods",
}


def _refusal(objects: Objects, namespace: str, spec: Object) -> str:
    """Why Pods of this kind are not admitted: their account or their priority does not exist."""
    account = spec.get("serviceAccountName", "default")
    if not objects.exists(RESOURCES["v1", "serviceaccounts"], namespace, account):
        return f'pods is forbidden: error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
    priority = spec.get("priorityClassName")
    classes = RESOURCES["scheduling.k8s.io/v1", "priorityclasses"]
    if priority is not None and not objects.exists(classes, "", priority):
        return f"pods is forbidden: no PriorityClass with name {priority} was found"
    return ""


def _failed_indexes(spec: Object, records: list[Record]) -> set[int]:
    """Those that have failed more often than each may."""
    limit = spec.get("backoffLimitPerIndex")
    if limit is None:
        return set()
    failures = Counter(record.index for record in records if record.phase == "Failed")
    return {index for index, count in failures.items() if index is not None and count > limit}


def _phase(pod: Object) -> str:
    """A Pod's phase as its Job counts it: one that is to go has failed."""
    phase: str = pod["status"]["phase"]
    leaves = "deletionTimestamp" in pod["metadata"] and phase != "Succeeded"
    return "Failed" if leaves else phase


def _index(pod: Object) -> int | None:
    index = pod["metadata"].get("annotations", {}).get(INDEX)
    return None if index is None else int(index)


def _ranges(numbers: set[int]) -> str:
    """Numbers as the status has them: ``0-2,5``."""
    parts: list[str] = []
    for number in sorted(numbers):
        if number - 1 not in numbers:
            last = number
            while last + 1 in numbers:
                last += 1
            parts.append(str(number) if last == number else f"{number}-{last}")
    return ",".join(parts)
