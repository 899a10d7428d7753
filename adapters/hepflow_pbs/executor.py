"""The executor for PBS: jobs of a batch system, with the hooks of Torque or of PBS Pro."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from hepflow.batch.jobs import SETTINGS, Jobs
from hepflow.model.protocols import Sink
from hepflow.model.site import Site, number, text
from hepflow.model.task import Attempt

from .hooks import HOOKS
from .scripts import FLAVOURS, NODES, TORQUE


class PBSExecutor:
    """Runs attempts as jobs of PBS: arrays, packed where the queue says so.

    Args:
        workdir: the executor's own folder, on a file system that the nodes see; made if need be.
        site: its queues, account, limits and settings.

    Raises:
        ValueError: a setting is wrong; a sentence for the user.
    """

    settings: Final = {
        **SETTINGS,
        "flavour": f"which PBS it is: {' or '.join(FLAVOURS)} (OpenPBS too); {TORQUE}",
        "launcher": "the words that bring a program from the batch host to its node, such as"
        " 'aprun -n 1 -d {cpus}'; none",
        "nodes": f"how Torque is asked for a node, with {{ppn}} and {{constraint}}; {NODES}",
        "ppn": "processors to ask for on each node, where that is not the task's number of cpus",
    }

    def __init__(self, workdir: Path, *, site: Site) -> None:
        flavour = text(site.settings, "flavour", TORQUE)
        if flavour not in HOOKS:
            raise ValueError(f"the setting 'flavour' takes {' or '.join(HOOKS)}, gets {flavour!r}")
        for queue in [site.anywhere, *site.queues]:
            said = site.settings_for(queue)
            number(said, "ppn", 0)
            for name in ("launcher", "nodes"):
                _checked(name, text(said, name))
        self._jobs = Jobs(HOOKS[flavour], workdir, site)
        self.capacity = self._jobs.capacity

    def start(self, sink: Sink) -> None:
        """Get ready; nothing is asked of PBS before there is work for it."""
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
        """The submit files of these attempts, as they would be handed to ``qsub``."""
        return self._jobs.sample(attempts)


def _checked(name: str, written: str) -> None:
    try:
        written.format(cpus=1, ppn=1, constraint="")
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(
            f"the setting '{name}' knows {{cpus}}, {{ppn}} and {{constraint}}: {error} in {written!r}"
        ) from None
