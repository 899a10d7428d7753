"""Snakemake: one-line shell jobs through hepflow's executor, beside Snakemake's standard way away from the head.

Both are the same executor on the same machine; the standard way starts a Snakemake of its own for each job, as
Snakemake's executors for clusters do. Times are from start to exit, so Snakemake's own start is in both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bench.measure import must_run
from bench.scenarios import fresh

SNAKEFILE: Final = """\
rule all:
    input: expand("out/{{i}}.txt", i=range({jobs}))
rule one:
    output: "out/{{i}}.txt"
    shell: "echo hello {{wildcards.i}} > {{output}}"
"""
WAYS: Final = {"as its command": (), "by a Snakemake of its own": ("--hepflow-standard",)}


def snakemake_page(folder: Path, jobs: int, tell: Callable[[str], None]) -> Iterator[str]:
    """The report, line by line as it is measured.

    Args:
        folder: where to run. jobs: how many.
    """
    yield f"### Snakemake: {jobs:,} one-line shell jobs, start to exit"
    yield ""
    yield "| each job runs | run, s | CPU, s | jobs/s |"
    yield "|---|---:|---:|---:|"
    for way, options in WAYS.items():
        tell(f"Snakemake, {jobs} jobs, each {way}")
        here = fresh(folder / way.replace(" ", "-"))
        (here / "Snakefile").write_text(SNAKEFILE.format(jobs=jobs))
        words = ["--executor", "hepflow", "--jobs", "16", "--quiet", "all", *options]
        cost = must_run([sys.executable, "-m", "snakemake", *words], here)
        yield f"| {way} | {cost.wall_s:.1f} | {cost.cpu_s:.1f} | {jobs / cost.wall_s:.1f} |"
    yield ""
