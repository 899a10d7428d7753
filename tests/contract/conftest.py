"""Every executor that must pass the contract. An adapter adds itself to FACTORIES."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hepflow.executors.local import LocalExecutor
from hepflow.model.protocols import Executor, Sink
from hepflow.model.site import Limits, Queue, Site
from hepflow.model.task import Attempt
from hepflow_dask import DaskExecutor
from hepflow_htcondor import HTCondorExecutor
from hepflow_parsl import ParslExecutor
from hepflow_slurm import SlurmExecutor
from tests.contract.loop import Loop

Factory = Callable[[Path], Executor]

SITE = Site(
    "local",
    executor="local",
    settings={"cpus": 2, "memory_mib": 4096, "gpus": [], "grace_s": 0.3},
)


def _local(workdir: Path) -> Executor:
    return LocalExecutor(workdir, site=SITE)


def _slurm(workdir: Path) -> Executor:
    return SlurmExecutor(workdir, site=slurm_site())


def slurm_site(**queue: Any) -> Site:
    """The cluster that tests start, as a site."""
    whole = {"partition": "main", "cpus": 4, "gpus": 2, "memory_mib": 4000, "array": 500, **queue}
    settings = {"grace_s": 0.5, "patience_s": 2}
    return Site(
        "slurm",
        executor="slurm",
        queues=(Queue("main", **whole),),
        limits=Limits(poll_s=0.5),
        settings=settings,
    )


def _htcondor(workdir: Path) -> Executor:
    settings = {"grace_s": 0.3, "memory_mib": 100, "disk_mib": 10, "getenv": "true"}
    queue = Queue("all", cpus=4, memory_mib=4096, gpus=2)
    site = Site("pool", executor="htcondor", settings=settings, queues=(queue,))
    return HTCondorExecutor(workdir, site=site)


def _dask(workdir: Path) -> Executor:
    return DaskExecutor(workdir, site=replace(SITE, name="dask", executor="dask"))


def _parsl(workdir: Path) -> Executor:
    # A bundle has a worker for itself, so three tasks of half a core need three.
    settings = {"workers_per_node": 3, "memory_mib": 4096, "gpus": [], "grace_s": 0.3}
    return ParslExecutor(workdir, site=Site("parsl", executor="parsl", settings=settings))


FACTORIES: dict[str, Factory] = {
    "local": _local,
    "dask": _dask,
    "htcondor_stand_in": _htcondor,
    "parsl": _parsl,
    "slurm": _slurm,
}
"""Name -> how to make one that has two cores at least and ends what will not end within a second."""

SHARED = {"dask", "parsl"}
"""Executors whose start takes seconds: one lives through all tests that need none of their own."""

SERVICES = {"htcondor_stand_in": "condor_stand_in", "slurm": "slurm"}
"""The services that executors need, by the names of their fixtures."""


@pytest.fixture(params=sorted(FACTORIES))
def executor_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name in SERVICES:
        request.getfixturevalue(SERVICES[name])
    return name


@pytest.fixture
def executor_factory(executor_name: str) -> Factory:
    return FACTORIES[executor_name]


class Lent:
    """An executor that many tests use, one after the other; it forgets what the last one left."""

    def __init__(self, executor: Executor) -> None:
        self.loop = Loop()
        self.capacity = executor.capacity
        self._executor = executor
        self._sent: set[str] = set()
        executor.start(self.loop)

    def start(self, sink: Sink) -> None:
        assert sink is self.loop

    def submit(self, attempts: Sequence[Attempt]) -> None:
        self._sent.update(attempt.id for attempt in attempts)
        self._executor.submit(attempts)

    def cancel(self, attempts: Collection[str]) -> None:
        self._executor.cancel(attempts)

    def recover(self, attempts: Mapping[str, str]) -> Collection[str]:
        return self._executor.recover(attempts)

    def close(self, *, settled: bool = False) -> None:
        """The end of one test."""
        left = self._sent - self.loop.final.keys()
        self.cancel(left)
        self.loop.finish(left)
        self._sent.clear()
        self.loop.forget()

    def end(self) -> None:
        """The end of all tests."""
        self._executor.close()


@pytest.fixture(scope="session")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Lent]]:
    """The executors that tests share, each made when it is first asked for."""
    made: dict[str, Lent] = {}

    def lend(name: str) -> Lent:
        if name not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SECRET", "x")  # for the test of what confined tasks do not see
                made[name] = Lent(FACTORIES[name](tmp_path_factory.mktemp(name) / "executor"))
        return made[name]

    yield lend
    for executor in made.values():
        executor.end()


@pytest.fixture
def loop(request: pytest.FixtureRequest) -> Loop:
    if "executor" in request.fixturenames and request.getfixturevalue("executor_name") in SHARED:
        shared: Lent = request.getfixturevalue("executor")
        return shared.loop
    return Loop()


@pytest.fixture
def executor(
    executor_name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Executor]:
    if executor_name in SHARED:
        made: Executor = request.getfixturevalue("lent")(executor_name)
    else:
        made = FACTORIES[executor_name](tmp_path / "executor")
        made.start(request.getfixturevalue("loop"))
    yield made
    made.close()
