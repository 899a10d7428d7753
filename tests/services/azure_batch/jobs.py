"""Jobs and their tasks, and the machines that run them: a sandbox for each task."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azure.batch import models

from tests.services import sandbox
from tests.services.azure_batch.checks import Wrong, check

Body = dict[str, Any]

NAME = re.compile(r"[-\w]{1,64}")
POOLS = {"work", "gpu"}
SLOTS = 4
NO_MACHINES = {
    "Standard_None": "AllocationTimedout: Desired number of machines could not be allocated",
    "Standard_TooMany": "AccountLowPriorityCoreQuotaReached: The account has no cores left",
}
"""Kinds of machines that a pool gets none of, and what it then says."""
ADDED_AT_ONCE = 100
GRACE_S = 2.0


class Refused(Exception):
    """A request cannot be granted; an HTTP status, Azure's code, and why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Task:
    """One task of a job."""

    def __init__(self, job: Body, asked: Body, log: Path) -> None:
        self.job, self.asked, self.log = job, asked, log
        self.state, self.previous = "active", ""
        self.info: Body = {"retryCount": 0, "requeueCount": 0}
        self.process: subprocess.Popen[bytes] | None = None
        self.inner = 0
        self.verdict = ""
        self.kill_at = self.began = 0.0

    @property
    def slots(self) -> int:
        return int(self.asked.get("requiredSlots", 1))

    @property
    def waits(self) -> bool:
        return self.state == "active" and self.job["state"] == "active" and not _errors(self.job)

    def start(self) -> None:
        """Run its command, unless its image is not there."""
        image = self.asked["containerSettings"]["imageName"]
        self.info["startTime"] = _now()
        self.began = time.monotonic()
        if "absent" in image:
            self.over(None, "ContainerInvalidImage", f"Failed to pull image {image}")
            return
        settings = [
            *self.job.get("commonEnvironmentSettings", []),
            *self.asked["environmentSettings"],
        ]
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/"}
        env |= {one["name"]: one["value"] for one in settings}
        told = sandbox.words(shlex.split(self.asked["commandLine"]), env)
        self.process, self.inner = sandbox.start(told, self.log)
        self.become("running")

    def look(self) -> None:
        """See whether it has ended, or must be made to."""
        assert self.process is not None
        code = self.process.poll()
        limit_s = _seconds(self.asked["constraints"].get("maxWallClockTime", ""))
        if code is not None:
            self._ended(code)
        elif self.kill_at and time.monotonic() > self.kill_at:
            self.signal(signal.SIGKILL)
        elif limit_s and time.monotonic() - self.began > limit_s and not self.verdict:
            self.end("limit")

    def _ended(self, code: int) -> None:
        if self.verdict == "preempted":
            self.verdict, self.kill_at, self.process = "", 0.0, None
            self.info = {"retryCount": 0, "requeueCount": 0}
            self.become("active")
        elif self.verdict:
            self.over(code, "TaskEnded", "Task was ended")
        elif code:
            self.over(code, "FailureExitCode", "The task exited with an exit code of a failure")
        else:
            self.over(0)

    def over(self, exit_code: int | None, code: str = "", message: str = "") -> None:
        """It has ended."""
        self.info["endTime"] = _now()
        if exit_code is not None:
            self.info["exitCode"] = exit_code
        self.info["result"] = "failure" if code else "success"
        if code:
            self.info["failureInfo"] = {"category": "usererror", "code": code, "message": message}
        self.become("completed")

    def become(self, state: str) -> None:
        self.previous, self.state = self.state, state

    def end(self, verdict: str) -> None:
        """Tell it to end."""
        if self.process is None:
            self.over(None, "TaskEnded", "Task was ended")
            return
        self.verdict, self.kill_at = verdict, time.monotonic() + GRACE_S
        # The harder case of a machine that is taken away: its tasks have no time to tell.
        self.signal(signal.SIGKILL if verdict == "preempted" else signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            try:
                os.kill(self.inner, number)
            except ProcessLookupError:
                pass

    def said(self) -> Body:
        """As a list has it."""
        told = {
            "id": self.asked["id"],
            "state": self.state,
            "constraints": self.asked["constraints"],
            "executionInfo": self.info,
        }
        if self.previous:
            told["previousState"] = self.previous
        if self.process is not None:
            told["nodeInfo"] = {"nodeId": "tvmps_0", "poolId": "work"}
        return told


class Jobs:
    """All jobs."""

    def __init__(self, at: Path) -> None:
        self.at = at
        self.changed = threading.RLock()
        self.jobs: dict[str, Body] = {}
        self.tasks: dict[str, dict[str, Task]] = {}

    def create(self, body: Body) -> None:
        """Take a job on."""
        _checked(body, models.BatchJobCreateOptions)
        name, pool = body["id"], body["poolInfo"]
        if not NAME.fullmatch(name):
            raise Refused(400, "InvalidPropertyValue", f"The job's id '{name}' is not valid")
        if name in self.jobs:
            raise Refused(409, "JobExists", "The specified job already exists.")
        if "autoPoolSpecification" not in pool and pool.get("poolId") not in POOLS:
            raise Refused(404, "PoolNotFound", "The specified pool does not exist.\nRequestId:1")
        for one in body.get("commonEnvironmentSettings", []):
            _check_variable(one)
        own = "autoPoolSpecification" in pool
        info = {"startTime": _now(), "poolId": f"hepflow_{name}" if own else pool["poolId"]}
        told = {"state": "active", "creationTime": _now(), "executionInfo": info}
        self.jobs[name] = {**body, **told}
        self.tasks[name] = {}

    def update(self, name: str, body: Body) -> None:
        """Change what a job does when all its tasks have ended."""
        _checked(body, models.BatchJobUpdateOptions)
        job = self.job(name)
        if body.get("allTasksCompleteMode") == "terminatejob" and not self.tasks[name]:
            job["state"] = "completed"
        job |= body

    def pool(self, name: str) -> Body:
        """A job's own pool, as far as its size is asked for."""
        for job in self.jobs.values():
            if job["executionInfo"]["poolId"] == name:
                errors = _errors(job)
                nodes = {"currentDedicatedNodes": 0, "currentLowPriorityNodes": 0 if errors else 1}
                return {"id": name, "allocationState": "steady", "resizeErrors": errors, **nodes}
        raise Refused(404, "PoolNotFound", "The specified pool does not exist.\nRequestId:1")

    def job(self, name: str) -> Body:
        if name not in self.jobs:
            raise Refused(404, "JobNotFound", "The specified job does not exist.\nRequestId:1")
        return self.jobs[name]

    def add(self, name: str, body: Body) -> list[Body]:
        """Add tasks; says of each how that went."""
        _checked(body, models.BatchTaskGroup)
        job = self.job(name)
        if len(body["value"]) > ADDED_AT_ONCE:
            raise Refused(413, "RequestBodyTooLarge", "More than a hundred tasks at a time.")
        if job["state"] != "active":
            raise Refused(409, "JobCompleted", "The specified job is already completed.")
        return [self._added(name, job, asked) for asked in body["value"]]

    def _added(self, name: str, job: Body, asked: Body) -> Body:
        said = {"taskId": asked["id"], "status": "success"}
        if asked["id"] in self.tasks[name]:
            return {**said, "status": "clienterror", "error": _error("TaskExists", "It is there.")}
        if asked.get("requiredSlots", 1) > SLOTS:
            error = _error("InvalidPropertyValue", f"A node of the pool has {SLOTS} task slots.")
            return {**said, "status": "clienterror", "error": error}
        for one in asked.get("environmentSettings", []):
            _check_variable(one)
        log = self.at / f"{name}.{asked['id']}.log"
        self.tasks[name][asked["id"]] = Task(job, asked, log)
        return said

    def terminate(self, name: str, task: str) -> None:
        """End a task."""
        self.job(name)
        found = self.tasks[name].get(task)
        if found is None:
            raise Refused(404, "TaskNotFound", "The specified task does not exist.")
        if found.state == "completed":
            raise Refused(409, "TaskCompleted", "The specified task is already completed.")
        found.end("ended")

    def terminate_job(self, name: str) -> None:
        """End what runs of a job; what has not begun stays, and never will."""
        job = self.job(name)
        if job["state"] == "completed":
            raise Refused(409, "JobCompleted", "The specified job is already completed.")
        job["state"] = "completed"
        for task in self.tasks[name].values():
            if task.state == "running":
                task.end("ended")

    def delete(self, name: str) -> None:
        """End what runs of a job, and forget it."""
        self.job(name)
        del self.jobs[name]
        for task in self.tasks.pop(name).values():
            task.signal(signal.SIGKILL)

    def clear(self) -> None:
        for name in list(self.jobs):
            self.delete(name)

    def run(self) -> None:
        """Look at every task, many times a second."""
        while True:
            with self.changed:
                tasks = [task for some in self.tasks.values() for task in some.values()]
                free = SLOTS - sum(task.slots for task in tasks if task.state == "running")
                for task in tasks:
                    if task.state == "running":
                        task.look()
                    elif task.waits and task.slots <= free:
                        task.start()
                        free -= task.slots
            time.sleep(0.05)


def _errors(job: Body) -> list[Body]:
    """Why a job's own pool has no machine: by the kind of machine that is asked for."""
    asked = job["poolInfo"].get("autoPoolSpecification", {}).get("pool", {}).get("vmSize", "")
    code, _, message = NO_MACHINES.get(asked, "").partition(": ")
    return [{"code": code, "message": message}] if code else []


def _error(code: str, message: str) -> Body:
    return {"code": code, "message": {"lang": "en-US", "value": message}}


def _checked(body: Body, model: type) -> None:
    try:
        check(body, model)
    except Wrong as wrong:
        raise Refused(
            400, "InvalidRequestBody", f"The request body is not valid: {wrong}"
        ) from None


def _check_variable(setting: Body) -> None:
    if "\n" in setting.get("value", ""):
        raise Refused(400, "InvalidPropertyValue", f"A line end in variable {setting['name']}")


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _seconds(duration: str) -> float:
    found = re.fullmatch(r"P(?:(\d+)D)?T?(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?", duration)
    days, hours, minutes, seconds = (
        (float(part or 0) for part in found.groups()) if found else [0] * 4
    )
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
