"""How the capsule's modules are found in its file: compiled, by name, sooner than Python finds them in a zip file.

`hepflow.wire.bundle` puts this before the zip file, with what it finds; only that part of the file is read
where the Python is the one that compiled it. Plain standard library for Python 3.6.
"""

import marshal
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    from types import ModuleType
    from typing import Any


class Packed:
    """Finds and loads modules, as ``sys.meta_path`` has it.

    Args:
        codes: name -> code, as marshal writes it.
    """

    is_capsule = True

    def __init__(self, codes: "dict[str, bytes]") -> None:
        self._codes = codes
        self._packages = {name.rpartition(".")[0] for name in codes}

    def find_spec(self, name: str, _path: "Any" = None, _target: "Any" = None) -> "Any":
        """Where a module is; nothing where it is not one of ours."""
        if name not in self._codes:
            return None
        loader: "Any" = self
        return ModuleSpec(name, loader, is_package=name in self._packages)

    def create_module(self, _spec: "Any") -> None:
        """As Python makes one."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run a module's code."""
        exec(marshal.loads(self._codes[module.__name__]), module.__dict__)
