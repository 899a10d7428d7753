"""One task as a process: begun in its folder, judged by how it ended, its outputs found.

Shared by the launcher of this machine and the capsule on a worker node: plain standard library for
Python 3.6. A task is what `hepflow.wire` spells, ``[id, how, body, env, folder, outputs, walltime_s,
memory_mib]`` and then, where it asks for more, the parts of `placing.Setting`. Must never know the head.
"""

import os
import sys
import time

from hepflow.capsule.folder import Missing, collect
from hepflow.capsule.light import deque, signal
from hepflow.capsule.placing import (
    CONFINED,
    DUPLICATED,
    MARK,
    OPEN,
    PLAIN,
    Setting,
    filled,
    prepare,
    stream_fault,
    streams,
)
from hepflow.capsule.report import (
    Printed,
    end_of,
    last_line,
    memory_verdict,
    result_line,
    signal_name,
)
from hepflow.capsule.spawning import ARGV, start_fault

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    import resource
    from typing import Any

    from hepflow.capsule.placing import Slot, Slots
    from hepflow.capsule.spawning import Spawner

PARTS = 8
"""The parts that every task has."""

SUCCESS = (0,)

NOT_RUN = 125
"""The exit code of a container runtime that could not run the container."""


class Lane:
    """A place where one task runs at a time, with the files that take what it prints."""

    def __init__(self, path: str, null: int) -> None:
        self.queue: "deque[list[Any]]" = deque()
        self.job: "Job | None" = None
        self.script = path + ".sh"
        self.out = Printed(path + ".out")
        self.err = Printed(path + ".err")
        self.files = [
            (DUPLICATED, null, 0),
            (DUPLICATED, self.out.descriptor, 1),
            (DUPLICATED, self.err.descriptor, 2),
        ]

    def printed(self, folder: str) -> "tuple[str, str]":
        """What the task printed; long text is kept beside its outputs."""
        return self.out.take(folder, ".stdout"), self.err.take(folder, ".stderr")


class Job:
    """One running task."""

    def __init__(
        self, task: "list[Any]", setting: "Setting", slot: "Slot | None", lane: "Lane", pid: int
    ) -> None:
        self.name: str = task[0]
        self.how: int = task[1]
        self.folder: str = task[4]
        self.outputs: "list[Any]" = task[5]
        self.walltime_s: float = task[6]
        self.memory_mib: int = task[7]
        self.setting = setting
        self.slot = slot
        self.lane = lane
        self.pid = pid
        self.began = time.time()
        self.clock = time.monotonic()
        self.verdict = ""
        self.abandoned = False
        self.ended = False
        self.usage: "list[float]" = []

    def measured(self, spent: "resource.struct_rusage", peak_bytes: int = 0) -> None:
        """Keep what it used, by what ``wait4`` says and, of its whole family, by what was seen."""
        self.ended = True
        wall = time.monotonic() - self.clock
        cpu = spent.ru_utime + spent.ru_stime
        peak = max(peak_bytes, spent.ru_maxrss << (0 if sys.platform == "darwin" else 10))
        self.usage = [round(self.began, 3), round(wall, 6), round(cpu, 6), peak]


def begin(
    task: "list[Any]", lane: "Lane", spawner: "Spawner", slots: "Slots", scratch: str
) -> "Job":
    """Start one task.

    Args:
        task: as the wire spells it, its variables looked up.
        lane: where what it prints goes.
        spawner: starts its process.
        slots: where the folder for its inputs and its scratch folder come from.
        scratch: where it runs if it has no folder of its own.

    Raises:
        Unstarted: it cannot be started; the text says why.
    """
    how, body, variables, folder = task[1:5]
    setting = Setting(*task[PARTS:]) if len(task) > PARTS else PLAIN
    files, here = lane.files, folder or scratch
    env, slot = variables.copy(), None
    try:
        if setting.apart != OPEN:
            slot = slots.take()
        if folder:
            prepare(folder, setting, slot)
        os.chdir(here)
        if setting.apart != CONFINED:
            env[b"PWD"] = os.fsencode(here)
        if slot is not None:
            setting, body = _fill_in(setting, how, body, env, folder, slot)
        if setting is not PLAIN:
            files = streams(folder, setting, files)
    except (OSError, ValueError) as error:
        slots.give_back(slot, setting)
        raise Unstarted(f"its folder could not be made ready: {error}") from None
    script = ".command.sh" if folder else lane.script
    try:
        pid = spawner.spawn(how, body, env, files, script)
    except (OSError, ValueError) as error:
        fault = stream_fault(folder, setting) or start_fault(error, how, body)
        slots.give_back(slot, setting)
        raise Unstarted(fault) from None
    lane.job = Job(task, setting, slot, lane, pid)
    return lane.job


class Unstarted(Exception):
    """A task could not be started; the text says why in one sentence."""


def _fill_in(
    setting: "Setting", how: int, body: "Any", env: "dict[bytes, bytes]", folder: str, slot: "Slot"
) -> "tuple[Setting, Any]":
    """Give a task that is kept apart the paths of its folders; returns its setting and its words."""
    places = folder, slot.tmp, slot.inputs
    if setting.stdin:
        setting = setting.but(stdin=filled(setting.stdin, *places))
    if setting.apart == CONFINED:
        for name, value in env.items():
            if MARK.encode() in value:
                env[name] = os.fsencode(filled(os.fsdecode(value), *places))
        env.setdefault(b"HOME", os.fsencode(folder))
        env.setdefault(b"TMPDIR", os.fsencode(slot.tmp))
    else:
        mounts = [[inside, filled(here, *places)] for inside, here in setting.mounts]
        setting = setting.but(mounts=mounts)
    return setting, [filled(word, *places) for word in body] if how == ARGV else body


# --- the end --------------------------------------------------------------------------------------


def exit_code(status: int) -> int:
    """The exit code in a status of ``wait4``; a negative signal number when one ended it."""
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def has_failed(job: "Job", code: int) -> bool:
    """Whether it is over without a look at its outputs."""
    return bool(job.verdict) or code not in (job.setting.success or SUCCESS)


def failed(
    job: "Job", code: int, printed: "tuple[str, str]", kills_before: int
) -> "tuple[str, bytes]":
    """The reason, and the result, of a task that did not end well."""
    if job.setting.stderr:
        printed = printed[0], end_of(f"{job.folder}/{job.setting.stderr}")
    reason, message = _why(job, code, printed[1], kills_before)
    line = result_line(job.name, reason, job.usage, None, None, message, code, printed)
    return reason, line


def found(
    job: Job,
    code: int,
    printed: "tuple[str, str]",
    limit: int,
    returned: "dict[str, Any] | None" = None,
) -> bytes:
    """The result of a task that ended well: with what it left, if that is as declared.

    Args:
        limit: bytes of one file that may be digested here and now; -1 for any number.
        returned: values that came otherwise than in its folder.

    Raises:
        Large: there is more to digest than ``limit``.
    """
    reason = message = ""
    values: "dict[str, Any]" = {}
    files: "list[Any]" = []
    try:
        values, files = collect(job.folder, job.outputs, limit, job.setting, job.slot)
    except Missing as error:
        reason, message = "missing output", str(error)
    except OSError as error:
        reason, message = "missing output", f"an output could not be read: {error}"
    if returned and not reason:
        values = {**returned, **values}
    return result_line(job.name, reason, job.usage, values, files, message, code, printed)


def _why(job: "Job", code: int, stderr: str, kills_before: int) -> "tuple[str, str]":
    """The reason and the sentence for a task that did not end well."""
    if job.verdict == "time limit":
        return job.verdict, f"it ran longer than its time limit of {job.walltime_s:g} s"
    if job.verdict == "cancelled":
        return job.verdict, "cancelled while it ran"
    if job.verdict:
        return job.verdict, "it was told to end before it was done"
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        message = memory_verdict(int(job.usage[3]), job.memory_mib, kills_before)
        if message:
            return "out of memory", message
    if code == NOT_RUN and job.setting.undo:
        return "could not be started", f"the container could not be run{last_line(stderr)}"
    if code < 0:
        message = f"command was ended by {signal_name(-code)}"
    elif code > 128 and job.how != ARGV and not signal_name(code - 128).startswith("signal"):
        message = (
            f"command exited with code {code} (for a shell: ended by {signal_name(code - 128)})"
        )
    else:
        message = f"command exited with code {code}"
    if job.setting.success:
        message += f" (success is {', '.join(map(str, job.setting.success))})"
    return "program", message + last_line(stderr)


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a process group, if there still is one."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass
