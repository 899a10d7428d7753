"""What the state of a Pod means for the element that it runs.

Owns the words that Kubernetes has for it. Must never ask the server anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hepflow.arrays.service import Said
from hepflow.model.task import Reason

Pod = Mapping[str, Any]

INDEX: Final = "batch.kubernetes.io/job-completion-index"
JOB: Final = "job-name"

STUCK: Final = {
    "ErrImagePull": "its image cannot be pulled",
    "ImagePullBackOff": "its image cannot be pulled",
    "InvalidImageName": "its image has no valid name",
    "ErrImageNeverPull": "its image is not there",
    "CreateContainerConfigError": "its container cannot be made",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be run",
}
"""Why a container waits that will most likely never run."""

TAKEN: Final = frozenset({"Evicted", "Preempting", "Terminated", "Shutdown", "NodeShutdown"})
LOST: Final = frozenset(
    {"NodeLost", "NodeAffinity", "OutOfcpu", "OutOfmemory", "OutOfpods", "UnexpectedAdmissionError"}
)
"""Reasons that a Pod gives for its failure, none of which is the task's."""

KILLED: Final = (137, 143)
"""Exit codes of who was ended by SIGKILL or SIGTERM."""


def element_of(pod: Pod) -> tuple[str, int] | None:
    """The Job and the number that a Pod is for; nothing where it is not one of a Job's."""
    metadata = pod["metadata"]
    job = metadata.get("labels", {}).get(JOB)
    index = metadata.get("annotations", {}).get(INDEX)
    return None if job is None or index is None else (job, int(index))


def where(pod: Pod) -> str:
    """The node and the Pod."""
    return f"{pod['spec'].get('nodeName', '')} pod {pod['metadata']['name']}".strip()


def stuck(pod: Pod) -> str:
    """Why a Pod waits that will most likely never run; empty if it does not."""
    for status in pod["status"].get("containerStatuses", []):
        waiting = status.get("state", {}).get("waiting", {})
        if waiting.get("reason") in STUCK:
            said = " ".join(str(waiting.get("message") or waiting["reason"]).split())
            return f"{STUCK[waiting['reason']]} ({said})"
    return ""


def disruption(pod: Pod) -> str:
    """Why somebody takes a Pod away; empty if nobody does."""
    for condition in pod["status"].get("conditions", []):
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            said = condition.get("message") or condition.get("reason", "")
            return " ".join(str(said).split())
    return ""


def ended(pod: Pod, deleted: bool) -> Said | None:
    """How a Pod has ended; nothing while it has not.

    Args:
        deleted: it is gone.
    """
    element = element_of(pod)
    phase = pod["status"].get("phase")
    if element is None or (phase not in ("Succeeded", "Failed") and not deleted):
        return None
    there = Said(*element, where(pod), True)
    if phase == "Succeeded":
        return there
    taken = disruption(pod)
    if taken:
        return there._replace(reason=Reason.PREEMPTED, why=f"its pod was taken away: {taken}")
    if phase != "Failed":
        return there._replace(reason=Reason.NODE, why="its pod was deleted")
    return _failed(pod, there)


def _failed(pod: Pod, there: Said) -> Said:
    """Why a Pod has failed."""
    status = pod["status"]
    said, message = str(status.get("reason", "")), " ".join(str(status.get("message", "")).split())
    if said in TAKEN or said in LOST:
        reason = Reason.PREEMPTED if said in TAKEN else Reason.NODE
        return there._replace(reason=reason, why=f"its pod has failed: {said} {message}".strip())
    if said == "DeadlineExceeded":
        return there._replace(reason=Reason.TIMEOUT, why="its pod ran longer than its time limit")
    container = (status.get("containerStatuses") or [{}])[0].get("state", {}).get("terminated", {})
    code, why = container.get("exitCode", -1), container.get("reason", "")
    if why == "OOMKilled":
        limit = pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
        return there._replace(
            reason=Reason.MEMORY, why=f"its pod used more memory than its {limit}"
        )
    if code in KILLED or code < 0:
        return there._replace(reason=Reason.NODE, why=f"its pod was killed ({why or code})")
    told = str(container.get("message") or "").strip()
    return there._replace(
        reason=Reason.START,
        why=f"the capsule could not run there (exit code {code})" + (f": {told}" if told else ""),
    )
