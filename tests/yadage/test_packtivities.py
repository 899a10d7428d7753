"""One packtivity: its command, its environment, what it publishes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hepflow import api
from hepflow.model.task import FOLDER, INPUTS, Argv, Container, Output, Resources, Staged
from hepflow.model.values import File, Values
from hepflow_yadage.documents import parse
from hepflow_yadage.packtivities import INSIDE, fingerprint, task_of
from hepflow_yadage.publishing import published
from hepflow_yadage.reading import read_workflow
from hepflow_yadage.specs import Packtivity
from tests.wire.test_containers import IMAGE, podman  # noqa: F401 - a fixture
from tests.yadage.conftest import Run, initial, shell, stage, zipped

Left = Callable[[], dict[str, str]]

IMAGED = "{environment_type: docker-encapsulated, image: lab/tool, imagetag: '1.2'}"
HERE = "{environment_type: localproc-env}"
PARAMETERS: Values = {"out": "{workdir}/x", "n": 3, "files": [File("/data/a", "1" * 64), "b"]}


def packtivity(
    process: str = "{process_type: string-interpolated-cmd, cmd: 'tool {n} {files} > {out}'}",
    environment: str = HERE,
    publisher: str = "{publisher_type: frompar-pub, outputmap: {made: out}}",
) -> Packtivity:
    text = (
        "stages: [{name: one, scheduler: {scheduler_type: singlestep-stage,"
        " parameters: {out: 1, n: 1, files: 1}, step:"
        f" {{process: {process}, environment: {environment}, publisher: {publisher}}}}}}}]"
    )
    body = read_workflow(parse(text, "flow.yml"), "flow.yml").stages[0].scheduler.body
    assert isinstance(body, Packtivity)
    return body


# --- commands ---------------------------------------------------------------------------------------------


def test_a_command_is_a_text_with_parameters_filled_in_for_sh() -> None:
    task = task_of(packtivity(), PARAMETERS)
    assert task.command == Argv(("sh", "-c", f"tool 3 /data/a b > {FOLDER}/x"))
    assert task.folders
    assert not task.stage
    assert task.outputs == (
        Output("workdir", ".", directory=True), Output("file0", "x", optional=True, either=True),
    )  # fmt: skip


def test_a_script_is_standard_input_of_its_interpreter() -> None:
    process = (
        "{process_type: interpolated-script-cmd, interpreter: 'python3 -u', script: 'print({n})'}"
    )
    task = task_of(packtivity(process), PARAMETERS)
    assert task.command == Argv(("sh", "-c", "python3 -u"))
    assert task.stdin == f"{INPUTS}/script"
    assert task.texts == ((f"{INPUTS}/script", "print(3)"),)


def test_a_command_too_long_for_an_argument_is_a_file() -> None:
    task = task_of(packtivity(), {**PARAMETERS, "files": ["f" * 50] * 5000})
    assert task.command == Argv(("sh", f"{INPUTS}/command"))
    assert len(task.texts[0][1]) > 250_000


def test_an_image_has_the_folder_and_the_inputs_inside() -> None:
    task = task_of(packtivity(environment=IMAGED), PARAMETERS)
    assert task.container == Container("lab/tool:1.2", INSIDE)
    assert task.stage == (Staged(File("/data/a", "1" * 64), "/data/a"),)


def test_an_image_has_the_folders_that_its_inputs_come_from_as_a_whole() -> None:
    parameters = {**PARAMETERS, "files": [File("/runs/map/a"), File("/runs/b")]}
    task = task_of(packtivity(environment=IMAGED), parameters, ["/runs/map"])
    assert [(staged.what.location, staged.path) for staged in task.stage] == [
        ("/runs/map", "/runs/map"), ("/runs/b", "/runs/b"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("image: a", "a:latest"),
        ("image: a, imagetag: 2", "a:2"),
        ("image: 'host:5000/a'", "host:5000/a:latest"),
        ("image: 'a:3'", "a:3"),
        ("image: 'a@sha256:12'", "a@sha256:12"),
    ],
)
def test_an_image_is_a_name_and_a_tag(image: str, expected: str) -> None:
    task = task_of(packtivity(environment=f"{{environment_type: docker-encapsulated, {image}}}"), PARAMETERS)  # fmt: skip
    assert task.container == Container(expected, INSIDE)


def test_an_environment_is_set_up_before_the_command() -> None:
    more = "envscript: /setup.sh, workdir: '{workdir}/here', env: {A: 1}, par_mounts: [{mountpath: /par/n, jqscript: '.n, .out'}]"  # fmt: skip
    task = task_of(packtivity(environment=f"{IMAGED[:-1]}, {more}}}"), PARAMETERS)
    assert isinstance(task.command, Argv)
    assert task.command.words[2].startswith(f"cd {FOLDER}/here && . /setup.sh && tool 3")
    assert task.env == {"A": "1"}
    assert task.texts == (("/par/n", f'3\n"{FOLDER}/x"'),)


def test_hints_about_kubernetes_are_resources() -> None:
    hints = "resources: [CVMFS, {kubernetes_memory_limit: 1.5Gi}, {kubernetes_cpu_request: 500m}, {kubernetes_job_timeout: 60}]"  # fmt: skip
    task = task_of(packtivity(environment=f"{IMAGED[:-1]}, {hints}}}"), PARAMETERS)
    assert task.resources == Resources(cpus=0.5, memory_mib=1536, walltime_s=60)


def test_braces_of_no_folder_are_told() -> None:
    with pytest.raises(ValueError, match="names what is no folder"):
        task_of(packtivity(), {**PARAMETERS, "out": "{outdir}/x"})


def test_the_same_work_has_the_same_fingerprint_wherever_its_files_are() -> None:
    moved: Values = {**PARAMETERS, "files": [File("/elsewhere/a", "1" * 64), "b"]}
    other = {**PARAMETERS, "n": 4}
    assert fingerprint(packtivity(), PARAMETERS) == fingerprint(packtivity(), moved)
    assert fingerprint(packtivity(), PARAMETERS) != fingerprint(packtivity(), other)
    contained = fingerprint(packtivity(environment=IMAGED), PARAMETERS)
    assert "container=lab/tool:1.2\n" in contained


# --- publishers -------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> str:
    """A folder that a task has left."""
    for name in ("b.txt", "a.txt", "[1].dat", "deep/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "found.yml").write_text("files: [a.txt, 7]\nnone: null\n")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("publisher", "expected"),
    [
        ("frompar-pub, outputmap: {one: out, all: {n: n, l: [n, out]}}", {"one": "@/b.txt", "all": {"n": 3, "l": [3, "@/b.txt"]}}),
        ("constant-pub, publish: {a: [1, '{n}']}", {"a": [1, "{n}"]}),
        ("interpolated-pub, publish: {a: '{out}', b: '{workdir}/{n}', c: 4}", {"a": "@/b.txt", "b": "@/3", "c": 4}),
        ("interpolated-pub, relative_paths: true, publish: {a: 'x{n}'}", {"a": "@/x3"}),
        ("interpolated-pub, relative_paths: true, glob: true, publish: {a: '*.txt', b: 'no*'}", {"a": ["@/a.txt", "@/b.txt"], "b": "no*"}),
        ("fromglob-pub, globexpression: '**/*.txt', outputkey: k", {"k": ["@/a.txt", "@/b.txt", "@/deep/c.txt"]}),
        ("fromyaml-pub, yamlfile: found.yml", {"files": ["a.txt", 7], "none": None}),
        ("fromparjq-pub, script: '{a: .n, b: [.out, \"*.dat\"]}', relative_paths: true, glob: true", {"a": 3, "b": ["@/b.txt", ["@/[1].dat"]]}),
    ],
)  # fmt: skip
def test_a_publisher(publisher: str, expected: Any, made: str) -> None:
    spec = packtivity(publisher=f"{{publisher_type: {publisher}}}")
    found = published(spec.publisher, {"out": f"{made}/b.txt", "n": 3}, made)
    assert found == replaced(expected, made)


def replaced(value: Any, folder: str) -> Any:
    if isinstance(value, dict):
        return {key: replaced(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, folder) for item in value]
    return value.replace("@", folder) if isinstance(value, str) else value


def test_what_was_to_be_published_and_is_not_there_is_told(made: str) -> None:
    absent = packtivity(publisher="{publisher_type: fromyaml-pub, yamlfile: none.yml}")
    with pytest.raises(ValueError, match=r"cannot read '.*/none.yml': No such file"):
        published(absent.publisher, {}, made)
    unnamed = packtivity(publisher="{publisher_type: frompar-pub, outputmap: {a: none}}")
    with pytest.raises(ValueError, match="no parameter 'none'; there is n"):
        published(unnamed.publisher, {"n": 1}, made)


# --- in earnest -------------------------------------------------------------------------------------------


def merged(environment: dict[str, Any]) -> list[dict[str, Any]]:
    """A map and a merge of it, in an environment."""
    step = {**shell("cd / && echo {word} > '{out}'"), "environment": environment}
    script = "set -e\ncat {files} > {out}\npwd > {where}\n"
    merge = {
        "process": {"process_type": "interpolated-script-cmd", "interpreter": "sh", "script": script},
        "environment": environment,
        "publisher": {"publisher_type": "frompar-pub", "outputmap": {"all": "out"}},
    }  # fmt: skip
    files = {"stages": "map", "output": "out"}
    return [
        stage("map", {"word": initial("words"), "out": "{workdir}/word.txt"}, "init", step=step, scatter=zipped("word")),
        stage("merge", {"files": files, "out": "{workdir}/all.txt", "where": "{workdir}/where.txt"}, "map", step=merge),
    ]  # fmt: skip


def test_commands_and_scripts_know_their_folder(run: Run, left: Left) -> None:
    assert run(merged({"environment_type": "localproc-env"}), {"words": ["x", "y"]}).succeeded
    found = left()
    assert found["merge/all.txt"] == "x\ny\n"
    assert found["merge/where.txt"].endswith("/merge\n")


def test_an_image_is_left_out_where_a_run_wants_none(run: Run, left: Left) -> None:
    image = {"environment_type": "docker-encapsulated", "image": "nobody.example/none"}
    stages = merged(image)
    assert run(stages, {"words": ["x"]}, options=api.RunOptions(containers=False)).succeeded
    assert left()["merge/all.txt"] == "x\n"


@pytest.mark.usefixtures("podman")
def test_packtivities_run_in_their_image(run: Run, left: Left) -> None:
    name, _, tag = IMAGE.rpartition(":")
    image = {"environment_type": "docker-encapsulated", "image": name, "imagetag": tag}
    assert run(merged(image), {"words": ["x", "y"]}).succeeded
    found = left()
    assert (found["merge/all.txt"], found["merge/where.txt"]) == ("x\ny\n", f"{INSIDE}\n")


@pytest.mark.usefixtures("podman")
def test_an_image_sees_what_stands_beside_its_inputs(run: Run, left: Left) -> None:
    name, _, tag = IMAGE.rpartition(":")
    image = {"environment_type": "docker-encapsulated", "image": name, "imagetag": tag}
    index = {**shell("echo data > {out}; echo index > {out}.idx"), "environment": image}
    use = {**shell("cat {file} {file}.idx > {out}"), "environment": image}
    stages = [
        stage("make", {"out": "{workdir}/data"}, step=index),
        stage("use", {"file": {"step": "make", "output": "out"}, "out": "{workdir}/x"}, "make", step=use),
    ]  # fmt: skip
    assert run(stages).succeeded
    assert left()["use/x"] == "data\nindex\n"


def test_nothing_runs_in_no_environment(run: Run, left: Left) -> None:
    publish = {"publisher_type": "constant-pub", "publish": {"said": "nothing"}}
    said = {**shell("exit 1", **publish), "environment": {"environment_type": "noop-env"}}
    result = run([stage("quiet", {}, step=said)])
    assert result.succeeded
    assert result.outputs["quiet"] == {"said": "nothing"}
    assert left() == {}
