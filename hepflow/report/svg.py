"""The graph of the steps as SVG: boxes in layers, curved links, colours by what would run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from hepflow.report.graph import ELLIPSIS, MARKS, OF_A_PLAN, Node, Shade, fold
from hepflow.report.layers import Cell, Layers, centres, layer

WIDE: Final = 40
DEEP: Final = 120
LONGEST_NAME: Final = 48
MARGIN: Final = 24.0
HEAD: Final = 64.0
BOX_HEIGHT: Final = 46.0
ROW_GAP: Final = 46.0
COLUMN_GAP: Final = 24.0
LINE_WIDTH: Final = 8.0
LETTER: Final = 8.4
SMALL_LETTER: Final = 6.6
FONT: Final = "'DejaVu Sans', Verdana, 'Segoe UI', Helvetica, Arial, sans-serif"
FILLS: Final = {
    Shade.REUSED: ("#e3f1e4", "#4c8a52"),
    Shade.TO_RUN: ("#fdebcb", "#b9770e"),
    Shade.UNKNOWN: ("#ebecef", "#7b8190"),
    Shade.DONE: ("#dcebf7", "#3b79a8"),
    Shade.FAILED: ("#f9dcd9", "#b3382c"),
}
INK: Final = "#1b1f24"
LINK: Final = "#6b7280"


class Box(NamedTuple):
    """A node's rectangle on the page."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Page:
    """A finished layout: what the drawing consists of, in page units."""

    nodes: tuple[Node, ...]
    boxes: dict[str, Box]
    curves: tuple[str, ...]
    width: float
    height: float


def draw(nodes: Sequence[Node], title: str = "") -> str:
    """The graph as a complete SVG document."""
    page = place(nodes, title)
    shades = {node.shade for node in page.nodes}
    if shades.issubset(OF_A_PLAN):
        shades = set(OF_A_PLAN)
    parts = [_open(page, title), _heading(title, shades)]
    parts += [
        f'<path d="{curve}" fill="none" stroke="{LINK}" stroke-width="1.4"'
        + (' marker-end="url(#tip)"/>' if tip else "/>")
        for curve, tip in ((item.removesuffix("!"), item.endswith("!")) for item in page.curves)
    ]
    parts += [_box(node, page.boxes[node.name]) for node in page.nodes]
    return "\n".join([*parts, "</svg>", ""])


def place(nodes: Sequence[Node], title: str = "") -> Page:
    """Where everything goes; a curve that ends in ``!`` reaches a box and bears the arrow tip."""
    layers = layer(fold(nodes, wide=WIDE, deep=DEEP))
    widths = {name: _node_width(node) for name, node in layers.nodes.items()}

    def width(cell: Cell) -> float:
        return widths[cell.node] if layers.is_node(cell) else LINE_WIDTH

    at = centres(layers, width, COLUMN_GAP)
    inner = max((at[cell] + width(cell) / 2 for cell in at), default=0.0)
    # Centred under the heading when the heading is the wider of the two.
    total = max(inner, len(title) * LETTER * 1.25, 430.0)
    shift = MARGIN + (total - inner) / 2
    boxes = {
        cell.node: Box(at[cell] + shift - width(cell) / 2, _top(cell.row), width(cell), BOX_HEIGHT)
        for cell in at
        if layers.is_node(cell)
    }
    height = HEAD + len(layers.rows) * (BOX_HEIGHT + ROW_GAP) - ROW_GAP + MARGIN
    curves = _curves(layers, {cell: centre + shift for cell, centre in at.items()})
    return Page(tuple(layers.nodes.values()), boxes, curves, total + 2 * MARGIN, height)


def _top(row: int) -> float:
    return HEAD + row * (BOX_HEIGHT + ROW_GAP)


def _node_width(node: Node) -> float:
    name, below = _words(node)
    return max(90.0, 28 + len(name) * LETTER, 24 + len(below) * SMALL_LETTER)


def _words(node: Node) -> tuple[str, str]:
    """The two lines in a box."""
    name = node.name.strip()
    if len(name) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        name = f"{name[:half]}{ELLIPSIS}{name[1 - half :]}"
    if node.tasks < 0:
        return name, node.counts
    tasks = f"{node.tasks:,} task" + ("" if node.tasks == 1 else "s")
    return name, f"{tasks}: {node.counts}" if node.counts else tasks


def _curves(layers: Layers, at: dict[Cell, float]) -> tuple[str, ...]:
    """One path a link; the pieces that pass a row straight down belong to the piece above."""
    found = []
    for upper, lower in layers.links:
        start = _top(upper.row) + BOX_HEIGHT
        is_end = layers.is_node(lower)
        end = _top(lower.row) - (5.0 if is_end else 0.0)
        bend = (end - start) * 0.55
        path = (
            f"M{at[upper]:.1f},{start:.1f} C{at[upper]:.1f},{start + bend:.1f}"
            f" {at[lower]:.1f},{end - bend:.1f} {at[lower]:.1f},{end:.1f}"
        )
        found.append(path + ("!" if is_end else f" V{_top(lower.row) + BOX_HEIGHT:.1f}"))
    return tuple(found)


def _open(page: Page, title: str) -> str:
    size = f'width="{page.width:.0f}" height="{page.height:.0f}"'
    view = f'viewBox="0 0 {page.width:.0f} {page.height:.0f}"'
    name = quoteattr(f"Steps of {title}" if title else "Steps of the workflow")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="img" aria-label={name}'
        f' font-family="{FONT}">\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="7"'
        f' markerHeight="7" orient="auto"><path d="M0,0.5 L8,4 L0,7.5 z" fill="{LINK}"/>'
        "</marker></defs>\n"
        '<rect width="100%" height="100%" fill="#ffffff"/>'
    )


def _heading(title: str, shades: Collection[Shade]) -> str:
    head = f'<text x="{MARGIN}" y="28" font-size="17" font-weight="bold" fill="{INK}">'
    parts = [f"{head}{escape(title)}</text>"]
    left = MARGIN
    for shade, (fill, edge) in FILLS.items():
        if shade not in shades:
            continue
        words = f"{MARKS[shade]} {shade.value}"
        parts.append(
            f'<rect x="{left:.0f}" y="38" width="12" height="12" rx="3" fill="{fill}"'
            f' stroke="{edge}"/><text x="{left + 18:.0f}" y="48" font-size="11.5"'
            f' fill="{INK}">{words}</text>'
        )
        left += 40 + len(words) * 7.0
    return "\n".join(parts)


def _box(node: Node, box: Box) -> str:
    fill, edge = FILLS[node.shade]
    name, below = _words(node)
    middle = box.left + box.width / 2
    notes = "\n".join([node.name.strip(), *node.notes])
    dash = ' stroke-dasharray="5 3"' if node.steps > 1 or node.shade is Shade.UNKNOWN else ""
    return (
        f'<g class="step"><title>{escape(notes)}</title>'
        f'<rect x="{box.left:.1f}" y="{box.top:.1f}" width="{box.width:.1f}"'
        f' height="{box.height:.1f}" rx="8" fill="{fill}" stroke="{edge}"'
        f' stroke-width="1.4"{dash}/>'
        f'<text x="{middle:.1f}" y="{box.top + 20:.1f}" text-anchor="middle" font-size="13.5"'
        f' font-weight="bold" fill="{INK}">{escape(name)}</text>'
        f'<text x="{middle:.1f}" y="{box.top + 36:.1f}" text-anchor="middle" font-size="11"'
        f' fill="#3f4651">{escape(below)}</text></g>'
    )
