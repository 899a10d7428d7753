"""Every executor that must pass the contract. An adapter adds itself to FACTORIES."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from hepflow.executors.local import LocalExecutor
from hepflow.model.protocols import Executor, Sink
from hepflow.model.site import Limits, Queue, Site, Staging
from hepflow.model.task import Attempt
from hepflow_clouds import CloudsExecutor
from hepflow_dask import DaskExecutor
from hepflow_htcondor import HTCondorExecutor
from hepflow_kubernetes import KubernetesExecutor
from hepflow_parsl import ParslExecutor
from hepflow_pbs import PBSExecutor
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
    settings = {"grace_s": 0.5, "patience_s": 2, "never_s": 1}
    return Site(
        "slurm",
        executor="slurm",
        queues=(Queue("main", **whole),),
        limits=Limits(poll_s=0.5),
        settings=settings,
    )


def _pbs(workdir: Path) -> Executor:
    return PBSExecutor(workdir, site=pbs_site())


def pbs_site(flavour: str = "torque", **queue: Any) -> Site:
    """The stand-in for PBS, as a site."""
    whole = {"partition": "main", "cpus": 8, "gpus": 2, "memory_mib": 4000, "array": 500, **queue}
    settings = {"grace_s": 0.5, "patience_s": 2, "never_s": 1, "flavour": flavour}
    return Site(
        "pbs",
        executor="pbs",
        queues=(Queue("main", **whole),),
        limits=Limits(poll_s=0.5),
        settings=settings,
    )


def _htcondor(workdir: Path) -> Executor:
    settings = {"grace_s": 0.3, "memory_mib": 100, "disk_mib": 10, "getenv": "true"}
    queue = Queue("all", cpus=4, memory_mib=4096, gpus=2)
    soon = Limits(poll_s=0.2)
    site = Site("pool", executor="htcondor", settings=settings, queues=(queue,), limits=soon)
    return HTCondorExecutor(workdir, site=site)


def _aws_batch(workdir: Path) -> Executor:
    boto3.client("s3").create_bucket(Bucket="work")
    site = Site(
        "aws",
        executor="clouds",
        staging=Staging.CAPSULE,
        limits=Limits(poll_s=0.3),
        settings={
            "provider": "aws",
            "region": "us-east-1",
            "bucket": "work",
            "job_queue": "work",
            "grace_s": 0.3,
            "memory_mib": 100,
        },
    )
    return CloudsExecutor(workdir, site=site)


def _kubernetes(workdir: Path) -> Executor:
    return KubernetesExecutor(workdir, site=kubernetes_site())


def kubernetes_site(**settings: Any) -> Site:
    """The stand-in's cluster, whose Pods see what the tests' head sees."""
    here = str(Path(__file__).parents[2])
    seen = {Path(path) for path in (tempfile.gettempdir(), sys.prefix, sys.base_prefix, here)}
    # The stand-in's Pods have the programs of this machine, and a mount needs no mount within.
    seen = {path for path in seen if not path.is_relative_to("/usr")}
    outer = sorted(path for path in seen if not any(other in path.parents for other in seen))
    queue = Queue("all", cpus=4, memory_mib=8000, gpus=2)
    return Site(
        "cluster",
        executor="kubernetes",
        queues=(queue,),
        settings={
            "grace_s": 0.3,
            "memory_mib": 100,
            "volumes": [f"{path}:{path}" for path in outer],
            **settings,
        },
    )


def _dask(workdir: Path) -> Executor:
    return DaskExecutor(workdir, site=replace(SITE, name="dask", executor="dask"))


def _parsl(workdir: Path) -> Executor:
    # A bundle has a worker for itself, so three tasks of half a core need three.
    settings = {"workers_per_node": 3, "memory_mib": 4096, "gpus": [], "grace_s": 0.3}
    return ParslExecutor(workdir, site=Site("parsl", executor="parsl", settings=settings))


def _azure_batch(workdir: Path) -> Executor:
    queue = Queue("cpu", cpus=4, gpus=2, settings={"pool": "work", "slots": 4})
    site = Site(
        "azure",
        executor="clouds",
        staging=Staging.CAPSULE,
        limits=Limits(poll_s=0.3),
        queues=(queue,),
        settings={
            "provider": "azure",
            "region": "eastus",
            "batch_account": "mine",
            "bucket": "az://work",
            "grace_s": 0.3,
            "memory_mib": 100,
        },
    )
    return CloudsExecutor(workdir, site=site)


FACTORIES: dict[str, Factory] = {
    "aws_batch_stand_in": _aws_batch,
    "azure_batch_stand_in": _azure_batch,
    "local": _local,
    "dask": _dask,
    "htcondor_stand_in": _htcondor,
    "kubernetes_stand_in": _kubernetes,
    "parsl": _parsl,
    "pbs_stand_in": _pbs,
    "slurm": _slurm,
}
"""Name -> how to make one that has two cores at least and ends what will not end within a second."""

SHARED = {"dask", "parsl"}
"""Executors whose start takes seconds: one lives through all tests that need none of their own."""

PACKED: dict[str, Factory] = {
    "pbs_stand_in": lambda workdir: PBSExecutor(workdir, site=pbs_site(pack=250)),
    "slurm": lambda workdir: SlurmExecutor(workdir, site=slurm_site(pack=250)),
}
"""The same for thousands of short tasks, where the system below starts a few tens of jobs a second."""

SERVICES = {
    "aws_batch_stand_in": "aws_batch_stand_in",
    "azure_batch_stand_in": "azure_batch_stand_in",
    "htcondor_stand_in": "condor_stand_in",
    "kubernetes_stand_in": "kubernetes_stand_in",
    "pbs_stand_in": "pbs_stand_in",
    "slurm": "slurm",
}
"""The services that executors need, by the names of their fixtures."""

FEWER = {
    "aws_batch_stand_in": 40,
    "azure_batch_stand_in": 12,
    "htcondor_stand_in": 200,
    "kubernetes_stand_in": 200,
    "pbs_stand_in": 500,
}
"""How many tasks are many where each is a job, and a stand-in takes tenths of a second for it."""


@pytest.fixture
def many(executor_name: str) -> int:
    """How many tasks are many."""
    return {**FEWER, "slurm": 500}.get(executor_name, 5000)


FAR = {"aws_batch_stand_in", "azure_batch_stand_in"}
"""Executors whose tasks see no file of ours: all they have has travelled."""

NOT_FAR = {
    "test_words_reach_the_program_as_they_are": "its program is this Python",
    "test_what_is_to_be_placed_but_is_not_there_fails_the_program_not_the_executor": "what is not"
    " there cannot be sent, which is told before anything runs",
    "test_links_in_an_output_directory_outlive_the_folder_of_inputs": "links to inputs come home as copies",
}
"""What is not promised of them, and why."""


STAND_INS = {name for name in FACTORIES if name.endswith("_stand_in")}
ESSENCE = {
    "test_a_command_succeeds_and_its_output_is_digested",
    "test_a_failing_part_of_a_shell_text_fails_it",
    "test_a_missing_output_is_told_with_what_is_there",
    "test_a_queued_attempt_is_cancelled_without_running",
    "test_a_running_attempt_gets_time_to_end_and_is_then_killed",
    "test_a_time_limit_ends_the_whole_group",
    "test_an_exception_is_told_with_its_place_and_the_users_frames",
    "test_an_exit_code_fails_the_attempt_with_the_last_line_of_stderr",
    "test_inputs_are_placed_before_the_start",
    "test_long_printed_text_is_kept_beside_and_told_in_part",
    "test_odd_names_of_files_folders_and_attempts",
    "test_one_task_and_many",
    "test_outputs_of_every_kind",
    "test_variables_are_the_executors_own_and_the_tasks",
}
"""What stand-ins always go through. The rest is what a capsule does, which a real Slurm is witness of: with
``-m long`` they go through all of it."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not promised; mark what only long runs hold against stand-ins."""
    out = [item for item in items if _is_not_promised(item)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]
    for item in items:
        name, _, parameters = item.name.partition("[")
        of_the_contract = item.path.parent == Path(__file__).parent
        stands_in = any(name in parameters for name in STAND_INS)
        thousands = name == "test_five_thousand_commands" and "local" not in parameters
        if of_the_contract and (thousands or (stands_in and name not in ESSENCE)):
            item.add_marker(pytest.mark.long)


def _is_not_promised(item: pytest.Item) -> bool:
    name, _, parameters = item.name.partition("[")
    if name == "test_five_thousand_commands":  # measures what a stand-in is no measure of
        return any(few in parameters for few in FEWER)
    return name in NOT_FAR and any(far in parameters for far in FAR)


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
def packed_factory(executor_name: str) -> Factory:
    return PACKED.get(executor_name, FACTORIES[executor_name])


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


@pytest.fixture
def packed_executor(packed_factory: Factory, loop: Loop, tmp_path: Path) -> Iterator[Executor]:
    made = packed_factory(tmp_path / "packed")
    made.start(loop)
    yield made
    made.close()
