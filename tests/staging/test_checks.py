"""Digests of what comes in, and of what a tool collected."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from hepflow.capsule.digests import digest_directory, stamp_of
from hepflow.model.values import Directory, File, Values
from hepflow.staging.checks import Memory, settled


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def nothing(_paths: Iterable[str]) -> dict[str, tuple[int, int, int, str]]:
    return {}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_text("deep")
    (tmp_path / "a").write_text("content")
    (tmp_path / "a.idx").write_text("index")
    return tmp_path


def test_everything_that_stands_somewhere_gets_a_digest(data: Path) -> None:
    literal = File("", basename="l", contents="text", secondary=(File(f"{data}/a.idx"),))
    value = Directory(
        "", basename="t", listing=(literal, File(f"{data}/a"), Directory(f"{data}/d"))
    )
    tree = digest_directory(f"{data}/d")
    assert Memory(nothing).with_digests([value]) == [
        Directory("", basename="t", listing=(
            File("", basename="l", contents="text", secondary=(File(f"{data}/a.idx", sha("index"), 5),)),
            File(f"{data}/a", sha("content"), 7),
            Directory(f"{data}/d", tree.digest, 4),
        ))
    ]  # fmt: skip


def test_files_that_travel_with_a_known_one_get_theirs(data: Path) -> None:
    given = File(f"{data}/a", "known", 7, secondary=(File(f"{data}/a.idx"),))
    found = Memory(nothing).with_digests(given)
    assert found == File(
        f"{data}/a", "known", 7, secondary=(File(f"{data}/a.idx", sha("index"), 5),)
    )


def test_what_stands_elsewhere_is_left_alone() -> None:
    values = [File("s3://bucket/key"), Directory("s3://bucket/dir")]
    assert Memory(nothing).with_digests(values) == values


def test_collected_outputs_take_what_the_executor_found_and_the_rest_is_read(data: Path) -> None:
    outputs: Values = {
        "bam": File(f"{data}/a", format="f", secondary=(File(f"{data}/a.idx"),)),
        "dir": Directory(f"{data}/d"),
        "text": [File("", basename="l", contents="x"), {"n": 1}],
    }
    found: Values = {"bam": [File(f"{data}/a", "by the executor", 7)]}
    done, stamps = settled(outputs, found, {f"{data}/a": (1, 2, 3)})
    tree = digest_directory(f"{data}/d")
    assert done == {
        "bam": File(
            f"{data}/a", "by the executor", 7, format="f",
            secondary=(File(f"{data}/a.idx", sha("index"), 5),),
        ),
        "dir": Directory(f"{data}/d", tree.digest, 4),
        "text": outputs["text"],
    }  # fmt: skip
    assert stamps == {
        f"{data}/a": (1, 2, 3),
        f"{data}/a.idx": stamp_of((data / "a.idx").stat()),
        f"{data}/d/x": stamp_of((data / "d" / "x").stat()),
    }


def test_outputs_that_lack_nothing_are_those_given() -> None:
    outputs: Values = {"x": File("/a", "d", 1), "y": File("", contents="z"), "n": [1, None]}
    stamps = {"/a": (1, 2, 3)}
    done, known = settled(outputs, {}, stamps)
    assert done is outputs
    assert known is stamps


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (File("{}/none"), "cannot read {}/none: No such file"),
        (File("{}/d"), "{}/d is a directory, a File is expected"),
        (Directory("{}/a"), "{}/a is a file, a Directory is expected"),
    ],
)
def test_a_collected_file_that_is_not_there_is_told(
    data: Path, value: File | Directory, why: str
) -> None:
    kind = type(value)
    with pytest.raises(ValueError, match=why.format(data)):
        settled({"o": kind(value.location.format(data))}, {}, {})
