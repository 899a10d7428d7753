"""The graph of the steps as text: boxes in layers, joined by lines of box characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from hepflow.report.graph import ELLIPSIS, MARKS, Node, Shade, fold
from hepflow.report.layers import Cell, Layers, centres, layer, neighbours

Paint: TypeAlias = Callable[[Shade, str], str]
"""Colours a piece of text on a terminal."""

DEEP: Final = 20
WIDTHS: Final = (12, 8, 6, 5, 4, 3, 2, 1)
GAP: Final = 2
LONGEST_NAME: Final = 36
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
GLYPHS: Final = {
    0: " ", UP: "│", DOWN: "│", UP | DOWN: "│", LEFT: "─", RIGHT: "─", LEFT | RIGHT: "─",
    UP | LEFT: "┘", UP | RIGHT: "└", DOWN | LEFT: "┐", DOWN | RIGHT: "┌",
    UP | DOWN | LEFT: "┤", UP | DOWN | RIGHT: "├", UP | LEFT | RIGHT: "┴",
    DOWN | LEFT | RIGHT: "┬", UP | DOWN | LEFT | RIGHT: "┼",
}  # fmt: skip
PLAIN: Final = str.maketrans("│─┘└┐┌┤├┴┬┼▼✓✗●…×", "|-" + 9 * "+" + "v=!*.x")
"""For a terminal that knows ASCII only."""


def draw(nodes: Sequence[Node], columns: int = 100, paint: Paint | None = None) -> str:
    """The graph as lines of at most ``columns`` characters; what does not fit is folded.

    Args:
        paint: applied to each label, when the text goes to a terminal that shows colours.
    """
    shown: Sequence[Node] = nodes
    for wide in WIDTHS:
        shown = fold(shown, wide=wide, deep=DEEP)  # each time from the last: that one is small
        layers = layer(shown)
        if len(layers.links) > 2000:
            break  # so many lines side by side are a grey wall, not a drawing
        drawing = _Drawing(layers)
        if drawing.columns <= columns:
            return "\n".join(drawing.lines(paint))
    return "\n".join(_listing(fold(nodes, wide=WIDTHS[0], deep=DEEP), columns, paint))


def label(node: Node) -> str:
    """What a node's box says: mark, name, width, and the counts unless the mark says it all."""
    name = node.name.strip()
    if len(name) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        name = f"{name[:half]}{ELLIPSIS}{name[1 - half :]}"
    times = f" ×{node.tasks:,}" if node.tasks > 1 and node.steps == 1 else ""
    mixed = sum(1 for count in (node.reused, node.to_run, node.unknown) if count) > 1
    counts = f"  {node.counts}" if mixed or node.tasks < 0 else ""
    return f"{MARKS[node.shade]} {name}{times}{counts}"


def legend() -> str:
    """What the marks mean."""
    return "   ".join(f"{mark} {shade.value}" for shade, mark in MARKS.items())


def _listing(nodes: Sequence[Node], columns: int, paint: Paint | None) -> list[str]:
    """Where no drawing fits: a line a step, with what it depends on."""
    lines = []
    for node in nodes:
        text = label(node)
        sources = ", ".join(name.strip() for name in node.depends_on)
        rest = f"  after {sources}" if sources else ""
        room = max(0, columns - len(text))
        rest = rest if len(rest) <= room else rest[: max(0, room - 1)] + ELLIPSIS
        lines.append((paint(node.shade, text) if paint else text) + rest)
    return lines


@dataclass(slots=True)
class _Net:
    """All links that leave one cell: they share one horizontal line, on ``track``."""

    source: int
    ends: tuple[int, ...]
    track: int = -1

    @property
    def straight(self) -> bool:
        return self.ends == (self.source,)

    @property
    def left(self) -> int:
        return min(self.source, *self.ends)

    @property
    def right(self) -> int:
        return max(self.source, *self.ends)


class _Drawing:
    """One layout on the grid of characters."""

    def __init__(self, layers: Layers) -> None:
        self._layers = layers
        self._labels = {name: label(node) for name, node in layers.nodes.items()}
        self._at = self._whole(centres(layers, self._width, GAP))
        self._above, self._below = neighbours(layers.links)
        self.columns = max((self._right(cell) for cell in self._at), default=0)

    def lines(self, paint: Paint | None) -> list[str]:
        found: list[str] = []
        for index, row in enumerate(self._layers.rows):
            found += self._boxes(row, paint)
            if index + 1 < len(self._layers.rows):
                found += self._channel(row)
        return found

    def _width(self, cell: Cell) -> float:
        """Odd, so that a box has a middle column for its lines."""
        if not self._layers.is_node(cell):
            return 1.0
        return float((len(self._labels[cell.node]) + 4) | 1)

    def _right(self, cell: Cell) -> int:
        return self._at[cell] + int(self._width(cell)) // 2 + 1

    def _whole(self, exact: dict[Cell, float]) -> dict[Cell, int]:
        """Rounded to columns, pushed right where rounding would let two cells touch."""
        at: dict[Cell, int] = {}
        for row in self._layers.rows:
            edge = 0
            for cell in row:
                half = int(self._width(cell)) // 2
                at[cell] = max(round(exact[cell] - 0.5), edge + half)
                edge = at[cell] + half + 1 + GAP
        return at

    def _boxes(self, row: Sequence[Cell], paint: Paint | None) -> list[str]:
        """The three lines of a row: borders and labels, and the lines that pass between."""
        top, middle, bottom = "", "", ""
        column = 0
        for cell in row:
            width = int(self._width(cell))
            pad = " " * (self._at[cell] - width // 2 - column)
            column += len(pad) + width
            if not self._layers.is_node(cell):
                top, middle, bottom = top + pad + "│", middle + pad + "│", bottom + pad + "│"
                continue
            text = self._labels[cell.node].ljust(width - 4)
            shade = self._layers.nodes[cell.node].shade
            shown = paint(shade, text) if paint else text
            side = "─" * (width // 2 - 1)
            top += f"{pad}┌{side}{'▼' if cell in self._above else '─'}{side}┐"
            middle += f"{pad}│ {shown} │"
            bottom += f"{pad}└{side}{'┬' if cell in self._below else '─'}{side}┘"
        return [top, middle, bottom]

    def _channel(self, row: Sequence[Cell]) -> list[str]:
        """The lines between a row and the next."""
        nets = [
            _Net(self._at[cell], tuple(sorted(self._at[end] for end in self._below[cell])))
            for cell in row
            if cell in self._below
        ]
        height = _assign_tracks(nets)
        canvas = _Canvas(height)
        for net in nets:
            canvas.add(net)
        return canvas.lines()


def _assign_tracks(nets: Sequence[_Net]) -> int:
    """Gives each bent net a track, so that no two lie on each other; returns how many there are.

    A net that starts above another's end must turn off before that end's line comes down.
    """
    pending = [net for net in nets if not net.straight]
    tracks: list[list[_Net]] = []
    while pending:
        ready = [net for net in pending if not _held(net, pending)] or pending[:1]
        for net in ready:
            floor = max((1 + other.track for other in nets if _precedes(other, net)), default=0)
            track = floor
            while track < len(tracks) and any(_overlap(net, other) for other in tracks[track]):
                track += 1
            while track >= len(tracks):
                tracks.append([])
            net.track = track
            tracks[track].append(net)
        pending = [net for net in pending if net.track < 0]
    return max(1, len(tracks))


def _precedes(first: _Net, second: _Net) -> bool:
    return (
        first is not second
        and not first.straight
        and first.source in second.ends
        and first.source not in first.ends
    )


def _held(net: _Net, pending: Sequence[_Net]) -> bool:
    return any(_precedes(other, net) for other in pending)


def _overlap(one: _Net, other: _Net) -> bool:
    return one.left <= other.right + 1 and other.left <= one.right + 1


@dataclass(slots=True)
class _Canvas:
    """The characters between two rows; crossing lines that do not join show the upright one."""

    height: int
    marks: dict[tuple[int, int], list[tuple[_Net, int]]] = field(default_factory=dict)

    def add(self, net: _Net) -> None:
        if net.straight:
            for row in range(self.height):
                self._mark(net, row, net.source, UP | DOWN)
            return
        for row in range(net.track):
            self._mark(net, row, net.source, UP | DOWN)
        self._mark(net, net.track, net.source, UP)
        for column in range(net.left, net.right):
            self._mark(net, net.track, column, RIGHT)
            self._mark(net, net.track, column + 1, LEFT)
        for end in net.ends:
            self._mark(net, net.track, end, DOWN)
            for row in range(net.track + 1, self.height):
                self._mark(net, row, end, UP | DOWN)

    def lines(self) -> list[str]:
        width = 1 + max((column for _, column in self.marks), default=-1)
        return [
            "".join(self._glyph(row, column) for column in range(width)).rstrip()
            for row in range(self.height)
        ]

    def _mark(self, net: _Net, row: int, column: int, directions: int) -> None:
        self.marks.setdefault((row, column), []).append((net, directions))

    def _glyph(self, row: int, column: int) -> str:
        found = self.marks.get((row, column), [])
        if len({id(net) for net, _ in found}) > 1:
            joined = [item for item in found if column in item[0].ends]
            if len(joined) < len(found):
                return "│"
        directions = 0
        for _, bits in found:
            directions |= bits
        return GLYPHS[directions]
