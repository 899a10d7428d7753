"""The executors that the contract is held against: add a factory, get the whole suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hepflow_dask import DaskExecutor

from hepflow.executors.local import LocalExecutor
from hepflow.model.protocols import Executor
from hepflow.model.site import Site
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


FACTORIES: dict[str, Factory] = {"local": _local, "dask": _dask}
"""Name -> how to make one that may use two cores and ends what will not end within a second."""


@pytest.fixture(params=sorted(FACTORIES))
def executor_factory(request: pytest.FixtureRequest) -> Factory:
    return FACTORIES[request.param]


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def executor(executor_factory: Factory, loop: Loop, tmp_path: Path) -> Iterator[Executor]:
    made = executor_factory(tmp_path / "executor")
    made.start(loop)
    yield made
    made.close()
