"""The light ways to JSON, signals and digests are the standard library's own in what they give."""

from __future__ import annotations

import hashlib
import json
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.capsule import light

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_json_is_written_and_read_as_by_json(value: object) -> None:
    written = json.dumps(value, separators=(",", ":"))
    assert light.encode(value) == written
    assert light.decode(written) == value


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="set is not JSON data"):
        light.encode({1})
    for text in ("", "{", "nonsense", '{"a": }'):
        with pytest.raises(ValueError, match=r".+"):
            light.decode(text)


def test_signals_and_digests_are_those_of_their_modules() -> None:
    assert light.signal.SIGTERM == signal.SIGTERM
    assert light.sha256(b"x").hexdigest() == hashlib.sha256(b"x").hexdigest()
