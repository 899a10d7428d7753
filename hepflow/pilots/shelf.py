"""Which large values the workers have already, so that a head need not send them (again).

Owns what is known of them, by the very objects that a run hands from step to step. A value that a task
returned stays on its worker under the engine's handle; any other is laid there once, when it is first
asked for. The head keeps its own copy all the while: the store has every value. Must never know a bundle's
fate.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from hepflow.model.events import ExecutorEvent, Finished
from hepflow.model.task import Attempt, Call
from hepflow.model.values import Value
from hepflow.pilots.parcels import (
    LARGE,
    NUMBERS,
    Apart,
    Parcel,
    large_outputs,
    weight,
    with_arguments,
)

MOST_BYTES: Final = 64 << 20
"""Of values that are kept on the workers, and therefore in this process too (where numbers take four times as
much); the longest unused go first, but for the last."""


@runtime_checkable
class Keeping(Protocol):
    """An engine whose workers keep what a bundle left, and hand it to each other."""

    def lay(self, parcel: Parcel) -> object:
        """Bring a parcel to the workers; returns the handle by which bundles ask for it.

        Whoever drops the handle lets go of the parcel.
        """
        ...

    def left(self, number: int) -> object | None:
        """The handle of what a bundle has left there; asked once for each."""
        ...

    def has(self, handle: object) -> bool:
        """Whether the workers still have it, as far as that is known."""
        ...


class Held(NamedTuple):
    """A value on the workers.

    Args:
        value: the head's own, which is the same object wherever a run hands it.
        key: its name in the parcel.
        handle: the engine's, of that parcel.
        size: in bytes, about.
    """

    value: Value
    key: str
    handle: object
    size: int


class Shelf:
    """The large values that the workers of an engine have."""

    def __init__(self, engine: Keeping) -> None:
        self._engine = engine
        self._held: dict[int, Held] = {}
        self._bytes = 0
        self._serial = itertools.count()
        self._early: dict[str, Value] = {}

    # --- what bundles ask for ---------------------------------------------------------------------

    def without(self, attempts: Sequence[Attempt]) -> tuple[list[Attempt], list[object]]:
        """Attempts without the large values among their arguments, and the handles of these."""
        handles: dict[int, object] = {}

        def change(value: Value) -> Any:
            return self._outside(value, handles)

        light = [with_arguments(a, change) if self._has_large(a) else a for a in attempts]
        return light, list(handles.values())

    def _has_large(self, attempt: Attempt) -> bool:
        """Whether anything it is called with is large: of a hundred thousand small calls nothing is."""
        call = attempt.task.command
        return isinstance(call, Call) and any(
            type(value) not in NUMBERS and weight(value) >= LARGE
            for given in (call.arguments, call.offered)
            for value in given.values()
        )

    def _outside(self, value: Value, handles: dict[int, object]) -> Any:
        """A value, or what stands for it or for parts of it."""
        known = self._known(value)
        if known is None and weight(value) >= LARGE:
            parts = self._parts(value, handles)
            if parts is not None:
                return parts
            key = f"{next(self._serial)}"
            data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
            known = self._put(value, key, self._engine.lay(Parcel(b"", {key: data})))
        if known is None:
            return value
        handles[id(known.handle)] = known.handle
        return Apart(known.key)

    def _parts(self, value: Value, handles: dict[int, object]) -> Any:
        """A list or mapping of values that are large themselves, each on its own; else nothing."""
        items = list(value.values()) if type(value) is dict else value
        if not isinstance(items, list) or NUMBERS.issuperset(map(type, items)):
            return None
        if not any(id(item) in self._held or weight(item) >= LARGE for item in items):
            return None
        changed = [self._outside(item, handles) for item in items]
        return dict(zip(value, changed, strict=True)) if type(value) is dict else changed

    def _known(self, value: Value) -> Held | None:
        held = self._held.get(id(value))
        if held is None:
            return None
        if not self._engine.has(held.handle):
            self._drop(id(value))
            return None
        self._held[id(value)] = self._held.pop(id(value))  # the latest used is the last
        return held

    # --- what bundles leave -----------------------------------------------------------------------

    def told_early(self, events: Iterable[ExecutorEvent]) -> None:
        """Remember large values that were told before their bundle's end: the run has these objects."""
        for event in events:
            for port, key in large_outputs(event).items():
                assert isinstance(event, Finished)
                self._early[key] = event.outcome.outputs[port]

    def take(self, number: int, parcel: Parcel, names: Collection[str]) -> tuple[list[Any], bool]:
        """The events of a bundle with their values, which the workers are to keep.

        Args:
            number: the bundle's.
            parcel: what came back.
            names: attempts whose end was not told yet.

        Returns:
            the events, and whether anything is kept.
        """
        handle = self._engine.left(number)
        events: list[ExecutorEvent] = pickle.loads(parcel.said)
        if not parcel.values:
            return events, False
        values = {key: self._early.pop(key, None) for key in parcel.values}
        for event in events:
            for key in large_outputs(event).values():
                if event.attempt in names or values[key] is None:
                    values[key] = pickle.loads(parcel.values[key])
        if handle is not None:
            for key, value in values.items():
                self._put(value, key, handle)
        return [_filled(event, values) for event in events], handle is not None

    def left_nothing(self, number: int) -> None:
        """A bundle came to nothing."""
        self._engine.left(number)

    def forget(self, handles: Collection[object]) -> None:
        """What these handles stand for is not there any more."""
        gone = {id(handle) for handle in handles}
        for place in [place for place, held in self._held.items() if id(held.handle) in gone]:
            self._drop(place)

    # --- room -------------------------------------------------------------------------------------

    def _put(self, value: Value, key: str, handle: object) -> Held:
        self._drop(id(value))
        held = self._held[id(value)] = Held(value, key, handle, weight(value))
        self._bytes += held.size
        while self._bytes > MOST_BYTES and len(self._held) > 1:
            self._drop(next(iter(self._held)))
        return held

    def _drop(self, place: int) -> None:
        held = self._held.pop(place, None)
        if held is not None:
            self._bytes -= held.size


def _filled(event: ExecutorEvent, values: dict[str, Any]) -> ExecutorEvent:
    large = large_outputs(event)
    if not large:
        return event
    assert isinstance(event, Finished)
    outputs = {**event.outcome.outputs, **{port: values[key] for port, key in large.items()}}
    return Finished(event.attempt, replace(event.outcome, outputs=outputs))
