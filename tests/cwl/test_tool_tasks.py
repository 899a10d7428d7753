"""What a tool asks an executor for, and by what its result is known again."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cwltool", reason="needs hepflow[cwl]")
pytest.importorskip("quickjs", reason="needs hepflow[cwl]")

from hypothesis import given, settings
from hypothesis import strategies as st

from hepflow.model.errors import RecipeError
from hepflow.model.protocols import LoadOptions
from hepflow.model.task import INPUTS, Argv, Container, Outcome, Resources, Task
from hepflow.model.values import File, Values
from hepflow.model.workflow import PlanContext, Tool, Workflow
from hepflow_cwl import CwlLanguage
from tests.cwl.tool_cases import JS, Case, bound, expression, found, said, script, workdir

CONTEXT = PlanContext(lambda file: file.location)
DOCKER = {"class": "DockerRequirement", "dockerPull": "image:1"}
CWLTOOL = {"cwltool": "http://commonwl.org/cwltool#"}


def loaded(case: Case, folder: Path, **settings: str) -> Tool:
    """The tool of a case."""
    document = folder / "tool.cwl"
    document.write_text(json.dumps(case.tool))
    options = LoadOptions(settings={"use_container": "false", **settings})
    tool = CwlLanguage().load(document, options).steps[0].run
    assert not isinstance(tool, Workflow)
    return tool


def task_of(case: Case, folder: Path, **settings: str) -> Task:
    """The task for a case's inputs."""
    task = loaded(case, folder, **settings).plan(case.inputs, CONTEXT)
    assert isinstance(task, Task)
    return task


def words_of(task: Task) -> list[str]:
    assert isinstance(task.command, Argv)
    return list(task.command.words)


# --- the task -------------------------------------------------------------------------------------


def test_paths_are_words_that_only_the_executor_replaces(project: Path) -> None:
    case = said("", {"f": bound("File")}, arguments=["$(runtime.outdir)", "$(runtime.tmpdir)"])
    task = task_of(case._replace(inputs={"f": File("/data/x.txt", size=1)}), project)
    assert words_of(task)[2:] == ["/@hepflow/out", "/@hepflow/tmp", "/@hepflow/in/0/x.txt"]
    assert [(item.what.location, item.path) for item in task.stage] == [
        ("/data/x.txt", f"{INPUTS}/0/x.txt")
    ]
    assert task.confined


def test_a_file_keeps_the_digest_it_came_with(project: Path) -> None:
    file = File("/data/x.txt", "ab" * 32, 1)
    case = said("", {"f": bound("File")})._replace(inputs={"f": file})
    assert task_of(case, project).stage[0].what == file


def test_only_what_a_document_says_is_asked_for(project: Path) -> None:
    assert task_of(said("", {}), project).resources == Resources()
    asked = {"class": "ResourceRequirement", "coresMin": 2, "ramMin": 300, "outdirMin": 5}
    limit = {"class": "ToolTimeLimit", "timelimit": 60}
    task = task_of(said("", {}, req=[asked, limit]), project)
    assert task.resources == Resources(2.0, 300, 5, walltime_s=60.0)


def test_gpus_are_asked_for(project: Path) -> None:
    cuda = {"class": "cwltool:CUDARequirement", "cudaVersionMin": "11.4", "cudaDeviceCountMin": 2,
            "cudaComputeCapability": "3.0"}  # fmt: skip
    task = task_of(said("", {}, req=[cuda], **{"$namespaces": CWLTOOL}), project)
    assert task.resources.gpus == 2


def test_a_program_of_several_processes_is_started_by_its_launcher(project: Path) -> None:
    mpi = {"class": "cwltool:MPIRequirement", "processes": "$(inputs.n)"}
    case = said("", {"n": "int"}, {"n": 3}, req=[mpi], **{"$namespaces": CWLTOOL})
    assert words_of(task_of(case, project))[:3] == ["mpirun", "-n", "3"]
    config = project / "mpi.yml"
    config.write_text("{runner: srun, nproc_flag: -N, extra_flags: [--x], env_set: {A: b}}")
    task = task_of(case, project, mpi_config=str(config))
    assert words_of(task)[:4] == ["srun", "-N", "3", "--x"]
    assert task.env == {"A": "b"}


def test_the_users_variables_are_seen_where_he_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEN", "1")
    assert task_of(said("", {}), project).env == {}
    assert task_of(said("", {}), project, keep_environment="SEEN,ABSENT").env == {"SEEN": "1"}
    whole = task_of(said("", {}), project, keep_whole_environment="true").env
    assert whole["SEEN"] == "1"
    assert not {"HOME", "PATH", "TMPDIR"} & set(whole)


def test_what_is_changed_in_place_is_linked_and_what_is_changed_apart_is_copied(
    project: Path,
) -> None:
    entry = workdir({"entry": "$(inputs.f)", "writable": True})
    place = {"class": "InplaceUpdateRequirement", "inplaceUpdate": True}
    file = {"f": File("/data/x.txt", "ab" * 32, 1)}
    apart = said("", {"f": "File"}, req=[entry])._replace(inputs=file)
    in_place = said("", {"f": "File"}, req=[entry, place])._replace(inputs=file)
    assert [(item.path, item.writable) for item in task_of(apart, project).stage] == [
        ("x.txt", True)
    ]
    assert [(item.path, item.writable) for item in task_of(in_place, project).stage] == [
        ("x.txt", False)
    ]
    assert loaded(in_place, project).fingerprint(file) == ""


def test_an_output_keeps_the_digest_the_launcher_made(project: Path) -> None:
    beside = found("File", "a.txt", secondaryFiles=[".idx"])
    tool = loaded(script("", "true", {"o": beside, "p": found("File", "a.txt")}), project)
    task = tool.plan({}, CONTEXT)
    assert isinstance(task, Task)
    folder = project / "task"
    folder.mkdir()
    names = {"a.txt": "aa" * 32, "a.txt.idx": "bb" * 32}
    for name in names:
        (folder / name).write_text("x")
    left = {name: File(str(folder / name), digest, 1) for name, digest in names.items()}
    ports = {output.path: output.port for output in task.outputs}
    outcome = Outcome(outputs={ports[name]: file for name, file in left.items()})
    outputs = tool.collect(task, outcome, str(folder))
    main, index = left.values()
    assert outputs == {
        "p": main,
        "o": File(main.location, main.digest, 1, secondary=(index,)),
    }


def test_a_missing_output_is_told_with_what_there_is(project: Path) -> None:
    tool = loaded(script("", "true", {"o": found("File", "x.txt")}), project)
    task = tool.plan({}, CONTEXT)
    (project / "y.txt").write_text("")
    assert isinstance(task, Task)
    with pytest.raises(ValueError, match=r"output 'o': there is no 'x.txt'; it left .*y.txt"):
        tool.collect(task, Outcome(), str(project))


def test_an_expression_gives_values_of_the_declared_types(project: Path) -> None:
    tool = loaded(expression("", "${return {o: 'x'};}", {"o": "int"}), project)
    with pytest.raises(ValueError, match="tool 'tool.cwl'.*'o'|int"):
        tool.plan({}, CONTEXT)


# --- containers -----------------------------------------------------------------------------------


def test_a_required_image_is_refused_where_containers_are_off(project: Path) -> None:
    with pytest.raises(RecipeError, match=r"HF249.*image:1.*containers are off"):
        loaded(said("", {}, req=[DOCKER]), project)


def test_an_image_that_is_a_hint_counts_only_where_containers_are_on(project: Path) -> None:
    case = said("", {}, hints=[DOCKER])
    assert task_of(case, project).container is None
    assert task_of(case, project, use_container="true").container == Container(
        "image:1", "/var/spool/cwl", network=False
    )


def test_a_tool_without_an_image_gets_the_users(project: Path) -> None:
    task = task_of(said("", {}), project, use_container="true", default_container="mine:2")
    assert task.container is not None
    assert task.container.image == "mine:2"


def test_the_network_is_closed_unless_asked_for(project: Path) -> None:
    asks = {"class": "NetworkAccess", "networkAccess": "$(inputs.n)"}
    case = said("", {"n": "boolean"}, {"n": True}, req=[DOCKER, asks, JS])
    for wanted in (True, False):
        task = task_of(case._replace(inputs={"n": wanted}), project, use_container="true")
        assert task.container is not None
        assert task.container.network is wanted
    old = said("", {}, req=[DOCKER], cwlVersion="v1.0")
    assert task_of(old, project, use_container="true").container == Container(
        "image:1", "/var/spool/cwl", network=True
    )


def test_a_tool_says_where_its_folder_is_in_the_container(project: Path) -> None:
    placed = {**DOCKER, "dockerOutputDirectory": "/other"}
    task = task_of(said("", {}, req=[placed]), project, use_container="true")
    assert task.container is not None
    assert task.container.folder == "/other"


# --- the fingerprint ------------------------------------------------------------------------------


def test_a_fingerprint_names_the_inputs_and_does_not_depend_on_places(
    project: Path, tmp_path: Path
) -> None:
    case = said("", {"f": bound("File"), "n": bound("int")})
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    one = loaded(case, here).fingerprint({"f": File("/a/x", "ab" * 32), "n": 1, "raw.n": 7})
    other = loaded(case, there).fingerprint({"f": File("/b/x", "ab" * 32), "n": 1})
    assert one == other
    assert one.splitlines()[1:] == [f'inputs.f=file:{"ab" * 32}:"x"', "inputs.n=1"]


@pytest.mark.parametrize(
    "change",
    [
        {"baseCommand": ["printf", "%s"]},
        {"arguments": ["x"]},
        {"requirements": [JS]},
        {"hints": [{"class": "EnvVarRequirement", "envDef": {"A": "b"}}]},
        {"cwlVersion": "v1.1"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_fingerprint_changes_with_the_tool(change: dict[str, Any], project: Path) -> None:
    case = said("", {"n": bound("int")})
    changed = case._replace(tool={**case.tool, **change})
    before = loaded(case, project).fingerprint({"n": 1})
    assert before != loaded(changed, project).fingerprint({"n": 1})


def test_an_image_and_kept_variables_are_part_of_a_fingerprint(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEN", "1")
    case = said("", {})
    plain = loaded(case, project).fingerprint({})
    kept = loaded(case, project, keep_environment="SEEN").fingerprint({})
    boxed = loaded(case, project, use_container="true", default_container="mine:2").fingerprint({})
    assert len({plain, kept, boxed}) == 3
    assert "container=mine:2" in boxed


def test_reuse_may_depend_on_the_inputs(project: Path) -> None:
    reuse = {"class": "WorkReuse", "enableReuse": "$(inputs.again)"}
    tool = loaded(said("", {"again": "boolean"}, req=[reuse]), project)
    assert tool.fingerprint({"again": False}) == ""
    assert tool.fingerprint({"again": True}) != ""


def test_a_tool_comes_back_from_a_pickle_as_it_was(project: Path) -> None:
    tool = loaded(said("", {"n": bound("int")}), project)
    tool.plan({"n": 1}, CONTEXT)
    again: Tool = pickle.loads(pickle.dumps(tool))
    assert again.fingerprint({"n": 1}) == tool.fingerprint({"n": 1})
    assert again.plan({"n": 1}, CONTEXT) == tool.plan({"n": 1}, CONTEXT)


def test_a_fingerprint_does_not_load_the_library(project: Path) -> None:
    """What is reused throughout should not wait for it."""
    (project / "tool").write_bytes(pickle.dumps(loaded(said("", {"n": "int"}), project)))
    code = (
        "import pickle, sys; tool = pickle.load(open('tool', 'rb')); tool.fingerprint({'n': 1});"
        "sys.exit(bool({'cwltool', 'schema_salad', 'ruamel'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=project, check=False).returncode == 0


# --- the words, against the library's own ---------------------------------------------------------

NAMES = ("a", "b", "c", "d")
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**31), 2**31 - 1),
    "string": st.text("xyz -'\"$", max_size=4),
    "boolean": st.booleans(),
    "string?": st.none() | st.sampled_from(["s", ""]),
    "int[]": st.lists(st.integers(0, 9), max_size=3),
    "string[]": st.lists(st.sampled_from("pqr"), max_size=3),
    "File": st.sampled_from([{"class": "File", "location": f"file:///x/{n}"} for n in "12"]),
}
BINDINGS = st.fixed_dictionaries(
    {},
    optional={
        "position": st.integers(-2, 2),
        "prefix": st.sampled_from(["-p", "--q="]),
        "itemSeparator": st.sampled_from([",", " "]),
    },
)


@st.composite
def tools(draw: st.DrawFn) -> Case:
    """Tools of plain inputs in any order, with values for them."""
    inputs, values = {}, {}
    for name in NAMES[: draw(st.integers(0, 4))]:
        kind = draw(st.sampled_from(sorted(KINDS)))
        binding = draw(BINDINGS)
        if "prefix" in binding:
            binding["separate"] = draw(st.booleans())
        inputs[name] = {"type": kind, "inputBinding": binding}
        values[name] = draw(KINDS[kind])
    return said("", inputs, values, arguments=draw(st.lists(st.sampled_from("ij"), max_size=2)))


def words_of_the_library(process: Any, job: dict[str, Any]) -> list[str]:
    """What the library binds by itself, files by their names."""
    from cwltool.context import RuntimeContext
    from cwltool.flatten import flatten
    from cwltool.utils import visit_files

    context = RuntimeContext({"outdir": "/o", "tmpdir": "/t", "stagedir": "/s"})
    builder = process._init_job(job, context)
    for item in (builder.files, builder.bindings):
        visit_files(item, lambda file: file.update(path=file["basename"]))
    return [str(word) for word in flatten([builder.generate_arg(b) for b in builder.bindings])]


@settings(max_examples=40)
@given(case=tools())
def test_words_are_those_the_library_binds(
    case: Case, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from cwltool.context import LoadingContext
    from cwltool.load_tool import load_tool

    from hepflow_cwl.setup import Setup
    from hepflow_cwl.tools import tool_for
    from hepflow_cwl.values import from_cwl

    document = tmp_path_factory.mktemp("tool") / "tool.cwl"
    document.write_text(json.dumps(case.tool))
    process = load_tool(str(document), LoadingContext())
    values = from_cwl(case.inputs)
    assert isinstance(values, dict)
    task = tool_for(process, Setup(use_container=False)).plan(values, CONTEXT)
    assert isinstance(task, Task)
    words = [re.sub(rf"{INPUTS}/\d+/", "", word) for word in words_of(task)]
    assert words == words_of_the_library(process, case.inputs)


def test_each_of_many_files_has_a_place_of_its_own(project: Path) -> None:
    files: Values = {"f": [File(f"/x/{n}/same", size=1) for n in range(1000)]}
    task = loaded(said("", {"f": bound("File[]")}), project).plan(files, CONTEXT)
    assert isinstance(task, Task)
    assert words_of(task)[2:] == [item.path for item in task.stage]
    assert len({item.path for item in task.stage}) == 1000
