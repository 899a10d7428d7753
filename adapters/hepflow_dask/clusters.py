"""Which cluster a site means, and how it is started.

Must never know a task.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dask
from distributed import Client, LocalCluster

from hepflow.model.errors import UnavailableError
from hepflow.model.site import Site, number, text

BATCH: Final = {
    "htcondor": "HTCondorCluster",
    "lsf": "LSFCluster",
    "moab": "MoabCluster",
    "oar": "OARCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "slurm": "SLURMCluster",
}
"""Batch systems by the classes of dask-jobqueue."""

THREADS: Final = 4
"""Threads of a worker of ours for each of its cores: they only wait for the foreman."""


NO_DASHBOARD: Final[Mapping[str, Any]] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""A scheduler serves HTTP whatever one says, by itself on a fixed port: two runs would meet there."""


def check(site: Site) -> None:
    """Refuse settings that say nothing.

    Raises:
        ValueError: a sentence for the user.
    """
    settings = site.settings
    address, cluster = text(settings, "address"), text(settings, "cluster", "local")
    if address and "cluster" in settings and cluster != "local":
        raise ValueError("the settings 'address' and 'cluster' exclude each other")
    if cluster not in ("local", *BATCH):
        known = ", ".join(["local", *BATCH])
        raise ValueError(f"the setting 'cluster' takes one of {known}, gets '{cluster}'")
    if cluster in BATCH and not address:
        for name in ("cpus", "memory_mib"):
            if not number(settings, name, 0):
                raise ValueError(f"a cluster from a batch system needs the setting '{name}'")
    if not isinstance(settings.get("options", {}), Mapping):
        raise ValueError("the setting 'options' takes a mapping")


def local(site: Site, folder: Path, cpus: float) -> Any:
    """A cluster on this machine; it ends with this process."""
    gpus = site.settings.get("gpus")
    with _environment_kept():
        return LocalCluster(
            n_workers=int(number(site.settings, "workers", 1)),
            threads_per_worker=max(1, int(cpus * THREADS)),
            host="127.0.0.1",
            dashboard_address=NO_DASHBOARD["dashboard_address"],
            scheduler_kwargs={"dashboard": NO_DASHBOARD["dashboard"]},
            local_directory=str(folder),
            memory_limit=0,
            resources={"GPU": len(gpus)} if isinstance(gpus, (list, tuple)) and gpus else None,
        )


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Takes back what Dask writes into this process's environment for the workers that it starts."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def from_batch(site: Site, folder: Path) -> Any:
    """A cluster whose workers are jobs of a batch system.

    Raises:
        UnavailableError: dask-jobqueue is not installed, or does not take the settings.
    """
    settings = site.settings
    name = text(settings, "cluster")
    try:
        made = getattr(importlib.import_module("dask_jobqueue"), BATCH[name])
    except ImportError as error:
        raise UnavailableError.of(
            "HF402", f"a Dask cluster from {name} cannot be started", why=str(error),
            fix="pip install 'hepflow[dask]'",
        ) from None  # fmt: skip
    cpus = int(number(settings, "cpus", 1))
    modules = [f"module load {module}" for module in site.modules]
    options = settings.get("options", {})
    assert isinstance(options, Mapping)
    walltime = text(settings, "walltime")
    asked: dict[str, Any] = {
        "cores": cpus,
        "memory": f"{int(number(settings, 'memory_mib', 0))}MiB",
        "processes": 1,
        "local_directory": site.scratch or None,
        "log_directory": str(folder),
        "job_script_prologue": [*modules, *site.setup],
        "job_extra_directives": list(site.lines),
        "worker_extra_args": ["--nthreads", str(cpus * THREADS)],
        "scheduler_options": NO_DASHBOARD,
        **({"account": site.account} if site.account else {}),
        **({"queue": site.queue} if site.queue else {}),
        **({"walltime": walltime} if walltime else {}),
        **options,
    }
    try:
        cluster = made(**asked)
        cluster.scale(jobs=int(number(settings, "workers", 1)))
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        raise UnavailableError.of(
            "HF404", f"a Dask cluster from {name} cannot be started", why=str(error),
            fix="'hepflow site show' has the settings it was asked for with",
        ) from None  # fmt: skip
    return cluster


def connected(address: str, patience_s: float) -> Client:
    """A client of the scheduler at an address that has at least one worker.

    Raises:
        UnavailableError: it does not answer, or has no worker.
    """
    fix = "start one with 'dask scheduler' and 'dask worker ADDRESS', or mend 'settings: {address}'"
    try:
        client = Client(address, timeout=patience_s, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UnavailableError.of(
            "HF404", f"there is no Dask scheduler at {address}", fix=fix,
            why=f"no answer within {patience_s:g} s ({type(error).__name__}: {error})",
        ) from None  # fmt: skip
    try:
        client.wait_for_workers(1, timeout=patience_s)
    except TimeoutError:
        client.close()
        raise UnavailableError.of(
            "HF404", f"the Dask scheduler at {address} has no worker", fix=fix,
            why=f"none came within {patience_s:g} s",
        ) from None  # fmt: skip
    return client


def quiet() -> None:
    """Have Dask leave alone what is ours.

    A lost worker's bundle comes back instead of being tried on others: the engine retries. And where a worker
    is started anew, Dask writes nothing that matters into this process's environment, where the tasks of other
    executors would find it: no thread counts, no seed of Python's hashes.
    """
    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.nanny.pre-spawn-environ": {"PYTHONHASHSEED": "random"},
        }
    )


def cores() -> float:
    """Cores of this machine that this process may use."""
    return float(len(os.sched_getaffinity(0)))
