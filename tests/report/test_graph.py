"""Ranks, folding and layout: what must hold for any graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hepflow.report.graph import Node, Shade, fold, rank_nodes
from hepflow.report.layers import centres, layer


@st.composite
def graphs(draw: st.DrawFn, most: int = 25) -> list[Node]:
    """Any directed graph without circles, its nodes in any order."""
    count = draw(st.integers(0, most))
    nodes = []
    for index in range(count):
        sources = (
            draw(st.lists(st.integers(0, index - 1), max_size=4, unique=True)) if index else []
        )
        to_run, unknown = draw(st.sampled_from([(0, 0), (1, 0), (0, 1)]))
        nodes.append(
            Node(
                f"step{index}",
                tasks=draw(st.sampled_from([-1, 1, 20])),
                reused=1 - to_run - unknown,
                to_run=to_run,
                unknown=unknown,
                depends_on=tuple(f"step{source}" for source in sources),
            )
        )
    return draw(st.permutations(nodes))


@given(graphs())
def test_a_rank_is_one_more_than_the_greatest_above_it(nodes: list[Node]) -> None:
    ranks = rank_nodes(nodes)
    for node in nodes:
        above = [ranks[name] for name in node.depends_on]
        assert ranks[node.name] == (1 + max(above) if above else 0)


@given(graphs(), st.integers(1, 6), st.integers(3, 8))
def test_folding_keeps_within_bounds_and_loses_no_step(
    nodes: list[Node], wide: int, deep: int
) -> None:
    folded = fold(nodes, wide=wide, deep=deep)
    ranks = rank_nodes(folded)
    rows: dict[int, int] = {}
    for rank in ranks.values():
        rows[rank] = rows.get(rank, 0) + 1
    assert len(rows) <= deep
    assert max(rows.values(), default=0) <= wide
    assert len({node.name for node in folded}) == len(folded)
    assert sum(node.steps for node in folded) == len(nodes)
    for count in ("reused", "to_run", "unknown"):
        assert sum(getattr(n, count) for n in folded) == sum(getattr(n, count) for n in nodes)


@given(graphs())
def test_a_graph_that_fits_is_not_folded(nodes: list[Node]) -> None:
    assert fold(nodes, wide=100, deep=100) == nodes


@given(graphs())
def test_every_link_is_a_path_of_pieces_from_row_to_row(nodes: list[Node]) -> None:
    layers = layer(nodes)
    below: dict[object, set[object]] = {}
    for upper, lower in layers.links:
        assert lower.row == upper.row + 1
        below.setdefault(upper, set()).add(lower)
    placed = [cell for row in layers.rows for cell in row]
    assert len(placed) == len(set(placed))
    assert {cell.node for cell in placed if layers.is_node(cell)} == {n.name for n in nodes}
    for node in nodes:
        reached = set()
        front = {cell for cell in placed if cell.node == node.name and layers.is_node(cell)}
        while front:
            found = {end for cell in front for end in below.get(cell, ())}
            reached |= {cell.node for cell in found if layers.is_node(cell)}  # type: ignore[attr-defined]
            front = {cell for cell in found if not layers.is_node(cell)}  # type: ignore[arg-type, misc]
        assert reached == {other.name for other in nodes if node.name in other.depends_on}


@given(graphs())
def test_cells_of_a_row_never_overlap(nodes: list[Node]) -> None:
    layers = layer(nodes)
    width = {node.name: 5.0 + len(node.name) for node in nodes}
    at = centres(layers, lambda cell: width[cell.node] if layers.is_node(cell) else 1.0, 2.0)
    for row in layers.rows:
        edge = -1e-6
        for cell in row:
            half = (width[cell.node] if layers.is_node(cell) else 1.0) / 2
            assert at[cell] - half >= edge - 1e-6
            edge = at[cell] + half + 2.0


def test_a_circle_and_an_unknown_name_do_not_stop_a_drawing() -> None:
    nodes = [Node("a", depends_on=("b", "nobody")), Node("b", depends_on=("a",)), Node("c")]
    assert set(rank_nodes(nodes)) == {"a", "b", "c"}
    assert {cell.node for row in layer(nodes).rows for cell in row} >= {"a", "b", "c"}


def test_the_shade_says_what_matters_most() -> None:
    assert Node("a", 3, reused=2, to_run=1).shade is Shade.TO_RUN
    assert Node("a", 3, reused=2, unknown=1).shade is Shade.UNKNOWN
    assert Node("a", -1).shade is Shade.UNKNOWN
    assert Node("a", 3, reused=3).shade is Shade.REUSED
