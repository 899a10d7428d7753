"""The API, imported at its first use: a verb's help and the shell's completion need none of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hepflow import api
else:

    class _Late:
        """Stands for a module until somebody wants something of it."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, wanted: str) -> object:
            return getattr(importlib.import_module(self._name), wanted)

    api = _Late("hepflow.api")

__all__ = ["api"]
