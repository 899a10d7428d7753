"""Results going out: their own names, whole or not at all, and nobody else's files touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hepflow.model.errors import StoreError
from hepflow.model.values import Directory, File, Value
from hepflow.staging.publish import publish


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def made(source: Path, name: str, text: str = "content") -> File:
    path = source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return File(str(path), "d" * 64, len(text))


def location(value: Value) -> str:
    assert isinstance(value, (File, Directory))
    return value.location


def test_files_keep_their_names_and_share_their_bytes(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    published = publish({"plot": made(source, "a/p.png"), "n": 3}, out)
    assert published["n"] == 3
    assert location(published["plot"]) == str(out / "p.png")
    assert os.path.samefile(out / "p.png", source / "a/p.png")
    listing = json.loads((out / "outputs.json").read_text())
    assert listing["n"] == 3
    assert listing["plot"]["checksum"] == "sha256$" + "d" * 64


def test_two_files_of_one_name_are_told_apart_by_their_ports(source: Path, tmp_path: Path) -> None:
    publish(
        {"a": made(source, "1/x.txt", "one"), "b": made(source, "2/x.txt", "two")}, tmp_path / "out"
    )
    assert (tmp_path / "out/x.txt").read_text() == "one"
    assert (tmp_path / "out/b-x.txt").read_text() == "two"


def test_an_array_of_files_is_a_folder_in_order(source: Path, tmp_path: Path) -> None:
    files = [made(source, f"{n}/x.txt", str(n)) for n in range(3)]
    publish({"all": files}, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/all").iterdir()) == [
        "0-x.txt",
        "1-x.txt",
        "2-x.txt",
    ]


def test_what_an_earlier_run_placed_and_this_one_did_not_is_removed(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    publish({"all": [made(source, f"{n}/x.txt", str(n)) for n in range(3)]}, out)
    (out / "mine.txt").write_text("keep")
    publish({"all": [made(source, f"{n}/x.txt", str(n)) for n in range(2)]}, out)
    assert sorted(path.name for path in (out / "all").iterdir()) == ["0-x.txt", "1-x.txt"]
    assert (out / "mine.txt").read_text() == "keep"


def test_a_new_result_replaces_the_old_without_changing_its_bytes(
    source: Path, tmp_path: Path
) -> None:
    old = made(source, "1/x.txt", "old")
    publish({"x": old}, tmp_path / "out")
    publish({"x": made(source, "2/x.txt", "new")}, tmp_path / "out")
    assert (tmp_path / "out/x.txt").read_text() == "new"
    assert Path(old.location).read_text() == "old"


def test_a_directory_is_placed_whole(source: Path, tmp_path: Path) -> None:
    made(source, "d/sub/x.txt")
    for _ in range(2):
        published = publish({"d": Directory(str(source / "d"), "e" * 64, 7)}, tmp_path / "out")
    assert (tmp_path / "out/d/sub/x.txt").read_text() == "content"
    assert location(published["d"]) == str(tmp_path / "out/d")


def test_a_directory_that_is_there_already_is_left_alone_unless_something_differs(
    source: Path, tmp_path: Path
) -> None:
    made(source, "d/sub/x.txt")
    whole = {"d": Directory(str(source / "d"), "e" * 64, 7)}
    target = tmp_path / "out/d"

    def again() -> int:
        publish(whole, tmp_path / "out")
        assert (target / "sub/x.txt").read_text() == "content"
        assert sorted(path.name for path in target.iterdir()) == ["sub"]
        return (target / "sub").stat().st_ino

    first = again()
    assert again() == first
    (target / "more.txt").write_text("somebody's")
    again()
    (target / "sub/x.txt").unlink()
    (target / "sub/x.txt").write_text("another")
    again()


def test_what_lies_in_a_published_directory_is_published_there_alone(
    source: Path, tmp_path: Path
) -> None:
    made(source, "d/sub/x.txt")
    folder = Directory(str(source / "d"), basename="named")
    inner = File(str(source / "d/sub/x.txt"), "e" * 64, 7)
    for _ in range(
        2
    ):  # a second time, what the first has placed is neither in the way nor taken away
        published = publish({"d": folder, "x": inner, "all": [inner, folder]}, tmp_path / "out")
    assert location(published["x"]) == str(tmp_path / "out/named/sub/x.txt")
    assert (tmp_path / "out/named/sub/x.txt").read_text() == "content"
    assert not (tmp_path / "out/x.txt").exists()
    published = publish({"d": folder, "all": [inner]}, tmp_path / "apart")
    assert {path.name for path in (tmp_path / "apart").iterdir()} == {"named", "outputs.json"}
    assert (tmp_path / "out/all/named/sub/x.txt").read_text() == "content"


def test_somebody_elses_file_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "x.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"x\.txt is in the way"):
        publish({"x": made(source, "x.txt")}, out)
    assert (out / "x.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_told(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="the results cannot be written"):
        publish({"x": made(source, "x.txt")}, tmp_path / "file/out")


def test_several_runs_may_publish_into_one_folder_at_once(source: Path, tmp_path: Path) -> None:
    files = [made(source, f"{n}/x.txt", str(n)) for n in range(200)]
    program = textwrap.dedent(f"""
        from pathlib import Path
        from hepflow.model.values import File
        from hepflow.staging.publish import publish
        files = [File(path, "d" * 64, 1) for path in {[file.location for file in files]!r}]
        for _ in range(5):
            publish({{"all": files, "one": files[0]}}, Path({str(tmp_path / "out")!r}))
    """)
    started = [
        subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(4)
    ]
    for process in started:
        _, said = process.communicate()
        assert process.returncode == 0, said.decode()
    assert len(list((tmp_path / "out/all").iterdir())) == 200
    assert (tmp_path / "out/x.txt").read_text() == "0"


def test_literals_are_written_and_files_keep_their_format(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    inner = Directory("", basename="in", listing=(made(source, "x.txt"),))
    text = File("", basename="cuts.txt", contents="pt > 20 é\n", format="http://f")
    tree = Directory("", basename="tree", listing=(text, inner))
    bam = made(source, "a.bam")
    for _ in range(2):  # what an earlier run placed is replaced
        published = publish(
            {"t": text, "d": tree, "bam": File(bam.location, "d" * 64, 7, format="f:bam")}, out
        )
    assert (out / "cuts.txt").read_text() == "pt > 20 é\n"
    assert (out / "tree/cuts.txt").read_text() == "pt > 20 é\n"
    assert (out / "tree/in/x.txt").read_text() == "content"
    assert isinstance(published["bam"], File)
    assert published["bam"].format == "f:bam"
    listing = json.loads((out / "outputs.json").read_text())
    assert (listing["t"]["format"], listing["bam"]["format"]) == ("http://f", "f:bam")


def test_a_directory_may_travel_with_a_file(source: Path, tmp_path: Path) -> None:
    made(source, "index/part")
    index = Directory(str(source / "index"), "e" * 64)
    bam = File(made(source, "a.bam").location, "d" * 64, 7, secondary=(index,))
    published = publish({"bam": bam}, tmp_path / "out")
    assert (tmp_path / "out/index/part").read_text() == "content"
    found = published["bam"]
    assert isinstance(found, File)
    assert [location(item) for item in found.secondary] == [str(tmp_path / "out/index")]
