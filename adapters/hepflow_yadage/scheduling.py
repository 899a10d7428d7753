"""How a stage makes its nodes: one, many by scattering, or whatever a jq program says."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hepflow.model.values import Value
from hepflow_yadage.queries import first_of_jq, run_jq
from hepflow_yadage.selecting import evaluated
from hepflow_yadage.specs import JSON, Kind, Scheduler
from hepflow_yadage.view import NODE, Reference, View, leaves_replaced

_POINTER = "$wflowpointer"
_REFERENCE = "$wflowref"


class Node(NamedTuple):
    """A node to be.

    Args:
        parameters: files among them as such.
        folders: where the nodes ran that they come from, in order.
    """

    parameters: Value
    folders: tuple[str, ...]


def nodes_of(scheduler: Scheduler, view: View) -> list[Node]:
    """The nodes a stage makes.

    Raises:
        ValueError: an expression or a program failed; a sentence.
    """
    if scheduler.kind is Kind.JQ:
        return _by_jq(scheduler, view)
    found: dict[str, JSON] = {}
    for name, value in scheduler.parameters.items():
        try:
            found[name] = evaluated(value, view)
        except ValueError as error:
            raise ValueError(f"parameter '{name}': {error}") from None
    if scheduler.kind is Kind.SINGLE:
        return [_finished(view, {}, found, {})]
    scattered = {name: _grouped(scheduler, name, found.pop(name)) for name in scheduler.scatter}
    folders: dict[str, None] = {}
    common = {name: view.taken(value, folders) for name, value in found.items()}
    texts = {name: view.known.values(value) for name, value in common.items()}
    combinations = itertools.product if scheduler.cartesian else zip
    return [
        _finished(view, texts, dict(zip(scattered, each, strict=True)), folders)
        for each in combinations(*scattered.values())
    ]


def _finished(
    view: View, common: Mapping[str, Value], own: JSON, folders: Mapping[str, None]
) -> Node:
    """A node with its references replaced; it has not to copy what it has in common with others."""
    places = dict(folders)
    taken = view.taken(own, places)
    values = view.known.values(taken)
    if isinstance(values, Mapping):
        values = {**common, **values}
    return Node(values, tuple(places))


# --- scattering -------------------------------------------------------------------------------------------


def _grouped(scheduler: Scheduler, name: str, value: JSON) -> Sequence[JSON]:
    """The elements of a scattered parameter, in groups where these are asked for."""
    if not isinstance(value, (list, str)):
        raise ValueError(f"scatter over parameter '{name}' needs a list, gets {value!r:.60}")
    if scheduler.batchsize:
        size = scheduler.batchsize
        return [value[start : start + size] for start in range(0, len(value), size)]
    if scheduler.partitionsize:
        return _partitioned(value, scheduler.partitionsize)
    return value


def _partitioned(values: Sequence[JSON], parts: int) -> list[Sequence[JSON]]:
    """A list in so many parts whose lengths differ by one at most, the longer ones last."""
    parts = min(parts, len(values))
    found, end = [], 0
    for part in range(parts):
        start, end = end, end + (len(values) + part) // parts
        found.append(values[start:end])
    return found


# --- jq ------------------------------------------------------------------------------------------------


def _by_jq(scheduler: Scheduler, view: View) -> list[Node]:
    bindings = _replaced(scheduler.bindings, _REFERENCE, lambda item: _selected(item, view))
    steps = first_of_jq(scheduler.stepscript, bindings)
    if not isinstance(steps, list):
        raise ValueError(f"the 'stepscript' must give a list of parameters, gives {steps!r:.60}")
    return [_by_postscript(scheduler, step, view) for step in steps]


def _by_postscript(scheduler: Scheduler, step: JSON, view: View) -> Node:
    folders: dict[str, None] = {}
    step = _replaced(step, _POINTER, lambda item: Reference(item["step"], tuple(item["result"])))
    parameters = first_of_jq(scheduler.postscript, view.taken(step, folders))
    return Node(view.known.values(parameters), tuple(folders))


def _selected(reference: JSON, view: View) -> JSON:
    """What a ``$wflowref`` means: the nodes its first program finds, each as what the second one finds in
    its result, where every leaf is a pointer."""
    nodes, results = reference
    found = run_jq(nodes, view.tree)
    return _replaced(found, NODE, lambda node: run_jq(results, _pointers(view, node)))


def _pointers(view: View, node: int) -> JSON:
    return leaves_replaced(
        view.result(node), lambda path: {_POINTER: {"step": node, "result": list(path)}}
    )


def _replaced(data: JSON, key: str, by: Any) -> JSON:
    """JSON data with every record that has a key replaced by what is made of its value."""
    if isinstance(data, dict):
        if key in data:
            return by(data[key])
        return {name: _replaced(item, key, by) for name, item in data.items()}
    if isinstance(data, list):
        return [_replaced(item, key, by) for item in data]
    return data
