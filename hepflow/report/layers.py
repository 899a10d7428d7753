"""The layered layout that the text and the SVG share: rows, their order, their positions.

A link that spans several rows passes through one cell in each row between; all links that leave
one node share those cells, so that a widely used output is drawn as one line that branches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from hepflow.report.graph import Node, rank_nodes

SWEEPS: Final = 8


class Cell(NamedTuple):
    """A place in a row: the node itself in the node's own row, a line of its below that."""

    node: str
    row: int


Link: TypeAlias = tuple[Cell, Cell]
"""From a cell to one in the next row."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Rows of cells, in drawing order, and the links between neighbouring rows."""

    nodes: Mapping[str, Node]
    ranks: Mapping[str, int]
    rows: tuple[tuple[Cell, ...], ...]
    links: tuple[Link, ...]

    def is_node(self, cell: Cell) -> bool:
        return self.ranks[cell.node] == cell.row


def layer(nodes: Sequence[Node]) -> Layers:
    """Ranks by longest path, long links cut into one piece a row, rows ordered to cross little."""
    ranks = rank_nodes(nodes)
    rows: list[dict[Cell, None]] = [{} for _ in range(1 + max(ranks.values(), default=-1))]
    links: dict[Link, None] = {}
    for node in nodes:
        rows[ranks[node.name]][Cell(node.name, ranks[node.name])] = None
    for node in nodes:
        for source in node.depends_on:
            if source not in ranks or ranks[source] >= ranks[node.name]:
                continue  # no such node, or a circle: there is no downward line to draw
            for row in range(ranks[source], ranks[node.name]):
                lower = row + 1
                end = Cell(node.name if lower == ranks[node.name] else source, lower)
                rows[lower][end] = None
                links[(Cell(source, row), end)] = None
    ordered = _order([list(row) for row in rows], tuple(links))
    by_name = {node.name: node for node in nodes}
    return Layers(by_name, ranks, tuple(map(tuple, ordered)), tuple(links))


def neighbours(links: Sequence[Link]) -> tuple[dict[Cell, list[Cell]], dict[Cell, list[Cell]]]:
    """For each cell the cells above it, and for each cell those below it."""
    above: dict[Cell, list[Cell]] = {}
    below: dict[Cell, list[Cell]] = {}
    for upper, lower in links:
        above.setdefault(lower, []).append(upper)
        below.setdefault(upper, []).append(lower)
    return above, below


def _order(rows: list[list[Cell]], links: Sequence[Link]) -> list[list[Cell]]:
    """Barycentre sweeps down and up; the best of all orders seen is kept."""
    above, below = neighbours(links)
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        downward = sweep % 2 == 0
        beside = above if downward else below
        for index in range(1, len(rows)) if downward else range(len(rows) - 2, -1, -1):
            fixed = rows[index - 1 if downward else index + 1]
            place = {cell: float(at) for at, cell in enumerate(fixed)}
            own = {cell: float(at) for at, cell in enumerate(rows[index])}
            rows[index].sort(key=lambda cell: _mean(beside.get(cell, ()), place, own[cell]))
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _mean(cells: Sequence[Cell], place: Mapping[Cell, float], otherwise: float) -> float:
    return sum(place[cell] for cell in cells) / len(cells) if cells else otherwise


def _crossings(rows: Sequence[Sequence[Cell]], below: Mapping[Cell, Sequence[Cell]]) -> int:
    """How many pairs of links cross, by counting inversions row by row."""
    total = 0
    for upper, lower in pairwise(rows):
        place = {cell: at for at, cell in enumerate(lower)}
        ends = [at for cell in upper for at in sorted(place[end] for end in below.get(cell, ()))]
        for index, end in enumerate(ends):
            total += sum(1 for earlier in ends[:index] if earlier > end)
    return total


def centres(layers: Layers, width: Callable[[Cell], float], gap: float) -> dict[Cell, float]:
    """The horizontal centre of every cell: near its neighbours', in order, and never overlapping.

    Each row is set by the least-squares fit to where its cells would like to be, subject to
    their order and widths; the leftmost edge of all is at 0.
    """
    above, below = neighbours(layers.links)
    at: dict[Cell, float] = {}
    for row in layers.rows:
        at |= _fit(row, [0.0] * len(row), width, gap)
    for sweep in range(2 * SWEEPS):
        downward, settling = sweep % 2 == 0, sweep >= SWEEPS
        for row in layers.rows if downward else reversed(layers.rows):
            wish = []
            for cell in row:
                over, under = above.get(cell, []), below.get(cell, [])
                first, second = (over, under) if downward else (under, over)
                near = [*over, *under] if settling else first or second
                wish.append(_mean(near, at, at[cell]))
            at |= _fit(row, wish, width, gap)
    left = min((at[cell] - width(cell) / 2 for cell in at), default=0.0)
    return {cell: centre - left for cell, centre in at.items()}


def _fit(
    row: Sequence[Cell], wish: Sequence[float], width: Callable[[Cell], float], gap: float
) -> dict[Cell, float]:
    """Pool adjacent violators: the nearest positions to ``wish`` that keep the distances."""
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (width(left) + width(right)) / 2 + gap)
    pools: list[tuple[float, int]] = []
    for desired, offset in zip(wish, offsets, strict=True):
        mean, size = desired - offset, 1
        while pools and pools[-1][0] > mean:
            earlier, count = pools.pop()
            mean, size = (earlier * count + mean * size) / (count + size), count + size
        pools.append((mean, size))
    flat = [mean for mean, size in pools for _ in range(size)]
    return {cell: mean + offset for cell, mean, offset in zip(row, flat, offsets, strict=True)}
