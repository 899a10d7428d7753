"""How a run is driven: as it is asked for, as the store keeps it, and as a later head goes on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hepflow.model.protocols import LoadOptions
from hepflow.runner.opening import Wish


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is driven.

    Args:
        keep_going: finish what does not depend on a failure; else nothing new is started after one.
        cpus, memory_mib, gpus: the site's settings of these names, for executors that have them (the
            local one: what it may use); ``None`` for what the site says.
        in_flight: attempts submitted at a time; 0 for what the executor can use.
        reuse: take results of earlier runs.
        publish: folder for the outputs; ``None`` for ``results/NAME`` of the project.
        site: where tasks run: a site by name, or a site file, or several of them in the order of your
            wish; empty for this machine.
        containers: run tasks in the images they name; else on the machine itself, which must have
            what they need.
        tracking: who keeps a record of the run; empty for whom the recipe names, ``none`` for nobody.
    """

    keep_going: bool = False
    cpus: float | None = None
    memory_mib: int | None = None
    gpus: tuple[str, ...] | None = None
    in_flight: int = 0
    reuse: bool = True
    publish: Path | None = None
    site: str | tuple[str, ...] = ""
    containers: bool = True
    tracking: tuple[str, ...] = ()

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites, however they were given."""
        return (self.site,) if isinstance(self.site, str) and self.site else tuple(self.site)


def wish(options: RunOptions, named: Mapping[str, str]) -> Wish:
    """Where a run is to take place."""
    limits = {"cpus": options.cpus, "memory_mib": options.memory_mib, "gpus": options.gpus}
    given = {name: value for name, value in limits.items() if value is not None}
    return Wish(options.sites, named, given)


def plain(options: RunOptions | LoadOptions) -> dict[str, object]:
    """As the store keeps them."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(options).items()
    }


def merged(stored: Mapping[str, object], given: RunOptions | None) -> RunOptions:
    """The options a run was started with, under those given now."""
    options = RunOptions(**stored)  # type: ignore[arg-type]
    options = replace(
        options,
        publish=Path(options.publish) if options.publish else None,
        gpus=tuple(options.gpus) if options.gpus is not None else None,
        site=options.sites,
        tracking=tuple(options.tracking),
    )
    defaults, now = asdict(RunOptions()), asdict(given or RunOptions())
    if given is not None and given.sites not in (
        (),
        options.sites,
    ):  # what one site may use says nothing of another
        options = replace(options, cpus=None, memory_mib=None, gpus=None)
    return replace(
        options, **{name: value for name, value in now.items() if value != defaults[name]}
    )
