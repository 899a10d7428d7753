"""One process for each submission: starts its jobs when there is room, ends them, notes how they ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .spool import Job, Spool
from .submit import NODE

LOOK_S = 0.03
GRACE_S = 2.0
OVER_TIME = {"torque": -11, "pbspro": -29}


@dataclass
class Running:
    """A job's process, and when it is to be ended."""

    job: Job
    process: subprocess.Popen[bytes]
    ends_at: float
    kill_at: float = float("inf")
    verdict: int | None = None


def run(at: Path, whole: str) -> None:
    """Run all jobs of a submission, to the end of the last."""
    spool = Spool(at)
    waiting = [job["id"] for job in spool.named(whole)]
    running: list[Running] = []
    while waiting or running:
        with spool.locked():
            waiting = _start(spool, waiting, running)
        for one in list(running):
            if _has_ended(spool, one):
                running.remove(one)
        time.sleep(LOOK_S)


def _start(spool: Spool, waiting: list[str], running: list[Running]) -> list[str]:
    """Start what there is room for; returns what goes on waiting."""
    jobs = {job["id"]: job for job in spool.jobs()}
    waiting = [name for name in waiting if jobs[name]["state"] == "Q"]
    busy = sum(job["cpus"] for job in jobs.values() if job["state"] in "RE")
    for name in list(waiting):
        job = jobs[name]
        if busy + job["cpus"] > NODE["cpus"]:  # type: ignore[operator]
            break
        busy += job["cpus"]
        waiting.remove(name)
        spool.change(name, state="R")
        process = subprocess.Popen(
            [job["shell"], job["script"]],
            cwd=job["folder"],
            env=_env(job),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        running.append(Running(job, process, time.monotonic() + job["walltime_s"]))
    return waiting


def _env(job: Job) -> dict[str, str]:
    index = "PBS_ARRAYID" if job["flavour"] == "torque" else "PBS_ARRAY_INDEX"
    return {
        **job["env"],
        "PBS_JOBID": job["id"],
        "PBS_JOBNAME": job["name"],
        "PBS_O_WORKDIR": job["folder"],
        **({index: str(job["index"])} if job["array"] != job["id"] else {}),
    }


def _has_ended(spool: Spool, one: Running) -> bool:
    now = time.monotonic()
    told = spool.job(one.job["id"])
    group = one.process.pid
    if told["lose"]:
        one.verdict = 256 + signal.SIGKILL
        os.killpg(group, signal.SIGKILL)
    elif one.verdict is None and (told["kill"] or now > one.ends_at):
        one.verdict = 256 + signal.SIGTERM if told["kill"] else OVER_TIME[told["flavour"]]
        one.kill_at = now + GRACE_S
        os.killpg(group, signal.SIGTERM)
    if now > one.kill_at and one.process.poll() is None:
        os.killpg(group, signal.SIGKILL)
    code = one.process.poll()
    if code is None:
        return False
    status = one.verdict if one.verdict is not None else 256 - code if code < 0 else code
    with spool.locked():
        spool.change(one.job["id"], state="C", exit_status=status)
    return True


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
