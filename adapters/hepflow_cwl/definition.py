"""A process as cwltool holds it, kept small, pickled, and unpickled only when somebody needs it.

Importing cwltool takes longer than starting hepflow. So what a loaded document consists of (this
class, tools, expressions) imports cwltool only when it plans, evaluates or collects: a run whose
steps are all reused never does.
"""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cwltool.process import Process

_NAMES = frozenset({"id", "name"})


class Definition:
    """One CommandLineTool, ExpressionTool or the outside of a Workflow.

    Args:
        process: as cwltool made it; it is copied, so the original stays whole.
    """

    def __init__(self, process: Process) -> None:
        self._pickled = pickle.dumps(_stripped(process), pickle.HIGHEST_PROTOCOL)
        self.digest = _digest(process)

    @cached_property
    def process(self) -> Process:
        """cwltool's object: with ``doc_loader`` and ``doc_schema`` set to ``None``."""
        process: Process = pickle.loads(self._pickled)
        return process

    def __getstate__(self) -> dict[str, object]:
        return {"_pickled": self._pickled, "digest": self.digest}


def _stripped(process: Process) -> Process:
    """A copy without the loader and its schema (nine tenths of the weight), and without the
    ontologies where nothing has a format."""
    slim = copy.copy(process)
    slim.doc_loader = slim.doc_schema = None
    ports = [*slim.tool["inputs"], *slim.tool["outputs"]]
    if not _mentions(ports, "format"):
        slim.formatgraph = None
    return slim


def _mentions(data: object, key: str) -> bool:
    if isinstance(data, Mapping):
        return key in data or any(_mentions(value, key) for value in data.values())
    return isinstance(data, list) and any(_mentions(item, key) for item in data)


def _digest(process: Process) -> str:
    """What the process is, wherever its document stands: identifiers by their last word, for the
    rest are paths and chance."""
    what = {
        "version": process.metadata.get("http://commonwl.org/cwltool#original_cwlVersion"),
        "tool": _portable({key: value for key, value in process.tool.items() if key != "id"}),
        "requirements": _portable(process.requirements),
        "hints": _portable(process.hints),
    }
    return sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def _portable(data: object, key: str = "") -> object:
    if isinstance(data, Mapping):
        return {name: _portable(value, name) for name, value in data.items()}
    if isinstance(data, list):
        return [_portable(item, key) for item in data]
    if isinstance(data, str) and (key in _NAMES or data.startswith("file://")):
        return data.rpartition("#")[2].rpartition("/")[2]
    return data
