"""The drawing in characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hepflow.report.graph import Node, Shade
from hepflow.report.text import PLAIN, draw, label, legend

CHAIN = [
    Node("simulate", 20, reused=20),
    Node("train", 1, to_run=1, depends_on=("simulate",)),
    Node("judge", 1, unknown=1, depends_on=("train",)),
]


def test_a_chain_is_drawn_as_boxes_with_arrows() -> None:
    assert draw(CHAIN).splitlines() == [
        "┌─────────────────┐",
        "│ ✓ simulate ×20  │",
        "└────────┬────────┘",
        "         │",
        "    ┌────▼────┐",
        "    │ ● train │",
        "    └────┬────┘",
        "         │",
        "    ┌────▼────┐",
        "    │ ? judge │",
        "    └─────────┘",
    ]


def test_a_fork_and_a_join_share_their_lines() -> None:
    nodes = [
        Node("a"),
        Node("b", depends_on=("a",)),
        Node("c", depends_on=("a",)),
        Node("d", depends_on=("b", "c")),
    ]
    assert draw(nodes).splitlines() == [
        "     ┌─────┐",
        "     │ ✓ a │",
        "     └──┬──┘",
        "   ┌────┴───┐",
        "┌──▼──┐  ┌──▼──┐",
        "│ ✓ b │  │ ✓ c │",
        "└──┬──┘  └──┬──┘",
        "   └────┐   │",
        "        ├───┘",
        "     ┌──▼──┐",
        "     │ ✓ d │",
        "     └─────┘",
    ]


@st.composite
def wide_graphs(draw: st.DrawFn) -> list[Node]:
    count = draw(st.integers(0, 40))
    return [
        Node(
            draw(st.sampled_from(["s", "a_rather_long_name_of_a_step_"])) + str(index),
            depends_on=tuple(
                sorted(draw(st.sets(st.integers(0, index - 1), max_size=3).map(
                    lambda found: {f"s{source}" for source in found})))
            ) if index else (),
        )
        for index in range(count)
    ]  # fmt: skip


@given(wide_graphs(), st.integers(60, 160))
def test_no_line_is_longer_than_the_terminal(nodes: list[Node], columns: int) -> None:
    assert all(len(line) <= columns for line in draw(nodes, columns).splitlines())


@given(st.integers(1, 6), st.integers(1, 5))
def test_every_step_appears_where_there_is_room(wide: int, deep: int) -> None:
    nodes = [
        Node(f"r{row}c{column}", depends_on=(f"r{row - 1}c{column}",) if row else ())
        for row in range(deep)
        for column in range(wide)
    ]
    text = draw(nodes)
    assert all(f" r{row}c{column} " in text for row in range(deep) for column in range(wide))
    assert text.count("▼") == wide * (deep - 1)


def test_thousands_of_steps_are_folded_and_counted() -> None:
    nodes = [
        Node(f"layer{row}_{i}", to_run=1, depends_on=(f"layer{row - 1}_{i}",) if row else ())
        for row in range(50)
        for i in range(100)
    ]
    text = draw(nodes)
    assert "more steps" in text
    assert len(text.splitlines()) < 200
    assert max(map(len, text.splitlines())) <= 100


def test_what_cannot_be_drawn_is_listed() -> None:
    text = draw([Node("a" * 30, depends_on=()), Node("b" * 30, depends_on=("a" * 30,))], columns=20)
    assert "┌" not in text
    assert "a" * 15 in text
    assert "b" * 15 in text


def test_a_label_says_counts_only_where_the_mark_does_not() -> None:
    assert label(Node("fit", 1, to_run=1)) == "● fit"
    assert (
        label(Node("fit", 2000, reused=1500, to_run=500))
        == "● fit ×2,000  1,500 reused, 500 to run"
    )
    assert label(Node("fit", -1)) == "? fit  width not known yet"
    assert len(label(Node("x" * 80))) < 45


def test_colours_are_put_around_labels_only() -> None:
    painted = draw(CHAIN, paint=lambda shade, text: f"<{shade.name}>{text}</>")
    assert "│ <TO_RUN>● train</> │" in painted
    assert painted.replace("</>", "").replace("<TO_RUN>", "").replace("<REUSED>", "").replace(
        "<UNKNOWN>", ""
    ) == draw(CHAIN)


def test_every_character_has_an_ascii_fallback() -> None:
    assert (draw(CHAIN) + legend()).translate(PLAIN).isascii()


def test_the_legend_explains_each_mark() -> None:
    assert all(shade.value in legend() for shade in Shade)


def test_nothing_to_draw_is_an_empty_drawing() -> None:
    assert draw([]) == ""
