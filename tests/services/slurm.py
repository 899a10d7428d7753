"""A real Slurm on this machine, in a folder of its own: munged, a controller and four nodes.

Two profiles. `slurm` is fast: no cgroups, no database, two made-up GPUs a node, and a partition
`high` that preempts `main`. `slurm_accounting` has what that one lacks: `sacct`, and memory limits
that the kernel enforces.

What differs from an ordinary cluster, so that tests need not wait: a requeued job may start again
after ten seconds, and a job that ignores SIGTERM is killed after two.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import mariadb
from .daemons import (
    HOST,
    USER,
    Unavailable,
    end,
    free_ports,
    process_of,
    run,
    succeeds,
    wait_until,
)

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
PACKAGES = ("slurm-wlm", "slurm-client", "slurm-wlm-basic-plugins", "munge")
ACCOUNTING_PROGRAMS = (*PROGRAMS, "slurmdbd", "sacct", *mariadb.PROGRAMS)
ACCOUNTING_PACKAGES = (*PACKAGES, "slurmdbd", *mariadb.PACKAGES)
CGROUPS = Path("/sys/fs/cgroup")
NODES = ("n1", "n2", "n3", "n4")

COMMON = """\
ClusterName=hepflow
SlurmctldHost={host}({address})
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={at}/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool/%n
SlurmctldPidFile={at}/slurmctld.pid
SlurmdPidFile={at}/slurmd.%n.pid
SlurmctldLogFile={at}/slurmctld.log
SlurmdLogFile={at}/slurmd.%n.log
JobAcctGatherFrequency=task=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=50000,sched_interval=1,bf_interval=1,default_queue_depth=1000,batch_sched_delay=0,defer_batch
MpiDefault=none
ReturnToService=2
KillWait=2
MaxArraySize=10001
MaxJobCount=20000
SlurmdParameters=config_overrides
"""

NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr={address} Port={port}"
    " CPUs=4 Sockets=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=4000 State=UNKNOWN{gres}\n"
)

FAST = """\
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={at}/jobcomp.txt
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=ALL Default=YES MaxTime=01:00:00 DefMemPerCPU=100 PriorityTier=1 PreemptMode=REQUEUE State=UP
PartitionName=high Nodes=ALL MaxTime=01:00:00 DefMemPerCPU=100 PriorityTier=10 PreemptMode=OFF State=UP
"""

ACCOUNTING = """\
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/cgroup
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={address}
AccountingStoragePort={database_port}
AccountingStoragePass={at}/munge.socket
JobCompType=jobcomp/none
OverTimeLimit=0
PartitionName=main Nodes=ALL Default=YES MaxTime=01:00:00 DefMemPerCPU=100 State=UP
"""

DATABASE = """\
AuthType=auth/munge
AuthInfo=socket={at}/munge.socket
DbdHost=localhost
DbdAddr={address}
DbdPort={port}
SlurmUser={user}
LogFile={at}/slurmdbd.log
PidFile={at}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost={address}
StoragePort={storage_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""

GRANTS = """
create database slurm;
create user 'slurm'@'%' identified by 'slurm';
grant all on slurm.* to 'slurm'@'%';
create user 'slurm'@'localhost' identified by 'slurm';
grant all on slurm.* to 'slurm'@'localhost';
"""

CGROUP = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint={mountpoint}
CgroupAutomount=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
ConstrainCores=no
ConstrainDevices=no
"""


@dataclass(frozen=True, slots=True)
class Slurm:
    """What a test does to a cluster beyond what any user could do."""

    at: Path

    @property
    def env(self) -> dict[str, str]:
        return {"SLURM_CONF": f"{self.at}/slurm.conf"}

    def call(self, *argv: str | Path, stdin: str = "", limit_s: float = 30) -> str:
        """What a command prints on this cluster."""
        return run(*argv, env=self.env, stdin=stdin, limit_s=limit_s)

    def submit(self, script: str, *options: str) -> int:
        """Hand in a job script; the first line is added. Returns the job's number."""
        given = ("--parsable", f"--chdir={self.at}", *options)
        answer = self.call("sbatch", *given, stdin=f"#!/bin/sh\n{script}\n")
        return int(answer.split(";")[0])

    def job(self, job: int | str) -> dict[str, str]:
        """What the controller knows of a job: `JobState`, `Reason`, `ExitCode`, `Restarts`, ..."""
        words = self.call("scontrol", "--oneliner", "show", "job", str(job)).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, job: int | str, *states: str, limit_s: float = 30) -> dict[str, str]:
        """Wait until a job is in one of these states, and return what is known of it."""
        wait_until(
            lambda: self.job(job)["JobState"] in states,
            f"job {job} {' or '.join(states)}",
            limit_s,
        )
        return self.job(job)

    def wait_for_all(self, limit_s: float = 60) -> None:
        """Wait until no job is queued or running."""
        wait_until(lambda: not self.call("squeue", "--noheader"), "empty queue", limit_s)

    def ended(self) -> list[dict[str, str]]:
        """Jobs that ended, oldest first; once more for each time that one was requeued. Fast profile."""
        try:
            lines = (self.at / "jobcomp.txt").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]

    def submitted(self) -> int:
        """How many jobs were ever taken on; each started element of an array is one."""
        for line in self.call("scontrol", "show", "config").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "NEXT_JOB_ID":
                return int(value) - 1
        raise AssertionError("scontrol show config has no NEXT_JOB_ID")

    def fail_node(self, name: str) -> None:
        """Lose a node and have it back: its jobs end as NODE_FAIL, or start again if they may."""
        self.call("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=test")

    def stop_controller(self) -> None:
        """Make every command fail as it does while a controller is restarted."""
        end([self.at / "slurmctld.pid"])

    def start_controller(self) -> None:
        """Have the controller back, with the jobs it knew."""
        self.call("slurmctld", "-f", self.at / "slurm.conf")
        wait_until(lambda: succeeds("scontrol", "ping", env=self.env), "slurmctld")

    def clear(self, limit_s: float = 30) -> None:
        """Leave no job, and no node out of service."""
        if not process_of(self.at / "slurmctld.pid"):
            self.start_controller()

        if self.call("squeue", "--noheader"):
            self.call("scancel", "--me")
            self.wait_for_all(limit_s)
        for name in self._nodes_in("drain"):
            self.call("scontrol", "update", f"NodeName={name}", "State=RESUME")
        wait_until(lambda: not self._nodes_in("down,drain"), "all nodes in service", limit_s)

    def _nodes_in(self, states: str) -> list[str]:
        return self.call("sinfo", "-h", "-N", "-o", "%N", "-t", states).split()


def start(at: Path) -> dict[str, str]:
    """Start the fast profile; returns what its commands need in their environment."""
    _write(at, FAST, gres=" Gres=gpu:2")
    for name in ("gpu0", "gpu1"):
        (at / name).symlink_to(os.devnull)  # a device it must be, whichever
    (at / "gres.conf").write_text(f"NodeName={','.join(NODES)} Name=gpu File={at}/gpu[0-1]\n")
    _start_munge(at)
    return _start_cluster(at)


def start_with_accounting(at: Path) -> dict[str, str]:
    """Start the profile that has `sacct` and limits memory with cgroups (version 1, as root)."""
    if not os.access(CGROUPS / "memory", os.W_OK):
        raise Unavailable(f"{CGROUPS}/memory: no memory controller of cgroup version 1 to write to")
    (database_port,) = free_ports(1)
    # The kernel's names of limits have the node's in them: two such clusters must differ.
    nodes = [f"{name}x{database_port}" for name in NODES]
    _write(at, ACCOUNTING, nodes, database_port=database_port)
    (at / "cgroup.conf").write_text(CGROUP.format(mountpoint=CGROUPS))
    _start_munge(at)
    storage_port = mariadb.start(at)
    mariadb.execute(at, GRANTS)
    config = at / "slurmdbd.conf"
    config.touch(mode=0o600)
    config.write_text(
        DATABASE.format(
            at=at, address=HOST, port=database_port, user=USER, storage_port=storage_port
        )
    )
    slurm = Slurm(at)
    slurm.call("slurmdbd", "-s")
    wait_until(lambda: succeeds("sacctmgr", "-n", "show", "cluster", env=slurm.env), "slurmdbd")
    slurm.call("sacctmgr", "-i", "add", "cluster", "hepflow")
    slurm.call("sacctmgr", "-i", "add", "account", "physics", "Cluster=hepflow")
    slurm.call("sacctmgr", "-i", "add", "user", USER, "Account=physics")
    return _start_cluster(at)


def _write(
    at: Path, profile: str, nodes: Sequence[str] = NODES, gres: str = "", **more: object
) -> None:
    """Write slurm.conf and make the folders it names."""
    host = socket.gethostname().split(".")[0]
    controller_port, *node_ports = free_ports(1 + len(nodes))
    text = (COMMON + "{nodes}" + profile).format(
        at=at,
        host=host,
        address=HOST,
        controller_port=controller_port,
        user=USER,
        nodes="".join(
            NODE.format(name=name, host=host, address=HOST, port=port, gres=gres)
            for name, port in zip(nodes, node_ports, strict=True)
        ),
        **more,
    )
    (at / "slurm.conf").write_text(text)
    (at / "state").mkdir()
    for name in nodes:
        (at / "spool" / name).mkdir(parents=True)


def _nodes(at: Path) -> list[str]:
    return sorted(path.name for path in at.glob("spool/*"))


def _start_munge(at: Path) -> None:
    """Slurm's notary, with a key and a socket of its own."""
    key = at / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    run(
        "munged",
        "--force",  # complains of parent folders that others cannot enter
        f"--key-file={key}",
        f"--socket={at}/munge.socket",
        f"--pid-file={at}/munged.pid",
        f"--log-file={at}/munged.log",
        f"--seed-file={at}/munged.seed",
    )


def _start_cluster(at: Path) -> dict[str, str]:
    slurm = Slurm(at)
    config = at / "slurm.conf"
    slurm.call("slurmctld", "-f", config)
    for name in _nodes(at):
        slurm.call("slurmd", "-f", config, "-N", name)

    def idle() -> bool:
        try:
            states = slurm.call("sinfo", "-h", "-N", "-o", "%T", "-p", "main", limit_s=2).split()
        except Unavailable:
            return False
        return states == ["idle"] * len(NODES)

    wait_until(idle, "four idle nodes")
    return slurm.env


def stop(at: Path) -> None:
    """Stop everything, jobs first: a node that stops leaves its jobs running."""
    if process_of(at / "slurmctld.pid"):
        Slurm(at).clear()
    end([*at.glob("slurmd.*.pid"), at / "slurmctld.pid"])
    end(at.glob("*.pid"))  # what those leant on
    for name in _nodes(at):
        for folder in CGROUPS.glob(f"*/slurm_{name}"):
            _remove_cgroup(folder)


def _remove_cgroup(folder: Path) -> None:
    """Remove what the nodes leave behind of their jobs' limits, deepest first."""
    for beneath, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            os.rmdir(os.path.join(beneath, name))
    folder.rmdir()
