"""The capsule as the one file that goes to worker nodes.

Owns how it is packed: a zip file of source, for any Python, and before it the same compiled by this one, which starts
the sooner where the node's Python is the same.
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import os
import zipfile
from pathlib import Path
from typing import Final

from hepflow import capsule

PACKAGE: Final = "hepflow.capsule"

_FIND: Final = (
    "from _frozen_importlib_external import MAGIC_NUMBER as m;"
    'h=open(sys.argv[0],"rb");m==h.read(4)and exec(*__import__("marshal").loads('
    'h.read(int.from_bytes(h.read(4),"little"))));'
)
"""The first four bytes of the file tell which Python has compiled what follows, the next four how long that is."""
_RUN: Final = f"import os;from {PACKAGE}.main import main;os._exit(main())"

MAIN: Final = f"import sys;{_FIND}{_RUN}\n"
START: Final = f"import sys;del sys.argv[0];sys.path.insert(0,sys.argv[0]);{_FIND}{_RUN}"
"""For ``python3 -c``, with the capsule's path as the next word: sooner than running the file itself.
Everything is written by then: to have Python clear itself away would only take time."""


def capsule_bytes() -> bytes:
    """The capsule's content: a zip file that any Python runs, after the same for this one."""
    folder = Path(capsule.__file__).parent
    sources = {"hepflow": ""}
    for path in sorted(folder.glob("*.py")):
        name = PACKAGE if path.stem == "__init__" else f"{PACKAGE}.{path.stem}"
        sources[name] = path.read_text(encoding="utf-8")
    packed = _packed(sources)
    length = len(packed).to_bytes(4, "little")
    buffer = io.BytesIO(importlib.util.MAGIC_NUMBER + length + packed)
    with zipfile.ZipFile(buffer, "a") as archive:  # which a zip file allows before it
        archive.writestr("__main__.py", MAIN)
        for name, source in sources.items():
            archive.writestr(_path(name), source)
    return buffer.getvalue()


def _packed(sources: dict[str, str]) -> bytes:
    """Code that has modules found by their names, and the globals to run it with."""
    codes = {
        name: marshal.dumps(compile(source, _path(name), "exec", dont_inherit=True))
        for name, source in sources.items()
    }
    finder = f"{PACKAGE}.packed"
    text = f"{sources[finder]}\nimport sys\nsys.meta_path.insert(0, Packed(codes))\n"
    code = compile(text, _path(finder), "exec", dont_inherit=True)
    return marshal.dumps((code, {"__name__": finder, "codes": codes}))


def _path(module: str) -> str:
    inner = module.replace(".", "/")
    return f"{inner}/__init__.py" if module in ("hepflow", PACKAGE) else f"{inner}.py"


def write_capsule(path: Path) -> None:
    """Put the capsule there, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    unfinished.write_bytes(capsule_bytes())
    unfinished.replace(path)
