"""What the store keeps is what was given, wherever the project lies."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from hepflow.model.values import Directory, File, Value
from hepflow.store.codec import Expected, decode, encode, revive

ROOT = "/home/somebody/project/.hepflow/"

names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8
)
files = st.builds(
    File,
    st.builds(lambda name: f"{ROOT}work/1/make/{name}", names)
    | st.builds(lambda name: f"/data/{name}", names),
    st.just("d" * 64),
    st.integers(0, 2**40),
    st.sampled_from(["", "other.txt"]),
    st.just(()) | st.just((File("/data/index", "d" * 64, 1), Directory("/data/dir", "e" * 64, 1))),
    st.sampled_from(["", "http://edamontology.org/format_1929"]),
)
literals = st.builds(
    File, st.just(""), st.just(""), st.just(-1), names, st.just(()), st.just(""), st.text()
)
directories = st.builds(
    Directory,
    st.builds(lambda name: f"{ROOT}work/1/{name}", names),
    st.just("e" * 64),
    st.integers(0, 9),
)
listings = st.builds(
    Directory, st.just(""), st.just(""), st.just(-1), names, st.tuples(files, literals, directories)
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | files
    | directories
    | literals
    | listings,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(names, values, max_size=3))
def test_outputs_survive_the_store(outputs: dict[str, Value]) -> None:
    assert decode(encode(outputs, {}, ROOT), ROOT) == outputs


@given(files)
def test_a_file_is_told_with_what_it_must_still_be(file: File) -> None:
    stamp = (file.size, 1234567890123456789, 42)
    expected: list[Expected] = []
    revive(json.loads(encode({"x": [file]}, {file.location: stamp}, ROOT)), ROOT, expected)
    assert expected == [Expected(file.location, stamp, file.digest)]


def test_a_project_may_be_moved() -> None:
    text = encode(
        {"x": File(f"{ROOT}work/1/a", "d" * 64, 1), "y": File("/data/b", "d" * 64, 1)}, {}, ROOT
    )
    assert "somebody" not in text
    moved = decode(text, "/elsewhere/.hepflow/")
    assert moved["x"] == File("/elsewhere/.hepflow/work/1/a", "d" * 64, 1)
    assert moved["y"] == File("/data/b", "d" * 64, 1)


def test_rows_of_before_there_were_formats_and_literals_are_read() -> None:
    old = '{"x":{"\\u0000":{"f":"w/a","d":"d","s":1,"x":[{"\\u0000":{"f":"/i","d":"e","s":2,"b":"j"}}]}}}'
    assert decode(old, "/p/") == {"x": File("/p/w/a", "d", 1, secondary=(File("/i", "e", 2, "j"),))}


def test_a_literal_directory_has_no_files_to_be_checked() -> None:
    literal = Directory("", basename="d", listing=(File("/a", "d" * 64, 1),))
    stamps = {"/a": (1, 2, 3), "/other": (4, 5, 6)}
    expected: list[Expected] = []
    revive(json.loads(encode({"x": literal}, stamps, ROOT)), ROOT, expected)
    assert expected == [Expected("/a", (1, 2, 3), "d" * 64)]


def test_every_file_of_a_directory_is_checked() -> None:
    folder = Directory(f"{ROOT}work/1/d", "e" * 64, 2)
    stamps = {
        f"{folder.location}/a": (1, 2, 3),
        f"{folder.location}/b/c": (4, 5, 6),
        "/not/inside": (7, 8, 9),
    }
    expected: list[Expected] = []
    revive(json.loads(encode({"x": folder}, stamps, ROOT)), ROOT, expected)
    assert [item.path for item in expected] == [f"{folder.location}/a", f"{folder.location}/b/c"]


def test_data_that_looks_like_our_own_marks_is_kept_as_it_is() -> None:
    outputs: dict[str, Value] = {"x": {"\0": {"f": "a", "d": "b", "s": 1}, "\0\0": 2, "": 3}}
    assert decode(encode(outputs, {}, ROOT), ROOT) == outputs
