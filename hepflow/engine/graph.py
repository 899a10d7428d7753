"""What can be known of a workflow before any value is: order, levels, and who waits for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hepflow.model.workflow import Binding, Ref, Scatter, Step, Workflow


class Stream(NamedTuple):
    """A scattered port fed element by element by a scattered step: no waiting for the rest."""

    port: str
    producer: int
    source: str


@dataclass(slots=True)
class Node:
    """One step's place in its workflow; positions are indices into ``Workflow.steps``.

    What is empty is the one empty tuple: most steps of a large workflow have few links.

    Args:
        level: the longest path of links that leads here.
        whole: producers that must be complete first.
        streams: scattered ports that follow their producer element by element.
        once: ports whose expression is the same for all invocations.
        varying: ports whose expression must be computed for each invocation.
        whole_consumers, stream_consumers: the same links seen from the producer.
        kept: whether the workflow's own outputs need this step's values.
    """

    step: Step
    level: int
    whole: tuple[int, ...]
    streams: tuple[Stream, ...]
    once: tuple[str, ...]
    varying: tuple[str, ...]
    kept: bool
    whole_consumers: Sequence[int] = ()
    stream_consumers: Sequence[tuple[int, str]] = ()


class CycleError(ValueError):
    """Steps that wait for each other; ``cycle`` names them in order, the first again last."""

    def __init__(self, cycle: list[str]) -> None:
        self.cycle = cycle
        super().__init__(f"steps wait for each other: {' -> '.join(cycle)}")


@dataclass(frozen=True, slots=True)
class Graph:
    """A workflow's nodes, one for each step and in the steps' order, and where each name stands."""

    nodes: tuple[Node, ...]
    position: dict[str, int]


def analyse(workflow: Workflow) -> Graph:
    """The static graph of a workflow.

    Raises:
        CycleError: the links go round.
        ValueError: a link names a step that does not exist.
    """
    steps = workflow.steps
    position = {step.name: number for number, step in enumerate(steps)}
    producers = [_producers(step, position) for step in steps]
    levels = _levels(steps, producers)
    kept = {ref.step for binding in workflow.outputs.values() for ref in binding.sources}
    nodes = []
    for number, step in enumerate(steps):
        streams: tuple[Stream, ...] = ()
        whole = producers[number]
        if step.scatter:
            streams = _streams(step, steps, position)
            apart = _only_streamed(step, {stream.port for stream in streams}, position)
            whole = tuple(producer for producer in whole if producer not in apart)
        once, varying = _expressions(step)
        nodes.append(Node(step, levels[number], whole, streams, once, varying, step.name in kept))
    _turn_links(nodes, list(position.values()))
    return Graph(tuple(nodes), position)


def _turn_links(nodes: list[Node], numbers: list[int]) -> None:
    """Gives every node its consumers. ``numbers`` are the objects that stand for positions already:
    two of them for each link would be a large part of a graph's memory."""
    whole: list[list[int] | None] = [None] * len(nodes)
    streamed: dict[int, list[tuple[int, str]]] = {}
    for number, node in zip(numbers, nodes, strict=True):
        for producer in node.whole:
            known = whole[producer]
            if known is None:
                whole[producer] = [number]
            else:
                known.append(number)
        for stream in node.streams:
            streamed.setdefault(stream.producer, []).append((number, stream.port))
    for node, consumers in zip(nodes, whole, strict=True):
        if consumers is not None:
            node.whole_consumers = tuple(consumers)
    for producer, followers in streamed.items():
        nodes[producer].stream_consumers = tuple(followers)


def _producers(step: Step, position: dict[str, int]) -> tuple[int, ...]:
    """The steps a step takes values from, each once."""
    found: list[int] = []
    try:
        for binding in step.inputs.values():
            for owner, _ in binding.sources:
                if owner:
                    found.append(position[owner])
    except KeyError as missing:
        raise ValueError(
            f"step '{step.name}' takes a value from {missing}, which is no step"
        ) from None
    return tuple(dict.fromkeys(found)) if len(found) > 1 else tuple(found)


def _levels(steps: tuple[Step, ...], producers: Sequence[Sequence[int]]) -> list[int]:
    """The longest path to each step. Most workflows are written in order: one look suffices."""
    levels: list[int] = []
    for number, needed in enumerate(producers):
        level = 0
        for producer in needed:
            if producer >= number:
                return _levels_of_any_order(steps, producers)
            if levels[producer] >= level:
                level = levels[producer] + 1
        levels.append(level)
    return levels


def _levels_of_any_order(steps: tuple[Step, ...], producers: Sequence[Sequence[int]]) -> list[int]:
    """The same by Kahn's algorithm, so that depth is no recursion."""
    levels = [0] * len(steps)
    waiting = [len(needed) for needed in producers]
    consumers: list[list[int]] = [[] for _ in steps]
    for number, needed in enumerate(producers):
        for producer in needed:
            consumers[producer].append(number)
    free = [number for number, count in enumerate(waiting) if not count]
    seen = 0
    while free:
        number = free.pop()
        seen += 1
        below = levels[number] + 1
        for consumer in consumers[number]:
            levels[consumer] = max(levels[consumer], below)
            waiting[consumer] -= 1
            if not waiting[consumer]:
                free.append(consumer)
    if seen < len(steps):
        raise CycleError(_cycle(steps, producers, waiting))
    return levels


def _cycle(
    steps: tuple[Step, ...], producers: Sequence[Sequence[int]], waiting: list[int]
) -> list[str]:
    """One cycle among the steps that never became free."""
    stuck = {number for number, count in enumerate(waiting) if count}
    trail = [min(stuck)]
    while True:
        ahead = min(stuck.intersection(producers[trail[-1]]))
        if ahead in trail:
            loop = trail[trail.index(ahead) :]
            loop.reverse()
            return [steps[number].name for number in [*loop, loop[0]]]
        trail.append(ahead)


def gathers_flat(step: Step) -> bool:
    """Whether a scattered step's gathered outputs are one plain array, slot by slot."""
    return bool(step.scatter) and (step.method is not Scatter.NESTED or len(step.scatter) == 1)


def _streams(step: Step, steps: tuple[Step, ...], position: dict[str, int]) -> tuple[Stream, ...]:
    found = []
    for port in step.scatter:
        ref = _plain_link(step.inputs[port])
        if ref is not None and gathers_flat(steps[position[ref.step]]):
            found.append(Stream(port, position[ref.step], ref.port))
    return tuple(found)


def _plain_link(binding: Binding) -> Ref | None:
    """The one step output a binding passes on unchanged, if that is all it does."""
    if len(binding.sources) != 1 or binding.merge or binding.pick or binding.expression:
        return None
    return binding.sources[0] if binding.sources[0].step else None


def _only_streamed(step: Step, followed: set[str], position: dict[str, int]) -> set[int]:
    """Producers that feed nothing but streams, and so need not be complete."""
    streamed: set[int] = set()
    needed: set[int] = set()
    for port, binding in step.inputs.items():
        into = streamed if port in followed else needed
        into.update(position[ref.step] for ref in binding.sources if ref.step)
    return streamed - needed


def _expressions(step: Step) -> tuple[tuple[str, ...], tuple[str, ...]]:
    computed = [port for port, binding in step.inputs.items() if binding.expression is not None]
    if not computed:
        return (), ()
    once: list[str] = []
    varying: list[str] = []
    for port in computed:
        expression = step.inputs[port].expression
        if expression is None or port in step.scatter:
            continue
        reads = set(expression.names)
        (varying if reads.intersection(step.scatter) else once).append(port)
    return tuple(once), tuple(varying)
