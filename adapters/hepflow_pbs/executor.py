"""The executor for PBS: jobs of a batch system, with the hooks of Torque or of PBS Pro."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hepflow.batch.executor import SETTINGS, BatchExecutor
from hepflow.model.site import Site, number, text

from .hooks import HOOKS
from .scripts import FLAVOURS, NODES, TORQUE


class PBSExecutor(BatchExecutor):
    """Runs attempts as jobs of PBS.

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
        super().__init__(HOOKS[flavour], workdir, site)


def _checked(name: str, written: str) -> None:
    try:
        written.format(cpus=1, ppn=1, constraint="")
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(
            f"the setting '{name}' knows {{cpus}}, {{ppn}} and {{constraint}}: {error} in {written!r}"
        ) from None
