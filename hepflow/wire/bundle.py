"""The capsule as the one file that goes to worker nodes.

Owns how it is packed: as source, and compiled for nodes with this Python, where it starts the sooner.
"""

from __future__ import annotations

import io
import os
import py_compile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from hepflow import capsule

MAIN: Final = "import os\nfrom hepflow.capsule.main import main\nos._exit(main())\n"
START: Final = "import sys;sys.path.insert(0,sys.argv[1]);del sys.argv[0];import os;from hepflow.capsule.main import main;os._exit(main())"
"""For ``python3 -c``, with the capsule's path as the next word: sooner than running the file itself.
Everything is written by then: to have Python clear itself away would only take time."""


def capsule_bytes() -> bytes:
    """The capsule's content: a zip file that any Python runs."""
    buffer = io.BytesIO()
    folder = Path(capsule.__file__).parent
    with zipfile.ZipFile(buffer, "w") as archive, tempfile.TemporaryDirectory() as scratch:
        archive.writestr("__main__.py", MAIN)
        for name in ("hepflow/__init__", *_names(folder)):
            path = folder / f"{name.rpartition('/')[2]}.py"
            source = "" if name == "hepflow/__init__" else path.read_text(encoding="utf-8")
            archive.writestr(f"{name}.py", source)
            archive.writestr(f"{name}.pyc", _compiled(source, f"{name}.py", Path(scratch)))
    return buffer.getvalue()


def _names(folder: Path) -> list[str]:
    return sorted(f"hepflow/capsule/{path.stem}" for path in folder.glob("*.py"))


def _compiled(source: str, name: str, scratch: Path) -> bytes:
    plain, compiled = scratch / "module.py", scratch / "module.pyc"
    plain.write_text(source, encoding="utf-8")
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(plain), str(compiled), name, doraise=True, invalidation_mode=unchecked)
    return compiled.read_bytes()


def write_capsule(path: Path) -> None:
    """Put the capsule there, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    unfinished.write_bytes(capsule_bytes())
    unfinished.replace(path)
