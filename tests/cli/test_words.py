"""Numbers, times, sizes, values and tables in words."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from hepflow.cli.quantities import days, mebibytes
from hepflow.cli.summary import shorter
from hepflow.cli.words import count, duration, size, table, value
from hepflow.model.values import File


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 ms"), (0.04, "40 ms"), (0.4, "0.4 s"), (9.9, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (185, "3 min 05 s"),
        (7800, "2 h 10 min"), (200_000, "2 d 7 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0, "0 B"), (999, "999 B"), (4_100_000, "4.1 MB"), (312e9, "312 GB"), (5e15, "5000 TB")],
)
def test_sizes(amount: float, words: str) -> None:
    assert size(amount) == words


def test_counts() -> None:
    assert count(1, "task") == "1 task"
    assert count(2000, "task") == "2,000 tasks"


def test_values_on_one_line() -> None:
    assert value(File("/a/b.txt")) == "/a/b.txt"
    assert value("text") == "text"
    assert value({"a": [1, None]}) == '{"a": [1, null]}'
    assert value([File("/a"), File("/b")]) == "/a /b"
    assert value(list(range(1000)), 20) == "[0, 1, 2, 3, 4, 5, … (1,000 items)"


def test_files_within_a_value_are_listed_by_their_paths_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = File(f"{tmp_path}/results/a.txt", "d" * 64, 3)
    assert shorter(made) == "results/a.txt"
    assert shorter({"made": made, "n": [1]}) == '{"made": "results/a.txt", "n": [1]}'
    assert shorter([{"made": made}]) == '[{"made": "results/a.txt"}]'
    assert shorter([{"made": made}] * 1000).endswith("… (1,000 items)")


def test_colours_do_not_widen_a_table() -> None:
    lines = table(["a", "n"], [[click.style("red", fg="red"), "5"], ["x", "10"]], right={1})
    assert [click.unstyle(line) for line in lines] == ["a     n", "red   5", "x    10"]


@pytest.mark.parametrize(
    ("text", "mib"), [("8 GB", 7630), ("512 MiB", 512), ("512", 512), ("1.5GiB", 1536)]
)
def test_memory(text: str, mib: int) -> None:
    assert mebibytes(text) == mib


@pytest.mark.parametrize(("text", "found"), [("30d", 30), ("12h", 0.5), ("7", 7), ("2w", 14)])
def test_ages(text: str, found: float) -> None:
    assert days(text) == found


@pytest.mark.parametrize("text", ["", "lots", "3 parsecs", "-1 GB"])
def test_no_quantity_is_an_error_that_shows_how(text: str) -> None:
    with pytest.raises(ValueError, match="write '8 GB'"):
        mebibytes(text)
    with pytest.raises(ValueError, match="write '30d'"):
        days(text)
