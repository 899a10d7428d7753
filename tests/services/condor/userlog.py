"""The event log's text: what `htcondor2.JobEventLog` reads."""

from __future__ import annotations

import time
from pathlib import Path

HOST = "<127.0.0.1:9618?addrs=127.0.0.1-9618>"

SUBMIT = 0
EXECUTE = 1
EVICTED = 4
TERMINATED = 5
IMAGE_SIZE = 6
ABORTED = 9
HELD = 12
RELEASED = 13
CLUSTER_SUBMIT = 35
CLUSTER_REMOVE = 36
FILE_TRANSFER = 40


def append(log: Path | None, event: int, cluster: int, process: int, body: str) -> None:
    """Add one event, in one write."""
    if log is None:
        return
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    number = f"{process:03d}" if process >= 0 else "-01"
    text = f"{event:03d} ({cluster:03d}.{number}.000) {stamp} {body}\n...\n"
    with log.open("ab", buffering=0) as file:
        file.write(text.encode())


def submit() -> str:
    return f"Job submitted from host: {HOST}"


def cluster_submit() -> str:
    return f"Cluster submitted from host: {HOST}"


def cluster_remove(materialized: int, items: int) -> str:
    complete = "Complete" if materialized == items else "Incomplete"
    return f"Cluster removed\n\tMaterialized {materialized} jobs from {items} items.\n\t{complete}"


def execute(slot: str) -> str:
    return f"Job executing on host: {HOST}\n\tSlotName: {slot}"


def transfer(what: str) -> str:
    return what


def image_size(memory_kib: int) -> str:
    return (
        f"Image size of job updated: {memory_kib}\n"
        f"\t{-(-memory_kib // 1024)}  -  MemoryUsage of job (MB)\n"
        f"\t{memory_kib}  -  ResidentSetSize of job (KB)"
    )


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 86400} {whole // 3600 % 24:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _usages(user_s: float, system_s: float, *kinds: str) -> str:
    used = f"Usr {_clock(user_s)}, Sys {_clock(system_s)}"
    unused = "Usr 0 00:00:00, Sys 0 00:00:00"
    return "\n".join(
        f"\t\t{unused if 'Local' in kind else used}  -  {kind} Usage" for kind in kinds
    )


def evicted(user_s: float, system_s: float, sent: int, received: int, reason: str) -> str:
    return (
        "Job was evicted.\n\t(0) CPU times\n"
        + _usages(user_s, system_s, "Run Remote", "Run Local")
        + f"\n\t{sent}  -  Run Bytes Sent By Job\n\t{received}  -  Run Bytes Received By Job\n"
        + f"\t{reason}"
    )


def terminated(exit_code: int, user_s: float, system_s: float, sent: int, received: int) -> str:
    """The end; a negative exit code is a signal."""
    how = (
        f"(1) Normal termination (return value {exit_code})"
        if exit_code >= 0
        else f"(0) Abnormal termination (signal {-exit_code})\n\t(0) No core file"
    )
    return (
        f"Job terminated.\n\t{how}\n"
        + _usages(user_s, system_s, "Run Remote", "Run Local", "Total Remote", "Total Local")
        + f"\n\t{sent}  -  Run Bytes Sent By Job\n\t{received}  -  Run Bytes Received By Job"
        + f"\n\t{sent}  -  Total Bytes Sent By Job\n\t{received}  -  Total Bytes Received By Job"
    )


def aborted(reason: str) -> str:
    return f"Job was aborted.\n\t{reason}"


def held(reason: str, code: int, subcode: int) -> str:
    return f"Job was held.\n\t{reason}\n\tCode {code} Subcode {subcode}"


def released(reason: str) -> str:
    return f"Job was released.\n\t{reason}"
