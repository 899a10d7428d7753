"""CWL documents: which files are such, what is wrong with a faulty one, and that reading one again
is quick, and never of what has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("cwltool", reason="needs hepflow[cwl]")
pytest.importorskip("quickjs", reason="needs hepflow[cwl]")

from hepflow import api
from hepflow.model.errors import RecipeError, UsageError
from hepflow.model.protocols import LoadOptions
from hepflow.model.workflow import REQUIRED, Workflow
from hepflow_cwl import CwlLanguage, cache
from hepflow_cwl.tools import CommandTool, RefusedTool

ECHO = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
inputs:
  word: {type: string, inputBinding: {}}
outputs: []
"""
STEPS = """\
cwlVersion: v1.2
class: Workflow
inputs: {a: string}
outputs: {}
steps:
  one:
    run: echo.cwl
    in: {word: a}
    out: []
"""


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps these tests from the user's cache, and that from them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache.folder()


def load(text: str, name: str = "doc.cwl", target: str = "", **settings: str) -> Workflow:
    Path(name).write_text(text)
    return CwlLanguage().load(Path(name), LoadOptions(target=target, settings=settings))


def problems(text: str, name: str = "doc.cwl", target: str = "", **settings: str) -> list[str]:
    """What is wrong with a document, each in one line."""
    with pytest.raises(RecipeError) as raised:
        load(text, name, target, **settings)
    found = [str(problem).split("\n", 1)[0] for problem in raised.value.problems]
    return [problem.replace(f"{os.getcwd()}/", "") for problem in found]


# --- which files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "claimed"),
    [
        ("tool.cwl", "anything", True),
        ("tool.yaml", ECHO, True),
        ("tool", "#!/usr/bin/env cwl-runner\nclass: CommandLineTool\n", True),
        ("tool.json", '{"class": "Workflow", "cwlVersion": "v1.0"}', True),
        ("packed.json", '{"$graph": [' + " " * 9000 + '], "cwlVersion": "v1.0"}', True),
        ("job.yaml", "cwl:tool: echo.cwl\nword: hello\n", True),
        ("recipe.yaml", "hepflow: v1\n", False),
        ("about.txt", "one writes cwlVersion: v1.2 there", False),
    ],
)
def test_a_file_is_cwl_by_its_name_or_by_what_stands_in_it(
    name: str, text: str, claimed: bool, project: Path
) -> None:
    Path(name).write_text(text)
    assert CwlLanguage().claims(Path(name)) is claimed


def test_a_file_that_cannot_be_read_is_not_cwl(project: Path) -> None:
    assert not CwlLanguage().claims(Path("missing"))


def test_to_ask_whether_a_file_is_cwl_loads_no_library(project: Path) -> None:
    Path("tool.yaml").write_text(ECHO)
    script = (
        "import sys; from pathlib import Path; from hepflow_cwl import CwlLanguage;"
        " assert CwlLanguage().claims(Path('tool.yaml'));"
        " print({'cwltool', 'schema_salad', 'quickjs', 'ruamel.yaml'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


# --- what is in them ------------------------------------------------------------------------------


def test_a_tool_is_a_workflow_of_one_step(project: Path) -> None:
    workflow = load(ECHO, "echo.cwl")
    assert workflow.name == "echo"
    assert [(port.name, str(port.type), port.default) for port in workflow.inputs] == [
        ("word", "string", REQUIRED)
    ]
    assert [step.name for step in workflow.steps] == ["echo"]


@pytest.mark.parametrize("version", ["v1.0", "v1.1", "v1.2", "v1.3.0-dev1"])
def test_every_version_is_read(version: str, project: Path) -> None:
    assert load(ECHO.replace("v1.2", version)).steps


def test_the_types_of_inputs_are_the_models(project: Path) -> None:
    declared = {
        "a": "int", "b": "long?", "c": "float", "d": "string[]", "e": "File?", "f": "Any",
        "g": ["int", "string"], "h": {"type": "enum", "symbols": ["x", "y"]},
        "i": {"type": "record", "fields": {"j": "int"}}, "k": "Directory", "l": "boolean[]?",
    }  # fmt: skip
    text = ECHO.replace("word: {type: string, inputBinding: {}}", "")
    document = text.replace("inputs:\n", f"inputs: {json.dumps({n: {'type': t} for n, t in declared.items()})}\n")  # fmt: skip
    assert {port.name: str(port.type) for port in load(document).inputs} == {
        "a": "int", "b": "int?", "c": "any", "d": "string[]", "e": "File?", "f": "any",
        "g": "any", "h": "one of x, y", "i": "record", "k": "Directory", "l": "boolean[]?",
    }  # fmt: skip


def test_a_graph_has_a_main_process_and_others_by_name(project: Path) -> None:
    graph = "cwlVersion: v1.2\n$graph:\n" + "".join(
        f"- {{class: CommandLineTool, id: {name}, baseCommand: echo, inputs: {{{name}_in: 'int?'}},"
        " outputs: []}\n"
        for name in ("main", "other")
    )
    assert load(graph).inputs[0].name == "main_in"
    assert load(graph, target="other").inputs[0].name == "other_in"
    assert api.load(Path("doc.cwl#other")).inputs[0].name == "other_in"
    without = graph.replace("main", "first")
    assert problems(without) == [
        "doc.cwl  HF241  the document has several processes and none called 'main': name one of #first, #other"
    ]


def test_files_are_found_beside_the_document_that_names_them(project: Path) -> None:
    Path("deep").mkdir()
    Path("deep/echo.cwl").write_text(ECHO)
    Path("deep/arguments.yml").write_text("[one, two]")
    load("arguments: {$import: arguments.yml}\n" + ECHO, "deep/imports.cwl")
    workflow = load(STEPS.replace("echo.cwl", "deep/imports.cwl"))
    assert [step.name for step in workflow.steps] == ["one"]
    assert workflow.steps[0].place.line == 7


def test_a_job_file_may_name_its_document(project: Path) -> None:
    Path("echo.cwl").write_text(ECHO)
    workflow = load("cwl:tool: echo.cwl\nword: hello\n", "job.yml")
    assert workflow.inputs[0].default == "hello"


def test_what_the_setting_requirements_says_goes_on_top(project: Path) -> None:
    lines = '[{"class": "WorkReuse", "enableReuse": false}]'
    assert load(ECHO).steps[0].cache
    assert not load(ECHO, requirements=lines).steps[0].cache
    found = problems(ECHO.replace("v1.2", "v1.0"), requirements=lines)
    assert found == [
        "doc.cwl  HF241  a job file gives 'cwl:requirements', but the document is CWL v1.0"
    ]


# --- what is wrong with them ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "doc.cwl  HF242  the document is empty"),
        ("- a\n", "doc.cwl  HF241  a CWL document is a mapping, with 'cwlVersion' and 'class' or '$graph'"),
        ("cwlVersion: v1.2\nclass: [\n", "doc.cwl:3:1  HF241  expected the node content, but found '<stream end>'"),
        (ECHO.replace("cwlVersion: v1.2\n", ""), "doc.cwl  HF241  'cwlVersion' is missing"),
        (ECHO.replace("v1.2", "v9"), "doc.cwl:1:1  HF241  there is no CWL version 'v9'"),
        (ECHO.replace("string", "strin"), "doc.cwl:5:10  HF241  field 'type' names 'strin', which is not there"),
        (ECHO.replace("outputs: []", ""), "doc.cwl:1:1  HF241  \"outputs\" section is not valid."),
        (ECHO + "requirements: {Magic: {}}\n", "doc.cwl:7:16  HF241  CWL has no class 'Magic'"),
        (STEPS.replace("a: string", "a: int"), "doc.cwl:3:10  HF241  Source 'a' of type \"int\" is incompatible with sink 'word' of type \"string\""),
        (STEPS.replace("word: a", "word: b"), "doc.cwl:8:10  HF241  field 'source' names 'b', which is not there"),
        (STEPS.replace("word: a", "other: a"), "doc.cwl:8:5  HF241  Step is missing required parameter 'word'"),
        (STEPS.replace("outputs: {}", "outputs: {o: {type: Any, outputSource: [a, a]}}"), "doc.cwl:4:26  HF243  several sources of 'o' without MultipleInputFeatureRequirement"),
        (STEPS.replace("word: a", "word: {valueFrom: b}"), "doc.cwl:8:10  HF243  'valueFrom' of 'word' without StepInputExpressionRequirement"),
        (STEPS.replace("echo.cwl", "doc.cwl").replace("inputs", "requirements: {SubworkflowFeatureRequirement: {}}\ninputs").replace("word", "a"), "doc.cwl  HF241  its processes run each other without end"),
        (ECHO.replace("CommandLineTool", "Operation").replace("baseCommand: echo\n", "").replace(", inputBinding: {}", ""), "doc.cwl:1:1  HF249  tool 'doc.cwl' cannot run here: it is an Operation, which says what a step is but not how to run it"),
    ],
)  # fmt: skip
def test_a_fault_is_told_at_its_place(text: str, told: str, project: Path) -> None:
    Path("echo.cwl").write_text(ECHO)
    assert problems(text) == [told]


def test_all_faults_of_one_kind_are_told_at_once(project: Path) -> None:
    document = "cwlVersion: v1.2\nclass: Workflow\ninputs:\noutputs:\nsteps:\n"
    assert [problem.split("  ")[0] for problem in problems(document)] == [
        "doc.cwl:3:1", "doc.cwl:4:1", "doc.cwl:5:1",
    ]  # fmt: skip


def test_a_fault_in_another_file_is_told_there(project: Path) -> None:
    Path("echo.cwl").write_text(ECHO.replace("string", "strin"))
    assert problems(STEPS) == [
        "echo.cwl:5:10  HF241  field 'type' names 'strin', which is not there"
    ]


def test_a_secret_is_refused_before_it_could_be_kept(project: Path) -> None:
    text = ECHO.replace("class:", "$namespaces: {cwltool: 'http://commonwl.org/cwltool#'}\nclass:")
    workflow = load(text + "hints: {'cwltool:Secrets': {secrets: [word]}}\n")
    assert workflow.prepare is not None
    with pytest.raises(RecipeError, match=r"HF249.*secrets.*word.*store"):
        workflow.prepare({"word": "x"})


def test_a_needed_image_is_a_matter_of_support_and_not_of_the_document(project: Path) -> None:
    text = ECHO + "requirements: {DockerRequirement: {dockerPull: debian}}\n"
    workflow = load(text, use_container="false")
    assert workflow.steps
    assert workflow.prepare is not None
    with pytest.raises(RecipeError, match="HF249"):
        workflow.prepare({"word": "x"})


def test_profiles_and_unknown_settings_are_refused(project: Path) -> None:
    Path("doc.cwl").write_text(ECHO)
    with pytest.raises(RecipeError, match="has no profiles"):
        CwlLanguage().load(Path("doc.cwl"), LoadOptions(profiles=("fast",)))
    with pytest.raises(UsageError, match="no setting 'fast'"):
        load(ECHO, fast="yes")


# --- reading them again ---------------------------------------------------------------------------


def modules_after(script: str) -> set[str]:
    """The large libraries that a new process has loaded at the end of a script."""
    head = "import sys; from pathlib import Path; from hepflow import api;"
    tail = (
        "; print(sorted({'cwltool', 'schema_salad', 'ruamel.yaml', 'rdflib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + script + tail], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.strip().replace("'", '"')))


def test_a_document_seen_before_is_read_without_the_library(project: Path) -> None:
    Path("echo.cwl").write_text(ECHO)
    load(STEPS)
    assert modules_after("w = api.load(Path('doc.cwl')); assert w.steps[0].name == 'one'") == set()


def test_a_run_that_only_repeats_does_without_the_library(project: Path) -> None:
    Path("echo.cwl").write_text(ECHO)
    again = (
        "w = api.load(Path('doc.cwl'));"
        " r = api.run(w, {'a': 'hi'}, project=api.Project(Path.cwd())); assert r.succeeded"
    )
    load(STEPS)
    modules_after(again)
    assert modules_after(again) == set()


@pytest.mark.parametrize("changed", ["doc.cwl", "echo.cwl"])
def test_a_change_in_any_of_its_files_is_seen(changed: str, project: Path) -> None:
    Path("echo.cwl").write_text(ECHO)
    load(STEPS)
    first = CwlLanguage().load(Path("doc.cwl"), LoadOptions())
    assert first.doc == ""
    Path(changed).write_text(Path(changed).read_text().replace("string", "int"))
    with pytest.raises(RecipeError, match="is incompatible"):
        CwlLanguage().load(Path("doc.cwl"), LoadOptions())


def test_settings_and_targets_have_entries_of_their_own(project: Path) -> None:
    text = ECHO + "requirements: {DockerRequirement: {dockerPull: debian}}\n"
    assert isinstance(load(text, use_container="true").steps[0].run, CommandTool)
    assert isinstance(load(text, use_container="false").steps[0].run, RefusedTool)


def test_a_damaged_entry_counts_as_none(project: Path, cache_home: Path) -> None:
    load(ECHO)
    for entry in cache_home.iterdir():
        entry.write_bytes(entry.read_bytes()[:-1])
    assert load(ECHO).steps


def test_nothing_is_read_from_a_folder_that_others_may_write(
    project: Path, cache_home: Path
) -> None:
    cache.write("entry", "mine")
    assert cache.read("entry") == "mine"
    cache_home.chmod(0o770)
    assert cache.read("entry") is None
    cache.write("other", "not kept")
    cache_home.chmod(0o700)
    assert cache.read("other") is None


def test_no_entry_is_read_through_a_link(project: Path, cache_home: Path) -> None:
    cache.write("entry", "mine")
    (cache_home / "link").symlink_to(cache_home / "entry")
    assert cache.read("link") is None


def test_the_folder_is_the_users_alone_from_the_beginning(cache_home: Path) -> None:
    cache.write("entry", 1)
    assert cache_home.stat().st_mode & 0o077 == 0


def test_where_nothing_can_be_kept_documents_are_read_all_the_same(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("taken").write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "taken"))
    assert load(ECHO).steps


def test_old_entries_make_room(cache_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_ENTRIES", 4)
    for number in range(5):
        cache.write(str(number), number)
        if number < 4:
            os.utime(cache_home / str(number), (number, number))
    assert cache.read("0") is None
    assert cache.read("4") == 4
