"""The queue: what waits, runs or is held, and how much room there is. One process, one thread.

Requests come over a socket in the pool's folder, one JSON document each; see `ask` in `tools.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import classad2

from tests.services.memory import memory_kib

from . import userlog
from .starter import Ended, Hold, Start

IDLE, RUNNING, REMOVED, COMPLETED, HELD = 1, 2, 3, 4, 5
POLL_S = 0.5
VACATE_S = 10.0
"""How long a job may take to end when it is told to, unless it says itself."""

MACHINE = {
    "Name": "slot1@stand-in",
    "Machine": "stand-in",
    "Arch": "X86_64",
    "OpSys": "LINUX",
    "OpSysAndVer": "AlmaLinux9",
    "Cpus": 4,
    "Memory": 8000,
    "Disk": 100_000_000,
    "GPUs": 2,
    "HasFileTransfer": True,
    "HasSingularity": True,
    "HasDocker": True,
    "OSGVO_OS_STRING": "RHEL 9",
    "HAS_SINGULARITY": True,
    "Requirements": True,
}
GPUS = ("GPU-a0000000", "GPU-a0000001")


@dataclass(slots=True)
class Job:
    """A job in the queue."""

    ad: classad2.ClassAd
    start: Start | None = None
    interruption: tuple[str, str] | None = None
    """Why its process was told to end: what becomes of it, and the reason."""
    hold: Hold | None = None
    gpus: list[str] = field(default_factory=list)

    @property
    def id(self) -> tuple[int, int]:
        return self.ad["ClusterId"], self.ad["ProcId"]

    @property
    def status(self) -> int:
        return int(self.ad["JobStatus"])

    def enter(self, status: int) -> None:
        self.ad["JobStatus"] = status
        self.ad["EnteredCurrentStatus"] = int(time.time())

    def number(self, attribute: str, default: float = 0) -> float:
        """A number in its ad, or one that an expression there comes to."""
        value = self.ad.eval(attribute) if attribute in self.ad else default
        return float(value) if isinstance(value, (int, float)) else default

    def says(self, attribute: str) -> bool:
        """Whether an expression in its ad is true."""
        return attribute in self.ad and self.ad.eval(attribute) is True

    def tell(self, event: int, body: str) -> None:
        """Add an event to its log."""
        log = Path(self.ad["Iwd"]) / self.ad["UserLog"] if "UserLog" in self.ad else None
        userlog.append(log, event, *self.id, body)


@dataclass(slots=True)
class Cluster:
    """What one submission still has to put into the queue."""

    number: int
    waiting: deque[str]
    max_idle: int | None
    max_materialize: int | None
    items: int
    log: Path | None
    paused: bool = False

    @property
    def is_late(self) -> bool:
        return bool(self.max_idle or self.max_materialize)


class Pool:
    """The queue and the one machine that serves it."""

    def __init__(self, at: Path) -> None:
        self.at = at
        self.numbers = itertools.count(1)
        self.clusters: dict[int, Cluster] = {}
        self.jobs: dict[tuple[int, int], Job] = {}
        self.history: list[classad2.ClassAd] = []
        self.free = {"Cpus": MACHINE["Cpus"], "Memory": MACHINE["Memory"]}
        self.free_gpus = list(GPUS)
        self.starts = itertools.count(1)
        self.threads = ThreadPoolExecutor(max_workers=32)
        self.tasks: set[asyncio.Task[None]] = set()
        self.is_due = asyncio.Event()

    # --- requests -----------------------------------------------------------------------------

    async def serve(self) -> None:
        """Answer requests and run jobs until told to stop."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        watchers = [loop.create_task(self._negotiate()), loop.create_task(self._watch())]
        server = await asyncio.start_unix_server(self._answer, self.at / "pool.socket")
        async with server:
            await stop.wait()
        for watcher in watchers:
            watcher.cancel()
        for job in self.jobs.values():
            if job.start:
                job.start.kill(signal.SIGKILL)
        await asyncio.gather(*self.tasks)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.read())
        answer = getattr(self, f"on_{request.pop('verb')}")(**request)
        writer.write(json.dumps(answer).encode())
        await writer.drain()
        writer.close()

    def on_number(self) -> int:
        """A number for a new cluster."""
        return next(self.numbers)

    def on_submit(
        self, cluster: int, ads: list[str], max_idle: int | None, max_materialize: int | None
    ) -> None:
        """Take on a cluster's jobs, in order."""
        first = classad2.ClassAd(ads[0])
        log = Path(first["Iwd"]) / first["UserLog"] if "UserLog" in first else None
        taken = Cluster(cluster, deque(ads), max_idle, max_materialize, len(ads), log)
        self.clusters[cluster] = taken
        if taken.is_late:
            userlog.append(log, userlog.CLUSTER_SUBMIT, cluster, -1, userlog.cluster_submit())
        self._materialize(taken)
        self.is_due.set()

    def on_query(self, constraint: str, history: bool) -> list[str]:
        """The ads for which an expression is true."""
        matches = classad2.ExprTree(constraint)
        ads = reversed(self.history) if history else (job.ad for job in self.jobs.values())
        return [repr(ad) for ad in ads if matches.eval(ad) is True]

    def on_act(self, action: str, constraint: str, reason: str) -> int:
        """Do something to the jobs for which an expression is true; returns to how many."""
        matches = classad2.ExprTree(constraint)
        act: Callable[[Job, str], bool] = getattr(self, f"_{action}")
        done = 0
        for cluster in list(self.clusters.values()):
            if matches.eval(classad2.ClassAd({"ClusterId": cluster.number})) is True:
                if action == "remove":
                    done += len(cluster.waiting)
                    cluster.waiting.clear()
                elif action in ("hold", "release"):
                    cluster.paused = action == "hold"
        for job in list(self.jobs.values()):
            if matches.eval(job.ad) is True:
                done += act(job, reason)
        self._retire()
        self.is_due.set()
        return done

    # --- what is done to a job ----------------------------------------------------------------

    def _remove(self, job: Job, reason: str) -> bool:
        if self._interrupt(job, "remove", reason):
            return True
        job.enter(REMOVED)
        job.ad["RemoveReason"] = reason
        job.tell(userlog.ABORTED, userlog.aborted(reason))
        self._leave(job)
        return True

    def _hold(self, job: Job, reason: str, code: int = 1, subcode: int = 0) -> bool:
        job.hold = Hold(reason, code, subcode)
        if job.status == HELD or self._interrupt(job, "hold", reason):
            return job.status != HELD
        job.enter(HELD)
        job.ad["NumHolds"] = job.ad["NumHolds"] + 1
        job.ad["HoldReason"], job.ad["HoldReasonCode"] = reason, code
        job.ad["HoldReasonSubCode"] = subcode
        job.tell(userlog.HELD, userlog.held(reason, code, subcode))
        return True

    def _release(self, job: Job, reason: str) -> bool:
        if job.status != HELD:
            return False
        job.enter(IDLE)
        job.tell(userlog.RELEASED, userlog.released(reason))
        return True

    def _vacate(self, job: Job, reason: str) -> bool:
        return self._interrupt(job, "evict", reason)

    def _interrupt(self, job: Job, becomes: str, reason: str) -> bool:
        """Tell a running job to end; what becomes of it is done when it has."""
        if job.start is None:
            return False
        job.interruption = (becomes, reason)
        job.start.terminate()
        asyncio.get_running_loop().call_later(
            job.number("JobMaxVacateTime", VACATE_S), job.start.kill, signal.SIGKILL
        )
        return True

    def _leave(self, job: Job) -> None:
        """Take a job out of the queue."""
        if not job.says("LeaveJobInQueue"):
            del self.jobs[job.id]
        self.history.append(job.ad)
        self._retire()

    def _retire(self) -> None:
        """Forget clusters of which nothing is left."""
        alive = {number for number, _ in self.jobs}
        for cluster in list(self.clusters.values()):
            if not cluster.waiting and cluster.number not in alive:
                del self.clusters[cluster.number]
                if cluster.is_late:
                    body = userlog.cluster_remove(cluster.items, cluster.items)
                    userlog.append(cluster.log, userlog.CLUSTER_REMOVE, cluster.number, -1, body)

    # --- from waiting to running --------------------------------------------------------------

    def _materialize(self, cluster: Cluster) -> None:
        """Put as many of a cluster's jobs into the queue as its limits allow."""
        mine = [job for job in self.jobs.values() if job.ad["ClusterId"] == cluster.number]
        idle = sum(job.status == IDLE for job in mine)
        room = [len(cluster.waiting)]
        if cluster.max_idle:
            room.append(cluster.max_idle - idle)
        if cluster.max_materialize:
            room.append(cluster.max_materialize - len(mine))
        for _ in range(0 if cluster.paused else min(room)):
            job = Job(classad2.ClassAd(cluster.waiting.popleft()))
            job.ad["QDate"] = job.ad["EnteredCurrentStatus"] = int(time.time())
            self.jobs[job.id] = job
            job.tell(userlog.SUBMIT, userlog.submit())
            if job.status == HELD:
                job.ad["JobStatus"] = IDLE
                self._hold(job, "submitted on hold at user's request", 15)

    async def _negotiate(self) -> None:
        """Start what fits, each time something has changed."""
        machine = classad2.ClassAd(MACHINE)
        while True:
            await self.is_due.wait()
            self.is_due.clear()
            for cluster in list(self.clusters.values()):
                self._materialize(cluster)
            for job in list(self.jobs.values()):
                if not self.free["Cpus"]:
                    break
                if job.status == IDLE and job.start is None and self._fits(job, machine):
                    self._claim(job)
                    task = asyncio.create_task(self._run(job))
                    self.tasks.add(task)
                    task.add_done_callback(self.tasks.discard)

    def _fits(self, job: Job, machine: classad2.ClassAd) -> bool:
        return (
            job.number("RequestCpus", 1) <= self.free["Cpus"]
            and job.number("RequestMemory") <= self.free["Memory"]
            and job.number("RequestGPUs") <= len(self.free_gpus)
            and job.ad.symmetricMatch(machine)
        )

    def _claim(self, job: Job) -> None:
        self.free["Cpus"] -= job.number("RequestCpus", 1)
        self.free["Memory"] -= job.number("RequestMemory")
        job.gpus = [self.free_gpus.pop(0) for _ in range(int(job.number("RequestGPUs")))]
        number = next(self.starts)
        cluster, process = job.id
        job.start = Start(
            job.ad,
            self.at / "execute" / f"dir_{number}",
            self.at / "spool" / f"{cluster}.{process}",
            f"slot1_{number}@stand-in",
            job.gpus,
        )
        job.interruption = None
        job.enter(RUNNING)
        job.ad["NumJobStarts"] = job.ad["NumJobStarts"] + 1
        job.ad["JobCurrentStartDate"] = int(time.time())
        job.ad["RemoteHost"] = job.start.slot

    def _give_back(self, job: Job) -> None:
        self.free["Cpus"] += job.number("RequestCpus", 1)
        self.free["Memory"] += job.number("RequestMemory")
        self.free_gpus.extend(job.gpus)
        assert job.start
        job.start.remove()
        job.start, job.gpus = None, []
        self.is_due.set()

    # --- running ------------------------------------------------------------------------------

    async def _run(self, job: Job) -> None:
        """One start of a job, to its end."""
        start = job.start
        assert start
        blocking = partial(asyncio.get_running_loop().run_in_executor, self.threads)
        ended = Ended(0, 0, 0)
        try:
            if start.transfers:
                job.tell(userlog.FILE_TRANSFER, "Started transferring input files")
            await blocking(start.stage_in)
            if start.transfers:
                job.tell(userlog.FILE_TRANSFER, "Finished transferring input files")
            if not job.interruption:
                start.spawn()
                job.tell(userlog.EXECUTE, userlog.execute(start.slot))
                ended = await blocking(start.wait)
            if not job.interruption:
                if self._is_checkpoint(job, ended):
                    job.interruption = ("evict", "checkpointed")
                elif job.ad["WhenToTransferOutput"] != "ON_SUCCESS" or ended.exit_code == 0:
                    await blocking(start.stage_out)
            if job.interruption and job.interruption[0] == "evict":
                self._save(job, start)
        except Hold as hold:
            self._give_back(job)
            self._hold(job, hold.reason, hold.code, hold.subcode)
            return
        self._give_back(job)
        self._conclude(job, start, ended)

    def _is_checkpoint(self, job: Job, ended: Ended) -> bool:
        return "CheckpointExitCode" in job.ad and ended.exit_code == job.number(
            "CheckpointExitCode"
        )

    def _save(self, job: Job, start: Start) -> None:
        """Keep what the next start goes on from."""
        if "TransferCheckpoint" in job.ad and job.interruption == ("evict", "checkpointed"):
            start.save([name.strip() for name in job.ad["TransferCheckpoint"].split(",")])
        elif job.ad["WhenToTransferOutput"] == "ON_EXIT_OR_EVICT":
            start.save(start.outputs())

    def _conclude(self, job: Job, start: Start, ended: Ended) -> None:
        """What becomes of a job whose process has ended."""
        usage = (ended.user_s, ended.system_s, start.sent, start.received)
        if job.interruption:
            becomes, reason = job.interruption
            job.interruption = None
            if becomes == "hold":
                assert job.hold
                self._hold(job, job.hold.reason, job.hold.code, job.hold.subcode)
            elif becomes == "remove":
                self._remove(job, reason)
            else:
                job.enter(IDLE)
                job.tell(userlog.EVICTED, userlog.evicted(*usage, reason))
            return
        self._note_exit(job, ended)
        if job.says("OnExitHold"):
            reason = job.ad.eval("OnExitHoldReason") if "OnExitHoldReason" in job.ad else None
            self._hold(job, str(reason or "The job attribute OnExitHold became true"), 3)
        elif self._goes_again(job, ended):
            job.enter(IDLE)
            job.tell(userlog.EVICTED, userlog.evicted(*usage, "terminated and requeued"))
        else:
            job.enter(COMPLETED)
            job.ad["CompletionDate"] = int(time.time())
            job.tell(userlog.TERMINATED, userlog.terminated(ended.exit_code, *usage))
            self._leave(job)

    def _note_exit(self, job: Job, ended: Ended) -> None:
        job.ad["NumJobCompletions"] = job.ad["NumJobCompletions"] + 1
        job.ad["ExitBySignal"] = ended.exit_code < 0
        job.ad["ExitCode" if ended.exit_code >= 0 else "ExitSignal"] = abs(ended.exit_code)

    def _goes_again(self, job: Job, ended: Ended) -> bool:
        if "JobMaxRetries" in job.ad:
            succeeded = ended.exit_code == job.number("JobSuccessExitCode")
            left = job.ad["NumJobCompletions"] <= job.number("JobMaxRetries")
            return not succeeded and left and not job.says("RetryUntil")
        return not job.says("OnExitRemove")

    # --- watching -----------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Hold running jobs to their limits, and apply each job's own rules."""
        while True:
            await asyncio.sleep(POLL_S)
            running = [job for job in self.jobs.values() if job.start and job.start.process]
            memory = memory_kib([job.start.process.pid for job in running]) if running else {}
            for job in running:
                self._limit(job, memory.get(job.start.process.pid, 0))
            for job in list(self.jobs.values()):
                if job.says("PeriodicRemove"):
                    self._remove(job, "The job attribute PeriodicRemove became true")
                elif job.status == HELD and job.says("PeriodicRelease"):
                    self._release(job, "The job attribute PeriodicRelease became true")
                elif job.status in (IDLE, RUNNING) and job.says("PeriodicHold"):
                    reason = (
                        job.ad.eval("PeriodicHoldReason")
                        if "PeriodicHoldReason" in job.ad
                        else None
                    )
                    self._hold(job, str(reason or "The job attribute PeriodicHold became true"), 3)
            self.is_due.set()

    def _limit(self, job: Job, used_kib: int) -> None:
        if job.interruption:
            return
        if used_kib > job.ad.get("ResidentSetSize", 0):
            job.ad["ResidentSetSize"], job.ad["MemoryUsage"] = used_kib, -(-used_kib // 1024)
            job.tell(userlog.IMAGE_SIZE, userlog.image_size(used_kib))
        allowed_mib = job.number("RequestMemory")
        ran_s = time.time() - job.number("JobCurrentStartDate")
        if used_kib > allowed_mib * 1024:
            assert job.start
            self._hold(
                job,
                f"Error from {job.start.slot}: Job has gone over cgroup memory limit of "
                f"{allowed_mib:.0f} megabytes. Last measured usage: {used_kib // 1024} megabytes. "
                "Consider resubmitting with a higher request_memory.",
                34,
            )
        elif ran_s > job.number("AllowedExecuteDuration", float("inf")):
            self._hold(job, "The job exceeded allowed execute duration", 47)


if __name__ == "__main__":
    asyncio.run(Pool(Path(sys.argv[1])).serve())
