"""What a service on the web must be able to do that runs arrays of containers, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from hepflow.model.site import Queue
from hepflow.model.task import Reason, Resources


class Fault(Exception):
    """A service or an object store did not do what it was asked.

    Args:
        message: why, in one sentence.
        transient: whether asking again may help.
    """

    def __init__(self, message: str, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class Said(NamedTuple):
    """What a service says of one element of an array.

    Args:
        job: the array's own name for the service.
        element: its number in the array.
        where: what finds it there: the node, the pod, the machine.
        ended: it will do no more; else it runs.
        reason: why it ended, where the service knows that: it was pre-empted, had no memory; ``None``
            where only its result can say.
        why: the same in words.
    """

    job: str
    element: int
    where: str = ""
    ended: bool = False
    reason: Reason | None = None
    why: str = ""


class Array(NamedTuple):
    """Jobs that are alike but for their number.

    Args:
        name: in small letters, digits and hyphens, no longer than 50; no other array's. It is found again by it.
        title: of the first attempt, for people.
        size: its elements.
        queue: where it goes.
        resources: what each asks for; of a pack, what one task asks for.
        walltime_s: seconds an element may take; 0 for no limit.
        image: what each runs in.
        script: what each runs, for ``sh -c``.
        env: variables.
        secret: variables that only the element itself may see.
    """

    name: str
    title: str
    size: int
    queue: Queue
    resources: Resources
    walltime_s: float
    image: str
    script: str
    env: dict[str, str]
    secret: dict[str, str]


Tell: TypeAlias = Callable[[Sequence[Said]], None]


class Service(Protocol):
    """A service. But for ``sample`` its methods take their time, are called on threads, and raise ``Fault``.

    Attributes:
        index: the number of an element, as its shell says it.
    """

    index: str

    def start(self, tell: Tell) -> None:
        """Begin to tell what becomes of arrays, from a thread of its own."""
        ...

    def submit(self, array: Array) -> str:
        """Have an array run; returns the service's own name for it."""
        ...

    def end(self, job: str, elements: Collection[int] | None) -> None:
        """End elements, each of which is told as ended; without any, leave nothing of the array."""
        ...

    def find(self, names: Collection[str]) -> dict[str, str]:
        """Those arrays that are there, by the names that they were submitted under."""
        ...

    def sample(self, array: Array) -> str:
        """What would be sent for an array, as text."""
        ...

    def close(self) -> None:
        """Tell no more."""
        ...


def submit_once(service: Service, array: Array) -> str:
    """Have an array run; returns the service's own name for it.

    An array whose submission had no answer may be there nonetheless, and is not to be there twice.

    Raises:
        Fault: it was refused; or it had no answer, and is not there or that cannot be told.
    """
    try:
        return service.submit(array)
    except Fault as fault:
        if not fault.transient:
            raise
        try:
            found = service.find([array.name])
        except Fault:
            found = {}
        if array.name not in found:
            raise
        return found[array.name]
