"""The task: one frozen, self-contained, serialisable piece of work, and how it may end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, NamedTuple

from hepflow.model.values import Directory, File, Value, Values


@dataclass(frozen=True, slots=True)
class Resources:
    """What a task asks of the machine.

    Args:
        cpus: cores; a fraction shares a core.
        memory_mib: mebibytes of memory; 0 when the recipe does not say.
        disk_mib: mebibytes of scratch space; 0 when the recipe does not say.
        gpus: number of accelerators.
        gpu_kind: a kind the site knows (``a100``); empty for any.
        walltime_s: seconds after which the attempt is ended; 0 for no limit.
    """

    cpus: float = 1.0
    memory_mib: int = 0
    disk_mib: int = 0
    gpus: int = 0
    gpu_kind: str = ""
    walltime_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell text, run by bash with ``-e -o pipefail`` (by ``sh -e`` where there is no bash)."""

    text: str


@dataclass(frozen=True, slots=True)
class Argv:
    """A program and its arguments, started without a shell."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A Python function by qualified name, called with keyword arguments in a warm worker.

    Args:
        function: ``package.module:name``.
        arguments: passed by name; files as path strings. All must be accepted.
        offered: passed too, but only where the function has a parameter of that name
            (scatter variables, and the paths of the declared outputs).
        path: folders put in front of the module search path (where the recipe stands).
    """

    function: str
    arguments: Values
    offered: Values = field(default_factory=dict)
    path: tuple[str, ...] = ()


class Read(Enum):
    """Whether an output is the file itself or what stands in it."""

    FILE = "file"
    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Output:
    """One output a task must leave in its folder.

    Args:
        port: the name of the port.
        path: relative to the task's folder; a glob pattern when ``many``. Empty for a Python
            function's returned value of that name.
        many: every match of the pattern, sorted by name, rather than exactly one file.
        directory: the output is a directory.
        either: it may be a file or a directory, whatever is there (``directory`` does not count).
        read: take the content as the value instead of the file.
        optional: absence gives ``null`` instead of a failure.
    """

    port: str
    path: str = ""
    many: bool = False
    directory: bool = False
    read: Read = Read.FILE
    optional: bool = False
    either: bool = False


FOLDER: Final = "/~hepflow/out"
SCRATCH: Final = "/~hepflow/tmp"
INPUTS: Final = "/~hepflow/in"
"""What stands for a task's own folders until an executor knows where they are: the one it runs in
and leaves its outputs in, one for what it forgets, and one beside it for the files it is given.

They may occur anywhere inside words of an ``Argv``, ``texts`` and ``stdin`` of a task with
``folders``, and also inside values of ``env`` of a *confined* one, and are replaced there as text. (Their tilde makes a shell's quoting quote them, so
that a real path with a blank in it does no harm.) A task's folder does not exist, and its place is not
known, when it is planned: a second attempt has another one, and on a worker node it is elsewhere.
"""


class Staged(NamedTuple):
    """A file or directory placed for a task before it starts.

    Args:
        what: the file or directory; one without a location is an empty directory to be made.
        path: relative to the task's folder, or below ``INPUTS``. Any other absolute path is one
            inside the task's container.
        writable: a copy of its own that the task may change, rather than a link.
    """

    what: File | Directory
    path: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """The image a task runs in.

    Args:
        image: reference, as the site's container runtime takes it.
        folder: where the task's folder appears inside; empty where it does not matter.
        network: whether the task may reach the network.
    """

    image: str
    folder: str = ""
    network: bool = True


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work, complete in itself: an executor needs to know nothing else.

    Args:
        command: what to run.
        outputs: what it must leave behind.
        resources: what it asks for.
        env: variables on top of the executor's own environment.
        stage: files and directories to place before the start.
        texts: small text files (path as of ``Staged``, content) to write before the start.
        container: the image to run in; ``None`` for none.
        stdin: the path of a file to read as standard input; empty for none.
        stdout: where standard output goes, relative to the folder; empty for the log.
        stderr: likewise.
        success: the exit codes that mean success.
        confined: its environment is ``PATH`` and ``env`` alone, with ``HOME`` its folder and
            ``TMPDIR`` a scratch folder of its own; the words for its folders are replaced.
        folders: the words for its folders are replaced, although it is not confined: it has the
            variables of any command.
        checkpoint: paths in its folder that are kept when it has to make way, and are there again for
            the next attempt.
        memo: what its tool wants back when it collects; never leaves the head.
        inputs: values whose files its command names by their own paths: where no file system is
            shared, these have to travel too.
    """

    command: Shell | Argv | Call
    outputs: tuple[Output, ...] = ()
    resources: Resources = Resources()
    env: Mapping[str, str] = field(default_factory=dict)
    stage: tuple[Staged, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    container: Container | None = None
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    success: tuple[int, ...] = (0,)
    confined: bool = False
    folders: bool = False
    checkpoint: tuple[str, ...] = ()
    memo: object = field(default=None, compare=False, repr=False)
    inputs: Values = field(default_factory=dict, compare=False, repr=False)


def uncontained(task: Task) -> Task:
    """The same work without its image, for where that is not to be started or has been already.

    Inputs that it names by their own paths are there as they are.
    """
    if task.container is None:
        return task
    stage = tuple(
        item
        for item in task.stage
        if item.path != item.what.location or item.path.startswith(INPUTS)
    )
    return replace(task, container=None, stage=stage)


class Attempt(NamedTuple):
    """One try of one task.

    Args:
        id: unique in its run and readable, ``simulate[3]#2``; names the batch job.
        task: what to run.
        folder: absolute path of the folder it runs in, not yet made; empty when it needs none.
        priority: greater goes first.
        checkpoint: absolute path of the folder for what the task keeps from one attempt to the next;
            empty when it keeps nothing.
    """

    id: str
    task: Task
    folder: str = ""
    priority: int = 0
    checkpoint: str = ""


class Reason(Enum):
    """Why an attempt did not succeed; the retry policy is by these words."""

    PROGRAM = "program"
    """The command ended with a non-zero exit code, or the function raised."""
    OUTPUT = "missing output"
    """It ended well but did not leave what it declared."""
    TIMEOUT = "time limit"
    MEMORY = "out of memory"
    PREEMPTED = "pre-empted"
    NODE = "node or worker lost"
    REJECTED = "rejected"
    """The executor would not take it."""
    START = "could not be started"
    """The program or function does not exist, or the folder cannot be written."""
    CANCELLED = "cancelled"
    PLANNING = "could not be planned"
    """An expression or a binding failed before there was a task."""


RETURNS_TO_QUEUE: Final = frozenset({Reason.PREEMPTED, Reason.NODE})
"""Not the task's fault: such attempts do not count against its retries."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt used. Seconds and bytes; times are seconds since the epoch.

    Args:
        peak_bytes: the most memory that it and its children had together.
        gpu_s: seconds of work of all its accelerators together; 0 where nobody could tell.
        gpu_peak_bytes: the most of their memory in use.
    """

    started: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    gpu_s: float = 0.0
    gpu_peak_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended.

    Args:
        reason: ``None`` for success.
        message: for a failure, one sentence that says why.
        exit_code: of the program; negative signal number when a signal ended it.
        outputs: found outputs by port: ``File``, list of ``File``, ``Directory``, content, or null.
        stamps: absolute path -> (size in bytes, mtime in ns, inode) of every file that was digested.
        usage: time and memory.
        where: the host, and what finds the attempt there.
        stdout: the end of what it printed (all of it when short).
        stderr: likewise.
    """

    reason: Reason | None = None
    message: str = ""
    exit_code: int = 0
    outputs: Mapping[str, Value] = field(default_factory=dict)
    stamps: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    usage: Usage = Usage()
    where: str = ""
    stdout: str = ""
    stderr: str = ""

    @property
    def succeeded(self) -> bool:
        return self.reason is None
