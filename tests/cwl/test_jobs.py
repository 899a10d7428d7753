"""The inputs of a CWL run: how job files are read, and what becomes of them before the first step."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cwltool", reason="needs hepflow[cwl]")
pytest.importorskip("quickjs", reason="needs hepflow[cwl]")

from hepflow import api
from hepflow.model.errors import RecipeError
from hepflow.model.values import Directory, File, Value
from hepflow.model.workflow import Workflow

EXPRESSION = """\
cwlVersion: {version}
class: ExpressionTool
$namespaces: {{ex: "http://example.com/"}}
requirements: {{InlineJavascriptRequirement: {{}}}}
inputs:
  x: {port}
outputs: {{o: Any?}}
expression: "${{return {{o: inputs.x}};}}"
"""


def workflow(port: str, version: str = "v1.2") -> Workflow:
    """A workflow whose one input is declared so."""
    Path("doc.cwl").write_text(EXPRESSION.format(port=port, version=version))
    return api.load(Path("doc.cwl"))


def read(port: str, job: str, name: str = "job.yml") -> Value:
    """The value of the input in a job file."""
    Path(name).write_text(job)
    return api.read_inputs(workflow(port), [Path(name)])["x"]


def prepared(port: str, value: Value, version: str = "v1.2") -> Value:
    """The value as the first step gets it."""
    prepare = workflow(port, version).prepare
    assert prepare is not None
    return prepare({"x": value})["x"]


def told(port: str, value: Value) -> str:
    with pytest.raises(RecipeError) as raised:
        prepared(port, value)
    assert [problem.code for problem in raised.value.problems] == ["HF244"]
    return raised.value.problems[0].what


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("{class: File, path: data.txt}", "data.txt"),
        ("{class: File, location: data.txt}", "data.txt"),
        ("{class: File, location: 'a%20%231.txt'}", "a #1.txt"),
        ("{class: File, path: 'a #1.txt'}", "a #1.txt"),
        ("{class: File, location: 'file://HERE/a%20%231.txt'}", "a #1.txt"),
    ],
)
def test_a_file_may_be_spelled_in_any_way(spelling: str, name: str, project: Path) -> None:
    (project / name).write_text("content")
    job = f"x: {spelling.replace('HERE', str(project))}\n"
    assert read("File", job) == File(str(project / name))


def test_places_are_relative_to_the_job_file(project: Path) -> None:
    (project / "deep").mkdir()
    (project / "deep" / "data.txt").write_text("content")
    found = read("File", "x: {class: File, path: data.txt}", "deep/job.yml")
    assert found == File(str(project / "deep" / "data.txt"))


def test_literals_and_secondary_files_are_read(project: Path) -> None:
    (project / "a.txt").write_text("a")
    (project / "a.idx").write_text("index")
    job = """
    x:
    - {class: File, basename: b.txt, contents: hello}
    - {class: Directory, basename: d, listing: [{class: File, path: a.txt}]}
    - {class: File, path: a.txt, secondaryFiles: [{class: File, path: a.idx}]}
    """
    a = File(str(project / "a.txt"))
    assert read("Any", job) == [
        File("", basename="b.txt", contents="hello"),
        Directory("", basename="d", listing=(a,)),
        File(a.location, secondary=(File(str(project / "a.idx")),)),
    ]


def test_job_files_are_yaml_of_its_second_version(project: Path) -> None:
    assert read("Any", "x: [yes, 1e-5, 2001-01-01, 0o17]") == ["yes", 1e-5, "2001-01-01", 15]


def test_an_input_that_is_not_there_is_told(project: Path) -> None:
    with pytest.raises(RecipeError, match="has no input 'y'"):
        read("int", "x: 1\ny: 2")


def test_requirements_in_a_job_file_are_not_passed_over(project: Path) -> None:
    with pytest.raises(RecipeError, match="cwl:requirements"):
        read("int", "x: 1\ncwl:requirements: [{class: WorkReuse, enableReuse: false}]")


# --- making ready ---------------------------------------------------------------------------------


def test_plain_values_stay_as_they_are(project: Path) -> None:
    (project / "a.txt").write_text("a")
    file = File(str(project / "a.txt"), "0" * 64, 1)
    for port, value in (("int[]", [1, 2]), ("File", file), ("string?", None)):
        assert prepared(port, value) is value


def test_whole_numbers_stay_whole_where_floats_are_asked_for(project: Path) -> None:
    assert repr(prepared("float", 3)) == "3"


def test_secondary_files_are_found(project: Path) -> None:
    for name in ("a.txt", "a.txt.idx", "a.crc"):
        (project / name).write_text(name)
    found = prepared("{type: File, secondaryFiles: [.idx, ^.crc, .more?]}", File(str(project / "a.txt"), "0" * 64))  # fmt: skip
    assert isinstance(found, File)
    assert found.digest == "0" * 64
    assert [item.name for item in found.secondary] == ["a.txt.idx", "a.crc"]


def test_a_missing_secondary_file_is_told(project: Path) -> None:
    (project / "a.txt").write_text("a")
    assert told("{type: File, secondaryFiles: [.idx]}", File(str(project / "a.txt"))) == (
        f"Missing required secondary file 'a.txt.idx' from file object: {project}/a.txt"
    )


@pytest.mark.parametrize(
    ("port", "value", "words"),
    [
        ("[int, string]", [1], "'x' field is not valid"),
        ("float", "three", "'x' field is not valid"),
        ("{type: record, fields: {a: int}}", {"a": "b"}, "'a' field is not valid"),
    ],
)
def test_a_value_of_the_wrong_type_is_told(
    port: str, value: Value, words: str, project: Path
) -> None:
    if port.startswith("{"):
        port = f"{{type: {port}}}"
    assert words in told(port, value) or words.split("'")[1] in told(port, value)


def test_formats_are_checked_and_their_prefixes_written_out(project: Path) -> None:
    (project / "a.txt").write_text("a")
    path = str(project / "a.txt")
    port = "{type: File, format: ex:fasta}"
    found = prepared(port, File(path, format="ex:fasta"))
    assert isinstance(found, File)
    assert found.format == "http://example.com/fasta"
    assert "incompatible format" in told(port, File(path, format="ex:other"))


def test_a_literal_stays_one(project: Path) -> None:
    literal = File("", basename="b.txt", contents="hello")
    assert prepared("File", literal) == literal


def test_a_wrong_format_in_an_array_is_told_and_no_crash(project: Path) -> None:
    (project / "a.txt").write_text("a")
    value: Value = [File(str(project / "a.txt"), format="ex:other")]
    assert "incompatible format" in told("{type: 'File[]', format: ex:fasta}", value)
