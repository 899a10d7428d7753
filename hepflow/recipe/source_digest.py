"""What a Python step's code is: a digest of its module and of what that imports from beside it.

Nothing is imported or run: modules are found by path and read as syntax trees.
"""

from __future__ import annotations

import ast
import sys
from collections import deque
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Final

MOST_FILES: Final = 200
"""A package whose imports reach further is a library, not an analysis: its first files will do."""


class NotFound(ValueError):
    """The module or function is not there; ``known`` are names to choose from."""

    def __init__(self, what: str, wanted: str, known: list[str]) -> None:
        super().__init__(what)
        self.wanted = wanted
        self.known = known


@dataclass(frozen=True, slots=True)
class Source:
    """A function's code.

    Args:
        digest: of all files that count.
        module: the file it stands in; empty for what is built into the interpreter.
        files: all that count.
    """

    digest: str
    module: str
    files: tuple[Path, ...] = ()


@cache
def source_of(function: str, folder: str) -> Source:
    """The code of ``package.module:name``, searched in ``folder`` first.

    Raises:
        NotFound: there is no such module or function.
    """
    dotted, _, name = function.partition(":")
    top, *rest = dotted.split(".")
    spec = PathFinder.find_spec(top, [folder, *sys.path])
    if spec is None:
        try:
            spec = find_spec(top)
        except (ImportError, ValueError):
            spec = None
    if spec is None:
        raise NotFound(f"there is no module '{top}'", top, _modules_in(Path(folder)))
    roots = [Path(place) for place in spec.submodule_search_locations or ()]
    if not roots and not (spec.origin or "").endswith(".py"):
        return Source(f"python-{sys.version_info[0]}.{sys.version_info[1]}", "")
    file = _module_file(roots, Path(spec.origin) if spec.origin else None, rest, dotted)
    tree = _tree(file)
    if tree is not None and name:
        _check_defined(tree, name.split(".")[0], dotted)
    files, digest = _closure(file, top, roots, Path(folder))
    return Source(digest, str(file), files)


def forget() -> None:
    """Look at all files anew: somebody may have edited them since the last load."""
    source_of.cache_clear()
    _tree.cache_clear()


def _modules_in(folder: Path) -> list[str]:
    try:
        found = [item.stem for item in folder.iterdir() if item.suffix == ".py"]
        return found + [item.parent.name for item in folder.glob("*/__init__.py")]
    except OSError:
        return []


def _module_file(roots: list[Path], origin: Path | None, rest: list[str], dotted: str) -> Path:
    """The file of a dotted module below a package's folders."""
    if not rest:
        if origin is not None and origin.suffix == ".py":
            return origin
        raise NotFound(
            f"'{dotted}' is a folder without __init__.py; name a module in it", dotted, []
        )
    for root in roots:
        found = _below(root, rest)
        if found is not None:
            return found
    for root in roots:
        parent = root.joinpath(*rest[:-1])
        if parent.is_dir():
            raise NotFound(f"there is no module '{dotted}'", rest[-1], _modules_in(parent))
    raise NotFound(
        f"there is no module '{dotted}'", rest[0], _modules_in(roots[0]) if roots else []
    )


def _below(root: Path, parts: list[str]) -> Path | None:
    path = root.joinpath(*parts)
    for candidate in (path.with_name(path.name + ".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    # A compiled module has no source to read: its own bytes stand for it.
    compiled = sorted(path.parent.glob(path.name + ".*.so")) if path.parent.is_dir() else []
    return compiled[0] if compiled else None


@cache
def _tree(file: Path) -> ast.Module | None:
    if file.suffix != ".py":
        return None
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"{file.name}:{line}" if line else file.name
        raise NotFound(f"the module cannot be read: {error.args[0]} ({where})", "", []) from None


def _check_defined(tree: ast.Module, name: str, dotted: str) -> None:
    known: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            known.append(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            if any(alias.name == "*" for alias in node.names):
                return
            known += [(alias.asname or alias.name).split(".")[0] for alias in node.names]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.append(node.id)
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            return
    if name not in known:
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        raise NotFound(f"module '{dotted}' has no function '{name}'", name, functions)


def _closure(
    start: Path, top: str, roots: list[Path], folder: Path
) -> tuple[tuple[Path, ...], str]:
    """A file and all it imports from its own package or from beside the recipe, and their digest."""
    seen: dict[Path, str] = {}
    waiting = deque([start])
    while waiting and len(seen) < MOST_FILES:
        file = waiting.popleft()
        if file in seen:
            continue
        try:
            seen[file] = sha256(file.read_bytes()).hexdigest()
        except OSError:
            continue
        tree = _tree(file)
        if tree is not None:
            waiting.extend(sorted(_imported(tree, file, top, roots, folder)))
    # Names relative to where they were found: moving the project changes nothing.
    bases = [*(root.parent for root in roots), folder]
    lines = sorted(f"{_relative(file, bases)}={digest}" for file, digest in seen.items())
    return tuple(seen), sha256("\n".join(lines).encode()).hexdigest()[:32]


def _relative(file: Path, bases: list[Path]) -> str:
    for base in bases:
        if file.is_relative_to(base):
            return file.relative_to(base).as_posix()
    return file.name


def _imported(tree: ast.Module, file: Path, top: str, roots: list[Path], folder: Path) -> set[Path]:
    found: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _candidates(alias.name.split("."), top, roots, folder)
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if node.level:
                base = file.parent
                for _ in range(node.level - 1):
                    base = base.parent
                parts = node.module.split(".") if node.module else []
                found |= _in_folder(base, parts, names)
            elif node.module:
                parts = node.module.split(".")
                found |= _candidates(parts, top, roots, folder)
                for name in names:
                    found |= _candidates([*parts, name], top, roots, folder)
    return found


def _in_folder(base: Path, parts: list[str], names: list[str]) -> set[Path]:
    found: set[Path] = set()
    for extra in ([], *([name] for name in names)):
        whole = [*parts, *extra]
        path = _below(base, whole) if whole else base / "__init__.py"
        if path is not None and path.is_file():
            found.add(path)
    return found


def _candidates(parts: list[str], top: str, roots: list[Path], folder: Path) -> set[Path]:
    """Files of a dotted import, with the packages on the way to it."""
    found: set[Path] = set()
    for base in [root.parent for root in roots] if parts[0] == top and roots else [folder]:
        for length in range(1, len(parts) + 1):
            path = _below(base, parts[:length])
            if path is not None:
                found.add(path)
    return found
