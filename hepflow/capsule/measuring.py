"""What a process and all its descendants use at the moment, by ``/proc``.

Plain standard library for Python 3.6. Must never know a task.
"""

import os

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
