"""The tools that are measured, each by the command lines its users type."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.shapes import Shape, write_makefile, write_ninja, write_recipe, write_snakefile


@dataclass(frozen=True, slots=True)
class Tool:
    """One workflow tool.

    Args:
        name: as its users call it.
        version: what it calls itself; empty when it is not installed.
        write: writes a shape in its language into a folder.
        cold: the command that runs everything, and run again, finds nothing to do.
        plan: the command that only says what would run.
        resume: the command that goes on after a kill.
        kinds: the kinds of task it is measured with.
        most: the largest size that ends in reasonable time.
    """

    name: str
    version: str
    write: Callable[[Shape, Path], object]
    cold: tuple[str, ...]
    plan: tuple[str, ...]
    resume: tuple[str, ...]
    kinds: frozenset[str] = frozenset({"shell"})
    most: int = 10**9

    def takes(self, shape: Shape) -> bool:
        return bool(self.version) and shape.kind in self.kinds and shape.tasks <= self.most


def hepflow_command() -> tuple[str, ...]:
    """The console script beside this interpreter, or the module where there is none."""
    script = Path(sys.executable).with_name("hepflow")
    return (str(script),) if script.exists() else (sys.executable, "-m", "hepflow")


def version_of(*argv: str) -> str:
    """The last word of what ``--version`` prints first; empty when the program is missing."""
    if shutil.which(argv[0]) is None:
        return ""
    done = subprocess.run(
        [*argv, "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].split()[-1] if lines and not done.returncode else ""


def installed_tools() -> tuple[Tool, ...]:
    """hepflow first, then the peers that are there."""
    hepflow = hepflow_command()
    snakemake = ("snakemake", "--cores", "2", "--quiet", "all")
    tools = (
        Tool(
            "hepflow",
            version_of(*hepflow),
            write_recipe,
            (*hepflow, "run", "recipe.json"),
            (*hepflow, "plan", "recipe.json"),
            (*hepflow, "resume"),
            frozenset({"shell", "redirect", "python"}),
        ),
        Tool(
            "make",
            version_of("make"),
            write_makefile,
            ("make", "-s", "-j2"),
            ("make", "-s", "-n"),
            ("make", "-s", "-j2"),
        ),
        Tool(
            "ninja",
            version_of("ninja"),
            write_ninja,
            ("ninja", "--quiet", "-j2"),
            ("ninja", "-n"),
            ("ninja", "--quiet", "-j2"),
        ),
        Tool(
            "snakemake",
            version_of("snakemake"),
            write_snakefile,
            snakemake,
            (*snakemake, "--dry-run"),
            (
                "sh",
                "-c",
                "snakemake --unlock && snakemake --cores 2 --quiet all --rerun-incomplete",
            ),
            most=1000,
        ),
    )
    return tuple(tool for tool in tools if tool.version)
