"""The executor for Slurm: jobs of a batch system, with Slurm's hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hepflow.batch.executor import SETTINGS, BatchExecutor
from hepflow.model.site import Site

from .hooks import SLURM


class SlurmExecutor(BatchExecutor):
    """Runs attempts as jobs of Slurm.

    Args:
        workdir: the executor's own folder, on a file system that the nodes see; made if need be.
        site: its queues, account, limits and settings.

    Raises:
        ValueError: a setting is wrong; a sentence for the user.
    """

    settings: Final = SETTINGS

    def __init__(self, workdir: Path, *, site: Site) -> None:
        super().__init__(SLURM, workdir, site)
