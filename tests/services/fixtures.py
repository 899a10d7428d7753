"""The services as fixtures: each starts once, when a test first asks for it, and ends with pytest.

A test that asks for `slurm` has the commands' environment set and leaves an empty queue behind.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import pytest

from .aws_batch import AwsBatchStandIn
from .azure_batch import AzureBatchStandIn
from .catalogue import SERVICES
from .condor import CondorStandIn
from .daemons import Unavailable
from .google_batch import GoogleBatchStandIn
from .kubernetes import KubernetesStandIn
from .moto import Moto
from .pbs import PBSStandIn
from .slurm import Slurm

Cluster = TypeVar(
    "Cluster",
    AwsBatchStandIn,
    AzureBatchStandIn,
    CondorStandIn,
    GoogleBatchStandIn,
    KubernetesStandIn,
    Moto,
    PBSStandIn,
    Slurm,
)


@contextmanager
def running(name: str) -> Iterator[Path]:
    """The folder of a service that runs meanwhile.

    Where it cannot start, a user's test is skipped and says why; in CI it fails.
    """
    service = SERVICES[name]
    with tempfile.TemporaryDirectory(prefix=f"hepflow-{name}-") as scratch:
        at = Path(scratch) / "at"  # short: a socket's path has at most 107 characters
        try:
            service.up(at)
        except Unavailable as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
        try:
            yield at
        finally:
            service.down(at)


def wanted(module: str) -> ModuleType:
    """A library that only tests of services need: without it they skip, and in CI they fail."""
    if os.environ.get("CI"):
        return importlib.import_module(module)
    library: ModuleType = pytest.importorskip(module, reason="pip install 'hepflow[services]'")
    return library


@pytest.fixture(scope="session")
def slurm_service() -> Iterator[Slurm]:
    """Slurm without accounting, whatever the tests' environment says."""
    with running("slurm") as at:
        yield Slurm(at)


@pytest.fixture
def slurm(slurm_service: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """A Slurm of four nodes with four cores and two made-up GPUs each, without accounting."""
    yield from _for_a_test(slurm_service, monkeypatch)


@pytest.fixture(scope="session")
def slurm_accounting_service() -> Iterator[Slurm]:
    """Slurm with accounting, whatever the tests' environment says."""
    with running("slurm_accounting") as at:
        yield Slurm(at)


@pytest.fixture
def slurm_accounting(
    slurm_accounting_service: Slurm, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Slurm]:
    """A Slurm of four nodes with four cores each, `sacct`, and memory limits by cgroups."""
    yield from _for_a_test(slurm_accounting_service, monkeypatch)


@pytest.fixture(scope="session")
def condor_stand_in_service() -> Iterator[CondorStandIn]:
    """The stand-in for HTCondor, whatever the tests' environment says."""
    with running("condor_stand_in") as at:
        yield CondorStandIn(at)


@pytest.fixture
def condor_stand_in(
    condor_stand_in_service: CondorStandIn, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CondorStandIn]:
    """A stand-in for HTCondor's commands on PATH: four cores, two made-up GPUs."""
    yield from _for_a_test(condor_stand_in_service, monkeypatch)


@pytest.fixture(scope="session")
def kubernetes_stand_in_service() -> Iterator[KubernetesStandIn]:
    """The stand-in for Kubernetes, whatever the tests' environment says."""
    with running("kubernetes_stand_in") as at:
        yield KubernetesStandIn(at)


@pytest.fixture
def kubernetes_stand_in(
    kubernetes_stand_in_service: KubernetesStandIn, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KubernetesStandIn]:
    """A stand-in for a Kubernetes cluster: a node of four cores, and one with two GPUs besides."""
    yield from _for_a_test(kubernetes_stand_in_service, monkeypatch)


@pytest.fixture(scope="session")
def pbs_stand_in_service() -> Iterator[PBSStandIn]:
    """The stand-in for PBS, whatever the tests' environment says."""
    with running("pbs_stand_in") as at:
        yield PBSStandIn(at)


@pytest.fixture
def pbs_stand_in(
    pbs_stand_in_service: PBSStandIn, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PBSStandIn]:
    """A stand-in for PBS's commands on PATH: eight cores, two made-up GPUs."""
    yield from _for_a_test(pbs_stand_in_service, monkeypatch)


@pytest.fixture(scope="session")
def moto_service() -> Iterator[Moto]:
    """moto's server, whatever the tests' environment says."""
    with running("moto") as at:
        yield Moto(at)


@pytest.fixture
def moto(moto_service: Moto, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moto]:
    """AWS's S3, EC2 and IAM, and a Batch that runs nothing."""
    yield from _for_a_test(moto_service, monkeypatch)


@pytest.fixture(scope="session")
def aws_batch_stand_in_service() -> Iterator[AwsBatchStandIn]:
    """The stand-in for AWS Batch, whatever the tests' environment says."""
    with running("aws_batch_stand_in") as at:
        yield AwsBatchStandIn(at)


@pytest.fixture
def aws_batch_stand_in(
    moto: Moto, aws_batch_stand_in_service: AwsBatchStandIn, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AwsBatchStandIn]:
    """A stand-in for AWS Batch that runs jobs, with moto's S3 beside it."""
    yield from _for_a_test(aws_batch_stand_in_service, monkeypatch)


@pytest.fixture(scope="session")
def google_batch_stand_in_service() -> Iterator[GoogleBatchStandIn]:
    """The stand-in for Google Batch, whatever the tests' environment says."""
    with running("google_batch_stand_in") as at:
        yield GoogleBatchStandIn(at)


@pytest.fixture
def google_batch_stand_in(
    google_batch_stand_in_service: GoogleBatchStandIn, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GoogleBatchStandIn]:
    """A stand-in for Google Cloud Batch that runs jobs."""
    yield from _for_a_test(google_batch_stand_in_service, monkeypatch)


@pytest.fixture(scope="session")
def azure_batch_stand_in_service() -> Iterator[AzureBatchStandIn]:
    """The stand-in for Azure Batch, whatever the tests' environment says."""
    with running("azure_batch_stand_in") as at:
        yield AzureBatchStandIn(at)


@pytest.fixture
def azure_batch_stand_in(
    azure_batch_stand_in_service: AzureBatchStandIn, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AzureBatchStandIn]:
    """A stand-in for Azure Batch that runs jobs, and for Blob storage."""
    yield from _for_a_test(azure_batch_stand_in_service, monkeypatch)


def _for_a_test(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    yield cluster
    cluster.clear()
