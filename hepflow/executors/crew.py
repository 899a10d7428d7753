"""The worker processes of one local executor: started when needed, kept warm, ended together.

Owns which process serves which lane, and the variables tasks see. Must never know the queue or an
attempt's fate.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from hepflow.executors import lanes, processes
from hepflow.executors.journal import claim_journal
from hepflow.executors.machine import Machine
from hepflow.executors.processes import Places, Worker
from hepflow.wire.spelling import encode
from hepflow.wire.variables import for_cpus

Lane: TypeAlias = lanes.Lane[Worker]

MOST_LAUNCHERS: Final = 4
MOST_VARIABLES: Final = 512
"""Sets of variables remembered at a time."""

Variables: TypeAlias = tuple[float, tuple[str, ...], tuple[tuple[str, str], ...], bool]


class Crew:
    """Every worker process of ours."""

    def __init__(
        self, workdir: Path, machine: Machine, env: Mapping[str, str], grace_s: float
    ) -> None:
        self._workdir = workdir
        self._machine = machine
        self._grace_s = grace_s
        folder = os.path.dirname(sys.executable)
        self._env = {**env, "PATH": f"{folder}{os.pathsep}{env.get('PATH', os.defpath)}"}
        tag = hashlib.sha256(os.fsencode(workdir.absolute())).hexdigest()[:16]
        self.tag = f"{tag}."
        self._number = 0
        self._most_launchers = max(1, min(MOST_LAUNCHERS, math.ceil(machine.cpus)))
        self._launchers: list[Worker] = []
        self._idle: dict[object, list[Worker]] = {}
        self._retired: list[Worker] = []
        self._variables: dict[Variables, tuple[int, str]] = {}
        self._next_variables = 0
        self._unwatched: list[Worker] = []
        self.workers: dict[int, Worker] = {}

    # --- who serves a lane ------------------------------------------------------------------------

    def host(self, lane: Lane) -> Worker:
        """The process for a newly opened lane, started if there is none."""
        worker = self._python_worker(lane) if lane.shape.key.python else self._launcher()
        lane.host = worker
        lane.number = next(n for n in range(len(worker.lanes) + 1) if n not in worker.lanes)
        worker.lanes.add(lane.number)
        return worker

    def release(self, lane: Lane) -> None:
        """A lane was closed; its Python worker stays warm for the next of its kind."""
        worker = lane.host
        if worker is None or not worker.alive:
            return
        worker.lanes.discard(lane.number)
        if worker.is_python:
            self._idle.setdefault(worker.key, []).append(worker)

    def remove(self, worker: Worker) -> None:
        """A process is gone."""
        self.workers.pop(worker.pid, None)
        if worker in self._launchers:
            first = worker is self._launchers[0]
            self._launchers.remove(worker)
            if first:
                self._guard([other.pid for other in self.workers.values() if other.is_python])
        idle = self._idle.get(worker.key, [])
        if worker in idle:
            idle.remove(worker)
        if worker.key is not None and self._launchers:
            self._launchers[0].send(encode(["unguard", worker.pid]) + "\n")

    def newcomers(self) -> Iterator[Worker]:
        """Processes started since the last time, for somebody to listen to."""
        while self._unwatched:
            yield self._unwatched.pop()

    def _launcher(self) -> Worker:
        best = min(self._launchers, key=lambda worker: len(worker.lanes), default=None)
        if best is not None and (not best.lanes or len(self._launchers) >= self._most_launchers):
            return best
        places, mark = self._places()
        worker = processes.launcher(places, self._env, mark, self._grace_s)
        self._launchers.append(worker)
        return self._welcome(worker)

    def _python_worker(self, lane: Lane) -> Worker:
        shape = lane.shape.key
        key = (shape.path, shape.env, shape.cpus, lane.gpus)
        idle = self._idle.get(key)
        if idle:
            return idle.pop()
        self._make_room()
        places, mark = self._places()
        env = {**self._env, **self._changes(shape.cpus, lane.gpus, dict(shape.env))}
        worker = processes.python_worker(places, env, mark, shape.path)
        worker.key = key
        self._guard([worker.pid])
        return self._welcome(worker)

    def _welcome(self, worker: Worker) -> Worker:
        self.workers[worker.pid] = worker
        self._unwatched.append(worker)
        return worker

    def _guard(self, pids: list[int]) -> None:
        """Have a launcher end Python workers should this process be killed."""
        if pids:
            guardian = self._launchers[0] if self._launchers else self._launcher()
            guardian.send("".join([encode(["guard", pid]) + "\n" for pid in pids]))

    def _make_room(self) -> None:
        """End the Python workers that have been idle longest, so that a few are left."""
        idle = [worker for workers in self._idle.values() for worker in workers]
        for worker in idle[: max(0, len(idle) + 1 - math.ceil(self._machine.cpus))]:
            self._idle[worker.key].remove(worker)
            os.close(worker.tokens[1])
            worker.tokens = worker.tokens[:1]

    def _places(self) -> tuple[Places, str]:
        number, path, journal = claim_journal(self._workdir, self._number)
        self._number = number + 1
        return Places.of(self._workdir, number, path, journal), f"{self.tag}{os.getpid()}.{number}."

    # --- variables --------------------------------------------------------------------------------

    def variables(
        self, lane: Lane, env: Mapping[str, str], worker: Worker, confined: bool = False
    ) -> tuple[int, str]:
        """The number of a task's variables, and the lines its process needs to know them first."""
        key = (lane.shape.key.cpus, lane.gpus, tuple(env.items()) if env else (), confined)
        known = self._variables.get(key)
        if known is None:
            if len(self._variables) >= MOST_VARIABLES:
                self._variables.clear()
            number = self._next_variables
            self._next_variables += 1
            changes = self.changes(lane, env, confined)
            line = encode(["env", number, changes, int(confined)]) + "\n"
            known = self._variables[key] = number, line
        number, line = known
        if number in worker.known:
            return number, ""
        if len(worker.known) >= MOST_VARIABLES:
            worker.known.clear()
            line = encode(["forget"]) + "\n" + line
        worker.known.add(number)
        return number, line

    def changes(self, lane: Lane, env: Mapping[str, str], confined: bool) -> dict[str, str]:
        """The variables that a task sees because of what it asked for, and its own."""
        if confined:
            return {**self._gpus(lane.gpus), **env}
        return self._changes(lane.shape.key.cpus, lane.gpus, env)

    def _changes(
        self, cpus: float, gpus: tuple[str, ...], env: Mapping[str, str]
    ) -> dict[str, str]:
        changes = for_cpus(cpus, self._env)
        changes.update(self._gpus(gpus))
        changes.update(env)
        return changes

    def _gpus(self, gpus: tuple[str, ...]) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if self._machine.gpus else {}

    # --- the end ----------------------------------------------------------------------------------

    def end(self) -> None:
        """End every process: those that do nothing by themselves, the others by force."""
        workers = list(self.workers.values())
        launchers = list(self._launchers)
        for worker in workers:
            if worker.is_python and worker.lanes:
                worker.signal(9)
        for worker in launchers:
            for other in workers:
                if other.key is not None and worker is launchers[0]:
                    worker.send(encode(["unguard", other.pid]) + "\n")
            worker.send(encode(["end"]) + "\n")
        for worker in workers:
            if worker not in launchers:
                worker.hang_up()
        left = processes.await_end(workers, min(self._grace_s, 1.0) + 1.0)
        forced = bool(left)
        for worker in workers:
            worker.reap()
            worker.hang_up()
        if forced:
            processes.end_marked(f"{self.tag}{os.getpid()}.")
        self.workers.clear()
        self._launchers.clear()
        self._idle.clear()
