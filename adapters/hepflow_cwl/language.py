"""The door hepflow comes in by: which files are CWL, and what workflow is in one.

Imports nothing of cwltool: it is asked about every file that is no native recipe.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hepflow.model.errors import RecipeError, UnavailableError
from hepflow.model.protocols import Loader, LoadOptions
from hepflow.model.workflow import Workflow
from hepflow_cwl.seen import Seen
from hepflow_cwl.setup import Setup

if TYPE_CHECKING:
    from hepflow_cwl.loading import Loaded

LOOK_BYTES: Final = 4096
"""How much of a file's beginning, and of its end, is looked at: a packed document is JSON with
sorted keys, and its version stands last."""

_SIGN: Final = re.compile(
    rb"""(?mx) ^\#!.*\bcwl-runner\b | (^|[{,]) \s* ["']? (cwlVersion | cwl:tool) ["']? \s* :"""
)


class CwlLanguage:
    """CWL v1.0, v1.1 and v1.2: workflows, tools and expression tools.

    Args:
        _load_other: not needed: a CWL document refers to CWL documents only.
    """

    name = "cwl"

    def __init__(self, _load_other: Loader | None = None) -> None:
        pass

    def claims(self, path: Path) -> bool:
        """Whether a file is CWL: by the end of its name, or a version or ``cwl:tool`` within."""
        if path.suffix == ".cwl":
            return True
        try:
            with path.open("rb") as file:
                head = file.read(LOOK_BYTES)
                file.seek(max(LOOK_BYTES, path.stat().st_size - LOOK_BYTES))
                tail = file.read(LOOK_BYTES)
        except OSError:
            return False
        return _SIGN.search(head) is not None or _SIGN.search(tail) is not None

    def load(self, path: Path, options: LoadOptions) -> Workflow:
        """The workflow in a document; a tool is a workflow of one step.

        Args:
            options: ``target`` is the ``#id`` of a process in it, ``settings`` those of ``Setup``.

        Raises:
            RecipeError: with every fault found. Problems of code HF249 are about what the document
                may well ask for but hepflow does not have.
            UsageError: there is no such setting.
            UnavailableError: the libraries for CWL are not installed.
        """
        if options.profiles:
            raise RecipeError.of(
                "HF240", "a CWL document has no profiles", where=str(path),
                fix="leave out --profile, or give the values as inputs",
            )  # fmt: skip
        setup = Setup.of(options.settings)
        seen = Seen(path, options.target, setup)
        workflow = seen.find()
        if workflow is None:
            loaded = _load_document()(str(path), options.target, setup)
            workflow = loaded.workflow
            seen.keep(workflow, loaded.files)
        return workflow


def _load_document() -> Callable[[str, str, Setup], Loaded]:
    """What reads a document for the first time: only that takes all of cwltool."""
    try:
        from hepflow_cwl.loading import load_document
    except ImportError as error:
        raise UnavailableError.of(
            "HF402", "CWL documents cannot be read", why=str(error),
            fix="pip install 'hepflow[cwl]'",
        ) from error  # fmt: skip
    return load_document
