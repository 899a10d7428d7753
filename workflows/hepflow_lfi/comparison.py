"""Put the metrics of many cells beside the published figures: a table and a figure.

A cell is one task, method, number of simulations and seed; a row is all seeds of one.  Cells that
were judged by fewer samples or observations than the published ones are shown and said to be so.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hepflow_lfi.published import find_published
from hepflow_lfi.report import FORMAT
from hepflow_verbs import InputError

AnyPath = str | os.PathLike[str]
COLUMNS = (
    "task",
    "method",
    "simulations",
    "ours",
    "sd_over_seeds",
    "seeds",
    "observations",
    "samples_a_side",
    "published",
    "comparable",
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One judged posterior: its mean C2ST over ``observations``, by ``samples`` a side."""

    task: str
    method: str
    simulations: int
    seed: int
    c2st: float
    observations: int
    samples: int
    comparable: bool


@dataclass(frozen=True, slots=True)
class Row:
    """The cells that differ in the seed alone, and what was published (None: nothing)."""

    cells: tuple[Cell, ...]
    published: float | None

    @property
    def mean(self) -> float:
        """Mean C2ST over the seeds."""
        return statistics.fmean(cell.c2st for cell in self.cells)

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds (n - 1), nothing for one."""
        values = [cell.c2st for cell in self.cells]
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def comparable(self) -> bool:
        """Whether the mean may be held against the published one."""
        return all(cell.comparable for cell in self.cells)

    def list_fields(self) -> tuple[str, ...]:
        """Return the row as text, in the order of ``COLUMNS``."""
        first = self.cells[0]
        sd, published = self.sd, self.published
        return (
            first.task,
            first.method,
            str(first.simulations),
            f"{self.mean:.3f}",
            "" if sd is None else f"{sd:.3f}",
            str(len(self.cells)),
            str(first.observations),
            str(first.samples),
            "" if published is None else f"{published:.3f}",
            "yes" if self.comparable else "no",
        )


def read_cells(paths: Sequence[AnyPath]) -> list[Cell]:
    """Read metrics files that 'judge' wrote."""
    return [_read_cell(Path(path)) for path in paths]


def _read_cell(path: Path) -> Cell:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = content["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, "cannot be read as a metrics file", why=str(error)) from None
    if not known:
        raise InputError(
            path,
            "is no metrics file of this version",
            why=f"needed is {FORMAT!r}",
            fix="judge anew",
        )
    return Cell(
        content["task"],
        content["method"],
        content["simulations"],
        content["seed"],
        content["c2st_mean"],
        len(content["observations"]),
        content["samples_a_side"],
        content["comparable"],
    )


def gather_rows(cells: Sequence[Cell]) -> list[Row]:
    """Group the cells by all but the seed, sorted by task, method and simulations."""
    groups: dict[tuple[str, str, int, int, int], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        key = (cell.task, cell.method, cell.simulations, cell.observations, cell.samples)
        groups.setdefault(key, []).append(cell)
    rows = []
    for key, group in sorted(groups.items()):
        published = find_published(*key[:3])
        rows.append(Row(tuple(group), None if published is None else published.mean))
    return rows


def write_table(rows: Sequence[Row], path_csv: AnyPath, path_markdown: AnyPath) -> None:
    """Write the rows as CSV and as a table in Markdown."""
    with Path(path_csv).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(row.list_fields() for row in rows)
    lines = [_join(column.replace("_", " ") for column in COLUMNS), "|---" * len(COLUMNS) + "|"]
    lines += [_join(field or "-" for field in row.list_fields()) for row in rows]
    Path(path_markdown).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _join(fields: Iterable[str]) -> str:
    return f"| {' | '.join(fields)} |"
