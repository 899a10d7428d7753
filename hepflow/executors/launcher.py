"""The launcher: a small process that starts commands, waits for them and says how they ended.

Owns the children it starts, from ``posix_spawn`` to the digest of what they left. It is a process
of its own because a small one spawns cheaply, because a child's peak memory starts from its
parent's, and because it outlives a head that was killed: it then keeps what had finished and ends
the rest. Standard library only, for Python 3.9; must never know a step, a run or the head's state.

It reads lines of JSON from its standard input, a socket::

    ["env", number, {name: value}, confined]   variables, told once and referred to by number
    ["forget"]                                 all of those
    ["run", lane, [task, ...]]                 one after the other in that lane
    ["recall", lane]                           give back what has not started there
    ["cancel", [id, ...]]                      end these
    ["guard", pid], ["unguard", pid]           end that process group when the head is gone
    ["end"]                                    end everything and exit

with tasks as in `capsule.job`, and answers with the lines of `capsule.report`.
"""

from __future__ import annotations

import gc
import heapq
import json
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from contextlib import suppress

from hepflow.capsule.folder import Large
from hepflow.capsule.job import (
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
from hepflow.capsule.light import encode
from hepflow.capsule.placing import Slots
from hepflow.capsule.report import (
    BROKEN,
    READY,
    RECALLED,
    STARTED,
    Journal,
    oom_kills,
    result_line,
)
from hepflow.capsule.spawning import ARGV, Spawner

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no launcher need load
    from typing import Any

TELL_AFTER_S = 0.05
"""A task that runs longer is told to have started; of shorter ones only the end is news."""

HOLD_S = 0.01
"""Results wait this long for company, unless a lane has run dry."""

FAREWELL_S = 0.25
"""What runs when the head is gone may still end by itself for so long."""

LARGE = 4 << 20
"""Longer files are digested in a thread."""

MOST_THREADS = 4


class Channel:
    """The two ways to the head: lines in, lines out, never blocking on a head that is busy."""

    def __init__(self, descriptor: int, poller: select.poll) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._poller = poller
        self._unread = b""
        self._unsent = b""
        self._held: list[bytes] = []
        self.held_since = 0.0
        poller.register(descriptor, select.POLLIN)

    def hold(self, line: bytes) -> None:
        """Send a line with the next flush."""
        if not self._held:
            self.held_since = time.monotonic()
        self._held.append(line)

    def due(self, now: float, at_once: bool) -> bool:
        """Whether there is something to send that should not wait for more."""
        if self._unsent:
            return True
        return bool(self._held) and (at_once or now - self.held_since >= HOLD_S)

    def flush(self) -> None:
        """Send what is held, as far as the head takes it now."""
        self._unsent += b"".join(self._held)
        self._held.clear()
        self.held_since = 0.0
        try:
            sent = os.write(self._descriptor, self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:  # the head is gone, which reading will tell
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]
        wanted = select.POLLIN | select.POLLOUT if self._unsent else select.POLLIN
        self._poller.modify(self._descriptor, wanted)

    def receive(self) -> list[Any] | None:
        """The messages that arrived; ``None`` when the head is gone."""
        try:
            data = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        lines = (self._unread + data).split(b"\n")
        self._unread = lines.pop()
        return [json.loads(line) for line in lines]


class Launcher:
    """Starts, watches and reaps; one thread, one loop."""

    def __init__(self, journal: int, lane_prefix: str, scratch: str, grace_s: float) -> None:
        self.poller = select.poll()
        self.channel = Channel(0, self.poller)
        self.journal = Journal(journal)
        self.lane_prefix, self.scratch, self.grace_s = lane_prefix, scratch, grace_s
        self.spawner = Spawner(dict(os.environ))
        self.lanes: dict[int, Lane] = {}
        self.jobs: dict[int, Job] = {}
        self.slots = Slots(scratch)
        self.undone: dict[int, tuple[Job, int, tuple[str, str]]] = {}
        self.fresh: deque[Job] = deque()
        self.timers: list[tuple[float, int, str, Job]] = []
        self.guarded: set[int] = set()
        self.threads: list[threading.Thread] = []
        self.apart: deque[bytes] = deque()
        self.dry = True
        self.kills_before = oom_kills()
        self.null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.wake_out, self.wake_in = os.pipe()
        os.set_blocking(self.wake_out, False)
        os.set_blocking(self.wake_in, False)
        self.poller.register(self.wake_out, select.POLLIN)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self.wake_in, warn_on_full_buffer=False)

    # --- the loop ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until the head is gone or says so."""
        self.channel.hold(encode([READY]).encode() + b"\n")
        self.channel.flush()
        while True:
            for descriptor, _event in self.poller.poll(self.patience_ms()):
                if descriptor == self.wake_out:
                    self.reap()
                    continue
                messages = self.channel.receive()
                if messages is None:
                    return self.farewell(FAREWELL_S)
                for message in messages:
                    if message[0] == "end":
                        self.end_all(signal.SIGTERM)
                        return self.farewell(min(self.grace_s, 1.0))
                    self.handle(message)
            now = time.monotonic()
            self.tick(now)
            if self.channel.due(now, self.dry):
                self.channel.flush()
                self.dry = False

    def handle(self, message: list[Any]) -> None:
        what = message[0]
        first: Any = message[1] if len(message) > 1 else None
        if what == "run":
            lane = self.lanes.get(first)
            if lane is None:
                lane = self.lanes[first] = Lane(f"{self.lane_prefix}-{first}", self.null)
            for task in message[2]:
                task[3] = self.spawner.envs[task[3]]
                lane.queue.append(task)
            if lane.job is None:
                self.start_next(lane)
        elif what == "env":
            self.spawner.learn(first, message[2], bool(message[3]))
        elif what == "forget":
            self.spawner.envs.clear()
        elif what == "recall":
            self.recall(first)
        elif what == "cancel":
            self.cancel(set(first))
        elif what == "guard":
            self.guarded.add(first)
        elif what == "unguard":
            self.guarded.discard(first)

    def patience_ms(self) -> float | None:
        """How long nothing needs doing unless something happens; ``None`` for ever."""
        when = []
        if self.channel.held_since:
            when.append(self.channel.held_since + HOLD_S)
        while self.fresh and self.fresh[0].ended:
            self.fresh.popleft()
        if self.fresh:
            when.append(self.fresh[0].clock + TELL_AFTER_S)
        if self.timers:
            when.append(self.timers[0][0])
        return max(0.0, (min(when) - time.monotonic()) * 1e3 + 0.5) if when else None

    def tick(self, now: float) -> None:
        """Do what is due: tell of long tasks, end those over their limit."""
        while self.fresh and (self.fresh[0].ended or now - self.fresh[0].clock >= TELL_AFTER_S):
            job = self.fresh.popleft()
            if job.ended:
                continue
            line = encode([STARTED, job.name, job.pid, job.lane.out.path])
            self.channel.hold(line.encode() + b"\n")
            self.dry = True
            if job.walltime_s:
                self.at(job.clock + job.walltime_s, "limit", job)
        while self.timers and self.timers[0][0] <= now:
            _when, _pid, what, job = heapq.heappop(self.timers)
            if job.ended:
                continue
            if what == "limit":
                self.end(job, "time limit")
            else:
                signal_group(job.pid, signal.SIGKILL)

    def at(self, when: float, what: str, job: Job) -> None:
        heapq.heappush(self.timers, (when, job.pid, what, job))

    def tell(self, line: bytes) -> None:
        """Keep a result in the journal, then send it."""
        fault = self.journal.write(line)
        if fault:
            self.channel.hold(encode([BROKEN, fault]).encode() + b"\n")
        self.channel.hold(line)

    # --- what the head says -----------------------------------------------------------------------

    def recall(self, number: int) -> None:
        """Give back what has not started in a lane."""
        queue = self.lanes[number].queue
        line = encode([RECALLED, number, [task[0] for task in queue]])
        queue.clear()
        self.channel.hold(line.encode() + b"\n")
        self.dry = True

    def cancel(self, names: set[str]) -> None:
        message = "cancelled before it started"
        for lane in self.lanes.values():
            dropped = [task[0] for task in lane.queue if task[0] in names]
            if dropped:
                lane.queue = deque(task for task in lane.queue if task[0] not in names)
                for name in dropped:
                    self.tell(result_line(name, "cancelled", [0, 0, 0, 0], message=message))
            if lane.job is not None and lane.job.name in names:
                self.end(lane.job, "cancelled")
        self.dry = True

    # --- start ------------------------------------------------------------------------------------

    def start_next(self, lane: Lane) -> None:
        """Start the next task of a lane; those that cannot be started are answered on the way."""
        while lane.queue:
            task = lane.queue.popleft()
            try:
                job = begin(task, lane, self.spawner, self.slots, self.scratch)
            except Unstarted as fault:
                usage = [round(time.time(), 3), 0, 0, 0]
                self.tell(result_line(task[0], "could not be started", usage, message=str(fault)))
            else:
                self.jobs[job.pid] = job
                self.fresh.append(job)
                return
        self.dry = True

    # --- end --------------------------------------------------------------------------------------

    def end(self, job: Job, verdict: str) -> None:
        if not job.verdict:
            job.verdict = verdict
            signal_group(job.pid, signal.SIGTERM)
            self.at(time.monotonic() + self.grace_s, "kill", job)

    def reap(self) -> None:
        """Take in every child that has exited, and keep its lane busy."""
        with suppress(BlockingIOError):
            os.read(self.wake_out, 4096)
        while self.apart:
            self.tell(self.apart.popleft())
            self.dry = True
        while self.jobs or self.undone:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            # The leader is still there as a zombie, so its group cannot be anybody else's.
            signal_group(ended.si_pid, signal.SIGKILL)
            _pid, status, spent = os.wait4(ended.si_pid, 0)
            if ended.si_pid in self.undone:
                self.conclude(*self.undone.pop(ended.si_pid))
                continue
            job = self.jobs.pop(ended.si_pid)
            job.measured(spent)
            lane = job.lane
            printed = lane.printed(job.folder)
            lane.job = None
            self.start_next(lane)
            code = exit_code(status)
            if not (job.setting.undo and (job.verdict or job.abandoned or code < 0)):
                self.conclude(job, code, printed)
            else:
                self.undo(job, code, printed)

    def undo(self, job: Job, code: int, printed: tuple[str, str]) -> None:
        """End what outlives the command that started it (a container); the job is over after that."""
        try:
            undo, env = job.setting.undo, self.spawner.base
            pid = self.spawner.spawn(ARGV, undo, env, job.lane.files, "")
        except OSError:
            self.conclude(job, code, printed)
        else:
            self.undone[pid] = job, code, printed

    def conclude(self, job: Job, code: int, printed: tuple[str, str]) -> None:
        """Say how a task ended, with what it left where it ended well.

        Of a task that we ended only because the head went away there is nothing to say: it has not
        failed, and a later head runs it again.
        """
        if job.abandoned:
            self.slots.give_back(job.slot, job.setting)
            return
        if has_failed(job, code):
            reason, line = failed(job, code, printed, self.kills_before)
            if reason == "out of memory":
                self.kills_before = oom_kills()
            self.slots.give_back(job.slot, job.setting)
            self.tell(line)
            return
        try:
            self.tell(self.found(job, code, printed, LARGE))
        except Large:
            self.threads = [thread for thread in self.threads if thread.is_alive()]
            if len(self.threads) >= MOST_THREADS:
                self.tell(self.found(job, code, printed, -1))
                return
            thread = threading.Thread(target=self.collect_apart, args=(job, code, printed))
            self.threads.append(thread)
            thread.start()

    def collect_apart(self, job: Job, code: int, printed: tuple[str, str]) -> None:
        """Digest what is large, in a thread; the loop tells the result."""
        self.apart.append(self.found(job, code, printed, -1))
        os.write(self.wake_in, b"\0")

    def found(self, job: Job, code: int, printed: tuple[str, str], limit: int) -> bytes:
        """The result of a task that ended well: with what it left, if that is as declared.

        Raises:
            Large: there is more to digest than ``limit``.
        """
        line = found(job, code, printed, limit)
        self.slots.give_back(job.slot, job.setting)
        return line

    def end_all(self, number: int) -> None:
        for lane in self.lanes.values():
            lane.queue.clear()
        for job in self.jobs.values():
            job.abandoned = True
            signal_group(job.pid, number)

    def farewell(self, patience_s: float) -> None:
        """Let what runs end by itself for a moment, keep its results, and end the rest."""
        now = time.monotonic()
        soft, hard = now + patience_s, now + patience_s + 5.0
        for lane in self.lanes.values():
            lane.queue.clear()
        self.poller = select.poll()
        self.poller.register(self.wake_out, select.POLLIN)
        self.reap()
        while (self.jobs or self.undone or self.guarded) and time.monotonic() < soft:
            self.poller.poll(max(1.0, (soft - time.monotonic()) * 1e3))
            self.reap()
        self.end_all(signal.SIGKILL)
        for pid in self.guarded:
            if _is_worker(pid):
                signal_group(pid, signal.SIGKILL)
        while (self.jobs or self.undone) and time.monotonic() < hard:
            self.poller.poll(10.0)
            self.reap()
        for thread in self.threads:
            thread.join(2.0)
        self.reap()


def _is_worker(pid: int) -> bool:
    """Whether a process still is the Python worker the head told of, not a later one."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"HEPFLOW_WORKER=" in file.read()
    except OSError:
        return False


def main() -> None:
    """Run until the head is gone or says so; arguments: journal's descriptor, lane prefix, scratch, grace."""
    journal, lane_prefix, scratch, grace_s = sys.argv[1:5]
    # What is loaded stays; neither while it works nor at its end is there garbage in it to look for.
    gc.freeze()
    Launcher(int(journal), lane_prefix, scratch, float(grace_s)).run()
    gc.freeze()
