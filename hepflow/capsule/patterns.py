"""The names in a folder that a pattern matches.

Apart from `folder` because few outputs are patterns, and what matches them takes time to load. Plain standard
library for Python 3.6.
"""

import glob
import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    from re import Match

_SPECIAL = re.compile(r"\\(.)|\[\^|\[:(\w+):\]", re.DOTALL)
_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": " \t", "digit": "0-9", "lower": "a-z",
    "space": " \t-\r", "upper": "A-Z", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


def matches(folder: str, pattern: str, *, posix: bool, directories: bool) -> "list[str]":
    """The names in a folder that a pattern matches, sorted by their bytes.

    Args:
        folder: where to look.
        pattern: relative to it.
        posix: it is one of POSIX glob(3), and matches files and directories: a backslash takes a character
            as it is, and two asterisks are no more than one. Else ``**`` matches across folders.
        directories: whether that finds directories rather than files.
    """
    if posix:
        pattern = pattern.rstrip("/") or "."
        if not glob.has_magic(pattern) and "\\" not in pattern:
            return [pattern] if os.path.lexists(f"{folder}/{pattern}") else []
        pattern = _SPECIAL.sub(_as_python_has_it, pattern)
    start = len(folder) + 1
    found = glob.glob(os.path.join(glob.escape(folder), pattern), recursive=not posix)
    if not posix:
        found = [path for path in found if os.path.isdir(path) == directories]
    return sorted([path[start:] for path in found], key=os.fsencode)


def _as_python_has_it(found: "Match[str]") -> str:
    if found[1]:
        return f"[{found[1]}]" if found[1] in "*?[" else found[1]
    return _CLASSES.get(found[2], "") if found[2] else "[!"
