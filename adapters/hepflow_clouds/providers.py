"""What a provider's batch service must be able to do, and what there is to know of its jobs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hepflow.arrays.service import Array, Said
from hepflow.model.site import Queue, Site, number
from hepflow.model.task import Resources


@dataclass(slots=True)
class Job:
    """An array that a service has.

    Args:
        size: its elements.
        before: how many elements were in which state when it was last asked.
        running: elements that were told as running.
        over: elements that were told as ended.
    """

    size: int
    before: Mapping[str, int] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    over: set[int] = field(default_factory=set)


class Provider(Protocol):
    """One service in one region. But for ``request`` its methods take their time, and raise ``Fault``."""

    def request(self, array: Array) -> Mapping[str, object]:
        """What is sent for an array."""
        ...

    def submit(self, array: Array) -> str:
        """Have an array run; returns what the service calls it."""
        ...

    def ask(self, jobs: Mapping[str, Job]) -> Iterator[Said]:
        """What is new of these jobs, with as few questions as may be.

        What comes before a ``Fault`` counts; what is said once is never said again.
        """
        ...

    def end(self, job: str, elements: Collection[int]) -> None:
        """End elements that have not ended."""
        ...

    def find(self, name: str) -> tuple[str, int] | None:
        """The job that was submitted under a name, and its size."""
        ...

    def forget(self, job: str) -> None:
        """Leave nothing of a job that is over, where the service does not see to that itself."""
        ...


def memory_mib(site: Site, queue: Queue, resources: Resources) -> int:
    """Mebibytes of memory to ask for."""
    return resources.memory_mib or int(number(site.settings_for(queue), "memory_mib", 2048))


def whole_cpus(resources: Resources) -> int:
    """Cores to ask for, where there are no halves."""
    return max(1, math.ceil(resources.cpus))
