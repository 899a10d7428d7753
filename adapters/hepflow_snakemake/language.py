"""The door hepflow comes in by: which files are Snakefiles, and what workflow one is.

Reads no Snakefile: only Snakemake can, and what is in one (rules, targets, a graph that grows) is its
own affair. To hepflow a Snakefile is one step whose inputs are what Snakemake's command line takes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from hepflow.model.errors import RecipeError
from hepflow.model.protocols import Loader, LoadOptions
from hepflow.model.types import parse_type
from hepflow.model.values import File
from hepflow.model.workflow import Binding, Port, Ref, Step, Workflow
from hepflow_snakemake.tool import OUTPUTS, SnakemakeTool

SUFFIXES: Final = (".smk",)
NAME: Final = "Snakefile"
HOME: Final = "local"
"""Where Snakemake itself runs: beside the head, from where it hands its jobs to the run's own site."""
MOST_FILES: Final = 20_000

INPUTS: Final = (
    Port("config", parse_type("record"), {}, "What '--config' sets; files in it become paths."),
    Port("targets", parse_type("string[]"), (), "Files or rules; without any, the first rule."),
    Port("files", parse_type("record"), {}, "Further files for the working directory, by their paths."),
    Port("options", parse_type("string"), "", "Further words of Snakemake's command line."),
)  # fmt: skip


class SnakemakeLanguage:
    """Snakefiles, and files that end in ``.smk``.

    Args:
        _load_other: not needed: a Snakefile includes Snakefiles, and Snakemake reads those.
    """

    name = "snakemake"

    def __init__(self, _load_other: Loader | None = None) -> None:
        pass

    def claims(self, path: Path) -> bool:
        """Whether a file is a Snakefile, by its name; ``Snakefile-slurm`` is one as well."""
        return path.name.startswith(NAME) or path.suffix in SUFFIXES

    def load(self, path: Path, options: LoadOptions) -> Workflow:
        """A workflow of one step, which is Snakemake at work on this file.

        Args:
            options: ``target`` is what Snakemake is to make: a rule or a file.

        Raises:
            RecipeError: profiles or settings were given, or its folder is too large to be an input.
        """
        if options.profiles or options.settings:
            raise RecipeError.of(
                "HF260", "a Snakefile has no profiles or settings of hepflow's", where=str(path),
                fix="give its own by the inputs: config='{\"n\": 5}' options='--set-threads fit=4'",
            )  # fmt: skip
        source = path.absolute()
        beside = {name: File(str(source.parent / name)) for name in _sources(source.parent)}
        ports = tuple(
            replace(port, default=(options.target,))
            if port.name == "targets" and options.target
            else port
            for port in INPUTS
        )
        step = Step(
            "snakemake",
            SnakemakeTool(str(source)),
            {port.name: Binding((Ref("", port.name),)) for port in ports}
            | {"sources": Binding(default=beside)},
            OUTPUTS,
            doc=f"Snakemake, for {path.name}",
            site=HOME,
        )
        outputs = {port.name: Binding((Ref(step.name, port.name),)) for port in OUTPUTS}
        return Workflow(path.stem, ports, (step,), outputs, source=str(path))


def _sources(folder: Path) -> Iterator[str]:
    """The files that stand beside a Snakefile, by relative path: what it may read.

    Without hidden ones, and without ``results``, where by custom outputs are.
    """
    count = 0
    for parent, folders, names in os.walk(folder):
        top = Path(parent) == folder
        folders[:] = sorted(
            name for name in folders
            if not name.startswith(".") and name != "__pycache__" and not (top and name == "results")
        )  # fmt: skip
        for name in sorted(names):
            if not name.startswith("."):
                count += 1
                if count > MOST_FILES:
                    raise RecipeError.of(
                        "HF261", f"more than {MOST_FILES:,} files stand beside the Snakefile",
                        where=str(folder), why="all of them may be read by its rules, so all are its inputs",
                        fix="give the Snakefile a folder of its own, and name data by 'files' or 'config'",
                    )  # fmt: skip
                yield os.path.relpath(os.path.join(parent, name), folder)
