"""Slurm with accounting and cgroups: memory that the kernel enforces, and jobs that only `sacct` knows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hepflow.model.events import Lost
from hepflow.model.task import Reason, Resources
from hepflow_slurm import SlurmExecutor
from tests.contract.conftest import slurm_site
from tests.contract.heads import Heads
from tests.contract.loop import run_all
from tests.services.daemons import wait_until
from tests.services.slurm import Slurm

SITE = slurm_site(gpus=0)


@pytest.fixture
def bench(slurm_accounting: Slurm, tmp_path: Path) -> Heads:
    return Heads(tmp_path, SlurmExecutor, SITE)


@pytest.mark.slow
def test_a_task_over_its_memory_is_told_from_any_other_that_was_killed(bench: Heads) -> None:
    executor = bench.executor()
    (hungry,) = bench.attempts(
        f"exec {sys.executable} -c 'kept = bytearray(400 << 20)'",
        name="hungry",
        resources=Resources(memory_mib=100),
    )
    (killed,) = bench.attempts("kill -KILL $$", name="killed", resources=Resources(memory_mib=100))
    run_all(executor, bench.loop, [hungry, killed])
    assert bench.loop.outcome(hungry.id).reason is Reason.MEMORY
    assert bench.loop.outcome(killed.id).reason is Reason.PROGRAM
    executor.close(settled=True)


@pytest.mark.slow
def test_what_the_queue_has_forgotten_accounting_still_knows(
    bench: Heads, slurm_accounting: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = bench.executor()
    (attempt,) = bench.attempts("sleep 2; kill -KILL $PPID; sleep 60")  # its capsule, that is
    executor.submit([attempt])
    bench.loop.until(lambda: attempt.id in bench.loop.started)
    executor.close()
    job = bench.loop.started[attempt.id].where.split()[-1]
    wait_until(
        lambda: "FAILED" in slurm_accounting.call("sacct", "-nP", "-X", "-o", "State", "-j", job),
        "accounting",
    )
    forgetful = bench.folder / "bin" / "squeue"
    forgetful.parent.mkdir()
    forgetful.write_text("#!/bin/sh\n")
    forgetful.chmod(0o755)
    monkeypatch.setenv("PATH", str(forgetful.parent), prepend=os.pathsep)
    executor = bench.executor()
    assert set(executor.recover({attempt.id: job})) == {attempt.id}
    bench.loop.finish([attempt.id])
    event = bench.loop.final[attempt.id]
    assert isinstance(event, Lost)
    assert event.reason is Reason.NODE
    assert event.message.startswith("its job ended as FAILED (exit code 0:9) on n")
    executor.close(settled=True)
