"""The door hepflow comes in by: which files are REANA's, and what workflow is in one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hepflow.model.errors import RecipeError, UnavailableError
from hepflow.model.protocols import Loader, LoadOptions
from hepflow.model.workflow import Workflow

if TYPE_CHECKING:
    from hepflow_reana.document import Document

LOOK_BYTES: Final = 8192

_SIGN: Final = re.compile(
    rb"""(?mx) ^workflow[ ]*: [^\n]* \n (?: [ \t]* (?:\#[^\n]*)? \n | [ ]+ [^\n]* \n )*?
         [ ]+ type [ ]* : [ ]* ["']? (?:serial|cwl|yadage|snakemake) \b"""
)


class ReanaLanguage:
    """Analyses for REANA, of any type.

    Args:
        load_other: reads the workflows of other languages that they name.
    """

    name = "reana"

    def __init__(self, load_other: Loader | None = None) -> None:
        self._load_other = load_other

    def claims(self, path: Path) -> bool:
        """Whether a file is REANA's: by its name, or by a workflow with a type within."""
        if path.suffix not in (".yaml", ".yml"):
            return False
        if re.match(r"reana\b", path.name):
            return True
        try:
            with path.open("rb") as file:
                return _SIGN.search(file.read(LOOK_BYTES)) is not None
        except OSError:
            return False

    def load(self, path: Path, options: LoadOptions) -> Workflow:
        """The workflow in a file.

        Args:
            options: ``settings`` go to the language of the workflow it names.

        Raises:
            RecipeError: with every fault found.
            UnavailableError: a library is not installed, or the workflow's language.
        """
        from hepflow_reana.document import read_document
        from hepflow_reana.hints import left_out

        if options.profiles or options.target:
            raise RecipeError.of(
                "HF283", "a reana.yaml has neither profiles nor parts", where=str(path),
                fix="give values as inputs: name=value",
            )  # fmt: skip
        document = read_document(path)
        workflow = self._workflow(document, options)
        unused = left_out(document.data)
        note = f"not used here, because the site decides: {', '.join(unused)}" if unused else ""
        return replace(workflow, doc="\n".join(filter(None, [workflow.doc, note])))

    def _workflow(self, document: Document, options: LoadOptions) -> Workflow:
        from hepflow_reana.interface import interface_of
        from hepflow_reana.other import other_workflow
        from hepflow_reana.serial import serial_workflow

        name, interface = document.path.stem, interface_of(document)
        if document.data["workflow"]["type"] == "serial":
            return serial_workflow(document, interface, name)
        if self._load_other is None:
            what = "no other language is installed"
            raise UnavailableError.of("HF401", what, where=str(document.path))
        return other_workflow(document, interface, name, options, self._load_other)
