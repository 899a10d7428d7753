"""Azure Batch: an array is a job, its elements are the job's tasks, on machines of a pool.

Azure has no arrays: tasks are added to a job a hundred at a time. A job names a pool of the user's, or has machines
of its own that go when all its tasks have ended, whoever is there to see it.

Facts: the reference of the Batch service, 2025-06-01 (a hundred tasks in a collection; an environment for all
tasks of a job; a command line that no shell reads; when a job may be told to end with its tasks), and Azure's pages
on spot machines, by which tasks of a machine that is taken away go back to the queue.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, TypeVar

from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from hepflow.arrays.service import Array, Fault, Said
from hepflow.model.site import Queue, Site, number, text
from hepflow.model.task import Reason, Resources
from hepflow_clouds.azure_asking import RETRIES, asked, signed_in
from hepflow_clouds.azure_machines import POOL, job_fault, pool_fault, specified
from hepflow_clouds.providers import Job, memory_mib

ADDED_AT_ONCE: Final = 100
MACHINES: Final = 10
"""Most machines of a job's own where the site does not say."""

SCRIPT: Final = "HEPFLOW_SCRIPT"
COMMAND: Final = f"""/bin/sh -c 'eval "$(printf %b "${SCRIPT}")"'"""
"""Runs the script out of a variable, which has no line ends: containers are given their variables line by line,
and how a command line is split where no shell does it is nowhere said."""

SELECTED: Final = ["id", "state", "previousState", "constraints", "executionInfo", "nodeInfo"]
LOOK_S: Final = 60
"""Seconds between two looks whether a job is over or gone, which the library takes on a thread of its own, and
between two whether one that waits gets machines."""

UNWANTED: Final = {"terminateReason": "no longer wanted by hepflow"}
"""Azure's library (15.1) sends no request to end a job that gives no reason."""

ENDED: Final = "TaskEnded"
KILLED: Final = (137, 143)

Answer = TypeVar("Answer")


def connect(account: str, region: str) -> Any:
    """A client, by the key in the environment that ``az batch`` uses for this account, or by who is signed in."""
    mine = os.environ.get("AZURE_BATCH_ACCOUNT") == account
    key = os.environ.get("AZURE_BATCH_ACCESS_KEY", "") if mine else ""
    endpoint = os.environ.get("AZURE_BATCH_ENDPOINT", "") if mine else ""
    endpoint = endpoint or f"https://{account}.{region}.batch.azure.com"
    credential = AzureNamedKeyCredential(account, key) if key else signed_in()
    return BatchClient(endpoint=endpoint, credential=credential, retry_total=RETRIES)


class AzureBatch:
    """Azure Batch in one region.

    Args:
        site: where arrays go; all its queues in a region have one Batch account.
        region: such as ``eastus``.
        tag: marks all that is ours.
    """

    def __init__(self, site: Site, region: str, tag: str) -> None:
        self._site = site
        self._region = region
        self._tag = tag
        here = [site.settings_for(queue) for queue in site.queues or (site.anywhere,)]
        (self._account,) = {
            text(settings, "batch_account")
            for settings in here
            if (text(settings, "provider"), text(settings, "region")) == ("azure", region)
        }
        self._sizes: dict[str, int] = {}
        self._ended: set[str] = set()
        """Jobs that were ended: what of them has not begun stays as it is."""
        self._looked: dict[str, float] = {}
        """When it was looked whether jobs get machines, by ``time.monotonic()``."""
        self._begun: dict[tuple[str, int], datetime | None] = {}
        """When tasks began that were told as running."""

    @cached_property
    def _client(self) -> Any:
        return _asked(lambda: connect(self._account, self._region))

    # --- submitting -------------------------------------------------------------------------------

    def request(self, array: Array) -> Mapping[str, object]:
        """The job and the first of its tasks, as the REST interface has them."""
        return {"job": self._job(array).as_dict(), "task": self._task(array, 0).as_dict()}

    def _job(self, array: Array) -> Any:
        script = array.script.replace("\\", "\\\\").replace("\n", "\\n")
        env = {**array.env, **array.secret, SCRIPT: script}
        pool = _pool(self._site, array.queue)
        where = (
            models.BatchPoolInfo(pool_id=pool)
            if pool
            else models.BatchPoolInfo(auto_pool_specification=self._machines(array))
        )
        return models.BatchJobCreateOptions(
            id=array.name,
            display_name=array.title,
            pool_info=where,
            common_environment_settings=_variables(env),
            metadata=[
                models.BatchMetadataItem(name="hepflow", value=self._tag),
                models.BatchMetadataItem(name="size", value=str(array.size)),
            ],
        )

    def _machines(self, array: Array) -> Any:
        """Machines for one job, as many as it can use, until its end."""
        settings = self._site.settings_for(array.queue)
        slots = _slots(self._site, array.queue)
        wanted = math.ceil(
            array.size * _share(self._site, array.queue, array.resources, slots) / slots
        )
        count = min(wanted, int(number(settings, "machines", MACHINES)))
        return specified(self._site, array.queue, count, slots)

    def _task(self, array: Array, element: int) -> Any:
        needed = array.resources
        options = ["--rm", f"--memory {memory_mib(self._site, array.queue, needed)}m"]
        options += ["--gpus all"] if needed.gpus else []
        limit_s = math.ceil(array.walltime_s)
        return models.BatchTaskCreateOptions(
            id=str(element),
            command_line=COMMAND,
            environment_settings=_variables({"HEPFLOW_INDEX": str(element)}),
            container_settings=models.BatchTaskContainerSettings(
                image_name=array.image, container_run_options=" ".join(options)
            ),
            constraints=models.BatchTaskConstraints(
                max_task_retry_count=0,
                max_wall_clock_time=timedelta(seconds=limit_s) if limit_s else None,
            ),
            required_slots=_share(self._site, array.queue, needed, _slots(self._site, array.queue)),
        )

    def submit(self, array: Array) -> str:
        """The job, then its tasks, then that it ends with them: a job without tasks would end at once."""
        name = array.name
        try:
            _asked(lambda: self._client.create_job(self._job(array)))
        except Fault as fault:
            # It may be there from a try whose answer was lost.
            there = isinstance(fault.__cause__, ResourceExistsError)
            if not there and not (fault.transient and self.find(name)):
                raise
        try:
            for start in range(0, array.size, ADDED_AT_ONCE):
                self._add(array, range(start, min(start + ADDED_AT_ONCE, array.size)))
            ends = models.BatchJobUpdateOptions(
                all_tasks_complete_mode=models.BatchAllTasksCompleteMode.TERMINATE_JOB
            )
            _asked(lambda: self._client.update_job(name, ends))
        except Fault:
            self.forget(name)  # nobody will ask for what of it is there
            raise
        self._sizes[name] = array.size
        return name

    def _add(self, array: Array, elements: range) -> None:
        """Add some tasks; those that are there already are none the worse for it."""
        tasks = models.BatchTaskGroup(task_values=[self._task(array, n) for n in elements])
        added = _asked(lambda: self._client.create_task_collection(array.name, tasks))
        for one in added.result_values or ():
            if one.status != models.BatchTaskAddStatus.SUCCESS and one.error.code != "TaskExists":
                transient = one.status == models.BatchTaskAddStatus.SERVER_ERROR
                told = one.error.message.value if one.error.message else ""
                raise Fault(f"Azure Batch refused it ({one.error.code}): {told}", transient)

    # --- asking -----------------------------------------------------------------------------------

    def ask(self, jobs: Mapping[str, Job]) -> Iterator[Said]:
        """One question for each job."""
        for name, job in jobs.items():
            try:
                found = _asked(
                    lambda: list(self._client.list_tasks(name, select=SELECTED))  # noqa: B023
                )
            except Fault as fault:
                if not isinstance(fault.__cause__, ResourceNotFoundError):
                    raise
                found = []
            there = {int(task.id): task for task in found}
            if self._waits(name, found):
                yield from self._fault(name, job)
            for element in sorted(set(range(job.size)) - job.over):
                yield from self._news(name, job, element, there.get(element))

    def _waits(self, name: str, tasks: Collection[Any]) -> bool:
        """Whether nothing of a job has begun, and it is time to look why."""
        if any(task.state != models.BatchTaskState.ACTIVE for task in tasks):
            return False
        now = time.monotonic()
        if not tasks or now - self._looked.get(name, -math.inf) < LOOK_S:
            return False
        self._looked[name] = now
        return True

    def _fault(self, name: str, job: Job) -> Iterator[Said]:
        """The end of a job that will never have a machine."""
        found = _asked(lambda: self._client.get_job(name))
        fault = job_fault(found)
        pool = found.execution_info.pool_id if found.execution_info else ""
        if fault is None and pool and found.pool_info.auto_pool_specification is not None:
            fault = pool_fault(_asked(lambda: self._client.get_pool(pool, select=POOL)))
        if fault is not None:
            left = sorted(set(range(job.size)) - job.over)
            self.end(name, left)
            job.over.update(left)
            for element in left:
                yield Said(name, element, "", True, *fault)

    def _news(self, name: str, job: Job, element: int, task: Any) -> Iterator[Said]:
        """What is new of one element."""
        if task is None:
            # Somebody has deleted it, or its head was killed before it was added.
            job.over.add(element)
            yield Said(name, element, "", True, Reason.NODE, "Azure Batch knows nothing of it")
            return
        node = task.node_info.node_id if task.node_info else ""
        where = f"{self._region} {node} {name}/{element}".replace("  ", " ")
        if task.state == models.BatchTaskState.COMPLETED:
            job.over.add(element)
            yield _ended(Said(name, element, where, True), task)
        elif task.state == models.BatchTaskState.ACTIVE and name in self._ended:
            job.over.add(element)
            yield Said(name, element, where, True, Reason.NODE, "its job was ended before it began")
        elif self._put_back(name, job, element, task):
            # Azure would run it again by itself, under our feet.
            self.end(name, [element])
            job.over.add(element)
            why = "its machine was taken away or lost"
            yield Said(name, element, where, True, Reason.PREEMPTED, why)
        elif task.state == models.BatchTaskState.RUNNING and element not in job.running:
            job.running.add(element)
            self._begun[name, element] = _start(task)
            yield Said(name, element, where)

    def _put_back(self, name: str, job: Job, element: int, task: Any) -> bool:
        """Whether a task has run before, and is to run again."""
        if task.execution_info and task.execution_info.requeue_count:
            return True
        if task.state == models.BatchTaskState.RUNNING:
            return element in job.running and _start(task) != self._begun.get((name, element))
        return element in job.running or task.previous_state == models.BatchTaskState.RUNNING

    # --- ending and finding -----------------------------------------------------------------------

    def end(self, job: str, elements: Collection[int]) -> None:
        """End tasks; where nothing else of it is wanted the job, in one request."""
        if len(elements) >= self._sizes.get(job, math.inf):
            # That it is over nobody need wait for.
            _unless_gone(
                lambda: self._client.begin_terminate_job(job, UNWANTED, polling_interval=LOOK_S)
            )
            self._ended.add(job)
            return
        for element in elements:
            # That it has ended meanwhile is a conflict to Azure.
            _unless_gone(lambda: self._client.terminate_task(job, str(element)))  # noqa: B023

    def find(self, name: str) -> tuple[str, int] | None:
        """By its name, which is the job's own; its size was written on it."""
        try:
            found = _asked(lambda: self._client.get_job(name))
        except Fault as fault:
            if isinstance(fault.__cause__, ResourceNotFoundError):
                return None
            raise
        if found.state == models.BatchJobState.DELETING:
            return None
        said = {item.name: item.value for item in found.metadata or ()}
        self._sizes[name] = int(said["size"])
        return name, self._sizes[name]

    def forget(self, job: str) -> None:
        """Delete the job, and with it machines of its own."""
        _unless_gone(lambda: self._client.begin_delete_job(job, polling_interval=LOOK_S))
        self._ended.discard(job)
        self._looked.pop(job, None)
        for element in range(self._sizes.pop(job, 0)):
            self._begun.pop((job, element), None)


def _pool(site: Site, queue: Queue) -> str:
    return queue.partition or text(site.settings_for(queue), "pool")


def _slots(site: Site, queue: Queue) -> int:
    """Into how many parts a machine is divided that tasks take."""
    return int(number(site.settings_for(queue), "slots", 1))


def _share(site: Site, queue: Queue, asked: Resources, slots: int) -> int:
    """The slots that a task takes: by what it needs most of, of what its queue, a machine, has."""
    parts = [
        needed / there
        for needed, there in (
            (asked.cpus, queue.cpus),
            (memory_mib(site, queue, asked), queue.memory_mib),
            (asked.gpus, queue.gpus),
        )
        if there
    ]
    return min(slots, max(1, math.ceil(slots * max(parts, default=0))))


def _variables(env: Mapping[str, str]) -> list[Any]:
    return [models.EnvironmentSetting(name=name, value=value) for name, value in env.items()]


def _start(task: Any) -> datetime | None:
    start: datetime | None = task.execution_info.start_time if task.execution_info else None
    return start


def _ended(said: Said, task: Any) -> Said:
    """Why a task has ended, if not well."""
    info = task.execution_info
    failure, code = info.failure_info, info.exit_code
    if failure is None and not code:
        return said
    told = " ".join(f"{failure.code}: {failure.message}".split()) if failure else ""
    limit = task.constraints.max_wall_clock_time if task.constraints else None
    if failure is not None and failure.code == ENDED:
        if limit and info.start_time and info.end_time - info.start_time >= limit:
            return said._replace(reason=Reason.TIMEOUT, why=f"it ran longer than {limit} ({told})")
        return said._replace(reason=Reason.NODE, why=f"its task was ended ({told})")
    if code in KILLED or (
        code is None and failure.category != models.BatchErrorSourceCategory.USER_ERROR
    ):
        return said._replace(reason=Reason.NODE, why=f"its task ended: {told or code}")
    if code is None:
        return said._replace(reason=Reason.START, why=f"its container cannot be started ({told})")
    why = f"the capsule could not run there (exit code {code}; see stderr.txt of the task)"
    return said._replace(reason=Reason.START, why=why)


def _unless_gone(call: Callable[[], object]) -> None:
    """Make a request that what is gone, going or over need not grant."""
    try:
        _asked(call)
    except Fault as fault:
        if not isinstance(fault.__cause__, ResourceNotFoundError | ResourceExistsError):
            raise


def _asked(call: Callable[[], Answer]) -> Answer:
    return asked("Azure Batch", call)
