"""What everything made from one loaded document shares: the user's choices."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from functools import cached_property
from typing import Final, Self

from hepflow.model.errors import UsageError


class Lane(Enum):
    """Where a step is bound and its outputs are collected."""

    HEAD = "head"
    """In the head; the worker gets words, variables and a list of files. Needs a shared file system."""
    WORKER = "worker"
    """In a warm Python worker beside the files, which receives the tool once."""


@dataclass(frozen=True)
class Setup:
    """How the processes of one load are to be run. Plain data: it is kept with a loaded document.

    Args:
        use_container: run tools with a DockerRequirement in their image; without, one under
            ``requirements`` is an error and one under ``hints`` does not count.
        default_container: the image for tools that name none; empty for none.
        relax_path_checks: allow any character in the names of files.
        strict: whether fields the standard does not know are an error.
        enable_dev: take development versions of the standard (v1.3.0-dev1, with its loops).
        js_timeout_s: seconds one expression may take.
        js_console: tell what expressions print with ``console.log``.
        keep_environment: names of the user's variables that tools see.
        keep_whole_environment: tools see all of them.
        mpi_config: a file that says how programs that want MPI are started, in cwltool's format
            (``--mpi-config-file``); empty for ``mpirun -n N``.
        requirements: requirements on top of the document's own, as JSON (``cwl:requirements`` of a
            job file).
        overrides: a file of requirements that replace those of processes in the document, in
            cwltool's format (``--overrides``).
        skip_schemas: do not read the ontologies that the document names under ``$schemas``.
        only: names of outputs and steps; what none of them needs is left out (``--target``).
        lane: where steps are bound and collected.
    """

    use_container: bool = True
    default_container: str = ""
    relax_path_checks: bool = False
    strict: bool = True
    enable_dev: bool = True
    js_timeout_s: float = 20.0
    js_console: bool = False
    keep_environment: tuple[str, ...] = ()
    keep_whole_environment: bool = False
    mpi_config: str = ""
    requirements: str = ""
    overrides: str = ""
    skip_schemas: bool = False
    only: tuple[str, ...] = ()
    lane: Lane = Lane.HEAD

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Self:
        """The setup that settings spell, each by the name of its field.

        Args:
            settings: texts as of ``LoadOptions``: ``use_container`` -> ``false``,
                ``keep_environment`` -> ``LANG,DISPLAY``.

        Raises:
            UsageError: there is no such setting, or it cannot have that value.
        """
        readers = {item.name: _READERS[str(item.type)] for item in fields(cls)}
        found: dict[str, object] = {}
        for name, text in settings.items():
            if name not in readers:
                raise UsageError.of(
                    "HF320",
                    f"CWL documents have no setting '{name}'",
                    fix=f"known are {', '.join(sorted(readers))}",
                )
            try:
                found[name] = readers[name](text)
            except ValueError as error:
                raise UsageError.of("HF320", f"setting '{name}': {error}") from None
        return cls(**found)  # type: ignore[arg-type]

    @cached_property
    def environment(self) -> dict[str, str]:
        """The variables of the user's environment that tools see."""
        if self.keep_whole_environment:
            return dict(os.environ)
        return {name: os.environ[name] for name in self.keep_environment if name in os.environ}


def _truth(text: str) -> bool:
    value = json.loads(text.lower()) if text.lower() in ("true", "false") else None
    if value is None:
        raise ValueError(f"takes true or false, gets '{text}'")
    return bool(value)


_READERS: Final[dict[str, Callable[[str], object]]] = {
    "bool": _truth,
    "float": float,
    "str": str,
    "tuple[str, ...]": lambda text: tuple(name for name in text.split(",") if name),
    "Lane": Lane,
}
