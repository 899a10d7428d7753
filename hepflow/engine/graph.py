"""What can be known of a workflow before any value is: order, levels, and who waits for what."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from hepflow.model.workflow import Binding, Ref, Scatter, Step, Workflow


class Stream(NamedTuple):
    """A scattered port fed element by element by a scattered step: no waiting for the rest."""

    port: str
    producer: int
    source: str


class Links:
    """Which steps each step is linked to, all in two arrays: a hundred thousand tuples of positions
    would be a large part of a workflow's memory."""

    __slots__ = ("_starts", "_targets")

    def __init__(self, groups: Iterable[Sequence[int]]) -> None:
        self._targets = array("i")
        self._starts = array("i", [0])
        for group in groups:
            self._targets.extend(group)
            self._starts.append(len(self._targets))

    def of(self, number: int) -> Sequence[int]:
        """The steps one step is linked to."""
        return self._targets[self._starts[number] : self._starts[number + 1]]

    def __iter__(self) -> Iterator[Sequence[int]]:
        targets = self._targets
        return (targets[start:end] for start, end in pairwise(self._starts))

    def counts(self) -> list[int]:
        """How many links each step has."""
        return [end - start for start, end in pairwise(self._starts)]

    def turned(self) -> Links:
        """The same links seen from their other ends."""
        counts = self.counts()
        owners = [number for number, count in enumerate(counts) for _ in range(count)]
        targets = self._targets
        found = Links(())
        order = sorted(range(len(targets)), key=targets.__getitem__)
        found._targets = array("i", [owners[link] for link in order])
        towards = [0] * (len(counts) + 1)
        for target in targets:
            towards[target + 1] += 1
        found._starts = array("i", accumulate(towards))
        return found


class CycleError(ValueError):
    """Steps that wait for each other; ``cycle`` names them in order, the first again last."""

    def __init__(self, cycle: list[str]) -> None:
        self.cycle = cycle
        super().__init__(f"steps wait for each other: {' -> '.join(cycle)}")


class Graph:
    """What is known of each step; positions are indices into ``Workflow.steps``.

    Args:
        position: where each name stands.
        levels: the longest path of links that leads to each step.
        whole: for each step the producers that must be complete first.
        streams: scattered ports that follow their producer element by element.
        once: ports whose expression is the same for all invocations.
        varying: ports whose expression must be computed for each invocation.
        whole_consumers, stream_consumers: the same links seen from the producer.
        kept: the steps whose values the workflow's own outputs need.
        waiting: how many producers each step has to wait for.
        users: how many links take values from each step.
    """

    __slots__ = (
        "kept", "levels", "once", "position", "stream_consumers", "streams", "users", "varying",
        "waiting", "whole", "whole_consumers",
    )  # fmt: skip

    def __init__(
        self,
        position: dict[str, int],
        levels: Sequence[int],
        whole: Links,
        streams: Mapping[int, tuple[Stream, ...]],
        computed: Mapping[int, tuple[tuple[str, ...], tuple[str, ...]]],
        kept: frozenset[int],
    ) -> None:
        self.position = position
        self.levels = levels
        self.whole = whole
        self.whole_consumers = whole.turned()
        self.streams = streams
        self.stream_consumers: dict[int, list[tuple[int, str]]] = {}
        for number, found in streams.items():
            for stream in found:
                consumers = self.stream_consumers.setdefault(stream.producer, [])
                consumers.append((number, stream.port))
        self.once = {number: once for number, (once, _) in computed.items() if once}
        self.varying = {number: varying for number, (_, varying) in computed.items() if varying}
        self.kept = kept
        self.waiting = array("i", self.whole.counts())
        self.users = array("i", self.whole_consumers.counts())
        for number, found in streams.items():
            self.waiting[number] += len(found)
            for stream in found:
                self.users[stream.producer] += 1


def analyse(workflow: Workflow) -> Graph:
    """The static graph of a workflow.

    Raises:
        CycleError: the links go round.
        ValueError: a link names a step that does not exist.
    """
    steps = workflow.steps
    position = {step.name: number for number, step in enumerate(steps)}
    computed: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    links = Links(_producers(step, position, computed) for step in steps)
    levels = _levels(steps, links)
    streams: dict[int, tuple[Stream, ...]] = {}
    for number, step in enumerate(steps):
        if step.scatter:
            found = _streams(step, steps, position)
            if found:
                streams[number] = found
    if streams:
        links = Links(
            _awaited(step, links.of(number), streams.get(number, ()), position)
            for number, step in enumerate(steps)
        )
    kept = frozenset(
        position[ref.step]
        for binding in workflow.outputs.values()
        for ref in binding.sources
        if ref.step in position
    )
    return Graph(position, levels, links, streams, computed, kept)


def _producers(
    step: Step,
    position: dict[str, int],
    computed: dict[int, tuple[tuple[str, ...], tuple[str, ...]]],
) -> Sequence[int]:
    """The steps a step takes values from, each once; its expressions are noted on the way."""
    found: list[int] = []
    expressions = False
    try:
        for sources, _merge, _pick, _default, expression in step.inputs.values():
            for owner, _ in sources:
                if owner:
                    found.append(position[owner])
            if expression is not None:
                expressions = True
    except KeyError as missing:
        raise ValueError(
            f"step '{step.name}' takes a value from {missing}, which is no step"
        ) from None
    if expressions:
        computed[position[step.name]] = _expressions(step)
    return list(dict.fromkeys(found)) if len(found) > 1 else found


def _awaited(
    step: Step, producers: Sequence[int], streams: tuple[Stream, ...], position: dict[str, int]
) -> Sequence[int]:
    """The producers of a step that must be complete before it: not those it only streams from."""
    apart = _only_streamed(step, {stream.port for stream in streams}, position)
    return [producer for producer in producers if producer not in apart]


def _levels(steps: tuple[Step, ...], links: Links) -> Sequence[int]:
    """The longest path to each step. Most workflows are written in order: one look suffices."""
    levels: list[int] = []
    for number, producers in enumerate(links):
        level = 0
        for producer in producers:
            if producer >= number:
                return _levels_of_any_order(steps, links)
            if levels[producer] >= level:
                level = levels[producer] + 1
        levels.append(level)
    return array("i", levels)


def _levels_of_any_order(steps: tuple[Step, ...], links: Links) -> Sequence[int]:
    """The same by Kahn's algorithm, so that depth is no recursion."""
    levels = array("i", [0]) * len(steps)
    waiting = links.counts()
    consumers = links.turned()
    free = [number for number, count in enumerate(waiting) if not count]
    seen = 0
    while free:
        number = free.pop()
        seen += 1
        below = levels[number] + 1
        for consumer in consumers.of(number):
            levels[consumer] = max(levels[consumer], below)
            waiting[consumer] -= 1
            if not waiting[consumer]:
                free.append(consumer)
    if seen < len(steps):
        raise CycleError(_cycle(steps, links, waiting))
    return levels


def _cycle(steps: tuple[Step, ...], links: Links, waiting: list[int]) -> list[str]:
    """One cycle among the steps that never became free."""
    stuck = {number for number, count in enumerate(waiting) if count}
    trail = [min(stuck)]
    while True:
        ahead = min(stuck.intersection(links.of(trail[-1])))
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
