"""The digest of a Python step's code follows what it imports from beside it, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hepflow.recipe import source_digest
from hepflow.recipe.source_digest import NotFound, source_of


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Digests are kept for the life of a process; a test edits files within it."""
    yield
    source_of.cache_clear()
    source_digest._tree.cache_clear()


@pytest.fixture
def package(write: Callable[[str, str], Path], tmp_path: Path) -> str:
    write("", "mypkg/__init__.py")
    write(
        "from mypkg.inner import helper\nfrom . import beside\nimport json\ndef f(): ...\n",
        "mypkg/a.py",
    )
    write("X = 1\n", "mypkg/beside.py")
    write("", "mypkg/inner/__init__.py")
    write("from ..deep import y\n", "mypkg/inner/helper.py")
    write("y = 1\n", "mypkg/deep.py")
    write("z = 1\n", "mypkg/unused.py")
    return str(tmp_path)


def digest(folder: str, function: str = "mypkg.a:f") -> str:
    source_of.cache_clear()
    source_digest._tree.cache_clear()
    return source_of(function, folder).digest


@pytest.mark.parametrize(
    ("file", "counts"),
    [("a.py", True), ("beside.py", True), ("inner/helper.py", True), ("inner/__init__.py", True),
     ("deep.py", True), ("__init__.py", True), ("unused.py", False)],
)  # fmt: skip
def test_what_is_imported_counts(package: str, file: str, counts: bool) -> None:
    before = digest(package)
    path = Path(package, "mypkg", file)
    path.write_text(path.read_text() + "# changed\n")
    assert (digest(package) != before) is counts


def test_the_place_of_the_code_does_not_count(package: str, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    before = digest(package)
    Path(package, "mypkg").rename(moved / "mypkg")
    assert digest(str(moved)) == before


def test_a_module_beside_the_recipe_comes_first(
    write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("def dumps(): ...\nimport neighbour\n", "json.py")
    write("", "neighbour.py")
    assert source_of("json:dumps", str(tmp_path)).module == str(tmp_path / "json.py")
    before = digest(str(tmp_path), "json:dumps")
    write("x = 1", "neighbour.py")
    assert digest(str(tmp_path), "json:dumps") != before


def test_nothing_is_imported(package: str) -> None:
    Path(package, "mypkg", "a.py").write_text("raise SystemExit\ndef f(): ...\n")
    digest(package)
    assert "mypkg" not in sys.modules


def test_what_is_built_in_counts_by_the_python_version(tmp_path: Path) -> None:
    assert source_of("sys:exit", str(tmp_path)).digest.startswith("python-")


@pytest.mark.parametrize(
    ("function", "what"),
    [("mypkg.b:f", "there is no module 'mypkg.b'"), ("mypkg.a:g", "module 'mypkg.a' has no function 'g'"),
     ("mypgk:f", "there is no module 'mypgk'"), ("mypkg.x.y:f", "there is no module 'mypkg.x.y'")],
)  # fmt: skip
def test_what_is_not_there_is_told(package: str, function: str, what: str) -> None:
    with pytest.raises(NotFound, match=what):
        source_of(function, package)


def test_a_module_that_cannot_be_read_is_told(package: str) -> None:
    Path(package, "mypkg", "a.py").write_text("def f(:\n")
    with pytest.raises(NotFound, match=r"cannot be read: .* \(a.py:1\)"):
        source_of("mypkg.a:f", package)
