"""The folder of an attempt, and the digests of what is found in it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from hepflow.capsule import folder
from hepflow.capsule.digests import CHUNK, EMPTY, digest_directory, digest_file


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_a_files_digest_is_its_sha256(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "f"
    path.write_bytes(content)
    assert digest_file(str(path)) == sha(content)


def test_a_file_that_grew_since_it_was_looked_at_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    facts = path.stat()
    path.write_bytes(b"xyz")
    assert digest_file(str(path), facts) == sha(b"xyz")


def test_the_digest_of_nothing() -> None:
    assert sha(b"") == EMPTY


def test_a_directorys_digest_is_as_documented(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b" / "c").write_bytes(b"22")
    (tmp_path / "b" / "link").symlink_to("c")
    (tmp_path / "loop").symlink_to(".")
    inner = sha(f"f {sha(b'22')} c\0f {sha(b'22')} link\0".encode())
    outer = sha(f"f {sha(b'1')} a\0d {inner} b\0l {sha(b'.')} loop\0".encode())
    tree = digest_directory(str(tmp_path))
    assert (tree.digest, tree.size) == (outer, 5)
    assert set(tree.stamps) == {f"{tmp_path}/a", f"{tmp_path}/b/c", f"{tmp_path}/b/link"}


@pytest.mark.parametrize("change", ["content", "name", "empty", "more"])
def test_a_directorys_digest_shows_every_change(tmp_path: Path, change: str) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "e").mkdir()
    before = digest_directory(str(tmp_path)).digest
    os.utime(tmp_path / "a", (1, 1))
    assert digest_directory(str(tmp_path)).digest == before
    match change:
        case "content":
            (tmp_path / "a").write_bytes(b"2")
        case "name":
            (tmp_path / "a").rename(tmp_path / "b")
        case "empty":
            (tmp_path / "e").rmdir()
        case _:
            (tmp_path / "e" / "x").touch()
    assert digest_directory(str(tmp_path)).digest != before


def test_large_outputs_are_left_for_later(tmp_path: Path) -> None:
    (tmp_path / "o").write_bytes(b"x" * 11)
    with pytest.raises(folder.Large):
        folder.collect(str(tmp_path), [["o", "o", 0]], 10)
    values, files = folder.collect(str(tmp_path), [["o", "o", 0]], -1)
    assert (values, files[0][:5]) == ({}, ["o", 0, f"{tmp_path}/o", sha(b"x" * 11), 11])
    with pytest.raises(folder.Large):
        folder.collect(str(tmp_path), [["o", "*", folder.MANY]], 10)


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "real").write_bytes(b"1")
    (tmp_path / "o").symlink_to("sub/real")
    _values, files = folder.collect(str(tmp_path), [["o", "o", 0], ["p", "sub/real", 0]], -1)
    assert [entry[3] for entry in files] == [sha(b"1")] * 2


def test_the_likest_name_comes_first(tmp_path: Path) -> None:
    for name in ("a.log", "results.root", "z", "result.txt"):
        (tmp_path / name).touch()
    with pytest.raises(folder.Missing, match=r"it left results\.root, result\.txt, a\.log, z"):
        folder.collect(str(tmp_path), [["o", "result.root", 0]], -1)


def test_many_names_are_not_all_told(tmp_path: Path) -> None:
    for n in range(20):
        (tmp_path / f"f{n}").touch()
    with pytest.raises(folder.Missing, match="and 12 more"):
        folder.collect(str(tmp_path), [["o", "o", 0]], -1)
    (tmp_path / "none").mkdir()
    with pytest.raises(folder.Missing, match="no file at all"):
        folder.collect(str(tmp_path / "none"), [["o", "o", 0]], -1)


def names(path: Path, pattern: str) -> list[str]:
    """What a pattern of glob(3) finds, in order."""
    flags = folder.MANY | folder.OPTIONAL | folder.EITHER
    _values, files = folder.collect(str(path), [["o", pattern, flags]], -1)
    return [os.path.relpath(entry[2], path) for entry in files]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", ["B", "a", "a[1]", "a\\b", "d", "é"]),
        (".*", [".hidden"]),
        ("[!a]", ["B", "d", "é"]),
        ("[^a]", ["B", "d", "é"]),
        ("[[:lower:]]", ["a", "d"]),
        ("[[:upper:][:digit:]]", ["B"]),
        ("a\\[1\\]", ["a[1]"]),
        ("a\\\\*", ["a\\b"]),
        ("a[[]1]", ["a[1]"]),
        ("**/x", ["d/x"]),
        ("d/*", ["d/e", "d/x"]),
        ("d/", ["d"]),
        (".", ["."]),
        ("?", ["B", "a", "d", "é"]),
        ("absent", []),
    ],
)
def test_patterns_of_files_or_directories_are_those_of_posix(
    tmp_path: Path, pattern: str, found: list[str]
) -> None:
    for name in ("a", "B", "é", "a[1]", "a\\b", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "x").touch()
    (tmp_path / "d" / "e" / "x").touch()
    assert names(tmp_path, pattern) == found


def test_a_few_small_matches_are_digested_at_once_and_many_are_left_for_later(
    tmp_path: Path,
) -> None:
    for n in range(3):
        (tmp_path / f"{n}").write_bytes(b"xx")
    wanted = [["o", "*", folder.MANY]]
    assert len(folder.collect(str(tmp_path), wanted, 6)[1]) == 3
    with pytest.raises(folder.Large):
        folder.collect(str(tmp_path), wanted, 5)
    for n in range(folder.MOST_AT_ONCE):
        (tmp_path / f"more{n}").touch()
    with pytest.raises(folder.Large):
        folder.collect(str(tmp_path), wanted, 1 << 20)
