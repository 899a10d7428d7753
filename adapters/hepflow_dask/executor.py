"""The executor: bundles become Dask tasks.

Owns the client and the cluster that it started. Must never know what is in a bundle.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from distributed import Client, KilledWorker
from distributed.comm import CommClosedError

from hepflow.model.site import Container, Extent, Site, number, text
from hepflow.model.task import Resources
from hepflow.pilots.carrying import Unfit
from hepflow.pilots.executor import PilotExecutor
from hepflow.pilots.orders import Order
from hepflow.pilots.parcels import Parcel
from hepflow.pilots.sizes import extent_of

from . import clusters
from .carrying import carry, lay

PATIENCE_S: Final = 60.0
"""How long to wait for the first worker of a batch system before its log is looked at."""
OURS: Final = ("cpus", "memory_mib", "gpus", "grace_s")
"""Settings that the local executor beside a worker takes."""


class DaskExecutor(PilotExecutor):
    """Runs attempts on Dask workers.

    Args:
        workdir: a folder that the workers see as well.
        site: its ``settings``, ``env`` and, for a cluster from a batch system, ``account``,
            ``queue``, ``modules``, ``setup`` and ``lines`` are used.
    """

    settings: Final = {
        "address": "the scheduler to use; without it a cluster is started",
        "cluster": f"what to start: local, {', '.join(clusters.BATCH)}; local",
        "workers": "workers to start; 1",
        "cpus": "cores of each worker; its threads, or all cores of this machine",
        "memory_mib": "mebibytes of memory of each worker; its limit when not said",
        "gpus": "accelerators of each worker, as CUDA_VISIBLE_DEVICES names them; those found",
        "walltime": "how long a batch job of workers lasts, as the batch system writes it",
        "options": "more arguments for the class of dask-jobqueue, as they are",
        "timeout_s": "seconds to wait for the scheduler and its first worker; 30",
        "grace_s": "seconds a task that must end may take between SIGTERM and SIGKILL; 10",
    }

    def __init__(self, workdir: Path, *, site: Site) -> None:
        _refuse(site)
        clusters.check(site)
        engine = DaskEngine(workdir, site)
        given = {name: site.settings[name] for name in OURS if name in site.settings}
        if not text(site.settings, "address"):
            given.setdefault("cpus", engine.cpus)
        super().__init__(workdir.absolute(), engine, given, site.env, engine.extent(given))


class DaskEngine:
    """A Dask cluster, as what carries bundles."""

    def __init__(self, folder: Path, site: Site) -> None:
        self._folder = folder
        self._site = site
        self._address = text(site.settings, "address")
        self._kind = text(site.settings, "cluster", "local")
        self._patience_s = number(site.settings, "timeout_s", 30.0)
        self.cpus = number(site.settings, "cpus", clusters.cores())
        self._cluster: Any = None
        self._client: Client | None = None
        self._threads: dict[str, int] = {}
        self._has_gpus = False
        self._left: dict[int, Any] = {}
        self._laid = count()
        self._tag = secrets.token_hex(4)
        self._began = 0.0

    def extent(self, worker: Mapping[str, object]) -> Extent:
        """What its workers have, by the settings of the local executor beside each."""
        workers = 0 if self._address else int(number(self._site.settings, "workers", 1))
        return extent_of(worker, workers, here=not self._address and self._kind == "local")

    def start(self) -> int:
        """Have the scheduler, and its workers where they are not a matter of a queue."""
        self._began = time.monotonic()
        if self._address:
            self._client = clusters.connected(self._address, self._patience_s)
        else:
            clusters.quiet()
            if self._kind == "local":
                self._cluster = clusters.local(self._site, self._folder, self.cpus)
            else:
                self._cluster = clusters.from_batch(self._site, self._folder)
            self._client = Client(self._cluster, set_as_default=False)
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        self._threads = {name: facts["nthreads"] for name, facts in workers.items()}
        self._has_gpus = any(facts.get("resources", {}).get("GPU") for facts in workers.values())
        if self._address:
            return max(1, sum(self._threads.values()))
        return max(1, int(self.cpus * number(self._site.settings, "workers", 1)))

    def carry(
        self, order: Order, resources: Resources, parcels: Sequence[object]
    ) -> Future[Parcel]:
        """One Dask task for a bundle, where most of what it asks for is already, if there is a place."""
        assert self._client is not None
        answer: Future[Parcel] = Future()
        wide = None
        if self._address and resources.cpus > 1:
            wide = [name for name, n in self._threads.items() if n >= resources.cpus] or None
        future = self._client.submit(
            carry,
            order,
            *parcels,
            key=f"hepflow-{order.tag}-{order.number}",
            pure=False,
            workers=wide,
            resources={"GPU": resources.gpus} if resources.gpus and self._has_gpus else None,
        )
        self._left[order.number] = future
        future.add_done_callback(partial(_pass_on, answer))
        return answer

    def lay(self, parcel: Parcel) -> object:
        """A parcel as the result of a Dask task, which Dask can make again if its worker is lost."""
        assert self._client is not None
        key = f"hepflow-{self._tag}-laid-{next(self._laid)}"
        return self._client.submit(lay, parcel, key=key, pure=False)

    def left(self, number: int) -> object | None:
        """The Dask future of a bundle: what it left stays on its worker while that is held."""
        found: object | None = self._left.pop(number, None)
        return found

    def has(self, handle: object) -> bool:
        """Whether Dask has it, or is about to."""
        return getattr(handle, "status", "") in ("finished", "pending")

    def fault(self) -> str:
        """Why there will be no worker."""
        assert self._client is not None
        if self._client.status != "running":
            return f"the Dask scheduler is gone (the client is {self._client.status})"
        waited = time.monotonic() - self._began
        if waited < PATIENCE_S or self._client.scheduler_info(n_workers=1)["workers"]:
            return ""
        if self._address:
            return f"the Dask scheduler at {self._address} has lost all its workers"
        return f"no Dask worker came within {waited:.0f} s{self._said()}"

    def _said(self) -> str:
        """The end of what the jobs of a batch system printed."""
        logs = sorted(self._folder.glob("*.err"), key=lambda path: path.stat().st_mtime)
        for path in reversed(logs):
            lines = path.read_text(errors="replace").strip().splitlines()
            if lines:
                return f"; its job wrote: {lines[-1]}"
        return "; the batch system has not started its job yet, or it printed nothing"

    def explain(self, error: BaseException) -> str:
        """Why a worker was lost."""
        if isinstance(error, KilledWorker):
            return f"the Dask worker that ran it was lost ({error.last_worker.address})"
        if isinstance(error, (CommClosedError, CancelledError)):
            return "the Dask scheduler lost it"
        return ""

    def recover(self) -> None:
        """Nothing: workers of ours ended with the earlier head, and foremen hear it themselves."""

    def close(self) -> None:
        """End the client, and the cluster that we started."""
        self._left.clear()
        if self._client is not None:
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _pass_on(answer: Future[Parcel], future: Any) -> None:
    """On a thread of Dask's: a Dask future's end becomes the plain future's."""
    try:
        error = future.exception() if future.status == "error" else None
        if future.status in ("cancelled", "lost"):
            error = CancelledError()
        if error is None:
            answer.set_result(future.result())
        elif isinstance(error, ImportError) or "deserializ" in str(error):
            answer.set_exception(_unloadable(error))
        else:
            answer.set_exception(error)
    except (CommClosedError, CancelledError, TimeoutError) as error:
        answer.set_exception(CancelledError(str(error)))


def _unloadable(error: BaseException) -> Unfit:
    cause = error.__cause__ or error
    return Unfit(
        f"the Dask worker cannot load hepflow_dask ({cause}): install hepflow[dask] there, with the"
        " Python and the versions of the head"
    )


def _refuse(site: Site) -> None:
    if site.container != Container():
        raise ValueError(
            "the dask executor finds the container runtime itself: leave out 'container'"
        )
    on_batch = (
        not text(site.settings, "address") and text(site.settings, "cluster", "local") != "local"
    )
    said = {
        "modules": site.modules,
        "setup": site.setup,
        "lines": site.lines,
        "queues": site.queues,
    }
    for name, value in said.items():
        if value and (name == "queues" or not on_batch):
            raise ValueError(f"the dask executor has no use for '{name}' where it submits no jobs")
