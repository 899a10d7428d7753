"""Dask as it really is: a scheduler and a worker of somebody else's, a batch system, and what breaks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from hepflow import api
from hepflow.model.errors import UnavailableError
from hepflow.model.events import Lost, Rejected
from hepflow.model.site import Site
from hepflow.model.task import Attempt, Resources, Shell, Task
from hepflow.pilots.orders import Order
from hepflow_dask import DaskExecutor
from hepflow_dask.executor import DaskEngine
from tests.contract.loop import Loop
from tests.contract.test_executor import Bench, call
from tests.pilots.part import hold
from tests.services.daemons import free_ports
from tests.services.slurm import Slurm


class Cluster:
    """A scheduler and one worker, each a process of its own."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        (port,) = free_ports(1)
        self.address = f"tcp://127.0.0.1:{port}"
        here = ["--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        self.scheduler = _dask(folder, "scheduler", *here, "--port", str(port))
        options = ["--nthreads", "2", "--nworkers", "1", "--no-dashboard", "--local-directory", str(folder)]  # fmt: skip
        self.workers = [_dask(folder, "worker", self.address, *options) for _ in range(workers)]

    def end(self) -> None:
        for process in [*self.workers, self.scheduler]:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _dask(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    with (folder / "dask.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words], stdout=log, stderr=log, start_new_session=True
        )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path)
    yield found
    found.end()


@contextmanager
def started(folder: Path, **settings: object) -> Iterator[tuple[DaskExecutor, Loop]]:
    """An executor with these settings, closed afterwards."""
    site = Site("dask", executor="dask", settings={"grace_s": 0.3, "gpus": [], **settings})
    executor, loop = DaskExecutor(folder / "executor", site=site), Loop()
    try:
        executor.start(loop)
        yield executor, loop
    finally:
        executor.close()


def test_a_cluster_of_ours_leaves_the_environment_alone(tmp_path: Path) -> None:
    before = dict(os.environ)
    with started(tmp_path, cpus=2):
        assert dict(os.environ) == before


def test_the_contract_holds_in_part_at_an_address(cluster: Cluster, tmp_path: Path) -> None:
    with started(tmp_path, address=cluster.address) as (executor, loop):
        hold(executor, loop, tmp_path)
    assert cluster.scheduler.poll() is None, "it is not ours to end"
    assert cluster.workers[0].poll() is None


def test_the_contract_holds_in_part_on_workers_from_slurm(slurm: Slurm, tmp_path: Path) -> None:
    settings = {
        "cluster": "slurm", "cpus": 2, "memory_mib": 1500, "walltime": "00:10:00",
        "options": {"interface": "lo"},
    }  # fmt: skip
    before = slurm.submitted()
    with started(tmp_path, **settings) as (executor, loop):
        hold(executor, loop, tmp_path)
    assert slurm.submitted() == before + 1
    _until(lambda: not slurm.call("squeue", "-h"), "the job of the worker has ended")


def test_a_lost_worker_loses_what_ran_on_it_and_no_more(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, workers=2)
    try:
        with Client(cluster.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=30)
        with started(tmp_path, address=cluster.address) as (executor, loop):
            bench = Bench(executor, loop, tmp_path)
            slow = bench.attempts(*[Task(Shell("sleep 1000"), resources=Resources(cpus=1.5))] * 2)
            executor.submit(slow)
            loop.until(lambda: len(loop.started) == 2)
            os.killpg(cluster.workers[0].pid, signal.SIGKILL)
            loop.until(lambda: len(loop.final) == 1)
            (event,) = loop.final.values()
            assert isinstance(event, Lost)
            assert "was lost" in event.message
            assert bench.run(Task(Shell("echo after"), resources=Resources(cpus=0.5))).succeeded
    finally:
        cluster.end()


def test_a_large_result_stays_where_it_was_made_and_the_head_sends_it_to_nobody(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = _orders(monkeypatch)
    with started(tmp_path, address=cluster.address) as (executor, loop):
        bench = Bench(executor, loop, tmp_path)
        made = bench.run(call("several", count=200_000)).outputs["value"]
        uses = [call("total", values=made, factor=n) for n in range(6)]
        found = [outcome.outputs["value"] for outcome in bench.run(*uses)]
        assert found == [n * sum(made) for n in range(6)]
        with Client(cluster.address, set_as_default=False) as client:
            kept = [key for keys in client.has_what().values() for key in keys]
        assert len([key for key in kept if key.startswith("hepflow-")]) == 1
    assert all(len(order.attempts) < 10_000 for order in sent)


CHAIN = """\
hepflow: v1
name: chain
steps:
  make:
    python: functions:several
    inputs: {count: 50000}
    outputs: [value]
  use:
    scatter: {factor: "{{ range(3) }}"}
    python: functions:total
    inputs: {values: make.value}
    outputs: [total]
outputs: {totals: use.total}
"""


def test_a_recipe_hands_a_large_value_on_and_the_head_sends_it_to_nobody(
    project: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = _orders(monkeypatch)
    laid: list[object] = []
    monkeypatch.setattr(DaskEngine, "lay", lambda _engine, parcel: laid.append(parcel))
    (project / "functions.py").write_text((root / "tests/contract/functions.py").read_text())
    (project / "chain.yaml").write_text(CHAIN)
    (project / "two.yaml").write_text("extends: dask\nsettings: {cpus: 2, gpus: []}\n")
    options = api.RunOptions(site=str(project / "two.yaml"))
    workflow = api.load(project / "chain.yaml", api.LoadOptions())
    ran = api.run(workflow, {}, project=api.Project(project), options=options)
    expected = sum(n / 8 for n in range(50_000))
    assert ran.outputs["totals"] == [factor * expected for factor in range(3)]
    assert all(len(order.attempts) < 2_000 for order in sent)
    assert not laid


def test_a_large_value_whose_worker_is_lost_is_brought_again_and_not_made_again(
    tmp_path: Path,
) -> None:
    cluster = Cluster(tmp_path, workers=2)
    ledger = tmp_path / "ledger"
    try:
        with Client(cluster.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=30)
            with started(tmp_path, address=cluster.address) as (executor, loop):
                bench = Bench(executor, loop, tmp_path)
                task = call("several", count=50_000, ledger=str(ledger))
                made = bench.run(task).outputs["value"]
                facts = client.scheduler_info(n_workers=-1)["workers"]
                places = client.has_what().items()
                (holder,) = [where for where, keys in places if any("hepflow-" in k for k in keys)]
                os.kill(client.run(os.getpid, workers=[holder])[holder], signal.SIGKILL)
                _until(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) < len(facts), "it is gone")  # fmt: skip
                assert bench.run(call("total", values=made)).outputs["value"] == sum(made)
    finally:
        cluster.end()
    assert ledger.read_text() == "made\n"


def test_a_scheduler_that_goes_away_loses_what_was_under_way(
    cluster: Cluster, tmp_path: Path
) -> None:
    with started(tmp_path, address=cluster.address) as (executor, loop):
        executor.submit([Attempt("a#1", Task(Shell("sleep 1000")), str(tmp_path / "a"))])
        loop.until(lambda: len(loop.started) == 1)
        os.killpg(cluster.scheduler.pid, signal.SIGKILL)
        loop.finish(["a#1"], 60)
        assert isinstance(loop.final["a#1"], Lost)
        assert "Dask scheduler" in loop.final["a#1"].message


def test_an_address_where_nobody_answers_is_told(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with (
        pytest.raises(UnavailableError, match="there is no Dask scheduler at") as found,
        started(tmp_path, address=f"tcp://127.0.0.1:{port}", timeout_s=0.5),
    ):
        pass
    assert "start one with 'dask scheduler' and 'dask worker ADDRESS'" in str(found.value)


def test_a_scheduler_without_a_worker_is_told(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, workers=0)
    try:
        with (
            pytest.raises(UnavailableError, match="has no worker"),
            started(tmp_path, address=cluster.address, timeout_s=5),
        ):
            pass
    finally:
        cluster.end()


def test_a_task_larger_than_every_worker_is_refused(tmp_path: Path) -> None:
    with started(tmp_path, cpus=1, memory_mib=100) as (executor, loop):
        large = Task(Shell("true"), resources=Resources(cpus=2))
        greedy = Task(Shell("true"), resources=Resources(memory_mib=200))
        executor.submit([Attempt("large#1", large), Attempt("greedy#1", greedy)])
        loop.finish(["large#1", "greedy#1"])
        events = [loop.final["large#1"], loop.final["greedy#1"]]
        assert all(isinstance(event, Rejected) and not event.transient for event in events)
        assert [event.message for event in events if isinstance(event, Rejected)] == [
            "it asks for 2 cpus; each worker has 1 (the site's setting 'cpus')",
            "it asks for 200 MiB of memory; each worker has 100 (the site's setting 'memory_mib')",
        ]


def test_settings_that_say_nothing_sensible_are_refused() -> None:
    def refused(**settings: object) -> str:
        with pytest.raises(ValueError, match=r".") as found:
            DaskExecutor(Path("/nowhere"), site=Site("x", executor="dask", settings=settings))
        return str(found.value)

    assert "exclude each other" in refused(address="tcp://a:1", cluster="slurm")
    assert "takes one of local, htcondor" in refused(cluster="slrum")
    assert "needs the setting 'cpus'" in refused(cluster="slurm")
    assert "'options' takes a mapping" in refused(options=3)


def _orders(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """The bundles that are sent from now on."""
    sent: list[Order] = []
    carry = DaskEngine.carry

    def seen(engine: DaskEngine, order: Order, *rest: Any) -> Any:
        sent.append(order)
        return carry(engine, order, *rest)

    monkeypatch.setattr(DaskEngine, "carry", seen)
    return sent


def _until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, f"not so after 30 s: {what}"
        time.sleep(0.1)
