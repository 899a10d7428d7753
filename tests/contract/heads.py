"""The heads of one project, one after the other, for executors of batch systems."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hepflow.batch.executor import BatchExecutor
from hepflow.model.site import Site
from hepflow.model.task import Attempt, Shell, Task
from tests.contract.loop import Loop


class Heads:
    """Executors of one kind in one folder; the latest one's loop is ours.

    Args:
        folder: the executors' and the tasks'.
        kind: what to make.
        site: where, when a test does not say.
    """

    def __init__(self, folder: Path, kind: type, site: Site) -> None:
        self.folder = folder
        self.loop = Loop()
        self._kind, self._site = kind, site
        self._made: list[BatchExecutor] = []

    def executor(self, site: Site | None = None, **settings: object) -> BatchExecutor:
        """One more head's."""
        at = site or self._site
        at = replace(at, settings={**at.settings, **settings})
        made: BatchExecutor = self._kind(self.folder / "executor", site=at)
        self.loop = Loop()
        made.start(self.loop)
        self._made.append(made)
        return made

    def attempts(self, *texts: str, name: str = "step", **more: object) -> list[Attempt]:
        """Attempts at commands of a shell."""
        return [
            Attempt(f"{name}[{n}]#1", Task(Shell(text), **more), str(self.folder / f"{name}-{n}"))  # type: ignore[arg-type]
            for n, text in enumerate(texts)
        ]

    def close(self) -> None:
        """Leave the jobs alone, as a head does that will be back."""
        for executor in self._made:
            executor.close()
