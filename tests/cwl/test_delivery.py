"""Where output files go, under which names, and whose they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hepflow.model.errors import StoreError
from hepflow.model.values import Directory, File, Value
from hepflow_cwl.runner.delivery import Delivery, deliver, output_object


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def made(folder: Path, name: str, text: str = "text") -> File:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return File(str(path), "d" * 64, len(text))


def delivered(value: Value, store: Path, how: Delivery = Delivery.LINK) -> Any:
    """One output as the output object has it."""
    outputs = deliver({"out": value}, str(store.parent / "out"), str(store), how)
    return output_object(outputs)["out"]


def test_a_file_of_the_store_is_linked_and_anybody_elses_copied(store: Path) -> None:
    ours, theirs = made(store, "a.txt"), made(store.parent, "b.txt")
    both = delivered([ours, theirs], store)
    assert os.path.samefile(both[0]["path"], ours.location)
    assert not os.path.samefile(both[1]["path"], theirs.location)


def test_secondary_files_stand_beside_their_file(store: Path) -> None:
    index = made(store, "index/a.bai")
    bam = File(made(store, "a.bam").location, secondary=(index,), format="http://edam/bam")
    found = delivered(bam, store)
    assert found["format"] == "http://edam/bam"
    assert found["secondaryFiles"][0]["path"] == str(store.parent / "out/a.bai")


def test_a_file_keeps_the_name_a_program_saw(store: Path) -> None:
    found = delivered(File(made(store, "7f3a").location, basename="events.root"), store)
    assert found["basename"] == "events.root"
    assert found["location"] == (store.parent / "out/events.root").as_uri()


def test_literals_are_written(store: Path) -> None:
    text = File("", basename="cuts.txt", contents="pt > 20 é\n")
    found = delivered(Directory("", basename="cards", listing=(text, made(store, "x"))), store)
    assert [item["basename"] for item in found["listing"]] == ["cuts.txt", "x"]
    assert (store.parent / "out/cards/cuts.txt").read_text() == "pt > 20 é\n"


def test_records_are_gone_through_and_plain_values_stay(store: Path) -> None:
    found = delivered({"file": made(store, "a.txt"), "n": [1, None, "x", 0.5]}, store)
    assert found["file"]["size"] == 4
    assert found["n"] == [1, None, "x", 0.5]


def test_directories_are_merged_and_no_link_leads_out_of_them(store: Path) -> None:
    made(store.parent, "out/tree/mine.txt")
    made(store, "tree/deep/a.txt", "a")
    (store / "tree/link").symlink_to(made(store, "elsewhere.txt", "far").location)
    found = delivered(Directory(str(store / "tree")), store)
    assert [item["basename"] for item in found["listing"]] == ["deep", "link", "mine.txt"]
    assert not (store.parent / "out/tree/link").is_symlink()
    assert (store.parent / "out/tree/link").read_text() == "far"


def test_an_output_that_lies_in_the_folder_already_stays(store: Path) -> None:
    inside = made(store.parent / "out", "a.txt")
    assert delivered(inside, store)["path"] == inside.location
    for _ in range(2):
        again = delivered(made(store, "b.txt"), store)
    assert again["path"] == str(store.parent / "out/b.txt")
    assert sorted(os.listdir(store.parent / "out")) == ["a.txt", "b.txt"]


def test_a_file_that_is_replaced_is_not_written_through(store: Path) -> None:
    first = made(store, "1/a.txt", "first")
    delivered(first, store)
    delivered(made(store, "2/a.txt", "second"), store, Delivery.COPY)
    assert (store.parent / "out/a.txt").read_text() == "second"
    assert Path(first.location).read_text() == "first"


def test_what_stands_elsewhere_is_told_as_it_is(store: Path) -> None:
    assert delivered(File("https://example.org/a.txt"), store) == {
        "class": "File", "location": "https://example.org/a.txt", "basename": "a.txt",
    }  # fmt: skip


def test_a_folder_in_the_way_is_told(store: Path) -> None:
    made(store.parent, "out/a.txt/inside")
    with pytest.raises(StoreError, match=r"HF508  the outputs cannot be written: Is a directory"):
        delivered(made(store, "a.txt"), store)


def test_nothing_is_moved_where_outputs_are_left(store: Path) -> None:
    found = delivered([made(store, "a.txt"), Directory(str(store))], store, Delivery.LEAVE)
    assert found[0]["path"] == str(store / "a.txt")
    assert found[1]["listing"][0]["basename"] == "a.txt"
    assert not (store.parent / "out").exists()
