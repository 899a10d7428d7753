"""Evaluating CWL expressions outside of tools: ``valueFrom``, ``when`` and loops of steps.

Owns what an expression sees (``inputs``, ``self``, no ``runtime``) and the sentence that says what
went wrong. Parameter references and the text around expressions are the library's, JavaScript is
``javascript.py``'s. (CWL v1.2, Workflow, sections "Expressions" and "WorkflowStepInput".)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import hepflow_cwl.library  # noqa: F401 - makes cwltool ready; first

# isort: split
from cwl_utils.errors import JavascriptException, SubstitutionError, WorkflowException
from cwl_utils.expression import interpolate
from cwltool.stdfsaccess import StdFsAccess
from cwltool.utils import adjustDirObjs, get_listing

from hepflow.model.values import Value, Values
from hepflow_cwl.javascript import QuickJSEngine, engine
from hepflow_cwl.scripts import Listing, Reading, Script
from hepflow_cwl.values import CWL, Known, from_cwl, to_cwl, to_path

CONTENTS_BYTES: Final = 64 * 1024
"""The most ``loadContents`` reads (CWL v1.2, "loadContents"); a longer file is an error."""

UNLIMITED_S: Final = 1e9
_NO_RUNTIME: Final = {"tmpdir": None, "outdir": None}
_FILES: Final = StdFsAccess("")
_FAULTS: Final = (JavascriptException, SubstitutionError, WorkflowException, OSError, ValueError)


def evaluate(
    script: Script, reads: Sequence[Reading], itself: Reading | None, values: Values
) -> Value:
    """The value of a script over the values of an invocation's ports.

    Raises:
        ValueError: with a sentence that names the expression, its place and the reason.
    """
    known: Known = {}
    try:
        variables: Any = {
            "inputs": {reading.name: _seen(reading, values, known) for reading in reads},
            "self": _seen(itself, values, known) if itself is not None else None,
            "runtime": _NO_RUNTIME,
        }
        found = interpolate(
            script.text,
            variables,
            jslib="\n".join(script.library or ()),
            fullJS=script.library is not None,
            js_engine=_Bound(variables),
            timeout=script.timeout_s or UNLIMITED_S,
            js_console=script.tell,
        )
        return from_cwl(found, known)
    except _FAULTS as error:
        reason = str(error)
    text = script.text.strip()
    shown = text if len(text) <= 200 else f"{text[:200]} [...]"
    raise ValueError(f"{script.what} cannot be computed: {reason} ({script.place}: {shown})")


def _seen(reading: Reading, values: Values, known: Known) -> CWL:
    """The value of a port as an expression sees it."""
    value = values.get(reading.port)
    found = to_cwl(value, known)
    if reading.contents and value is not None:
        files = found if isinstance(found, list) else [found]
        for file in files:
            _load_contents(file)
    if reading.listing is not Listing.NONE:
        deep = reading.listing is Listing.DEEP
        adjustDirObjs(found, partial(get_listing, _FILES, recursive=deep))
    return found


def _load_contents(file: CWL) -> None:
    if "contents" in file:
        return
    path = to_path(file["location"])
    with open(path, "rb") as opened:
        content = opened.read(CONTENTS_BYTES + 1)
    if len(content) > CONTENTS_BYTES:
        raise ValueError(f"loadContents takes files of at most 64 KiB, and {path} is longer")
    file["contents"] = content.decode("utf-8")


class _Bound(QuickJSEngine):
    """The engine over given variables, which become JSON once however many expressions one text
    has; the library's own way writes them as JavaScript each time."""

    def __init__(self, variables: Any) -> None:
        super().__init__()
        self._variables = variables
        self._text = ""

    def eval(
        self, scan: str, jslib: str = "", timeout: float = 20.0, *args: Any, **options: Any
    ) -> Any:
        self._text = self._text or json.dumps(self._variables)
        return engine().call(scan, jslib, self._text, timeout, bool(options.get("js_console")))
