"""Jobs, and the machines that run them: a sandbox for each."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from tests.services import sandbox
from tests.services.memory import memory_kib

Body = dict[str, Any]

STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
FINAL = ("SUCCEEDED", "FAILED")
CPUS, GPUS = 4, 2
GRACE_S = 2.0
"""Between SIGTERM and SIGKILL; the real one leaves 30 s."""
LIMIT_S = 0.2
"""Between two looks at what jobs use."""


class Job:
    """A job, or an element of an array."""

    def __init__(
        self, asked: Body, container: Body, parent: Job | None = None, index: int = 0
    ) -> None:
        self.asked, self.container, self.parent, self.index = asked, container, parent, index
        self.id = f"{parent.id}:{index}" if parent else str(uuid.uuid4())
        self.name, self.queue = asked["jobName"], asked["jobQueue"]
        self.children: list[Job] = []
        self.status, self.reason = "RUNNABLE", ""
        self.exit_code: int | None = None
        self.container_reason = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.inner = 0
        self.verdict: tuple[str, str] = ("", "")
        """Why it was told to end: for its status, and for its container's."""
        self.kill_at = self.began = 0.0
        self.created = int(time.time() * 1000)

    def needs(self, kind: str) -> int:
        """How much it asks for."""
        overrides = self.asked.get("containerOverrides", {})
        for source in (overrides, self.container):
            for need in source.get("resourceRequirements", []):
                if need["type"] == kind:
                    return int(need["value"])
        return 0

    def counts(self) -> dict[str, int]:
        """How many elements are in which state."""
        return {state: sum(child.status == state for child in self.children) for state in STATES}

    def settle(self) -> None:
        """An array's own state follows from its elements'."""
        if self.children and all(child.status in FINAL for child in self.children):
            failed = any(child.status == "FAILED" for child in self.children)
            self.status = "FAILED" if failed else "SUCCEEDED"
            self.reason = "Array Child Job failed" if failed else ""
        elif self.children:
            self.status = "PENDING"

    def summary(self) -> Body:
        """As a list has it."""
        said: Body = {
            "jobId": self.id, "jobName": self.name, "createdAt": self.created, "status": self.status,
            "container": {},
        }  # fmt: skip
        if self.reason:
            said["statusReason"] = self.reason
        if self.exit_code is not None:
            said["container"]["exitCode"] = self.exit_code
        if self.container_reason:
            said["container"]["reason"] = self.container_reason
        if self.children:
            said["arrayProperties"] = {"size": len(self.children)}
        if self.parent:
            said["arrayProperties"] = {"index": self.index}
        return said

    def detail(self) -> Body:
        """As a description has it."""
        said = self.summary()
        said |= {
            "jobQueue": self.queue,
            "jobDefinition": self.asked["jobDefinition"],
            "startedAt": 0,
        }
        said["container"]["logStreamName"] = self.stream
        said["container"]["environment"] = self.asked.get("containerOverrides", {}).get(
            "environment", []
        )
        if self.children:
            said["arrayProperties"]["statusSummary"] = self.counts()
        return said

    @property
    def stream(self) -> str:
        return f"hepflow/default/{self.id}"


class Machines:
    """All jobs, and what runs them."""

    def __init__(self, at: Path) -> None:
        self.at = at
        (at / "logs").mkdir(exist_ok=True)
        self.changed = threading.RLock()
        self.jobs: dict[str, Job] = {}
        self.free = {"work": {"VCPU": CPUS, "GPU": 0}, "gpu": {"VCPU": CPUS, "GPU": GPUS}}

    def add(self, asked: Body, container: Body, size: int) -> Job:
        """Take a job on."""
        job = Job(asked, container)
        self.jobs[job.id] = job
        if size > 1:
            job.children = [Job(asked, container, job, index) for index in range(size)]
            self.jobs.update((child.id, child) for child in job.children)
            job.settle()
        return job

    def terminate(self, job: Job, why: str) -> None:
        """End a job, or all elements of an array."""
        for one in job.children or [job]:
            if one.process is None and one.status not in FINAL:
                self._over(one, "FAILED", why)
            elif one.status not in FINAL:
                self._tell_to_end(one, (why, ""))

    def reclaim(self, name: str) -> None:
        """Take the machine of a job away."""
        with self.changed:
            self._tell_to_end(
                self.jobs[name], ("Host EC2 (instance i-0123456789abcdef0) terminated.", "")
            )

    def clear(self) -> None:
        """End everything and forget it."""
        with self.changed:
            for job in self.jobs.values():
                if job.process is not None:
                    job.process.kill()
                    job.process.wait()
                    if job.status == "RUNNING":
                        self._give_back(job)
            self.jobs.clear()

    def run(self) -> None:
        """Look at every job, many times a second."""
        limit_at = 0.0
        while True:
            with self.changed:
                open_ = [j for j in self.jobs.values() if not j.children and j.status not in FINAL]
                for job in open_:
                    self._look(job)
                if time.monotonic() > limit_at:
                    self._limit([job for job in open_ if job.status == "RUNNING"])
                    limit_at = time.monotonic() + LIMIT_S
            time.sleep(0.02)

    def _look(self, job: Job) -> None:
        if job.process is None:
            self._try_to_start(job)
            return
        if job.process.poll() is not None:
            self._give_back(job)
            job.exit_code = job.process.returncode
            status, container = job.verdict
            ended = "SUCCEEDED" if job.exit_code == 0 and not status else "FAILED"
            job.container_reason = container
            self._over(job, ended, status or "Essential container in task exited")
        elif job.kill_at and time.monotonic() > job.kill_at:
            self._signal(job, signal.SIGKILL)

    def _limit(self, running: list[Job]) -> None:
        """Hold jobs to their memory and their time."""
        used = memory_kib([job.inner for job in running]) if running else {}
        for job in running:
            limit_s = job.asked.get("timeout", {}).get("attemptDurationSeconds")
            if used[job.inner] > job.needs("MEMORY") * 1024:
                job.verdict = (
                    "Essential container in task exited",
                    "OutOfMemoryError: Container killed due to memory usage",
                )
                self._signal(job, signal.SIGKILL)
            elif limit_s and time.monotonic() - job.began > limit_s and not job.kill_at:
                self._tell_to_end(job, ("Job attempt duration exceeded timeout", ""))

    def _try_to_start(self, job: Job) -> None:
        free = self.free[job.queue]
        most = {"VCPU": CPUS, "GPU": GPUS if job.queue == "gpu" else 0}
        if any(job.needs(kind) > most[kind] for kind in most):
            job.reason = (
                "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The resource requirement of the job is"
                " higher than that of the compute environments of its queue"
            )
            return
        if any(job.needs(kind) > free[kind] for kind in free):
            return
        if "absent" in job.container["image"]:
            job.container_reason = (
                f"CannotPullContainerError: pull access denied for {job.container['image']}"
            )
            self._over(job, "FAILED", "Task failed to start")
            return
        for kind in free:
            free[kind] -= job.needs(kind)
        overrides = job.asked.get("containerOverrides", {})
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", "AWS_BATCH_JOB_ID": job.id}
        if job.parent:
            env["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
        env |= {one["name"]: one["value"] for one in overrides.get("environment", [])}
        told = sandbox.words(overrides.get("command") or job.container["command"], env)
        job.process, job.inner = sandbox.start(
            told, self.at / "logs" / job.stream.replace("/", "_")
        )
        job.status, job.began = "RUNNING", time.monotonic()

    def _tell_to_end(self, job: Job, verdict: tuple[str, str]) -> None:
        job.verdict = verdict
        job.kill_at = time.monotonic() + GRACE_S
        self._signal(job, signal.SIGTERM)

    def _signal(self, job: Job, number: signal.Signals) -> None:
        if job.process is not None and job.process.poll() is None:
            try:
                os.kill(job.inner, number)
            except ProcessLookupError:
                pass

    def _give_back(self, job: Job) -> None:
        for kind in self.free[job.queue]:
            self.free[job.queue][kind] += job.needs(kind)

    def _over(self, job: Job, status: str, why: str) -> None:
        job.status, job.reason = status, why
        if job.parent:
            job.parent.settle()
