"""The orders of an array's jobs, each carried out by the job that takes it first.

A job that is done early goes on with what would wait for other jobs of its array. Job 3 takes the order ``5.json``
by renaming it to ``results/5.by-3``: one step, so that no two jobs have it, after which everybody sees whose it is.
Plain standard library for Python 3.6.
"""

import os

SPREAD = 0.618
"""The golden ratio's fraction: multiples of it lie well apart, so jobs that start together seldom meet."""


class Share:
    """What one job has of its array's orders.

    Args:
        path: the job's own order, ``FOLDER/5.json``.
    """

    def __init__(self, path: str) -> None:
        self.folder, name = os.path.split(path)
        self.number = int(name.partition(".")[0])
        self.waiting: "list[int]" = []

    def own(self) -> "list[str]":
        """The order that is the job's own, and what it had taken if it was started before; none if another has it.

        Raises:
            OSError: nobody can tell.
        """
        try:
            return [self._take(self.number)]
        except FileNotFoundError:
            mine = f".by-{self.number}"
            results = f"{self.folder}/results"
            return [f"{results}/{name}" for name in os.listdir(results) if name.endswith(mine)]

    def another(self) -> str:
        """One more order, of a job that has not begun; empty when there is none."""
        try:
            while self._still_waiting():
                number = self.waiting.pop()
                try:
                    return self._take(number)
                except FileNotFoundError:
                    path = self._path(number)
                    if os.path.exists(path):
                        return path  # a file server that is asked twice says so of what it has done
                    self.waiting = []  # others take here
        except OSError:
            pass  # then they run where they were to run
        return ""

    def _still_waiting(self) -> "list[int]":
        """The numbers of orders that nobody has taken, the next one last."""
        if not self.waiting:
            names = [name.partition(".") for name in os.listdir(self.folder)]
            found = sorted(int(n) for n, _, kind in names if kind == "json" and n.isdigit())
            middle = int(self.number * SPREAD % 1 * len(found))
            self.waiting = found[middle:] + found[:middle]
        return self.waiting

    def _take(self, number: int) -> str:
        path = self._path(number)
        os.rename(f"{self.folder}/{number}.json", path)
        return path

    def _path(self, number: int) -> str:
        return f"{self.folder}/results/{number}.by-{self.number}"
