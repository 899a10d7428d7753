"""Large values apart from what is said of them, so that they can stay where they were made.

Used by head and workers alike. What travels has an ``Apart`` where a large value was; the values themselves
lie beside it in a ``Parcel``, each pickled. Must never know an engine.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from hepflow.model.events import ExecutorEvent, Finished
from hepflow.model.task import Attempt, Call
from hepflow.model.values import Value

LARGE: Final = 1 << 16
"""Bytes, about, from which on a value is worth an entry of its own."""
NUMBER: Final = 8
NUMBERS: Final = frozenset({int, float, bool, type(None)})

Change = Callable[[Value], Any]


@dataclass(frozen=True, slots=True)
class Apart:
    """Stands for a large value that lies elsewhere.

    Args:
        key: ``ATTEMPT/PORT`` of a task's result, or a number of the head's.
    """

    key: str


class Parcel(NamedTuple):
    """What a bundle leaves on its worker, or what a head lays there.

    Args:
        said: the pickled events, with an ``Apart`` for each large value.
        values: these values, pickled.
    """

    said: bytes
    values: Mapping[str, bytes]


class Gone(Exception):
    """A value that was to be on the workers is not there any more."""


def weight(value: Value) -> int:
    """About how many bytes a value has; files are their paths."""
    kind = type(value)
    if kind in NUMBERS:
        return NUMBER
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(len, value)) + _weight_of(list(value.values()))
    if isinstance(value, (list, tuple)):
        return _weight_of(value)
    return NUMBER


def _weight_of(items: Sequence[Value]) -> int:
    if NUMBERS.issuperset(map(type, items)):
        return NUMBER * len(items)
    return sum(map(weight, items))


def whole(events: Sequence[ExecutorEvent]) -> Parcel:
    """Events with all their values in them."""
    return Parcel(pickle.dumps(events, pickle.HIGHEST_PROTOCOL), {})


def apart(events: Sequence[ExecutorEvent]) -> Parcel:
    """Events without the large values of outputs, which lie beside them."""
    values: dict[str, bytes] = {}
    said = [_without(event, values) for event in events]
    return Parcel(pickle.dumps(said, pickle.HIGHEST_PROTOCOL), values)


def _without(event: ExecutorEvent, values: dict[str, bytes]) -> ExecutorEvent:
    large = large_outputs(event)
    if not large:
        return event
    assert isinstance(event, Finished)
    outputs: dict[str, Any] = dict(event.outcome.outputs)
    for port, key in large.items():
        values[key] = pickle.dumps(outputs[port], pickle.HIGHEST_PROTOCOL)
        outputs[port] = Apart(key)
    return Finished(event.attempt, replace(event.outcome, outputs=outputs))


def large_outputs(event: ExecutorEvent) -> dict[str, str]:
    """The ports of an attempt whose values are large, and the keys of these."""
    if not isinstance(event, Finished):
        return {}
    return {
        port: f"{event.attempt}/{port}"
        for port, value in event.outcome.outputs.items()
        if _is_apart(value) or weight(value) >= LARGE
    }


def _is_apart(value: object) -> bool:
    return isinstance(value, Apart)


def with_arguments(attempt: Attempt, change: Change) -> Attempt:
    """An attempt at a call, with other values for its arguments."""
    call = attempt.task.command
    if not isinstance(call, Call):
        return attempt
    arguments = {name: change(value) for name, value in call.arguments.items()}
    offered = {name: change(value) for name, value in call.offered.items()}
    changed = replace(call, arguments=arguments, offered=offered)
    return attempt._replace(task=replace(attempt.task, command=changed))


def put_together(attempts: Sequence[Attempt], parcels: Sequence[Parcel]) -> list[Attempt]:
    """Attempts with the values that lie in parcels back in their places.

    Raises:
        Gone: one is in none of them.
    """
    values = {key: data for parcel in parcels for key, data in parcel.values.items()}
    found: dict[str, Any] = {}

    def back(value: Any) -> Any:
        if isinstance(value, Apart):
            if value.key not in found:
                if value.key not in values:
                    raise Gone(value.key)
                found[value.key] = pickle.loads(values[value.key])
            return found[value.key]
        if type(value) is list:
            return [back(item) for item in value]
        if type(value) is dict:
            return {name: back(item) for name, item in value.items()}
        return value

    return [with_arguments(attempt, back) for attempt in attempts] if parcels else list(attempts)
