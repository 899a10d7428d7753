"""Pickles in the user's own cache folder: what a load had to work out, kept for the next one.

Unpickling runs whatever a pickle says, so nothing is read that another user could have written: the
folder and the file must be this user's alone. What is damaged or strange counts as absent; when the
folder cannot be had, nothing is kept.
"""

from __future__ import annotations

import os
import pickle
import stat
import sys
import tempfile
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final

MOST_ENTRIES: Final = 1000
"""When there are more, the older half goes."""

_DIGEST_BYTES: Final = 20
_FORBIDDEN: Final = stat.S_IRWXG | stat.S_IRWXO


def folder() -> Path:
    """Where entries lie: ``$XDG_CACHE_HOME/hepflow/cwl``."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "hepflow" / "cwl"


def read(name: str) -> object:
    """The object kept under a name; ``None`` when there is none that can be trusted."""
    at = folder()
    if not _is_ours_alone(at):
        return None
    try:
        handle = os.open(at / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
            return None
        digest, body = file.read(_DIGEST_BYTES), file.read()
    return pickle.loads(body) if digest == _digest(body) else None


def write(name: str, value: object) -> None:
    """Keep an object under a name; another process sees it whole or not at all."""
    at = folder()
    try:
        at.mkdir(parents=True, mode=0o700, exist_ok=True)
        if not _is_ours_alone(at):
            return
        body = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        handle, temporary = tempfile.mkstemp(dir=at, prefix=".new-")
        with open(handle, "wb") as file:
            file.write(_digest(body) + body)
        Path(temporary).replace(at / name)
        _make_room(at)
    except OSError:
        pass  # a full disk or a read-only home: the next load takes as long as this one


def key(*parts: object, ours: bool = True) -> str:
    """A name for what depends on these parts and on the CWL library.

    Args:
        ours: it depends on our own code as well.
    """
    code = [*_library(), *(_sources() if ours else [])]
    return blake2b(repr((code, parts)).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()


def _is_ours_alone(at: Path) -> bool:
    try:
        status = at.lstat()
    except OSError:
        return False
    mode = status.st_mode
    return stat.S_ISDIR(mode) and status.st_uid == os.getuid() and not mode & _FORBIDDEN


def _make_room(at: Path) -> None:
    entries = list(at.iterdir())
    if len(entries) > MOST_ENTRIES:
        entries.sort(key=lambda entry: entry.stat().st_mtime)
        for entry in entries[: len(entries) // 2]:
            with suppress(FileNotFoundError):  # another process makes room as well
                entry.unlink()


# Versions of code are told apart without importing any of it.


def _library() -> list[object]:
    places = [Path(place) / "cwltool" / "__init__.py" for place in sys.path]
    return [sys.version, *_stamps(places)]


def _sources() -> list[object]:
    model = sys.modules["hepflow.model"].__path__[0]
    return _stamps([*Path(__file__).parent.glob("*.py"), *Path(model).glob("*.py")])


def _stamps(paths: list[Path]) -> list[object]:
    found: list[object] = []
    for path in sorted(paths):
        with suppress(OSError):
            status = path.stat()
            found.append((str(path), status.st_size, status.st_mtime_ns))
    return found
