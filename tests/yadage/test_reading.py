"""Which files are yadage workflows, what their references lead to, and how their faults are told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hepflow import api
from hepflow_yadage import YadageLanguage
from hepflow_yadage.addresses import base_of, folder_of, joined

STEP = """\
process: {process_type: string-interpolated-cmd, cmd: 'echo {name}'}
environment: {environment_type: localproc-env}
publisher: {publisher_type: constant-pub, publish: {}}
"""

FLOW = """\
stages:
- name: hello
  dependencies: [init]
  scheduler:
    scheduler_type: singlestep-stage
    parameters: {name: {step: init, output: name}}
    step: {$ref: 'steps.yml#/say'}
"""


def write(folder: Path, **files: str) -> Path:
    """Files by the first part of their names; the path of the workflow."""
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text)
    return folder / "flow.yml"


def steps(name: str = "say") -> str:
    return f"{name}:\n" + "".join(f"  {line}\n" for line in STEP.splitlines())


def faults(path: Path, **settings: str) -> list[str]:
    """``line:column code what`` of every fault in a workflow."""
    with pytest.raises(api.RecipeError) as caught:
        api.load(path, api.LoadOptions(settings=settings))
    return [
        f"{problem.place.line}:{problem.place.column} {problem.code} {problem.what}"
        for problem in caught.value.problems
    ]


def flow(scheduler: str, more: str = "") -> str:
    """A workflow of one stage ``one``, and maybe more of them."""
    return f"stages:\n- name: one\n  dependencies: [init]\n  scheduler: {scheduler}\n{more}"


def inline(parameters: str = "{}", body: str = "", more: str = "") -> str:
    step = body or "step: {" + ", ".join(STEP.splitlines()) + "}"
    return f"{{scheduler_type: singlestep-stage, parameters: {parameters}, {step}{more}}}"


# --- claims -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "claimed"),
    [
        ("flow.yml", FLOW, True),
        ("flow.json", '{ "stages": []}', True),
        ("flow.yml", "# words\n" * 500 + FLOW, True),
        ("flow.txt", FLOW, False),
        ("recipe.yaml", "hepflow: v1\nsteps:\n  stages: {command: x}\n", False),
        ("tool.cwl", "cwlVersion: v1.2\n", False),
    ],
)
def test_a_file_with_stages_at_the_top_is_a_workflow(
    name: str, text: str, claimed: bool, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert YadageLanguage().claims(path) is claimed


def test_the_parameters_that_stages_read_are_inputs(tmp_path: Path) -> None:
    workflow = api.load(write(tmp_path, flow=FLOW, steps=steps()))
    assert [port.name for port in workflow.inputs] == ["name", "init"]
    assert list(workflow.outputs) == ["workdir", "hello"]


# --- references -------------------------------------------------------------------------------------------


def test_a_missing_file_is_told_where_it_is_asked_for(tmp_path: Path) -> None:
    assert faults(write(tmp_path, flow=FLOW)) == [
        "7:12 HF272 $ref leads to 'steps.yml', and there is no such file"
    ]


def test_the_likest_name_is_suggested(tmp_path: Path) -> None:
    path = write(tmp_path, flow=FLOW, steps=steps("say_it"), step=STEP)
    with pytest.raises(api.RecipeError) as caught:
        api.load(path)
    (problem,) = caught.value.problems
    assert (problem.what, problem.fix) == (
        "there is no 'say' for 'steps.yml#/say'", "did you mean 'say_it'?",
    )  # fmt: skip


@pytest.mark.parametrize("pointer", ["say", "/say", "/deep/say", "/other/say", "/deep~1er/0"])
def test_a_pointer_may_lack_its_slash_and_pass_through_other_references(
    tmp_path: Path, pointer: str
) -> None:
    step = "{" + ", ".join(STEP.splitlines()) + "}"
    documents = {
        "steps": f"say: {step}\ndeep: {{say: {step}}}\nother: {{$ref: 'more.yml'}}\ndeep/er: [{step}]\n",
        "more": f"say: {{$ref: '#again'}}\nagain: {step}\n",
    }
    path = write(tmp_path, flow=FLOW.replace("#/say", f"#{pointer}"), **documents)
    assert list(api.load(path).outputs) == ["workdir", "hello"]


def test_references_are_relative_to_the_file_they_stand_in(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner", flow=FLOW, steps=steps())
    outer = flow("{scheduler_type: singlestep-stage, parameters: {name: x}, workflow: {$ref: inner/flow.yml}}")  # fmt: skip
    path = write(tmp_path, flow=outer)
    assert list(api.load(path).outputs) == ["workdir", "one"]


def test_the_workflows_own_references_may_be_relative_to_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "workflow").mkdir()
    path = write(tmp_path / "workflow", flow=FLOW.replace("steps.yml", "workflow/steps.yml"), steps=steps())  # fmt: skip
    assert list(api.load(path).outputs) == ["workdir", "hello"]


def test_they_are_relative_to_the_toplevel_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    write(tmp_path / "top", steps=steps())
    path = write(tmp_path, flow=FLOW)
    loaded = api.load(path, api.LoadOptions(settings={"toplevel": str(tmp_path / "top")}))
    assert list(loaded.outputs) == ["workdir", "hello"]


def test_a_toplevel_on_the_web(tmp_path: Path, web: str) -> None:
    path = write(tmp_path, flow=FLOW)
    assert list(api.load(path, api.LoadOptions(settings={"toplevel": web})).outputs) == [
        "workdir", "hello",
    ]  # fmt: skip
    found = faults(write(tmp_path, flow=FLOW.replace("steps.yml", "none.yml")), toplevel=web)
    assert found == [f"7:12 HF271 '{web}none.yml' cannot be read: File not found"]


@pytest.mark.parametrize(
    ("toplevel", "expected"),
    [
        ("github:lab/flows", "https://raw.githubusercontent.com/lab/flows/main/sub/a.yml"),
        ("github:lab/flows@v1:deep/er", "https://raw.githubusercontent.com/lab/flows/v1/deep/er/sub/a.yml"),
        ("gitlab-cern:lab/flows", "https://gitlab.cern.ch/api/v4/projects/lab%2Fflows/repository/files/sub%2Fa.yml/raw?ref=master"),
        ("gitlab-cern:lab/flows@v1:deep", "https://gitlab.cern.ch/api/v4/projects/lab%2Fflows/repository/files/deep%2Fsub%2Fa.yml/raw?ref=v1"),
        ("https://example.org/x", "https://example.org/x/sub/a.yml"),
        ("/x", "/x/sub/a.yml"),
        ("file:///x/", "/x/sub/a.yml"),
    ],
)  # fmt: skip
def test_a_toplevel_may_be_a_folder_of_a_repository(toplevel: str, expected: str) -> None:
    place = joined(base_of(toplevel), "sub/a.yml")
    assert place == expected
    beside = joined(folder_of(place), "b.yml")
    assert beside == expected.replace("a.yml", "b.yml")
    assert joined(folder_of(beside), "../sub/a.yml") == expected
    assert joined(folder_of(place), "https://other.org/c.yml") == "https://other.org/c.yml"


@pytest.fixture
def web(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """The URL of a folder with ``steps.yml``."""
    folder = tmp_path_factory.mktemp("web")
    write(folder, steps=steps())
    words = ["python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:  # fmt: skip
        assert server.stdout is not None
        yield server.stdout.readline().rpartition("(")[2].partition(")")[0]
        server.terminate()


def test_a_reference_that_leads_back_to_itself(tmp_path: Path) -> None:
    path = write(tmp_path, flow=FLOW.replace("steps.yml#/say", "steps.yml"), steps="{$ref: flow.yml}\n")  # fmt: skip
    assert any("leads back to itself" in fault for fault in faults(path))


def test_text_that_is_no_yaml(tmp_path: Path) -> None:
    assert faults(write(tmp_path, flow="stages: [\n- a: b: c\n"))[0].startswith(
        "2:1 HF271 not valid YAML"
    )


def test_merged_keys_and_anchors(tmp_path: Path) -> None:
    text = FLOW.replace("{$ref: 'steps.yml#/say'}", "{<<: *base, process: null}")
    base = (
        "{process: null, environment: null, publisher: {publisher_type: constant-pub, publish: {}}}"
    )
    path = write(
        tmp_path, flow=text.replace("parameters: {", f"parameters: {{base: &base {base}, ")
    )
    assert list(api.load(path).outputs) == ["workdir", "hello"]


# --- faults -----------------------------------------------------------------------------------------------


NO_PARAMETERS = "{scheduler_type: singlestep-stage, parameters: {}, "
PUBLISHES = "publisher: {publisher_type: constant-pub, publish: {}}"


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("stages: {}\n", "stages", "HF273 'stages' is a list, here it is {}"),
        ("stages: [7]\n", "stages", "HF273 a stage is a mapping with 'name' and 'scheduler'"),
        ("stages:\n- name: x\n", "name", "HF273 a stage needs 'scheduler'"),
        ("stages: []\nsteps: []\n", "steps", "HF273 a yadage workflow has no 'steps'"),
        (flow("{scheduler_type: singelstep-stage}"), "scheduler_type", "HF273 there is no scheduler_type 'singelstep-stage'"),
        (flow("{scheduler_type: singlestep-stage}"), "{scheduler_type", "HF273 it has one of 'step', 'workflow' and 'cases'"),
        (flow(inline(more=", scater: {}")), "scater", "HF273 a 'singlestep-stage' has no 'scater'"),
        (flow(inline("{a: {step: init, expression_type: wrong}}")), "{step", "HF273 there is no expression_type 'wrong': it is stage-output-selector or fromvalue"),
        (flow(inline("{a: {stages: tow, output: b}}")), "name", "HF273 stage 'one' reads from 'tow', which is no stage here"),
        (flow(inline("{a: {stages: one, output: b}}")), "name", "HF273 stage 'one' waits for itself"),
        (flow(inline("{a: {stages: '*', output: b}}")), "{stages", "HF273 '*' does not begin with the name of a stage"),
        (flow(inline("{a: {stages: 'x[', output: b}}")), "{stages", "HF273 'x[' is not JSONPath: Parse error near the end of string!"),
        (flow(inline("{a: {expression_type: fromvalue, key: k}}")), "{expression", "HF273 no stage of this workflow registers a value 'k'"),
        (flow(NO_PARAMETERS + "cases: [{if: '.a |', step: {}}]}"), "if:", "HF273 'if' is not jq: syntax error, unexpected end of file at <top-level>, line 1, column 4:"),
        (flow(inline(more=", scatter: {}")), "scatter", "HF273 a 'singlestep-stage' has no 'scatter'"),
        (flow(inline("{a: [1], name: b}", more=", scatter: {method: zap, parameters: [a]}").replace("single", "multi")), "method", "HF273 there is no scatter method 'zap'"),
        (flow(inline("{a: [1], name: b}", more=", scatter: {method: zip, parameters: [A]}").replace("single", "multi")), "parameters: [A]", "HF273 there is no parameter 'A' to scatter"),
        (flow(NO_PARAMETERS + "step: {process: null, environment: {environment_type: manual-env}, " + PUBLISHES + "}}"), "environment_type", "HF279 there is no environment_type 'manual-env'"),
        (flow(NO_PARAMETERS + "step: {process: null, environment: null, publisher: {publisher_type: frompar-pub, outputs: {}}}}"), "outputs", "HF273 a 'frompar-pub' has no 'outputs'"),
        (flow(inline("{a: [1], name: b}", more=", batchsize: 0, scatter: {method: zip, parameters: [a]}").replace("single", "multi")), "batchsize", "HF273 'batchsize' is at least 1, here it is 0"),
        (flow(inline("{nam: x}")), "cmd:", "HF273 '{name}' stands for no parameter of stage 'one'"),
        (flow(inline("{name: x}").replace("{name}", "{name")), "cmd:", "HF273 its braces do not match: expected '}' before end of string"),
        ("stages:\n- {name: 'a b', scheduler: {}}\n", "name", "HF273 'a b' cannot be the name of a stage"),
    ],
)  # fmt: skip
def test_a_fault_is_told_at_its_place(text: str, at: str, expected: str, tmp_path: Path) -> None:
    before = text[: text.index(at)]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    assert f"{line}:{column} {expected}" in faults(write(tmp_path, flow=text))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    bad = flow("{scheduler_type: none}", "- name: two\n  scheduler: {scheduler_type: neither}\n")
    assert len(faults(write(tmp_path, flow=bad))) == 2


def test_a_parameter_without_a_value_is_asked_for_at_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, flow=FLOW, steps=steps())
    with pytest.raises(api.RecipeError, match=r"flow.yml:6:37  HF225  the parameter 'name'"):
        api.validate(path, values={"init": "{}"})


def test_settings_and_profiles_that_there_are_not(tmp_path: Path) -> None:
    path = write(tmp_path, flow=FLOW, steps=steps())
    with pytest.raises(api.UsageError, match="did you mean 'toplevel'"):
        api.load(path, api.LoadOptions(settings={"toplevl": "x"}))
    with pytest.raises(api.RecipeError, match="has no profiles"):
        api.load(path, api.LoadOptions(profiles=("big",)))
