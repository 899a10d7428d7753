"""An order carried out: its tasks begun, watched, ended, and each result kept.

One thread, one loop. Plain standard library for Python 3.6. Must never know which batch system runs it.
"""

import os
import select
import time

from hepflow.capsule.bringing import Carrier, Unfetched
from hepflow.capsule.job import (
    PARTS,
    Job,
    Lane,
    Unstarted,
    begin,
    exit_code,
    failed,
    found,
    has_failed,
    signal_group,
)
from hepflow.capsule.light import encode, signal
from hepflow.capsule.measuring import Gpus, resident_bytes
from hepflow.capsule.orders import Entry, Order, beat, keep
from hepflow.capsule.placing import CONFINED, Setting, Slots, copy, remove
from hepflow.capsule.report import last_line, oom_kills, result_line, signal_name
from hepflow.capsule.spawning import ARGV, CALLED, Spawner

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    from typing import Any, Callable

TELL_AFTER_S = 0.3
"""A task that runs longer says so; of shorter ones only the end is news."""

LOOK_S = 1.0
"""Seconds between two looks at memory and at whether somebody wants the end."""

BEAT_S = 30.0

HEARD_S = 0.1
"""A batch system tells a program and its capsule to end one after the other: seconds in between."""

LIMIT_NEAR_S = 30.0
"""Told to end so shortly before the job's time limit or later, that limit is why."""


OWN_SHARE = 0.5
"""The part of its job's time that a task must have had for the limit to be its own."""


class Running:
    """One entry while its process lives."""

    def __init__(self, entry: Entry, job: Job) -> None:
        self.entry = entry
        self.job = job
        self.peak_bytes = 0
        self.told = False
        self.look_at = job.clock + TELL_AFTER_S
        self.beat_at = 0.0
        self.kill_at = float("inf")
        self.gpus: "Gpus | None" = None


class Capsule:
    """Carries out one order.

    Args:
        order: what to do.
        path: where the order lay; the names of what tasks print begin like it.
        words: what starts this program again, for a Python call.
        more: gives entries to go on with when all is done, or none.
    """

    def __init__(
        self,
        order: Order,
        path: str,
        words: "list[str]",
        more: "Callable[[], list[Entry]]" = list,
    ) -> None:
        self.order = order
        self.words = words
        self.more = more
        self.began = time.monotonic()
        self.host = os.uname().nodename
        self.scratch = _scratch(order.scratch)
        self.spawner = Spawner(dict(os.environ))
        self.slots = Slots(f"{self.scratch}/slot")
        self.carrier = Carrier(f"{self.scratch}/in", order.copy, order.fetch, self.spawner)
        self.waiting = list(order.entries)
        self.live: "dict[int, Running]" = {}
        self.kills_before = oom_kills()
        self.told_to_end = False
        self.knows_packages = False
        self.wake_out, wake_in = os.pipe()
        for descriptor in (self.wake_out, wake_in):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake_in)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, self._end_asked)
        null = os.open(os.devnull, os.O_RDONLY)
        prefix = path[: -len(".json")] if path.endswith(".json") else path
        count = max(1, min(order.parallel, len(self.waiting)))
        self.lanes = [Lane(f"{prefix}-{n}" if n else prefix, null) for n in range(count)]

    def run(self) -> None:
        """Everything; every task has its result in the end."""
        try:
            while self.live or self._goes_on():
                self._fill()
                self._wait()
                self._reap()
                for running in list(self.live.values()):
                    self._look(running, time.monotonic())
        finally:
            os.chdir("/")
            for lane in self.lanes:
                for printed in (lane.out.path, lane.err.path):
                    os.unlink(printed)
            remove(self.scratch)

    def _goes_on(self) -> bool:
        """Whether there is something to begin: of this order, or else of others."""
        if not self.waiting and not self.told_to_end:
            self.waiting = self.more()
        return bool(self.waiting)

    def _end_asked(self, _number: int, _frame: object) -> None:
        self.told_to_end = True

    # --- start ------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Keep every lane busy."""
        for lane in self.lanes:
            while lane.job is None and self.waiting:
                entry = self.waiting.pop(0)
                if os.path.exists(self.order.path(entry)):
                    continue  # done before the batch system started this job once more
                if self.told_to_end:
                    self._keep(entry, "pre-empted", "it was told to end before it began")
                elif os.path.exists(self.order.path(entry, ".cancel")):
                    self._keep(entry, "cancelled", "cancelled before it started")
                else:
                    self._begin(entry, lane)

    def _begin(self, entry: Entry, lane: Lane) -> None:
        task = list(entry.task)
        setting = Setting(*task[PARTS:])
        folder = task[4]
        try:
            if folder and os.path.lexists(folder):
                remove(folder)  # of the same attempt, on a node that was lost
            if any("://" in item[0] for item in setting.stage) or entry.digests:
                task[PARTS:] = self.carrier.bring(setting, entry.digests).parts()
            self.spawner.learn(0, task[3], setting.apart == CONFINED)
            task[3] = self.spawner.envs[0]
            if entry.call:
                task[1], task[2] = self._calling(entry, task[3])
            restored = [path for path in entry.paths if os.path.lexists(f"{entry.kept}/{path}")]
            if restored:
                more = [[f"{entry.kept}/{path}", path, 1] for path in restored]
                merged = Setting(*task[PARTS:])
                task[PARTS:] = merged.but(stage=[*merged.stage, *more]).parts()
            job = begin(task, lane, self.spawner, self.slots, self.scratch)
        except (Unstarted, Unfetched, OSError, ValueError) as fault:
            self._keep(entry, "could not be started", str(fault))
        else:
            self.live[job.pid] = running = Running(entry, job)
            devices = os.fsdecode(task[3].get(b"CUDA_VISIBLE_DEVICES", b""))
            if devices:
                running.gpus = self._gpus(devices, entry)

    def _gpus(self, devices: str, entry: Entry) -> "Gpus | None":
        """The watch on a task's accelerators; nothing where nobody can tell."""
        try:
            return Gpus(devices, f"{self.scratch}/{entry.number}.gpus", self.spawner)
        except OSError:
            return None

    def _calling(self, entry: Entry, env: "dict[bytes, bytes]") -> "tuple[int, Any]":
        """How a Python call is made, and by what."""
        from hepflow.capsule import calling

        python = entry.call["python"]
        answer = f"{self.scratch}/{entry.number}.call"
        if not calling.can_fork(self.spawner.find(python, os.fsdecode(env.get(b"PATH", b""))), env):
            words = [python, *self.words, "call", entry.order, str(entry.number), answer]
            return ARGV, words
        if not self.knows_packages:
            self.knows_packages = True
            calling.know_installed_packages()
        return CALLED, lambda env: calling.answer_in_fork(entry.call, answer, env)

    # --- meanwhile --------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Sleep until a process ends, a signal comes or a look is due."""
        if not self.live:
            return
        times = [min(r.look_at, r.kill_at, self._limit(r)) for r in self.live.values()]
        patience = 0.0 if self._unheard() else max(0.0, min(times) - time.monotonic())
        select.select([self.wake_out], [], [], min(patience, LOOK_S))
        try:
            os.read(self.wake_out, 4096)
        except BlockingIOError:
            pass

    def _unheard(self) -> bool:
        return self.told_to_end and any(not r.job.verdict for r in self.live.values())

    def _limit(self, running: Running) -> float:
        job = running.job
        return job.clock + job.walltime_s if job.walltime_s and not job.verdict else float("inf")

    def _look(self, running: Running, now: float) -> None:
        """See to one that runs: its limit, whether its end is wanted, what it uses."""
        job, entry = running.job, running.entry
        if self.told_to_end and not job.verdict:
            self._end(running, self._why_told(running.job, now))
        if now >= self._limit(running):
            self._end(running, "time limit")
        if now >= running.kill_at:
            signal_group(job.pid, signal.SIGKILL)
            running.kill_at = float("inf")
        if now < running.look_at:
            return
        running.look_at = now + LOOK_S
        running.peak_bytes = max(running.peak_bytes, resident_bytes(job.pid))
        if now >= running.beat_at:
            beat(self.order.path(entry, ".beat"), f"{self.host} pid {job.pid}", job.lane.out.path)
            running.beat_at = now + BEAT_S
        if not job.verdict and os.path.exists(self.order.path(entry, ".cancel")):
            self._end(running, "cancelled")

    def _why_told(self, job: Job, now: float) -> str:
        """The verdict of a task that must end because the batch system says so."""
        spent, limit = now - self.began, self.order.limit_s
        if not limit or spent < limit - LIMIT_NEAR_S:
            return "pre-empted"
        # Others may have used up the time of the job: that is no fault of this one.
        return "time limit" if now - job.clock > limit * OWN_SHARE else "node or worker lost"

    def _end(self, running: Running, verdict: str) -> None:
        running.job.verdict = verdict
        running.kill_at = time.monotonic() + self.order.grace_s
        signal_group(running.job.pid, signal.SIGTERM)

    # --- the end ----------------------------------------------------------------------------------

    def _reap(self) -> None:
        for pid in list(self.live):
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                continue
            # The leader is still there as a zombie, so its group cannot be anybody else's.
            signal_group(pid, signal.SIGKILL)
            _pid, status, spent = os.wait4(pid, 0)
            running = self.live.pop(pid)
            running.job.measured(spent, running.peak_bytes)
            if running.gpus is not None:
                running.job.usage += running.gpus.end(running.job.usage[1])
            running.job.lane.job = None
            code = exit_code(status)
            if not running.job.verdict and self._was_told(running, code):
                running.job.verdict = self._why_told(running.job, time.monotonic())
            self._conclude(running, code)

    def _was_told(self, running: Running, code: int) -> bool:
        """Whether it ended because it was told to; it may have heard that before us."""
        deadline = time.monotonic() + HEARD_S
        if has_failed(running.job, code) or running.entry.paths:
            while not self.told_to_end and time.monotonic() < deadline:
                time.sleep(HEARD_S / 10)
        return self.told_to_end

    def _conclude(self, running: Running, code: int) -> None:
        entry, job = running.entry, running.job
        printed = job.lane.printed(job.folder)
        if job.setting.undo and (job.verdict or code < 0):
            _undo(job, self.spawner)
        if job.verdict not in ("", "cancelled") and entry.paths:
            _save(job.folder, entry.kept, entry.paths)
        if entry.call and not job.verdict:
            line = self._called(running, code, printed)
        elif has_failed(job, code):
            reason, line = failed(job, code, printed, self.kills_before)
            if reason == "out of memory":
                self.kills_before = oom_kills()
        else:
            line = found(job, code, printed, -1)
        self.slots.give_back(job.slot, job.setting)
        self._write(entry, line)

    def _called(self, running: Running, code: int, printed: "tuple[str, str]") -> bytes:
        """The result of a Python call, by what it left to say."""
        from hepflow.capsule import calling

        entry, job = running.entry, running.job
        answer = calling.outcome_of(f"{self.scratch}/{entry.number}.call")
        if answer is None:
            reason, line = failed(job, code, printed, self.kills_before)
            if reason == "out of memory":
                return line
            lost = code in (-signal.SIGKILL, -signal.SIGTERM)
            message = (
                f"the Python process ended while it ran {entry.call['function']} ({_end(code)})"
            )
            if not lost:
                message += last_line(printed[1])
            reason = "node or worker lost" if lost else "program"
            return result_line(job.name, reason, job.usage, None, None, message, code, printed)
        reason, message, values = answer
        if reason:
            return result_line(job.name, reason, job.usage, None, None, message, 0, printed)
        return found(job, 0, printed, -1, values)

    def _keep(self, entry: Entry, reason: str, message: str) -> None:
        usage = [round(time.time(), 3), 0, 0, 0]
        self._write(entry, result_line(entry.task[0], reason, usage, message=message))

    def _write(self, entry: Entry, line: bytes) -> None:
        keep(self.order.path(entry), line + encode(self.host).encode() + b"\n")


def _undo(job: Job, spawner: Spawner) -> None:
    """End what outlives the command that started it: a container."""
    try:
        pid = spawner.spawn(ARGV, job.setting.undo, spawner.base, job.lane.files, "")
    except OSError:  # then there is none
        return
    os.waitpid(pid, 0)


def _end(code: int) -> str:
    return f"ended by {signal_name(-code)}" if code < 0 else f"exit code {code}"


def _scratch(wanted: str) -> str:
    """A new folder of our own for what is forgotten in the end."""
    above = os.path.expandvars(wanted) if wanted else os.environ.get("TMPDIR", "/tmp")
    os.makedirs(above, exist_ok=True)
    folder = f"{above}/hepflow-{os.getpid()}-{os.urandom(4).hex()}"
    os.mkdir(folder, 0o700)
    return folder


def _save(folder: str, kept: str, paths: "list[str]") -> None:
    """Keep what a task that must go names as its checkpoint, whole or not at all."""
    for path in paths:
        source, target = f"{folder}/{path}", f"{kept}/{path}"
        if not os.path.lexists(source):
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        unfinished = f"{target}.tmp"
        if os.path.lexists(unfinished):
            remove(unfinished)
        copy(source, unfinished)
        if os.path.lexists(target):
            remove(target)
        os.rename(unfinished, target)
