"""What a process and all its descendants use, by ``/proc``, and what its accelerators do, by ``nvidia-smi``.

Plain standard library for Python 3.6. Must never know a task.
"""

import os

from hepflow.capsule.light import signal
from hepflow.capsule.placing import DUPLICATED
from hepflow.capsule.spawning import ARGV

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    from hepflow.capsule.spawning import Spawner

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(root: int) -> int:
    """The memory of a process group's leader and all its descendants; 0 where that cannot be told."""
    parents, sizes = {}, {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return 0
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The program's name stands in brackets and may hold anything.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        parents[int(name)] = int(fields[1])
        sizes[int(name)] = int(fields[21]) * PAGE
    return sum(size for pid, size in sizes.items() if _descends(pid, root, parents))


def _descends(pid: int, root: int, parents: "dict[int, int]") -> bool:
    while pid != root and pid in parents:
        pid = parents[pid]
    return pid == root


EVERY_MS = 1000
"""Milliseconds between two looks at an accelerator."""


class Gpus:
    """Has ``nvidia-smi`` write down what a task's accelerators do, for as long as the task runs.

    Args:
        devices: as ``CUDA_VISIBLE_DEVICES`` has them.
        path: a file for that.
        spawner: starts it.

    Raises:
        OSError: it is not there, or cannot be started.
    """

    def __init__(self, devices: str, path: str, spawner: "Spawner") -> None:
        self._path = path
        self._count = len(devices.split(","))
        words = [
            "nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits",
            f"--id={devices}", f"--loop-ms={EVERY_MS}",
        ]  # fmt: skip
        with open(path, "wb") as file, open(os.devnull, "rb") as null:
            files = [(DUPLICATED, null.fileno(), 0), (DUPLICATED, file.fileno(), 1),
                     (DUPLICATED, null.fileno(), 2)]  # fmt: skip
            self._pid = spawner.spawn(ARGV, words, spawner.base, files, "")

    def end(self, wall_s: float) -> "list[float]":
        """Stop it; seconds of work of all accelerators together, and the most memory used of them in bytes."""
        try:
            os.killpg(self._pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self._pid, 0)
        shares, sizes = [], []
        with open(self._path, encoding="ascii", errors="replace") as file:
            for line in file:
                share, _, size = line.partition(",")
                shares += _number(share)  # where a card cannot say, there is a word
                sizes.append(int(sum(_number(size))) << 20)
        os.unlink(self._path)
        if not shares:
            return [0.0, 0]
        # One line for each of them, every time.
        looks = [sizes[at : at + self._count] for at in range(0, len(sizes), self._count)]
        work = sum(shares) / len(shares) / 100 * wall_s * self._count
        return [round(work, 3), max(sum(look) for look in looks)]


def _number(text: str) -> "list[float]":
    """The number in a text; none if there is none."""
    try:
        return [float(text)]
    except ValueError:
        return []
