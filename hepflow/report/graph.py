"""The graph to draw: nodes, their ranks, and the shortening of what is too large to look at."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

ELLIPSIS: Final = "…"


class Shade(Enum):
    """What a plan, or the record of a run, says of a node; it gives the colour and the mark."""

    REUSED = "reused"
    TO_RUN = "to run"
    UNKNOWN = "not known yet"
    DONE = "done"
    FAILED = "failed"


MARKS: Final = {
    Shade.REUSED: "✓", Shade.TO_RUN: "●", Shade.UNKNOWN: "?", Shade.DONE: "✓", Shade.FAILED: "✗",
}  # fmt: skip
OF_A_PLAN: Final = (Shade.REUSED, Shade.TO_RUN, Shade.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Node:
    """One step in a drawing, or several that were folded into one for want of room.

    Args:
        tasks: how many tasks it has; -1 while nobody knows.
        done, failed: of a run that has taken place.
        depends_on: names of nodes; a name nobody bears is ignored.
        notes: lines for a reader who asks for more (the SVG's tooltip).
        steps: how many steps it stands for.
    """

    name: str
    tasks: int = 1
    reused: int = 0
    to_run: int = 0
    unknown: int = 0
    depends_on: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    steps: int = 1
    done: int = 0
    failed: int = 0

    @property
    def shade(self) -> Shade:
        if self.failed:
            return Shade.FAILED
        if self.to_run:
            return Shade.TO_RUN
        if self.unknown or self.tasks < 0:
            return Shade.UNKNOWN
        return Shade.DONE if self.done else Shade.REUSED

    @property
    def counts(self) -> str:
        """How many of its tasks are in which state, in words; empty where the mark says it all."""
        if self.tasks < 0:
            return "width not known yet"
        parts = [
            f"{count:,} {shade.value}"
            for shade, count in (
                (Shade.REUSED, self.reused),
                (Shade.TO_RUN, self.to_run),
                (Shade.UNKNOWN, self.unknown),
                (Shade.DONE, self.done),
                (Shade.FAILED, self.failed),
            )
            if count
        ]
        return ", ".join(parts)


def rank_nodes(nodes: Sequence[Node]) -> dict[str, int]:
    """The length of the longest path that leads to each node; a circle's nodes come last."""
    followers: dict[str, list[str]] = {node.name: [] for node in nodes}
    missing: dict[str, int] = {}
    for node in nodes:
        sources = [name for name in dict.fromkeys(node.depends_on) if name in followers]
        missing[node.name] = len(sources)
        for source in sources:
            followers[source].append(node.name)
    ranks: dict[str, int] = {}
    front = [name for name, count in missing.items() if not count]
    depth = 0
    while front:
        following: list[str] = []
        for name in front:
            ranks[name] = depth
            for follower in followers[name]:
                missing[follower] -= 1
                if not missing[follower]:
                    following.append(follower)
        front, depth = following, depth + 1
    for node in nodes:
        ranks.setdefault(node.name, depth)
    return ranks


def fold(nodes: Sequence[Node], *, wide: int, deep: int) -> list[Node]:
    """The same graph with at most ``deep`` ranks of at most ``wide`` nodes.

    The middle of what is too deep, and the tail of what is too wide, become single nodes.
    """
    return _fold_wide(_fold_deep(nodes, deep), wide)


def _fold_deep(nodes: Sequence[Node], deep: int) -> list[Node]:
    ranks = rank_nodes(nodes)
    count = 1 + max(ranks.values(), default=-1)
    if count <= deep:
        return list(nodes)
    first = deep // 2
    last = count - (deep - first - 1)
    middle = [node.name for node in nodes if first <= ranks[node.name] < last]
    return _merge(nodes, dict.fromkeys(middle, "middle"))


def _fold_wide(nodes: Sequence[Node], wide: int) -> list[Node]:
    ranks = rank_nodes(nodes)
    rows: dict[int, list[Node]] = {}
    for node in nodes:
        rows.setdefault(ranks[node.name], []).append(node)
    groups: dict[str, str] = {}
    for rank, row in rows.items():
        if len(row) > wide:
            # What is folded already stays folded; what runs is shown rather than what does not.
            row.sort(key=lambda node: (node.steps > 1, node.shade is not Shade.TO_RUN))
            groups |= {node.name: f"row {rank}" for node in row[max(0, wide - 1) :]}
    return _merge(nodes, groups)


def _merge(nodes: Sequence[Node], groups: Mapping[str, str]) -> list[Node]:
    """Replaces the nodes of each group by one, at the place of the group's first."""
    if not groups:
        return list(nodes)
    members: dict[str, list[Node]] = {}
    for node in nodes:
        if node.name in groups:
            members.setdefault(groups[node.name], []).append(node)
    taken = {node.name for node in nodes}
    merged = {group: _sum(found, taken) for group, found in members.items()}
    renamed = {name: merged[group].name for name, group in groups.items()}
    result: list[Node] = []
    done: set[str] = set()
    for node in nodes:
        group = groups.get(node.name)
        if group is None:
            result.append(replace(node, depends_on=_rename(node.depends_on, renamed, node.name)))
        elif group not in done:
            done.add(group)
            whole = merged[group]
            result.append(replace(whole, depends_on=_rename(whole.depends_on, renamed, whole.name)))
    return result


def _sum(members: Sequence[Node], taken: Collection[str]) -> Node:
    steps = sum(node.steps for node in members)
    name = f"{ELLIPSIS} {steps:,} more steps"
    while name in taken:  # two rows may fold away equally many
        name += " "
    if isinstance(taken, set):
        taken.add(name)
    return Node(
        name,
        tasks=sum(max(0, node.tasks) for node in members),
        reused=sum(node.reused for node in members),
        to_run=sum(node.to_run for node in members),
        unknown=sum(node.unknown for node in members),
        depends_on=tuple(dict.fromkeys(name for node in members for name in node.depends_on)),
        steps=steps,
        done=sum(node.done for node in members),
        failed=sum(node.failed for node in members),
    )


def _rename(names: Sequence[str], renamed: Mapping[str, str], own: str) -> tuple[str, ...]:
    """``names`` after the merge, each once, without the node itself."""
    changed = dict.fromkeys(renamed.get(name, name) for name in names)
    changed.pop(own, None)
    return tuple(changed)
