"""The commands: `qsub`, `qstat`, `qdel`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .spool import Job, Spool
from .submit import Refused, submit

UNKNOWN, OVER = 153, 35
"""Exit codes: of an identifier nobody knows, and (PBS Pro) of one that is history."""

ROOT = Path(__file__).resolve().parents[3]


def main(at: Path, name: str, words: list[str]) -> int:
    """Carry out one command; returns its exit code."""
    if (at / "away").exists():
        print(f"{name}: cannot connect to server pbs.example (errno=111) Connection refused", file=sys.stderr)  # fmt: skip
        return 111
    spool, flavour = Spool(at), (at / "flavour").read_text()
    tool = {"qsub": _qsub, "qstat": _qstat, "qdel": _qdel}[name]
    return tool(spool, flavour, words)


def _qsub(spool: Spool, flavour: str, words: list[str]) -> int:
    (script,) = words
    try:
        whole = submit(spool, flavour, Path(script), os.getcwd(), os.environ)
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    with (spool.at / "runner.log").open("a") as log:
        subprocess.Popen(
            [sys.executable, "-m", "tests.services.pbs.runner", str(spool.at), whole],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    print(whole)
    return 0


def _qstat(spool: Spool, flavour: str, words: list[str]) -> int:
    options = {word for word in words if word.startswith("-")}
    if "-f" not in options or not options <= {"-f", "-t", "-x"}:
        print("usage: qstat -f [-t] [-x] [job_identifier...]", file=sys.stderr)
        return 2
    code = 0
    asked = [word for word in words if not word.startswith("-")]
    history = flavour == "torque" or "-x" in options
    for word in asked or [""]:
        found = spool.named(word) if word else spool.jobs()
        shown = [job for job in found if history or job["state"] != "C"]
        if word and not shown:
            code = OVER if found else UNKNOWN
            said = "Job has finished" if found else "Unknown Job Id"
            print(f"qstat: {said} {word}", file=sys.stderr)
        for job in shown:
            print(_full(job))
    return code


def _full(job: Job) -> str:
    state = job["state"] if job["flavour"] == "torque" or job["state"] != "C" else "F"
    fields = {"Job_Name": job["name"], "Job_Owner": "somebody@pbs.example", "job_state": state}
    if job["state"] != "Q":
        fields["exec_host"] = "node1/0"
    if job["exit_status"] is not None:
        fields["exit_status" if job["flavour"] == "torque" else "Exit_status"] = job["exit_status"]
    # Long values are broken, as the real one does.
    fields["Variable_List"] = "PBS_O_HOME=/home/somebody,PBS_O_LANG=C,\n\tPBS_O_PATH=/usr/bin = x"
    lines = [f"    {name} = {value}" for name, value in fields.items()]
    return "\n".join([f"Job Id: {job['id']}", *lines, ""])


def _qdel(spool: Spool, _flavour: str, words: list[str]) -> int:
    code = 0
    for word in words:
        with spool.locked():
            found = [job for job in spool.named(word) if job["state"] != "C"]
            for job in found:
                if job["state"] == "Q":
                    spool.change(job["id"], state="C", exit_status=271)
                else:
                    spool.change(job["id"], kill=True)
        if not found:
            code = UNKNOWN
            print(f"qdel: Unknown Job Id {word}", file=sys.stderr)
    return code
