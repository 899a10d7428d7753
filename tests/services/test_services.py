"""The services do what the tests of executors rely on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .daemons import Unavailable, wait_until
from .slurm import Slurm

HERE = Path(__file__).parent


def test_slurm_reports_an_exit_code(slurm: Slurm) -> None:
    job = slurm.submit("exit 3")
    assert slurm.wait(job, "FAILED")["ExitCode"] == "3:0"
    assert slurm.ended()[-1]["ExitCode"] == "3:0"


def test_slurm_runs_an_array_and_counts_it(slurm: Slurm) -> None:
    before = slurm.submitted()
    job = slurm.submit("echo $SLURM_ARRAY_TASK_ID", "--array=0-7%4", "--output=element-%a")
    slurm.wait_for_all()
    assert sorted(path.read_text() for path in slurm.at.glob("element-*")) == [
        f"{element}\n" for element in range(8)
    ]
    assert slurm.submitted() == before + 8
    assert {ended["JobState"] for ended in slurm.ended()[-8:]} == {"COMPLETED"}
    assert job == before + 1


def test_slurm_gives_a_gpu(slurm: Slurm) -> None:
    job = slurm.submit("echo $CUDA_VISIBLE_DEVICES", "--gres=gpu:1", "--output=gpus")
    slurm.wait(job, "COMPLETED")
    assert (slurm.at / "gpus").read_text() == "0\n"


def test_slurm_refuses_more_gpus_than_a_node_has(slurm: Slurm) -> None:
    with pytest.raises(Unavailable, match="Requested node configuration is not available"):
        slurm.submit("true", "--gres=gpu:3")


def test_slurm_cancels(slurm: Slurm) -> None:
    job = slurm.submit("sleep 60")
    slurm.wait(job, "RUNNING")
    slurm.call("scancel", str(job))
    # The signal goes to every process of the job: where the program dies first its shell may still
    # say so (128 + 15) before its own turn comes.
    assert slurm.wait(job, "CANCELLED")["ExitCode"] in {"0:15", "143:0"}


def test_slurm_loses_a_node(slurm: Slurm) -> None:
    job = slurm.submit("sleep 60", "--no-requeue")
    slurm.fail_node(slurm.wait(job, "RUNNING")["NodeList"])
    assert slurm.wait(job, "NODE_FAIL")["Reason"] == "NodeDown"


@pytest.mark.slow
def test_slurm_starts_a_requeued_job_again(slurm: Slurm) -> None:
    job = slurm.submit("sleep 60")
    slurm.wait(job, "RUNNING")
    slurm.call("scontrol", "requeue", str(job))
    assert slurm.wait(job, "PENDING")["Restarts"] == "1"
    slurm.wait(job, "RUNNING")


def test_slurm_preempts(slurm: Slurm) -> None:
    whole = ("--nodes=4", "--exclusive")
    victim = slurm.submit("sleep 60", *whole)
    slurm.wait(victim, "RUNNING")
    urgent = slurm.submit("true", "--partition=high", *whole)
    slurm.wait(urgent, "COMPLETED")
    assert slurm.job(victim)["JobState"] == "PENDING"
    ends = [end["JobState"] for end in slurm.ended() if end["JobId"] == str(victim)]
    assert ends == ["PREEMPTED"]


@pytest.mark.slow
def test_slurm_kills_a_job_for_its_memory(slurm: Slurm) -> None:
    hungry = "exec python3 -c 'import time; kept = bytearray(300 << 20); time.sleep(30)'"
    job = slurm.submit(hungry, "--mem=100", "--output=hungry")
    assert slurm.wait(job, "FAILED")["ExitCode"] == "0:9"
    assert "exceeded memory limit" in (slurm.at / "hungry").read_text()


@pytest.mark.slow
def test_slurm_knows_its_jobs_after_the_controller_was_away(slurm: Slurm) -> None:
    job = slurm.submit("sleep 60")
    slurm.wait(job, "RUNNING")
    slurm.stop_controller()
    with pytest.raises(Unavailable, match="Unable to contact slurm controller"):
        slurm.job(job)
    slurm.start_controller()
    slurm.wait(job, "RUNNING")


@pytest.mark.slow
def test_slurm_accounts_for_jobs(slurm_accounting: Slurm) -> None:
    hungry = "exec python3 -c 'kept = bytearray(300 << 20)'"
    out_of_memory = slurm_accounting.submit(hungry, "--mem=50")
    failed = slurm_accounting.submit("exit 7")
    four = slurm_accounting.submit("true", "--array=0-3")
    slurm_accounting.wait_for_all()

    asked = ("sacct", "--allocations", "--noheader", "--parsable2", "--format=State,ExitCode")

    def await_account(job: int, *expected: str) -> None:
        """What is said about a job in the end: the records come later than the queue is empty."""
        wait_until(
            lambda: slurm_accounting.call(*asked, f"--jobs={job}").split() == list(expected),
            f"accounts of job {job}",
        )

    await_account(out_of_memory, "OUT_OF_MEMORY|0:125")
    await_account(failed, "FAILED|7:0")
    await_account(four, *["COMPLETED|0:0"] * 4)


def test_up_and_down(tmp_path: Path) -> None:
    """From a shell: once, a second time, and away again."""

    def call(verb: str, *more: str) -> str:
        command = [HERE / verb, "slurm", "--at", tmp_path / "s", *more]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    first = json.loads(call("up"))
    assert first == {"SLURM_CONF": f"{tmp_path}/s/slurm.conf"}
    assert call("up", "--env") == f"export SLURM_CONF={tmp_path}/s/slurm.conf\n"
    assert Slurm(tmp_path / "s").call("squeue", "--noheader") == ""
    call("down")
    call("down")
    assert not (tmp_path / "s").exists()
