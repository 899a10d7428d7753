"""The door hepflow comes in by: which files are instances, and the replay of one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from hepflow.model.errors import RecipeError
from hepflow.model.protocols import Loader, LoadOptions
from hepflow.model.workflow import Workflow

LOOK_BYTES: Final = 4096
_SIGN: Final = re.compile(rb'"schemaVersion"\s*:')


class WfFormatLanguage:
    """Recorded runs, as workflows that replay them.

    Args:
        _load_other: not needed: an instance stands alone.
    """

    name = "wfformat"

    def __init__(self, _load_other: Loader | None = None) -> None:
        pass

    def claims(self, path: Path) -> bool:
        """Whether a file is an instance: JSON with a version of the schema at its beginning or end."""
        if path.suffix != ".json":
            return False
        try:
            with path.open("rb") as file:
                head = file.read(LOOK_BYTES)
                file.seek(max(0, path.stat().st_size - LOOK_BYTES))
                tail = file.read(LOOK_BYTES)
        except OSError:
            return False
        return _SIGN.search(head) is not None or _SIGN.search(tail) is not None

    def load(self, path: Path, options: LoadOptions) -> Workflow:
        """The replay of the run in a file.

        Raises:
            RecipeError: with every fault found.
        """
        from hepflow_wfformat.instance import read_instance
        from hepflow_wfformat.replay import replay_of

        if options.profiles or options.settings or options.target:
            raise RecipeError.of(
                "HF281", "a recorded run has neither profiles nor settings nor parts",
                where=str(path), fix="its inputs are replay, work and bytes: name=value",
            )  # fmt: skip
        return replay_of(read_instance(path), path)
