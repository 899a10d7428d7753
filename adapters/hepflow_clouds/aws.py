"""AWS Batch: an array is an array job, in the job queue that its hepflow queue names.

Facts: the AWS Batch API reference (arrays of 2 to 10,000; a time limit of at least 60 s), and AWS's troubleshooting
pages for the words in which it says why a job failed (``Host EC2 ... terminated``, ``OutOfMemoryError``,
``CannotPullContainerError``, ``MISCONFIGURATION``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, TypeVar

from botocore.config import Config

from hepflow.arrays.service import Array, Fault, Said
from hepflow.model.site import Queue, Site, text
from hepflow.model.task import Reason
from hepflow_clouds.asking import asked, connect
from hepflow_clouds.providers import Job, memory_mib, whole_cpus

SHORTEST_S: Final = 60
DESCRIBED_AT_ONCE: Final = 100
LOG_GROUP: Final = "/aws/batch/job"
NEWS: Final = ("RUNNING", "SUCCEEDED", "FAILED")
"""The states that say something of an element."""

SIGNS: Final = (
    ("Host EC2", Reason.PREEMPTED, "its machine was taken away or lost"),
    ("Spot interruption", Reason.PREEMPTED, "its machine was taken away"),
    ("OutOfMemory", Reason.MEMORY, "it used more memory than it asked for"),
    ("exceeded timeout", Reason.TIMEOUT, "it ran longer than its time limit"),
    ("CannotPullContainer", Reason.START, "its image cannot be pulled"),
    ("CannotPullECRContainer", Reason.START, "its image cannot be pulled"),
    ("CannotStartContainer", Reason.START, "its container cannot be started"),
    ("CannotCreateContainer", Reason.START, "its container cannot be made"),
    ("CannotInspectContainer", Reason.NODE, "its machine failed"),
)
"""Words of AWS, what they mean, and in ours; the first that is there counts."""

STUCK: Final = "MISCONFIGURATION"
KILLED: Final = (137, 143)

Answer = TypeVar("Answer")


class AwsBatch:
    """AWS Batch in one region.

    Args:
        site: where arrays go.
        region: such as ``us-east-1``.
        tag: marks all that is ours.
    """

    def __init__(self, site: Site, region: str, tag: str) -> None:
        self._site = site
        self._tag = tag
        self._region = region
        self._definitions: dict[str, str] = {}
        self._queues = {self._queue(queue) for queue in site.queues or (site.anywhere,)}
        self._client: Any = connect("batch", region)
        # A job's name need not be its own at AWS: one that is sent again would be there twice.
        self._submitting: Any = connect("batch", region, Config(retries={"total_max_attempts": 1}))

    # --- submitting -------------------------------------------------------------------------------

    def request(self, array: Array) -> Mapping[str, object]:
        """What ``SubmitJob`` is given, but for the definition."""
        asked = array.resources
        needs = {
            "VCPU": str(whole_cpus(asked)),
            "MEMORY": str(memory_mib(self._site, array.queue, asked)),
        }
        if asked.gpus:
            needs["GPU"] = str(asked.gpus)
        env = {**array.env, **array.secret}
        request: dict[str, object] = {
            "jobName": array.name,
            "jobQueue": self._queue(array.queue),
            "jobDefinition": self._said(array.queue, "job_definition") or self._name(array),
            "containerOverrides": {
                "command": ["sh", "-c", array.script],
                "environment": [{"name": name, "value": value} for name, value in env.items()],
                "resourceRequirements": [
                    {"type": kind, "value": value} for kind, value in needs.items()
                ],
            },
            "retryStrategy": {"attempts": 1},
            "tags": {"hepflow": self._tag},
            "propagateTags": True,
        }
        if array.size > 1:
            request["arrayProperties"] = {"size": array.size}
        if array.walltime_s:
            limit_s = max(SHORTEST_S, math.ceil(array.walltime_s))
            request["timeout"] = {"attemptDurationSeconds": limit_s}
        share = self._said(array.queue, "share")
        if share:
            request["shareIdentifier"] = share
        return request

    def submit(self, array: Array) -> str:
        """One ``SubmitJob``, whatever the size."""
        request = dict(self.request(array))
        if not self._said(array.queue, "job_definition"):
            request["jobDefinition"] = self._definition(array)
        job: str = _asked(lambda: self._submitting.submit_job(**request))["jobId"]
        return job

    def _said(self, queue: Queue, name: str) -> str:
        return text(self._site.settings_for(queue), name)

    def _queue(self, queue: Queue) -> str:
        return queue.partition or self._said(queue, "job_queue")

    def _name(self, array: Array) -> str:
        """The name of the definition for an image, the same whoever needs it."""
        roles = [self._said(array.queue, name) for name in ("job_role", "execution_role")]
        identity = "\n".join([array.image, *roles])
        return f"hepflow-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"

    def _definition(self, array: Array) -> str:
        """The job definition for an image, made where there is none yet."""
        name = self._name(array)
        if name not in self._definitions:
            found = _asked(
                lambda: self._client.describe_job_definitions(
                    jobDefinitionName=name, status="ACTIVE"
                )
            )["jobDefinitions"]
            self._definitions[name] = (
                found[0]["jobDefinitionArn"] if found else self._registered(name, array)
            )
        return self._definitions[name]

    def _registered(self, name: str, array: Array) -> str:
        container: dict[str, object] = {
            "image": array.image,
            "command": ["true"],
            "resourceRequirements": [
                {"type": "VCPU", "value": "1"},
                {"type": "MEMORY", "value": "512"},
            ],
        }
        roles = {"jobRoleArn": "job_role", "executionRoleArn": "execution_role"}
        for key, setting in roles.items():
            if self._said(array.queue, setting):
                container[key] = self._said(array.queue, setting)
        made: str = _asked(
            lambda: self._client.register_job_definition(
                jobDefinitionName=name, type="container", containerProperties=container
            )
        )["jobDefinitionArn"]
        return made

    # --- asking -----------------------------------------------------------------------------------

    def ask(self, jobs: Mapping[str, Job]) -> Iterator[Said]:
        """One question for a hundred jobs, and one more for each state of an array that has changed."""
        client = self._client
        names = list(jobs)
        for start in range(0, len(names), DESCRIBED_AT_ONCE):
            some = names[start : start + DESCRIBED_AT_ONCE]
            for found in _asked(lambda: client.describe_jobs(jobs=some))["jobs"]:  # noqa: B023
                yield from self._news(client, jobs[found["jobId"]], found)

    def _news(self, client: Any, job: Job, found: Mapping[str, Any]) -> Iterator[Said]:
        name, why = found["jobId"], found.get("statusReason", "")
        if job.size == 1:
            yield from self._element(client, name, job, 0, found)
            return
        counts = found["arrayProperties"]["statusSummary"]
        for state in NEWS:
            if counts.get(state, 0) != job.before.get(state, 0) or found["status"] == "FAILED":
                for child in self._children(client, name, state):
                    index = child["arrayProperties"]["index"]
                    yield from self._element(client, name, job, index, child)
        job.before = counts
        if why.startswith(STUCK):
            for index in set(range(job.size)) - job.over:
                yield self._stuck(name, job, index, why)

    def _children(self, client: Any, job: str, state: str) -> list[Mapping[str, Any]]:
        pages = client.get_paginator("list_jobs").paginate(arrayJobId=job, jobStatus=state)
        return _asked(lambda: [child for page in pages for child in page["jobSummaryList"]])

    def _element(
        self, client: Any, name: str, job: Job, index: int, found: Mapping[str, Any]
    ) -> Iterator[Said]:
        """What is new of one element."""
        state, why = found["status"], found.get("statusReason", "")
        where = f"{self._region} job {found['jobId']}"
        if index in job.over:
            return
        if state in ("SUCCEEDED", "FAILED"):
            job.over.add(index)
            said = Said(name, index, where, True)
            yield said if state == "SUCCEEDED" else self._failed(client, said, found)
        elif state == "RUNNING" and index not in job.running:
            job.running.add(index)
            yield Said(name, index, where)
        elif why.startswith(STUCK):
            yield self._stuck(name, job, index, why)

    def _stuck(self, name: str, job: Job, index: int, why: str) -> Said:
        """Batch says itself that it will never start this one."""
        self.end(name, [index])
        job.over.add(index)
        return Said(name, index, "", True, Reason.REJECTED, f"AWS Batch will not start it: {why}")

    def _failed(self, client: Any, said: Said, found: Mapping[str, Any]) -> Said:
        container = found.get("container", {})
        told = f"{found.get('statusReason', '')} {container.get('reason', '')}".strip()
        for words, reason, meaning in SIGNS:
            if words in told:
                return said._replace(reason=reason, why=f"{meaning} ({told})")
        code = container.get("exitCode")
        if code is None or code in KILLED:
            return said._replace(reason=Reason.NODE, why=f"its job ended: {told or code}")
        last = self._last_line(client, found["jobId"])
        why = f"the capsule could not run there (exit code {code}){last}"
        return said._replace(reason=Reason.START, why=why)

    def _last_line(self, client: Any, job: str) -> str:
        """The last line of a job's log, where there is one and it may be read."""
        try:
            # None where Batch has forgotten the job meanwhile.
            found = _asked(lambda: client.describe_jobs(jobs=[job]))["jobs"]
            stream = found[0].get("container", {}).get("logStreamName", "") if found else ""
            if not stream:
                return ""
            logs = connect("logs", self._region)
            events = _asked(
                lambda: logs.get_log_events(
                    logGroupName=LOG_GROUP, logStreamName=stream, limit=5, startFromHead=False
                )
            )["events"]
        except Fault:
            return ""
        return f": {events[-1]['message'].strip()}" if events else ""

    # --- ending and finding -----------------------------------------------------------------------

    def end(self, job: str, elements: Collection[int]) -> None:
        """``TerminateJob`` of each element, or of the whole job where it is a single one."""
        client = self._client
        (found,) = _asked(lambda: client.describe_jobs(jobs=[job]))["jobs"] or [None]
        if found is None or found["status"] in ("SUCCEEDED", "FAILED"):
            return
        size = found.get("arrayProperties", {}).get("size", 1)
        names = [job] if len(elements) >= size else [f"{job}:{index}" for index in elements]
        for name in names:
            _asked(lambda: client.terminate_job(jobId=name, reason="no longer wanted by hepflow"))  # noqa: B023

    def find(self, name: str) -> tuple[str, int] | None:
        """By its name, in the queues of the site."""
        client = self._client
        for queue in self._queues:
            wanted = [{"name": "JOB_NAME", "values": [name]}]
            found = _asked(lambda: client.list_jobs(jobQueue=queue, filters=wanted))  # noqa: B023
            for job in found["jobSummaryList"]:
                return job["jobId"], job.get("arrayProperties", {}).get("size", 1)
        return None

    def forget(self, job: str) -> None:
        """Nothing: Batch forgets a job a week after its end."""


def _asked(call: Callable[[], Answer]) -> Answer:
    return asked("AWS Batch", call)
