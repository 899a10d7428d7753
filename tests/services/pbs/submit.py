"""A submit file becomes jobs, or is refused in the words of Torque's `qsub`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from .spool import SERVER, Job, Spool

QUEUES = ("main", "normal", "debug")
NODE = {"cpus": 8, "memory_mb": 4000, "gpus": 2, "features": ("xe", "xk")}

CLOCK = r"\d+:[0-5]\d:[0-5]\d"
SIZE = r"\d+(kb|mb|gb)"
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "any": {
        "N": r"[A-Za-z]\S{0,14}", "S": r"/\S+", "V": "", "o": r"/\S*", "e": r"/\S*", "r": "[yn]",
        "q": r"\S+", "A": r"[\w.-]+", "l": r"\S.*",
    },
    "torque": {"t": r"\d+-\d+(%\d+)?", "n": ""},
    "pbspro": {"J": r"\d+-\d+"},
}  # fmt: skip
"""What may follow each option; nothing where it takes nothing."""

RESOURCES: Mapping[str, Mapping[str, str]] = {
    "any": {"walltime": CLOCK, "mem": SIZE},
    "torque": {"nodes": r"1(:(ppn|gpus)=\d+|:[a-z]\w*)*", "file": SIZE, "qos": r"\w+", "gres": r"\w+"},
    "pbspro": {"select": r"1(:\w+=\w+)+", "place": "excl|scatter|pack"},
}  # fmt: skip


class Refused(Exception):
    """The server does not take it; the text is what `qsub` prints."""


def submit(spool: Spool, flavour: str, script: Path, folder: str, env: Mapping[str, str]) -> str:
    """Take on the jobs of a submit file; returns what `qsub` prints.

    Raises:
        Refused: with `qsub`'s own words.
    """
    text = script.read_text(encoding="utf-8", errors="surrogateescape")
    options, resources = _read(text, flavour)
    if options.get("q", "main") not in QUEUES:
        raise Refused("qsub: submit error (Unknown queue MSG=cannot locate queue)")
    cpus = _room(resources)
    span = options.get("t") or options.get("J")
    with spool.locked():
        number = spool.number()
        whole = f"{number}[].{SERVER}" if span else f"{number}.{SERVER}"
        copy = spool.at / "jobs" / f"{number}.SC"
        copy.write_text(text, encoding="utf-8", errors="surrogateescape")
        first, last = map(int, span.partition("%")[0].split("-")) if span else (0, 0)
        for index in range(first, last + 1):
            job: Job = {
                "id": f"{number}[{index}].{SERVER}" if span else whole,
                "array": whole, "number": number, "index": index, "name": options.get("N", script.name),
                "state": "Q", "exit_status": None, "cpus": cpus, "script": str(copy),
                "shell": options.get("S", "/bin/sh"), "folder": folder, "flavour": flavour,
                "walltime_s": _seconds(resources.get("walltime", "01:00:00")),
                "env": dict(env) if "V" in options else {"PATH": env.get("PATH", "/usr/bin:/bin")},
                "kill": False, "lose": False,
            }  # fmt: skip
            spool.write(job)
    return whole


def _read(text: str, flavour: str) -> tuple[dict[str, str], dict[str, str]]:
    options: dict[str, str] = {}
    resources: dict[str, str] = {}
    known = {**OPTIONS["any"], **OPTIONS[flavour]}
    for line in text.splitlines()[1:]:
        if not line.startswith("#PBS"):
            if line.strip():
                break
            continue
        found = re.fullmatch(r"#PBS -(\w)(?: (.*))?", line)
        if found is None or found[1] not in known:
            raise Refused(f"qsub: directive error: {line.removeprefix('#PBS').strip()}")
        letter, value = found[1], found[2] or ""
        if not re.fullmatch(known[letter], value):
            raise Refused(f"qsub: illegal -{letter} value: {value!r}")
        if letter == "l":
            resources |= _resources(value, flavour)
        else:
            options[letter] = value
    return options, resources


def _resources(value: str, flavour: str) -> dict[str, str]:
    known = {**RESOURCES["any"], **RESOURCES[flavour]}
    found = dict(part.partition("=")[::2] for part in value.split(","))
    for name, wanted in found.items():
        if name not in known or not re.fullmatch(known[name], wanted):
            raise Refused(f"qsub: illegal -l value: {name}={wanted}")
    return found


def _room(resources: Mapping[str, str]) -> int:
    """The cores of a job that fits on a node."""
    parts = (resources.get("nodes") or resources.get("select") or "1").split(":")[1:]
    asked = dict(part.partition("=")[::2] for part in parts)
    cpus = int(asked.get("ppn") or asked.get("ncpus") or 1)
    gpus = int(asked.get("gpus") or asked.get("ngpus") or 0)
    memory = int(re.sub(r"\D", "", resources.get("mem") or asked.get("mem") or "0"))
    features = {name for name, value in asked.items() if not value}
    fits = cpus <= NODE["cpus"] and gpus <= NODE["gpus"] and memory <= NODE["memory_mb"]  # type: ignore[operator]
    if not fits or not features <= set(NODE["features"]):  # type: ignore[call-overload]
        raise Refused(
            "qsub: submit error (Job exceeds queue resource limits MSG=cannot locate feasible nodes"
            " (nodes file is empty, insufficient memory, all systems are busy or not enough processors))"
        )
    return cpus


def _seconds(clock: str) -> int:
    hours, minutes, seconds = map(int, clock.split(":"))
    return (hours * 60 + minutes) * 60 + seconds
