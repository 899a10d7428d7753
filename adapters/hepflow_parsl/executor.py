"""The executor: bundles become tasks of Parsl's HighThroughputExecutor.

Owns it and its blocks of workers; Parsl's own engine is not used. Must never know what is in a bundle.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost
from parsl.jobs.states import JobState

from hepflow.model.errors import UnavailableError
from hepflow.model.site import Container, Site, number, text, words
from hepflow.model.task import Resources
from hepflow.pilots.executor import PilotExecutor
from hepflow.pilots.orders import Order
from hepflow.pilots.parcels import Parcel
from hepflow.pilots.sizes import extent_of

from . import providers
from .carrying import carry

LABEL: Final = "hepflow"
WATCH_S: Final = 5.0
"""Seconds between two questions how the blocks are."""
POLL_MS: Final = 100
"""Milliseconds after which Parsl's threads look up though nothing came; its own 10 cost an idle head."""
PATIENCE_S: Final = 45.0
"""Seconds in which the workers of a block that runs must be heard of."""
MOST_LOST: Final = 3
"""Blocks without a worker after which no more are asked for."""


class ParslExecutor(PilotExecutor):
    """Runs attempts on Parsl's workers.

    Args:
        workdir: a folder that the workers see as well.
        site: its ``settings``, ``env``, ``account``, ``queues``, ``modules``, ``setup`` and
            ``lines`` are used.
    """

    settings: Final = {
        "provider": f"where blocks of workers come from: {', '.join(providers.PROVIDERS)}; local",
        "max_blocks": "blocks of workers; 1",
        "nodes_per_block": "nodes of a block; 1",
        "cores_per_node": "cores of a node; all of this machine with the provider local",
        "mem_per_node_gb": "gigabytes of memory of a node",
        "walltime": "how long a block lasts, as Parsl writes it (01:00:00)",
        "launcher": f"what starts workers on nodes: {', '.join(providers.LAUNCHERS)}; simple",
        "workers_per_node": "workers of a node; as many as its cores give",
        "cpus": "cores of each worker, the most that a task may have; 1",
        "memory_mib": "mebibytes of memory of each worker; its share when not said",
        "gpus": "accelerators of each node, as CUDA_VISIBLE_DEVICES names them; a worker gets one",
        "address": "of this machine, as the workers reach it",
        "image": "container image of the workers (kubernetes)",
        "namespace": "where they run (kubernetes)",
        "options": "more arguments for Parsl's provider, as they are",
        "grace_s": "seconds a task that must end may take between SIGTERM and SIGKILL; 10",
    }

    def __init__(self, workdir: Path, *, site: Site) -> None:
        if site.container != Container():
            raise ValueError("the parsl executor finds the container runtime itself: leave out 'container'")  # fmt: skip
        providers.asked(site)
        engine = ParslEngine(workdir.absolute(), site)
        super().__init__(workdir.absolute(), engine, engine.worker, site.env, engine.extent)


class ParslEngine:
    """A HighThroughputExecutor, as what carries bundles."""

    def __init__(self, folder: Path, site: Site) -> None:
        settings = site.settings
        self._folder = folder
        self._site = site
        self._blocks = int(number(settings, "max_blocks", 1))
        self._nodes = int(number(settings, "nodes_per_block", 1))
        cores = number(settings, "cores_per_node", len(os.sched_getaffinity(0)))
        self._cpus = number(settings, "cpus", 1)
        self._gpus = words(settings, "gpus")
        self._workers = int(number(settings, "workers_per_node", max(1, cores // self._cpus)))
        self.worker: dict[str, object] = {"cpus": self._cpus}
        memory = number(settings, "mem_per_node_gb", 0) * 1024 / self._workers
        if memory or "memory_mib" in settings:
            self.worker["memory_mib"] = number(settings, "memory_mib", int(memory))
        if not self._gpus and "gpus" in settings:
            self.worker["gpus"] = []
        if "grace_s" in settings:
            self.worker["grace_s"] = number(settings, "grace_s", 10.0)
        here = text(settings, "provider", "local") == "local"
        workers = self._blocks * self._nodes * self._workers
        self.extent = extent_of(self.worker, workers, here=here)
        self._htex: Any = None
        self._fault = ""
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._look_after, daemon=True)
        self._since: dict[str, float] = {}
        self._connected: set[str] = set()

    def start(self) -> int:
        """Start the interchange and ask for all blocks."""
        own = self._folder / "parsl"
        provider = providers.made(self._site, own / "scripts")
        local = text(self._site.settings, "provider", "local") == "local"
        self._htex = HighThroughputExecutor(
            label=LABEL,
            provider=provider,
            address=text(self._site.settings, "address") or ("127.0.0.1" if local else None),
            cores_per_worker=self._cpus if not local else 1e-6,
            max_workers_per_node=self._workers,
            available_accelerators=list(self._gpus),
            interchange_launch_cmd=[sys.executable, "-m", "hepflow_parsl.interchange"],
            poll_period=POLL_MS,
            heartbeat_period=10,
            heartbeat_threshold=30,
        )
        self._htex.run_dir = str(own)
        (own / LABEL).mkdir(parents=True, exist_ok=True)
        self._htex.start()
        self._scale_out(self._blocks)
        if self._fault:
            raise UnavailableError.of(
                "HF404", self._fault, fix="'hepflow site show' has the settings"
            )
        self._watch.start()
        return self._blocks * self._nodes * self._workers

    def carry(
        self, order: Order, resources: Resources, parcels: Sequence[object]
    ) -> Future[Parcel]:
        """One Parsl task for a bundle; Parsl's workers keep nothing, so there are no parcels."""
        future: Future[Parcel] = self._htex.submit(carry, {}, order)
        return future

    def fault(self) -> str:
        """Why there will be no worker."""
        return self._fault

    def explain(self, error: BaseException) -> str:
        """Why a worker was lost."""
        if isinstance(error, (ManagerLost, WorkerLost)):
            return f"the Parsl worker that ran it was lost ({error})"
        return ""

    def recover(self) -> None:
        """End workers that a killed head has left on this machine, and its blocks elsewhere."""
        mine = {*self._htex.blocks_to_job_id.values()}
        known = self._folder / "blocks"
        if known.exists():
            left = [job for job in known.read_text().split() if job not in mine]
            if left and text(self._site.settings, "provider", "local") != "local":
                for job in left:
                    self._htex.provider.resources.setdefault(job, {})
                self._htex.provider.cancel(left)
        ours = {os.getpgrp(), *(_group(int(job)) for job in mine if job.isdigit())}
        # Parsl gives each block a process group of its own; its workers do not mention the folder.
        for group in {_group(pid) for pid in _managers(str(self._folder / "parsl"))} - {0, *ours}:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def close(self) -> None:
        """End the blocks and the interchange."""
        self._closing.set()
        if self._htex is None:
            return
        jobs = [job for block, job in self._htex.blocks_to_job_id.items()
                if not self._htex.status_facade[block].terminal]  # fmt: skip
        if jobs:
            self._htex.provider.cancel(jobs)
        if self._watch.is_alive():
            self._watch.join(WATCH_S)
        self._htex.shutdown()

    # --- blocks -----------------------------------------------------------------------------------

    def _scale_out(self, count: int) -> None:
        blocks = self._htex.scale_out_facade(count)
        now = time.monotonic()
        with (self._folder / "blocks").open("a") as file:
            for block in blocks:
                self._since[block] = now
                file.write(f"{self._htex.blocks_to_job_id[block]}\n")
        if len(blocks) < count:
            failed = [s.message for s in self._htex.status_facade.values() if s.message]
            self._fault = f"Parsl could not ask for workers: {failed[-1] if failed else 'unknown'}"

    def _look_after(self) -> None:
        """On a thread of its own, because it asks the batch system: keep the blocks up."""
        while not self._closing.wait(WATCH_S) and not self._fault:
            if self._htex.interchange_proc.poll() is not None:
                self._fault = "Parsl's interchange has ended"
                return
            self._htex._last_poll_time = 0.0
            self._htex.poll_facade()
            self._connected.update(self._htex.connected_blocks())
            self._judge(time.monotonic())

    def _judge(self, now: float) -> None:
        """Find out blocks that will never have a worker, and replace those that came to their end."""
        status = dict(self._htex.status_facade)
        dead = [b for b, s in status.items() if s.terminal and b not in self._connected]
        for block, state in status.items():
            if state.state != JobState.RUNNING:
                self._since[block] = now
            silent = now - self._since.get(block, now) > PATIENCE_S and block not in self._connected
            if silent or (block in dead and len(dead) >= min(MOST_LOST, self._blocks)):
                what = (
                    "runs, but no worker of it was heard of" if silent else "ended without a worker"
                )
                hint = (
                    f"; workers must reach this machine at {self._reached_at()}" if silent else ""
                )
                self._fault = f"a block of Parsl workers {what}{self._said(block, state)}{hint}"
                return
        alive = sum(not state.terminal for state in status.values())
        if alive < self._blocks and self._htex.outstanding():
            self._scale_out(self._blocks - alive)

    def _reached_at(self) -> str:
        """Where workers look for the head."""
        said = self._htex.address or "any of its addresses"
        return f"{said} (the setting 'address')"

    def _said(self, block: str, state: Any) -> str:
        """The end of what a block wrote."""
        texts = [state.stderr_summary or ""]
        texts += [path.read_text(errors="replace") for path in self._scripts(block)]
        for said in texts:
            lines = said.strip().splitlines()
            if lines:
                return f"; it wrote: {lines[-1][:300]}"
        return f"; the provider says: {state}, and it wrote nothing to standard error"

    def _scripts(self, block: str) -> Iterator[Path]:
        folder = self._folder / "parsl" / "scripts"
        for pattern in (f"*block-{block}.*.err", f"*block-{block}.*stderr"):
            yield from folder.glob(pattern)


def _group(pid: int) -> int:
    """The process group that a process belongs to; 0 where it is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _managers(folder: str) -> list[int]:
    """Parsl's processes of this machine that look after workers for a run in a folder."""
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError):
            line = Path("/proc", name, "cmdline").read_bytes() if name.isdigit() else b""
            if b"process_worker_pool" in line and folder.encode() in line:
                found.append(int(name))
    return found
