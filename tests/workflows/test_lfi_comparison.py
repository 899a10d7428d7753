"""Many scores beside the published ones: rows, table, figure."""

from __future__ import annotations

import csv
import json

import pytest

pytest.importorskip("numpy")

from hepflow_lfi.cli import main
from hepflow_lfi.comparison import COLUMNS, gather_rows, read_cells
from hepflow_lfi.report import FORMAT
from hepflow_verbs import InputError


@pytest.fixture
def write(tmp_path):
    def write(name, seed, c2st, *, task="two_moons", simulations=1000, count=10, samples=10_000):
        content = {
            "format": FORMAT,
            "task": task,
            "method": "NPE",
            "simulations": simulations,
            "seed": seed,
            "c2st_mean": c2st,
            "observations": [{}] * count,
            "samples_a_side": samples,
            "comparable": count == 10 and samples == 10_000,
        }
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return write


def test_seeds_of_a_cell_are_one_row_beside_the_published_score(write):
    paths = [write(f"{seed}.json", seed, score) for seed, score in enumerate((0.62, 0.66, 0.64))]
    (row,) = gather_rows(read_cells(paths))
    assert row.mean == pytest.approx(0.64)
    assert row.sd == pytest.approx(0.02)
    assert row.published == pytest.approx(0.7251, abs=1e-4)
    assert row.comparable


def test_what_was_judged_otherwise_is_a_row_of_its_own_and_says_so(write):
    paths = [write("a", 0, 0.6), write("b", 0, 0.55, count=2), write("c", 0, 0.51, samples=100)]
    rows = gather_rows(read_cells(paths))
    assert [row.comparable for row in rows] == [False, False, True]
    assert [row.sd for row in rows] == [None, None, None]


def test_a_table_and_a_figure_are_written(write, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("scipy")
    paths = [
        write("a", 0, 0.62),
        write("b", 1, 0.66),
        write("c", 0, 0.55, simulations=10_000),
        write("d", 0, 0.7, task="lotka_volterra", count=1),
    ]
    csv_path, markdown, figure = tmp_path / "t.csv", tmp_path / "t.md", tmp_path / "t.png"
    files = ["--csv", csv_path, "--markdown", markdown, "--plot", figure]
    assert main(["compare", *map(str, paths), *map(str, files)]) == 0
    with csv_path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["task"] for row in rows] == ["lotka_volterra", "two_moons", "two_moons"]
    assert [row["ours"] for row in rows] == ["0.700", "0.640", "0.550"]
    assert [row["published"] for row in rows] == ["", "0.725", "0.606"]
    assert [row["comparable"] for row in rows] == ["no", "yes", "yes"]
    assert "| two_moons | NPE | 1000 | 0.640 | 0.028 | 2 | 10 | 10000 | 0.725 | yes |" in (
        markdown.read_text()
    )
    assert markdown.read_text() in capsys.readouterr().out
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as a metrics file"),
        ("[]", "cannot be read as a metrics file"),
        ('{"format": "other"}', "is no metrics file of this version"),
    ],
)
def test_a_file_that_is_no_metrics_is_refused(tmp_path, content, message):
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_cells([path])
    with pytest.raises(InputError, match="cannot be read"):
        read_cells([tmp_path / "none"])
