"""Google Cloud Batch: an array is a job of one task group.

Facts: the reference of Google Cloud Batch v1, and its list of reserved exit codes (50001 to 50006). A single task
of a group cannot be ended there: one that is not wanted any more runs on, and nobody looks at what it leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, TypeVar

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud import batch_v1
from google.protobuf import json_format

from hepflow.arrays.service import Array, Fault, Said
from hepflow.model.site import Queue, Site, text
from hepflow.model.task import Reason
from hepflow_clouds.providers import Job, memory_mib

RESERVED: Final = {
    50001: (Reason.PREEMPTED, "its machine was taken away"),
    50002: (Reason.NODE, "its machine fell silent, as one does that has no memory left"),
    50003: (Reason.NODE, "its machine was started anew"),
    50004: (Reason.NODE, "its machine does not answer"),
    50005: (Reason.TIMEOUT, "it ran longer than its time limit"),
    50006: (Reason.NODE, "its machine was made anew"),
}
"""Exit codes by which Batch says what became of a machine."""

NO_IMAGE: Final = 125
"""The exit code of the container runtime that could not start an image."""

KILLED: Final = (137, 143)
CHANGED: Final = ("RUNNING", "SUCCEEDED", "FAILED")

Answer = TypeVar("Answer")


def connect() -> Any:
    """A client, by the credentials that Google's tools find."""
    return batch_v1.BatchServiceClient()


class GoogleBatch:
    """Google Cloud Batch in one region.

    Args:
        site: where arrays go.
        region: such as ``us-central1``.
        tag: marks all that is ours.
    """

    def __init__(self, site: Site, region: str, tag: str) -> None:
        self._site = site
        self._region = region
        self._tag = tag
        self._known: Any = None
        self._parents = {self._parent(queue) for queue in site.queues or (site.anywhere,)}

    @property
    def _client(self) -> Any:
        if self._known is None:
            self._known = _asked(connect)
        return self._known

    # --- submitting -------------------------------------------------------------------------------

    def request(self, array: Array) -> Mapping[str, object]:
        """The job, as the REST interface has it."""
        asked = array.resources
        spec: dict[str, object] = {
            "runnables": [
                {
                    "container": {
                        "imageUri": array.image,
                        "entrypoint": "sh",
                        "commands": ["-c", array.script],
                    }
                }
            ],
            "computeResource": {
                "cpuMilli": str(math.ceil(asked.cpus * 1000)),
                "memoryMib": str(memory_mib(self._site, array.queue, asked)),
            },
            "environment": {"variables": {**array.env, **array.secret}},
            "maxRetryCount": 0,
        }
        if array.walltime_s:
            spec["maxRunDuration"] = f"{math.ceil(array.walltime_s)}s"
        model = "SPOT" if array.queue.preemptible else "STANDARD"
        policy: dict[str, object] = {"provisioningModel": model}
        machine = text(self._site.settings_for(array.queue), "machine")
        if "-" in machine:  # a family alone is left to Batch, which goes by what is asked for
            policy["machineType"] = machine
        instance: dict[str, object] = {"policy": policy}
        if asked.gpus:
            kind = array.queue.gpu_kinds.get(asked.gpu_kind, asked.gpu_kind)
            kind = kind or next(iter(array.queue.gpu_kinds.values()), "")
            policy["accelerators"] = [{"type": kind, "count": str(asked.gpus)}]
            instance["installGpuDrivers"] = True
        return {
            "taskGroups": [{"taskCount": str(array.size), "taskSpec": spec}],
            "allocationPolicy": {
                "instances": [instance],
                "location": {"allowedLocations": [f"regions/{self._region}"]},
                "labels": {"hepflow": self._tag.lower()},
            },
            "labels": {"hepflow": self._tag.lower()},
            "logsPolicy": {"destination": "CLOUD_LOGGING"},
        }

    def submit(self, array: Array) -> str:
        """One job, whatever the size."""
        job = batch_v1.Job(json_format.ParseDict(self.request(array), batch_v1.Job.pb()()))
        parent = self._parent(array.queue)
        try:
            made = _asked(
                lambda: self._client.create_job(parent=parent, job=job, job_id=array.name)
            )
        except Fault as fault:
            if isinstance(fault.__cause__, exceptions.AlreadyExists):
                return f"{parent}/jobs/{array.name}"  # from a try whose answer was lost
            raise
        name: str = made.name
        return name

    def _parent(self, queue: Queue) -> str:
        project = text(self._site.settings_for(queue), "project")
        return f"projects/{project}/locations/{self._region}"

    # --- asking -----------------------------------------------------------------------------------

    def ask(self, jobs: Mapping[str, Job]) -> Iterator[Said]:
        """One question for each job, and one more where something has changed."""
        for name, job in jobs.items():
            try:
                found = _asked(lambda: self._client.get_job(name=name))  # noqa: B023
            except Fault as fault:
                if isinstance(fault.__cause__, exceptions.NotFound):
                    yield from (self._gone(name, job, n) for n in set(range(job.size)) - job.over)
                    continue
                raise
            counts = {
                state: sum(
                    group.counts.get(state, 0) for group in found.status.task_groups.values()
                )
                for state in CHANGED
            }
            if counts != job.before or found.status.state.name == "FAILED":
                yield from self._tasks(name, job)
                job.before = counts
            if found.status.state.name == "FAILED" and not any(counts.values()):
                why = (
                    found.status.status_events[-1].description if found.status.status_events else ""
                )
                for element in set(range(job.size)) - job.over:
                    yield self._stuck(name, job, element, why)

    def _tasks(self, name: str, job: Job) -> Iterator[Said]:
        """What is new of the tasks of a job."""
        parent = f"{name}/taskGroups/group0"
        for task in _asked(lambda: list(self._client.list_tasks(parent=parent))):
            element, state = int(task.name.rpartition("/")[2]), task.status.state.name
            where = f"{self._region} {task.name.partition('/jobs/')[2]}"
            if element in job.over:
                continue
            if state in ("SUCCEEDED", "FAILED"):
                job.over.add(element)
                said = Said(name, element, where, True)
                yield said if state == "SUCCEEDED" else _failed(said, task)
            elif state == "RUNNING" and element not in job.running:
                job.running.add(element)
                yield Said(name, element, where)

    def _gone(self, name: str, job: Job, element: int) -> Said:
        job.over.add(element)
        return Said(name, element, "", True, Reason.NODE, "Google Batch knows nothing of its job")

    def _stuck(self, name: str, job: Job, element: int, why: str) -> Said:
        """The whole job has failed before any of its tasks began."""
        job.over.add(element)
        told = f"Google Batch will not start it: {' '.join(why.split())}"
        return Said(name, element, "", True, Reason.REJECTED, told)

    # --- ending and finding -----------------------------------------------------------------------

    def end(self, job: str, elements: Collection[int]) -> None:
        """Delete the job where nothing else of it is wanted; a single task cannot be ended."""
        try:
            found = _asked(lambda: self._client.get_job(name=job))
        except Fault as fault:
            if isinstance(fault.__cause__, exceptions.NotFound):
                return
            raise
        over = sum(
            group.counts.get(state, 0)
            for group in found.status.task_groups.values()
            for state in ("SUCCEEDED", "FAILED")
        )
        if len(elements) + over >= sum(group.task_count for group in found.task_groups):
            self.forget(job)

    def find(self, name: str) -> tuple[str, int] | None:
        """By its name, which is the job's own."""
        for parent in self._parents:
            try:
                found = _asked(lambda: self._client.get_job(name=f"{parent}/jobs/{name}"))  # noqa: B023
            except Fault as fault:
                if isinstance(fault.__cause__, exceptions.NotFound):
                    continue
                raise
            return found.name, sum(group.task_count for group in found.task_groups)
        return None

    def forget(self, job: str) -> None:
        """Delete the job."""
        try:
            _asked(lambda: self._client.delete_job(name=job))
        except Fault as fault:
            if not isinstance(fault.__cause__, exceptions.NotFound):
                raise


def _failed(said: Said, task: Any) -> Said:
    """Why a task has failed."""
    events = list(task.status.status_events)
    codes = [event.task_execution.exit_code for event in events if event.task_execution]
    code = next((code for code in reversed(codes) if code), 0)
    told = " ".join(events[-1].description.split()) if events else ""
    if code in RESERVED:
        reason, meaning = RESERVED[code]
        return said._replace(reason=reason, why=f"{meaning} ({told})")
    if code == NO_IMAGE:
        return said._replace(reason=Reason.START, why=f"its container cannot be started ({told})")
    if code in KILLED or not code:
        return said._replace(reason=Reason.NODE, why=f"its task ended: {told or code}")
    why = f"the capsule could not run there (exit code {code}): {told}"
    return said._replace(reason=Reason.START, why=why)


def _asked(call: Callable[[], Answer]) -> Answer:
    """Make a request.

    Raises:
        Fault: it was refused, or nobody answered.
    """
    try:
        return call()
    except exceptions.GoogleAPICallError as error:
        code = int(error.code or 500)
        said = f"Google Batch refused it ({code}): {error.message}"
        raise Fault(" ".join(said.split()), code >= 500 or code == 429) from error
    except (GoogleAuthError, exceptions.RetryError, OSError) as error:
        raise Fault(f"Google Cloud cannot be reached: {error}", True) from error
