"""``python -m bench``: measure, and print a page of markdown."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cwl import cwl_page
from bench.pools import pools_page
from bench.report import figure_table, growth_table, header, shape_table
from bench.scenarios import Result, measure_shape
from bench.shapes import Shape
from bench.slurm import slurm_page
from bench.snakemake import snakemake_page
from bench.start import Figure, million, single_figures
from bench.tools import Tool, installed_tools
from bench.yadage import yadage_page

SHAPES = ("wide", "chain", "layered")
KINDS = ("shell", "redirect", "python")


@dataclass(frozen=True, slots=True)
class Choice:
    """What to measure."""

    shapes: tuple[Shape, ...]
    tools: tuple[Tool, ...]
    repeats: int
    figures: bool
    million: bool
    cwl_sizes: tuple[int, ...]
    yadage_sizes: tuple[int, ...]
    slurm_tasks: int
    snakemake_jobs: int
    pools: float


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    found.add_argument("--sizes", type=numbers, default=(200, 1000, 10_000), metavar="N,N,...")
    found.add_argument("--shapes", type=words, default=SHAPES, metavar=",".join(SHAPES))
    found.add_argument("--kinds", type=words, default=("shell", "python"), metavar=",".join(KINDS))
    found.add_argument("--tools", type=words, default=(), help="default: all that are installed")
    found.add_argument("--repeats", type=int, default=3)
    found.add_argument("--full", action="store_true", help="sizes up to 100,000")
    found.add_argument("--million", action="store_true", help="also a 1,000,000-wide scatter")
    found.add_argument("--quick", action="store_true", help="20 tasks, once: does it work at all")
    found.add_argument("--cwl", action="store_true", help="CWL too, beside cwltool")
    found.add_argument("--yadage", action="store_true", help="yadage too, beside native recipes")
    found.add_argument("--slurm", type=int, default=0, metavar="N", help="N tasks on a cluster too")
    found.add_argument(
        "--snakemake", type=int, default=0, metavar="N", help="N jobs of Snakemake's too"
    )
    found.add_argument("--no-shapes", action="store_true", help="without the shapes")
    found.add_argument("--pools", action="store_true", help="Parsl and Dask too, beside themselves")
    found.add_argument("--no-figures", action="store_true", help="shapes only")
    found.add_argument("--folder", type=Path, help="where to run (default: a temporary folder)")
    found.add_argument("--out", type=Path, help="write the page here too")
    return found


def words(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part.replace("_", "")) for part in words(text))


def choice(arguments: argparse.Namespace) -> Choice:
    """The options as what is to be measured."""
    sizes, repeats = arguments.sizes, arguments.repeats
    if arguments.quick:
        sizes, repeats = (20,), 1
    elif arguments.full:
        sizes = (200, 1000, 10_000, 100_000)
    tools = installed_tools()
    if arguments.tools:
        tools = tuple(tool for tool in tools if tool.name in arguments.tools)
    shapes = tuple(
        Shape(name, size, kind)
        for name in (() if arguments.no_shapes else arguments.shapes)
        for kind in arguments.kinds
        for size in sizes
    )
    return Choice(
        shapes,
        tools,
        repeats,
        not arguments.no_figures,
        arguments.million,
        sizes if arguments.cwl else (),
        sizes if arguments.yadage else (),
        arguments.slurm,
        arguments.snakemake,
        (0.02 if arguments.quick else 1.0) if arguments.pools else 0.0,
    )


def page(wanted: Choice, folder: Path, command: str) -> Iterator[str]:
    """The report, line by line as it is measured."""
    yield from header(command, wanted.tools, folder, wanted.repeats)
    figures: list[Figure] = []
    base_mib = 0.0
    if wanted.figures:
        figures, base_mib = single_figures(folder / "single", wanted.repeats, tell)
    if wanted.million:
        figures.append(million(folder / "million", tell))
    if figures:
        yield from figure_table(figures)
    results: list[Result] = []
    for shape in wanted.shapes:
        # The largest sizes take minutes each, and their spread is small beside that.
        repeats = 1 if shape.tasks >= 100_000 else wanted.repeats
        results.append(measure_shape(shape, wanted.tools, repeats, folder, tell))
        yield from shape_table(results[-1], wanted.tools, base_mib)
    yield from growth_table(results)
    if wanted.cwl_sizes:
        yield from cwl_page(folder / "cwl", wanted.cwl_sizes, wanted.repeats, tell)
    if wanted.yadage_sizes:
        yield from yadage_page(folder / "yadage", wanted.yadage_sizes, wanted.repeats, tell)
    if wanted.slurm_tasks:
        yield from slurm_page(folder / "slurm", wanted.slurm_tasks, wanted.repeats, tell)
    if wanted.snakemake_jobs:
        yield from snakemake_page(folder / "snakemake", wanted.snakemake_jobs, tell)
    if wanted.pools:
        yield from pools_page(folder / "pools", wanted.repeats, wanted.pools, tell)


def tell(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    # Set on some build machines; it would have every start compile every module anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command = " ".join(["python -m bench", *(argv if argv is not None else sys.argv[1:])])
    folder = Path(tempfile.mkdtemp(prefix="hepflow-bench-", dir=arguments.folder))
    lines: list[str] = []
    try:
        for line in page(choice(arguments), folder, command):
            print(line, flush=True)
            lines.append(line)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if arguments.out:
            arguments.out.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
