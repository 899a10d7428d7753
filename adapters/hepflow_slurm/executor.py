"""The executor for Slurm: jobs of a batch system, with Slurm's hooks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from hepflow.batch.jobs import SETTINGS, Jobs
from hepflow.model.protocols import Sink
from hepflow.model.site import Site
from hepflow.model.task import Attempt

from .hooks import SLURM


class SlurmExecutor:
    """Runs attempts as jobs of Slurm: arrays, packed where the queue says so.

    Args:
        workdir: the executor's own folder, on a file system that the nodes see; made if need be.
        site: its queues, account, limits and settings.
    """

    settings: Final = SETTINGS

    def __init__(self, workdir: Path, *, site: Site) -> None:
        self._jobs = Jobs(SLURM, workdir, site)
        self.capacity = self._jobs.capacity

    def start(self, sink: Sink) -> None:
        """Get ready; nothing is asked of Slurm before there is work for it."""
        self._jobs.start(sink)

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts: refuse what no queue takes, gather the others for a moment."""
        self._jobs.submit(attempts)

    def cancel(self, attempts: Collection[str]) -> None:
        """End attempts; those that wait here at once, the others through their capsules and jobs."""
        self._jobs.cancel(attempts)

    def recover(self, attempts: Mapping[str, str]) -> Collection[str]:
        """Go on with the jobs of an earlier head."""
        return self._jobs.recover(attempts)

    def close(self, *, settled: bool = False) -> None:
        """Leave the jobs to a later head; when there will be none, end what is left of them."""
        self._jobs.close(settled=settled)

    def sample(self, attempts: Sequence[Attempt]) -> str:
        """The submit files of these attempts, as they would be handed to ``sbatch``."""
        return self._jobs.sample(attempts)
