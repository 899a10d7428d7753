"""The door hepflow comes in by: which files are yadage workflows, and what workflow is in one.

Imports nothing but the model: it is asked about every file that is no native recipe.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from hepflow.model.errors import RecipeError, UnavailableError
from hepflow.model.protocols import Loader, LoadOptions
from hepflow.model.workflow import Workflow
from hepflow_yadage.setup import Setup

LOOK_BYTES: Final = 16384
"""How much of a file's beginning is looked at; published workflows begin with long comments."""

_SIGN: Final = re.compile(rb"""(?m)^["']?stages["']?[ \t]*:|\A\s*\{\s*"stages"\s*:""")


class YadageLanguage:
    """yadage workflows: YAML or JSON with ``stages`` at the top.

    Args:
        _load_other: not needed: a yadage workflow refers to yadage workflows only.
    """

    name = "yadage"

    def __init__(self, _load_other: Loader | None = None) -> None:
        pass

    def claims(self, path: Path) -> bool:
        """Whether a file is a yadage workflow: YAML or JSON whose top level has ``stages``."""
        if path.suffix not in (".yml", ".yaml", ".json"):
            return False
        try:
            with path.open("rb") as file:
                return _SIGN.search(file.read(LOOK_BYTES)) is not None
        except OSError:
            return False

    def load(self, path: Path, options: LoadOptions) -> Workflow:
        """The workflow in a file, with all that its ``$ref`` lead to.

        Args:
            options: ``settings`` are those of ``Setup``.

        Raises:
            RecipeError: with every fault found.
            UsageError: there is no such setting.
            UnavailableError: jq or jsonpath-ng is not installed.
        """
        if options.profiles or options.target:
            word = "profiles" if options.profiles else "parts to choose from"
            raise RecipeError.of(
                "HF270", f"a yadage workflow has no {word}", where=str(path),
                fix="give the values as inputs",
            )  # fmt: skip
        setup = Setup.of(options.settings)
        try:
            from hepflow_yadage.workflows import load_workflow
        except ImportError as error:
            raise UnavailableError.of(
                "HF402", "yadage workflows cannot be read", why=str(error),
                fix="pip install 'hepflow[yadage]'",
            ) from error  # fmt: skip
        return load_workflow(path, setup)
