"""How several values become one: link-merge, pick-value, and the shapes of a scatter."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from hepflow.model.values import UNKNOWN, Value
from hepflow.model.workflow import Merge, Pick, Scatter


def combine(values: list[Value], merge: Merge | None, pick: Pick | None, default: Value) -> Value:
    """One value from a binding's sources (CWL v1.2, Workflow, "Merging Multiple Inputs").

    Raises:
        ValueError: nothing is left to pick, or too much is.
    """
    if not values:
        return default
    if len(values) == 1 and merge is None and pick is None:
        return default if values[0] is None else values[0]
    if merge is Merge.FLATTENED:
        found = _flattened(values)
    elif len(values) == 1 and merge is None:
        found = values[0]
    else:
        found = list(values)
    if pick is not None and isinstance(found, (list, tuple)):
        found = _pick(found, pick)  # one source that is no array has nothing to pick from
    return default if found is None else found


def _flattened(values: list[Value]) -> Value:
    flat: list[Value] = []
    for value in values:
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(value, (list, tuple, range)):
            flat.extend(value)
        else:
            flat.append(value)
    return flat


def _pick(values: Sequence[Value], pick: Pick) -> Value:
    found = [value for value in values if value is not None]
    if pick is Pick.ALL_NON_NULL:
        return found
    if not found:
        raise ValueError(f"{pick.value}: all sources are null")
    if pick is Pick.ONLY_NON_NULL and len(found) > 1:
        raise ValueError(f"{pick.value}: {len(found)} sources are not null")
    return found[0]


def width_of(sizes: Sequence[int], method: Scatter) -> int:
    """How many invocations arrays of these lengths give.

    Raises:
        ValueError: a dot product of unequal lengths.
    """
    if method is Scatter.DOT:
        if len(set(sizes)) > 1:
            raise ValueError(f"a dot product needs arrays of one length, not {list(sizes)}")
        return sizes[0]
    return prod(sizes)


def coordinate(index: int, sizes: Sequence[int], axis: int, method: Scatter) -> int:
    """Which element of the array on ``axis`` an invocation takes (the last axis runs fastest)."""
    if method is Scatter.DOT or len(sizes) == 1:
        return index
    return index // prod(sizes[axis + 1 :]) % sizes[axis]


def invocations(element: int, sizes: Sequence[int], axis: int, method: Scatter) -> Sequence[int]:
    """The invocations that take a given element of the array on ``axis``."""
    if method is Scatter.DOT or len(sizes) == 1:
        return (element,)
    run = prod(sizes[axis + 1 :])
    stride = run * sizes[axis]
    if not stride:
        return ()  # another array is empty
    return [
        block + offset
        for block in range(element * run, prod(sizes), stride)
        for offset in range(run)
    ]


def nested(values: Sequence[Value], sizes: Sequence[int]) -> Value:
    """A flat array of slots as arrays in arrays of the given sizes."""
    if len(sizes) <= 1:
        return list(values)
    below = prod(sizes[1:])
    return [nested(values[row * below : (row + 1) * below], sizes[1:]) for row in range(sizes[0])]
