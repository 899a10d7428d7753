"""A submit description becomes job ads, or is refused with what `condor_submit` would say."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import classad2
import htcondor2

KNOWN = set((Path(__file__).parent / "commands.txt").read_text().split())
UNIVERSES = {
    "vanilla": 5,
    "scheduler": 7,
    "grid": 9,
    "java": 10,
    "parallel": 11,
    "local": 12,
    "vm": 13,
    "docker": 5,
    "container": 5,
}
ALIASES = {
    "args": "arguments",
    "env": "environment",
    "get_env": "getenv",
    "initial_dir": "initialdir",
    "iwd": "initialdir",
    "prio": "priority",
}
SIGNALS = {"SIGINT": 2, "SIGTERM": 15, "SIGUSR1": 10, "SIGUSR2": 12}


class Refused(Exception):
    """The description is wrong; the message says where."""


def _text(name: str, value: str) -> object:
    return value


def _expression(name: str, value: str) -> object:
    try:
        return classad2.ExprTree(value)
    except classad2.ClassAdException:
        raise Refused(f"Parse error in expression: {name} = {value}") from None


def _truth(name: str, value: str) -> object:
    if value.lower() in ("true", "yes", "t", "1"):
        return True
    if value.lower() in ("false", "no", "f", "0"):
        return False
    raise Refused(f"{name} = {value} is invalid, must eval to a boolean.")


def _one_of(*allowed: str) -> Callable[[str, str], object]:
    def check(name: str, value: str) -> object:
        if value.upper() not in allowed:
            raise Refused(f"invalid setting {name} = {value}; known are {', '.join(allowed)}")
        return value.upper()

    return check


def _size(unit: int) -> Callable[[str, str], object]:
    """Bytes as so many units, rounded up; a bare number is in that unit already."""

    def check(name: str, value: str) -> object:
        match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([KMGT])?B?", value, re.IGNORECASE)
        if not match:
            return _expression(name, value)
        if not match[2]:
            return int(float(match[1]))
        return -(-int(float(match[1]) * 1024 ** ("KMGT".index(match[2].upper()) + 1)) // unit)

    return check


def _signal(name: str, value: str) -> object:
    if value.upper() in SIGNALS:
        return value.upper()
    raise Refused(f"{name} = {value} is no signal that the stand-in knows")


ATTRIBUTES: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "accounting_group": ("AcctGroup", _text),
    "allowed_execute_duration": ("AllowedExecuteDuration", _expression),
    "allowed_job_duration": ("AllowedJobDuration", _expression),
    "batch_name": ("JobBatchName", _text),
    "checkpoint_exit_code": ("CheckpointExitCode", _expression),
    "container_image": ("ContainerImage", _text),
    "docker_image": ("DockerImage", _text),
    "error": ("Err", _text),
    "input": ("In", _text),
    "job_max_vacate_time": ("JobMaxVacateTime", _expression),
    "kill_sig": ("KillSig", _signal),
    "leave_in_queue": ("LeaveJobInQueue", _expression),
    "log": ("UserLog", _text),
    "max_retries": ("JobMaxRetries", _expression),
    "on_exit_hold": ("OnExitHold", _expression),
    "on_exit_hold_reason": ("OnExitHoldReason", _expression),
    "on_exit_remove": ("OnExitRemove", _expression),
    "output": ("Out", _text),
    "periodic_hold": ("PeriodicHold", _expression),
    "periodic_hold_reason": ("PeriodicHoldReason", _expression),
    "periodic_release": ("PeriodicRelease", _expression),
    "periodic_remove": ("PeriodicRemove", _expression),
    "preserve_relative_paths": ("PreserveRelativePaths", _truth),
    "priority": ("JobPrio", _expression),
    "rank": ("Rank", _expression),
    "request_cpus": ("RequestCpus", _expression),
    "request_disk": ("RequestDisk", _size(1 << 10)),
    "request_gpus": ("RequestGPUs", _expression),
    "request_memory": ("RequestMemory", _size(1 << 20)),
    "require_gpus": ("RequireGPUs", _expression),
    "requirements": ("Requirements", _expression),
    "retry_until": ("RetryUntil", _expression),
    "should_transfer_files": ("ShouldTransferFiles", _one_of("YES", "NO", "IF_NEEDED")),
    "success_exit_code": ("JobSuccessExitCode", _expression),
    "transfer_checkpoint_files": ("TransferCheckpoint", _text),
    "transfer_executable": ("TransferExecutable", _truth),
    "transfer_input_files": ("TransferInput", _text),
    "transfer_output_files": ("TransferOutput", _text),
    "transfer_output_remaps": ("TransferOutputRemaps", lambda _, value: value.strip('"')),
    "when_to_transfer_output": (
        "WhenToTransferOutput",
        _one_of("ON_EXIT", "ON_EXIT_OR_EVICT", "ON_SUCCESS"),
    ),
}
"""Submit command -> attribute of the ad and how its value is read."""

DEFAULTS: dict[str, object] = {
    "JobStatus": 1,
    "JobPrio": 0,
    "NumJobStarts": 0,
    "NumHolds": 0,
    "NumJobCompletions": 0,
    "RequestCpus": 1,
    "RequestMemory": 128,
    "RequestDisk": 1024,
    "ShouldTransferFiles": "IF_NEEDED",
    "WhenToTransferOutput": "ON_EXIT",
    "TransferExecutable": True,
    "OnExitRemove": True,
    "OnExitHold": False,
    "LeaveJobInQueue": False,
    "Requirements": True,
}


@dataclass(frozen=True, slots=True)
class Description:
    """A parsed description: what is asked, and for how many jobs."""

    commands: dict[str, str]
    """Name -> raw value; names in lower case but those with a dot."""
    parsed: htcondor2.Submit
    items: list[dict[str, str]]
    per_item: int
    cwd: Path

    def limit(self, name: str) -> int | None:
        """`max_idle` or `max_materialize`."""
        value = self.commands.get(name)
        if value is None:
            return None
        if not value.isdigit() or int(value) < 1:
            raise Refused(f"invalid value {name} = {value}")
        return int(value)

    def jobs(self, cluster: int) -> Iterator[classad2.ClassAd]:
        """The job ads, in order."""
        raws = dict(self.commands)
        process = 0
        for index, item in enumerate(self.items):
            for step in range(self.per_item):
                live = {
                    **item,
                    **dict.fromkeys(("Cluster", "ClusterId"), str(cluster)),
                    **dict.fromkeys(("Process", "ProcId"), str(process)),
                    **dict.fromkeys(("ItemIndex", "Row"), str(index)),
                    "Step": str(step),
                }
                for name, value in live.items():
                    self.parsed[name] = value
                values = {name: self.parsed.expand(name).strip() for name in raws}
                yield _ad(values, cluster, process, self.cwd)
                process += 1


def parse(text: str, cwd: Path) -> Description:
    """Read a description with HTCondor's own parser, and refuse what is no part of the language."""
    try:
        parsed = htcondor2.Submit(text)
    except (ValueError, htcondor2.HTCondorException) as error:
        raise Refused(f"on the description: {error}") from None
    queue = parsed.getQArgs()
    statements = re.findall(r"^\s*queue\b.*", text, re.IGNORECASE | re.MULTILINE)
    if not statements:
        raise Refused("no 'queue' statement")
    if len(statements) > 1:
        raise Refused("the stand-in takes one 'queue' statement")
    per_item, items = _queued(parsed, queue)
    commands = {
        ALIASES.get(name.lower(), name.lower()) if "." not in name else name: parsed[name]
        for name in parsed
    }
    _refuse_typos(commands, text)
    return Description(commands, parsed, items, per_item, cwd)


def _queued(parsed: htcondor2.Submit, queue: str) -> tuple[int, list[dict[str, str]]]:
    count = re.match(r"\s*(\d*)\s*(.*)", queue, re.DOTALL)
    assert count
    per_item = int(count[1] or 1)
    if not count[2]:
        return per_item, [{}]
    try:
        items = list(parsed.itemdata())
    except (TypeError, ValueError, IndexError) as error:
        raise Refused(f"queue {queue.splitlines()[0]}: {error}") from None
    return per_item, [item if isinstance(item, dict) else {"Item": item} for item in items]


def _refuse_typos(commands: dict[str, str], text: str) -> None:
    used = {name.lower() for name in re.findall(r"\$\w*\(([\w.]+)", text)}
    for name, value in commands.items():
        if "." in name or name in KNOWN or name in used:
            continue
        raise Refused(f"the line '{name} = {value}' was unused by condor_submit. Is it a typo?")


def _ad(values: dict[str, str], cluster: int, process: int, cwd: Path) -> classad2.ClassAd:
    """One job's ad."""
    iwd = cwd / values.get("initialdir", "")
    universe = values.get("universe", "vanilla").lower()
    if universe not in UNIVERSES:
        raise Refused(f"I don't know about the '{universe}' universe.")
    for kind in ("docker", "container"):
        if universe == kind and not values.get(f"{kind}_image"):
            raise Refused(f"{kind} jobs require a {kind}_image")
    attributes: dict[str, object] = {
        **DEFAULTS,
        "ClusterId": cluster,
        "ProcId": process,
        "JobUniverse": UNIVERSES[universe],
        "Iwd": str(iwd),
        "Arguments": values.get("arguments", ""),
        "Environment": values.get("environment", ""),
        "GetEnv": values.get("getenv", "false"),
    }
    for name, value in values.items():
        if name in ATTRIBUTES and value:
            attribute, read = ATTRIBUTES[name]
            attributes[attribute] = read(name, value)
        elif name.lower().startswith("my."):
            attributes[name[3:]] = _expression(name, value)
    if "transfer_output_files" in values:
        attributes["TransferOutput"] = values["transfer_output_files"]  # empty means none
    if _truth("hold", values.get("hold", "false")):
        attributes["JobStatus"] = 5
    attributes["Cmd"] = str(_executable(values, attributes, cwd))
    _check_files(attributes, iwd)
    return classad2.ClassAd(attributes)


def _executable(values: dict[str, str], attributes: dict[str, object], cwd: Path) -> Path | str:
    given = values.get("executable")
    if not given:
        raise Refused("No 'executable' parameter was provided")
    if not attributes["TransferExecutable"]:
        return given
    if not (cwd / given).is_file():
        raise Refused(f"Executable file {cwd / given} does not exist")
    return cwd / given


def _check_files(attributes: dict[str, object], iwd: Path) -> None:
    if not iwd.is_dir():
        raise Refused(f"No such directory: {iwd}")
    if attributes["ShouldTransferFiles"] == "NO" and "TransferInput" in attributes:
        raise Refused("should_transfer_files is NO, so transfer_input_files makes no sense")
    for attribute in ("Out", "Err", "UserLog"):
        if attribute in attributes:
            folder = (iwd / str(attributes[attribute])).parent
            if not os.access(folder, os.W_OK):
                raise Refused(
                    f'Can\'t open "{iwd / str(attributes[attribute])}" (No such file or directory)'
                )


def split_arguments(text: str) -> list[str]:
    """Arguments in the new syntax (in double quotes), or else at every space."""
    if not text.startswith('"'):
        return text.split()
    if not text.endswith('"') or len(text) == 1:
        raise Refused(f"unterminated double quotes: {text}")
    return _words(text[1:-1].replace('""', '"'))


def split_environment(text: str) -> dict[str, str]:
    """An environment in the new syntax (in double quotes), or else between semicolons."""
    pairs = split_arguments(text) if text.startswith('"') else text.split(";")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def _words(text: str) -> list[str]:
    """Split at spaces; within single quotes a space is kept, and two quotes are one."""
    words: list[str] = []
    word: str | None = None
    quoted = False
    at = 0
    while at < len(text):
        character = text[at]
        if quoted and text.startswith("''", at):
            word = (word or "") + "'"
            at += 1
        elif character == "'":
            quoted = not quoted
            word = word or ""
        elif character.isspace() and not quoted:
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + character
        at += 1
    if quoted:
        raise Refused(f"unbalanced single quotes: {text}")
    return [*words, word] if word is not None else words
