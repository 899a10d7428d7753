"""The executors that the contract is held against: add a factory, get the whole suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hepflow.executors.local import LocalExecutor
from hepflow.model.protocols import Executor
from hepflow.model.site import Limits, Queue, Site
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


FACTORIES: dict[str, Factory] = {"local": _local, "slurm": _slurm}
"""Name -> how to make one that has two cores at least and ends what will not end within a second."""

SERVICES = {"slurm": "slurm"}
"""The services that executors need, by the names of their fixtures."""


@pytest.fixture(params=sorted(FACTORIES))
def executor_factory(request: pytest.FixtureRequest) -> Factory:
    name: str = request.param
    if name in SERVICES:
        request.getfixturevalue(SERVICES[name])
    return FACTORIES[name]


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def executor(executor_factory: Factory, loop: Loop, tmp_path: Path) -> Iterator[Executor]:
    made = executor_factory(tmp_path / "executor")
    made.start(loop)
    yield made
    made.close()
