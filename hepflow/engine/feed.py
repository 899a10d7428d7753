"""Work that comes from outside, one piece at a time, where somebody else knows the graph.

To the scheduler it is what a ``Dataflow`` is; but what is ready, and when all is done, is said by
another program (Snakemake, say) that plans for itself and only wants its jobs run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from hepflow.engine.state import Counts
from hepflow.model.events import Invocation
from hepflow.model.values import Values
from hepflow.model.workflow import Step, Workflow

LEVEL: Final = 0
"""All pieces are of equal depth: they are submitted in the order in which they came."""

CANCELLED: Final = "it was cancelled"
OnEnd: TypeAlias = Callable[[str, Values | None, str], None]
"""Told of each piece that is over: its name, and its outputs; or ``None`` and why it failed."""


class Piece:
    """One piece of work, as the scheduler sees the step of an invocation."""

    __slots__ = ("counts", "inputs", "level", "step", "title")

    def __init__(self, title: str, step: Step, inputs: Values, counts: Counts) -> None:
        self.title = title
        self.step = step
        self.inputs = inputs
        self.counts = counts
        self.level = LEVEL

    def name(self, _element: int) -> str:
        """The readable name of the invocation."""
        return self.title


class Feed:
    """Pieces of work that somebody puts in, until it is closed.

    Only ``put`` and ``close`` may be called from another thread than the scheduler's.

    Args:
        on_end: called for each piece that is over, on the scheduler's thread.
    """

    def __init__(self, on_end: OnEnd) -> None:
        self.runs: dict[int, Piece] = {}
        self.counts: dict[str, Counts] = {}
        self.outputs: Values = {}
        self._on_end = on_end
        self._waiting: deque[Piece] = deque()
        self._numbered = 0
        self._closed = False

    def put(self, title: str, step: Step, inputs: Values) -> None:
        """Add a piece.

        Args:
            title: its name, unique in the run: ``fit[3]``.
            step: what it is one of; it runs a tool, and has no sources, no scatter and no loop.
        """
        self._waiting.append(Piece(title, step, inputs, Counts(step.name)))

    def close(self) -> None:
        """No more will come: when all is done, the run is over."""
        self._closed = True

    # --- what the scheduler asks ------------------------------------------------------------------

    @property
    def expects_more(self) -> bool:
        """Whether the run goes on even if nothing is under way."""
        return not self._closed or bool(self._waiting)

    def take(self) -> Invocation | None:
        """The next piece, or none."""
        if not self._waiting:
            return None
        piece = self._waiting.popleft()
        piece.counts = self.counts.setdefault(piece.step.name, piece.counts)
        piece.counts.width += 1
        self._numbered += 1
        self.runs[self._numbered] = piece
        return Invocation(self._numbered, 0)

    def inputs(self, invocation: Invocation) -> Values:
        """The values of its ports."""
        return self.runs[invocation.step].inputs

    def fill(self, invocation: Invocation, outputs: Values) -> bool:
        """Its outputs are there."""
        self._on_end(self.runs.pop(invocation.step).title, outputs, "")
        return True

    def expand(self, invocation: Invocation, workflow: Workflow, inputs: Values) -> None:
        """Refuse a workflow in a piece's place.

        Raises:
            ValueError: always; who feeds pieces has a graph already.
        """
        title = self.runs[invocation.step].title
        raise ValueError(f"'{title}' was planned as a workflow of its own, and only a task will do")

    def put_back(self, invocation: Invocation) -> None:
        """Undo a ``take``."""
        self._waiting.appendleft(self.runs.pop(invocation.step))

    def release(self, invocation: Invocation) -> None:
        """It was cancelled."""
        self.fail(invocation, CANCELLED)

    def fail(self, invocation: Invocation, message: str) -> bool:
        """It failed for good."""
        self._on_end(self.runs.pop(invocation.step).title, None, message)
        return True

    @property
    def has_faults(self) -> bool:
        return False

    def take_faults(self) -> tuple[()]:
        """Nothing is opened here that could fail."""
        return ()
