"""Expressions of steps: what they read, what they see, and how a fault in one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cwltool", reason="needs hepflow[cwl]")
pytest.importorskip("quickjs", reason="needs hepflow[cwl]")

from hepflow.model.errors import Place
from hepflow.model.values import Directory, File, Value
from hepflow.model.workflow import Merge, Pick
from hepflow_cwl.expressions import Carry, Evaluation, needed
from hepflow_cwl.scripts import Listing, Reading, Script

PLACE = Place("doc.cwl", 3, 7)
X, Y = Reading("x", "raw.x"), Reading("y", "y")


def script(text: str, *library: str, js: bool = True) -> Script:
    return Script(text, "valueFrom of 'x' of step 's'", PLACE, library if js else None)


def value(text: str, *, truth: bool = False, **ports: Value) -> Value:
    """What a text gives, with ``x`` as ``inputs.x`` and as ``self``."""
    ports = {"raw.x": ports.pop("x", None), **ports}
    return Evaluation(script(text), (X, Y), X, truth).evaluate(ports)


def fault(text: str, *, truth: bool = False, **ports: Value) -> str:
    with pytest.raises(ValueError, match=r"doc\.cwl:3:7") as raised:
        value(text, truth=truth, **ports)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "library", "names"),
    [
        ("$(inputs.x)", "", {"x"}),
        ("$(inputs['x'] + inputs[\"y\"])", "", {"x", "y"}),
        ("$(self)", "", set()),
        ("$(JSON.stringify(inputs))", "", {"x", "y"}),
        ("$(inputs.other)", "", {"x", "y"}),
        ("$(f())", "function f() { return inputs.y; }", {"y"}),
        ("$(eval('inp' + 'uts.x'))", "", {"x", "y"}),
        ("no expression", "", set()),
    ],
)
def test_an_expression_reads_what_it_names_or_everything(
    text: str, library: str, names: set[str]
) -> None:
    assert {reading.name for reading in needed(script(text, library), (X, Y))} == names


def test_the_engine_is_told_the_ports_behind_them() -> None:
    assert set(Evaluation(script("$(self)"), (Y,), X).names) == {"raw.x", "y"}
    assert set(Evaluation(script("constant"), (X, Y), X).names) == set()


def test_text_and_expressions_mix() -> None:
    assert value("$(inputs.x)-${return self + 1;}", x=1) == "1-2"
    assert value("$([1, 2.50])") == [1, 2.5]
    assert value("as it is") == "as it is"


def test_files_are_seen_as_cwl_has_them_and_come_back_as_they_were() -> None:
    file = File("/data/a b.txt", "0" * 64, 3)
    seen = value("$(self.location + ' ' + self.basename + ' ' + self.nameext)", x=file)
    assert seen == "file:///data/a%20b.txt a b.txt .txt"
    assert value("$([self])", x=file) == [file]


def test_contents_and_listings_are_read_for_the_expression_alone(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("hello")
    file, folder = File(str(tmp_path / "deep" / "a.txt")), Directory(str(tmp_path))
    contents = Reading("x", "x", contents=True)
    listing = Reading("y", "y", listing=Listing.DEEP)
    text = "$(inputs.x[0].contents + inputs.y.listing[0].listing[0].basename)"
    found = Evaluation(script(text), (contents, listing)).evaluate({"x": [file], "y": folder})
    assert found == "helloa.txt"
    assert Evaluation(script("$(inputs.x)"), (contents,)).evaluate({"x": file}) == file


def test_contents_have_a_limit(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (64 * 1024 + 1))
    reading = Reading("x", "x", contents=True)
    with pytest.raises(ValueError, match="at most 64 KiB"):
        Evaluation(script("$(inputs.x)"), (reading,)).evaluate({"x": File(str(tmp_path / "large"))})


def test_a_fault_names_the_expression_the_place_and_the_reason() -> None:
    assert fault("$(inputs.x.nope)", x={"a": 1}) == (
        "valueFrom of 'x' of step 's' cannot be computed: it gives undefined, or a function; is a"
        " 'return' missing? (doc.cwl:3:7: $(inputs.x.nope))"
    )
    assert "TypeError" in fault("$(self.a.b.c)", x={"a": 1})
    assert "unfinished block" in fault("$(self")


def test_without_javascript_there_are_parameter_references_only() -> None:
    found = Evaluation(script("$(inputs.x.a[1])", js=False), (X,))
    assert found.evaluate({"raw.x": {"a": [1, 2]}}) == 2
    with pytest.raises(ValueError, match="InlineJavascriptRequirement"):
        Evaluation(script("$(inputs.x + 1)", js=False), (X,)).evaluate({"raw.x": 1})


def test_a_condition_is_true_or_false_and_nothing_else() -> None:
    assert value("$(self > 1)", truth=True, x=2) is True
    assert "must give true or false" in fault("$(self)", truth=True, x=1)
    assert "must give true or false" in fault("always", truth=True)


def test_a_loop_carries_merged_and_computed_outputs_on() -> None:
    values: dict[str, Value] = {"outputs": {"a": [1], "b": 2, "c": None}, "y": 10}
    assert Carry(("b",)).evaluate(values) == 2
    assert Carry(("c",), default=7).evaluate(values) == 7
    assert Carry(("a", "b"), Merge.NESTED).evaluate(values) == [[1], 2]
    assert Carry(("a", "b"), Merge.FLATTENED).evaluate(values) == [1, 2]
    assert Carry(("c", "b"), Merge.NESTED, Pick.FIRST_NON_NULL).evaluate(values) == 2
    assert Carry(("c", "b"), Merge.NESTED, Pick.ALL_NON_NULL).evaluate(values) == [2]
    with pytest.raises(ValueError, match="the_only_non_null: 2 of 2"):
        Carry(("a", "b"), Merge.NESTED, Pick.ONLY_NON_NULL).evaluate(values)
    then = Evaluation(script("$(self + inputs.y)"), (Y,), Reading("x", "carried value"))
    assert Carry(("b",), then=then).evaluate(values) == 12
    assert {"outputs", "y"} <= set(Carry(("b",), then=then).names)
