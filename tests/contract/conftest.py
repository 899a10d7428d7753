"""The executors that the contract is held against: add a factory, get the whole suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hepflow.executors.local import LocalExecutor
from hepflow.model.protocols import Executor
from hepflow.model.site import Site
from hepflow_dask import DaskExecutor
from hepflow_parsl import ParslExecutor
from tests.contract.loop import Loop

Factory = Callable[[Path], Executor]

SITE = Site(
    "local",
    executor="local",
    settings={"cpus": 2, "memory_mib": 4096, "gpus": [], "grace_s": 0.3},
)


def _local(workdir: Path) -> Executor:
    return LocalExecutor(workdir, site=SITE)


def _dask(workdir: Path) -> Executor:
    return DaskExecutor(workdir, site=replace(SITE, name="dask", executor="dask"))


def _parsl(workdir: Path) -> Executor:
    # A bundle has a worker for itself, so three tasks of half a core need three.
    settings = {"workers_per_node": 3, "memory_mib": 4096, "gpus": [], "grace_s": 0.3}
    return ParslExecutor(workdir, site=Site("parsl", executor="parsl", settings=settings))


FACTORIES: dict[str, Factory] = {"local": _local, "dask": _dask, "parsl": _parsl}
"""Name -> how to make one that may use two cores and ends what will not end within a second."""


IDLE_CPU_S = {"local": 0.02}
"""What a head may spend in a second in which nothing happens; libraries have threads of their own."""
LIBRARYS_IDLE_CPU_S = 0.1


@pytest.fixture(params=sorted(FACTORIES))
def executor_factory(request: pytest.FixtureRequest) -> Factory:
    return FACTORIES[request.param]


@pytest.fixture
def idle_cpu_s(executor_factory: Factory) -> float:
    name = next(name for name, made in FACTORIES.items() if made is executor_factory)
    return IDLE_CPU_S.get(name, LIBRARYS_IDLE_CPU_S)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def executor(executor_factory: Factory, loop: Loop, tmp_path: Path) -> Iterator[Executor]:
    made = executor_factory(tmp_path / "executor")
    made.start(loop)
    yield made
    made.close()
