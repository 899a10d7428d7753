"""The drawing as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from hepflow.report.graph import Node
from hepflow.report.svg import draw, place

SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    count = draw(st.integers(0, 30))
    return [
        Node(
            f"step {index}",
            tasks=draw(st.sampled_from([-1, 1, 1000])),
            to_run=1,
            depends_on=tuple(
                f"step {source}"
                for source in draw(st.sets(st.integers(0, max(0, index - 1)), max_size=3))
                if source < index
            ),
        )
        for index in range(count)
    ]


@given(graphs())
def test_boxes_do_not_overlap_and_stay_on_the_page(nodes: list[Node]) -> None:
    page = place(nodes, "title")
    boxes = list(page.boxes.values())
    assert len(boxes) == len(nodes)
    for at, one in enumerate(boxes):
        assert one.left >= 0
        assert one.top >= 0
        assert one.left + one.width <= page.width + 1e-6
        assert one.top + one.height <= page.height + 1e-6
        for other in boxes[:at]:
            apart_across = (
                one.left + one.width <= other.left + 1e-6
                or other.left + other.width <= one.left + 1e-6
            )
            apart_down = one.top + one.height <= other.top or other.top + other.height <= one.top
            assert apart_across or apart_down


@given(graphs())
def test_every_step_has_a_box_and_every_link_an_arrow(nodes: list[Node]) -> None:
    tree = ET.fromstring(draw(nodes, "any <title> & more"))
    steps = [g.find(f"{SVG}title").text for g in tree.iter(f"{SVG}g")]  # type: ignore[union-attr]
    assert sorted(steps) == sorted(node.name for node in nodes)  # type: ignore[type-var]
    tips = [path for path in tree.iter(f"{SVG}path") if path.get("marker-end")]
    # A source that several links of a rank share brings one arrow to each box it feeds.
    assert len(tips) == sum(len(node.depends_on) for node in nodes)


def test_names_and_notes_are_escaped() -> None:
    text = draw([Node("a<b&c", notes=('"x" < 3',))], "<t>")
    assert ET.fromstring(text).get("aria-label") == "Steps of <t>"
    assert "a&lt;b&amp;c" in text


def test_a_large_graph_is_folded() -> None:
    nodes = [Node(f"n{index}", to_run=1) for index in range(5000)]
    page = place(nodes)
    assert len(page.boxes) == 40
    assert "more steps" in draw(nodes)


def test_the_same_graph_gives_the_same_text() -> None:
    nodes = [Node("a"), Node("b", depends_on=("a",))]
    assert draw(nodes, "t") == draw(nodes, "t")
