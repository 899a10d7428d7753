"""What the scheduler asks for work: the graph of a workflow, or what somebody puts in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hepflow.engine.state import Counts
from hepflow.model.events import Invocation
from hepflow.model.values import Values
from hepflow.model.workflow import Step, Workflow


class Opened(Protocol):
    """The step of an invocation that was taken."""

    @property
    def step(self) -> Step: ...

    @property
    def counts(self) -> Counts: ...

    @property
    def level(self) -> int: ...

    def name(self, index: int, /) -> str:
        """The readable name of an invocation."""
        ...


class Flow(Protocol):
    """Gives ready invocations, and is told how they ended.

    Attributes:
        counts: how far each step is, by its path without indices.
    """

    counts: dict[str, Counts]

    @property
    def runs(self) -> Mapping[int, Opened]:
        """The steps that are open, by number."""
        ...

    @property
    def outputs(self) -> Values | None:
        """Those of the whole; ``None`` while they are not complete."""
        ...

    @property
    def expects_more(self) -> bool:
        """Whether the run goes on even if nothing is under way."""
        ...

    def take(self) -> Invocation | None: ...

    def put_back(self, invocation: Invocation) -> None: ...

    def inputs(self, invocation: Invocation) -> Values | None: ...

    def expand(self, invocation: Invocation, workflow: Workflow, inputs: Values) -> None: ...

    def fill(self, invocation: Invocation, outputs: Values) -> bool: ...

    def release(self, invocation: Invocation) -> None: ...

    def fail(self, invocation: Invocation, message: str, /) -> bool:
        """An invocation failed for good, and why. Whether nobody tolerates that."""
        ...

    @property
    def has_faults(self) -> bool: ...

    def take_faults(self) -> Sequence[tuple[str, str, bool]]:
        """Steps that could not even be opened: name, why, and whether nobody tolerates that."""
        ...
