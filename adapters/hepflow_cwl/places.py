"""Where something stands in a document, from the marks that the YAML library leaves."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote

from hepflow.model.errors import Place


def readable(file: str) -> str:
    """A file as the libraries name it, as a person would: relative only where that is shorter."""
    path = unquote(file)
    return os.path.abspath(path) if path.startswith("..") else path


def place_of(data: Any, key: str | int | None = None) -> Place:
    """The place of a mapping or list of a document, or of one of its entries.

    Args:
        key: the entry; the beginning of ``data`` when there is none such.
    """
    marks = getattr(data, "lc", None)
    file = getattr(marks, "filename", "")
    if marks is None or not file:
        return Place()
    line, column = marks.line, marks.col
    if key is not None and marks.data and key in marks.data:
        line, column = marks.data[key][:2]
    if "://" not in file:
        file = os.path.abspath(unquote(file))
    return Place(file, (line or 0) + 1, (column or 0) + 1)
