"""Snakemake as its users start it, and a Snakefile with a little of everything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Snakemake = Callable[..., subprocess.CompletedProcess[str]]

EVERYTHING = """
rule all:
    input: "sum.txt", "picked.txt", "said.txt", "table/index"

rule numbers:                          # wildcards, params, threads, log redirection
    output: temp("n/{i}.txt")
    params: factor=10
    threads: 2
    log: "logs/{i}.log"
    shell: "echo $(({wildcards.i} * {params.factor})) > {output}; echo $OMP_NUM_THREADS > {log}"

rule sum:                              # several inputs, protected output
    input: expand("n/{i}.txt", i=range(1, 4))
    output: protected("sum.txt")
    shell: "cat {input} | paste -sd+ | bc > {output} 2> /dev/null || cat {input} > {output}"

checkpoint parts:                      # nobody knows how many there will be
    output: directory("parts")
    shell: "mkdir {output}; for i in a b; do echo $i > {output}/$i.txt; done"

def found(wildcards):
    import pathlib
    return sorted(map(str, pathlib.Path(checkpoints.parts.get().output[0]).glob("*.txt")))

rule picked:
    input: found
    output: "picked.txt"
    shell: "cat {input} > {output}"

rule said:                             # Python in the Snakefile: through Snakemake
    input: "picked.txt"
    output: "said.txt"
    run:
        open(output[0], "w").write(open(input[0]).read().upper() + config.get("word", ""))

rule table:                            # shadow, benchmark: likewise
    output: "table/index"
    shadow: "minimal"
    benchmark: "bench.tsv"
    shell: "echo table > {output}; echo rubbish > not-kept"
"""


@pytest.fixture
def snakemake(project: Path) -> Snakemake:
    """The command line of Snakemake, in the project folder."""

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--nocolor", *words],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call
