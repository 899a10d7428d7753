"""Analyses whose workflow is written in another language: values in, promised files out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hepflow import api
from hepflow.model.protocols import LoadOptions
from hepflow.model.task import Outcome, Task
from hepflow.model.values import Directory, File, Values
from hepflow.model.workflow import Binding, PlanContext, Planning, Port, Ref, Step, Workflow
from hepflow_reana import ReanaLanguage
from tests.reana.conftest import Run

TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
requirements: {DockerRequirement: {dockerPull: "docker.io/library/python:3.12-slim"}}
baseCommand: python3
inputs:
  script: {type: File, inputBinding: {position: 0}}
  names: {type: File, inputBinding: {position: 1}}
  greetings: {type: string, default: results/greetings.txt, inputBinding: {position: 2}}
outputs:
  result: {type: File, outputBinding: {glob: $(inputs.greetings)}}
"""

JOB = """\
script: {class: File, location: code/greet.py}
names: {class: File, path: data/names.txt}
"""

REANA = """\
inputs:
  files: [code/greet.py, data/names.txt]
  parameters: {input: workflow/job.yml}
workflow: {type: cwl, file: workflow/greet.cwl}
outputs: {files: [outputs/greetings.txt]}
"""


@pytest.fixture
def cwl(analysis: Path) -> Path:
    pytest.importorskip("cwltool")
    (analysis / "workflow").mkdir()
    (analysis / "workflow/greet.cwl").write_text(TOOL)
    (analysis / "workflow/job.yml").write_text(JOB)
    path = analysis / "reana-cwl.yaml"
    path.write_text(REANA)
    return path


def test_a_cwl_workflow_takes_its_job_file_and_gives_the_promised_file(cwl: Path, run: Run) -> None:
    assert run(cwl.name).succeeded
    text = (cwl.parent / "published/greetings.txt").read_text()
    assert text == "Good day Ada.\nGood day Emmy.\n"
    assert [step.reused for step in run(cwl.name).status.steps] == [1]


def test_its_inputs_can_be_given_as_those_of_any_workflow(cwl: Path, run: Run) -> None:
    (cwl.parent / "mine.txt").write_text("Lise\n")
    assert run(cwl.name, names="mine.txt").succeeded
    assert (cwl.parent / "published/greetings.txt").read_text() == "Good day Lise.\n"


def test_a_promised_file_that_does_not_come_out_is_told_with_those_that_do(
    cwl: Path, run: Run
) -> None:
    cwl.write_text(REANA.replace("outputs/greetings", "outputs/plot"))
    result = run(cwl.name)
    assert not result.succeeded
    what = "the promised 'outputs/plot.txt' is not among the outputs of the workflow: greetings.txt"
    assert what in result.run.message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("workflow/greet.cwl", "workflow/gone.cwl", "4:23.*there is no file workflow/gone.cwl"),
        ("workflow/job.yml", "workflow/gone.yml", "3:16.*cannot be read"),
        ("file: workflow/greet.cwl", "specification: {}", "4:23.*is named by 'file'"),
    ],
)
def test_what_does_not_fit_is_told_where_it_stands(
    cwl: Path, old: str, new: str, said: str
) -> None:
    cwl.write_text(REANA.replace(old, new))
    with pytest.raises(api.RecipeError, match=said):
        api.load(cwl)


def test_a_parameter_that_the_workflow_does_not_have_is_told_and_left_out(
    cwl: Path, run: Run
) -> None:
    cwl.write_text(REANA.replace("parameters: {input", "parameters: {nams: 3, input"))
    assert api.load(cwl).doc == "parameters that the workflow does not have: nams"
    assert run(cwl.name).succeeded


# --- yadage ---------------------------------------------------------------------------------------

STAGES = """\
stages:
  - name: greet
    dependencies: [init]
    scheduler:
      scheduler_type: singlestep-stage
      parameters:
        script: {step: init, output: script}
        names: {step: init, output: names}
        greetings: "{workdir}/greetings.txt"
      step:
        process: {process_type: string-interpolated-cmd, cmd: 'python3 "{script}" "{names}" "{greetings}"'}
        publisher: {publisher_type: frompar-pub, outputmap: {greetings: greetings}}
        environment: {environment_type: docker-encapsulated, image: python, imagetag: 3.12-slim}
"""

REANA_YADAGE = """\
inputs:
  files: [code/greet.py, data/names.txt]
  directories: [workflow]
  parameters: {script: code/greet.py, names: data/names.txt}
workflow: {type: yadage, file: workflow/stages.yaml}
outputs: {files: [greet/greetings.txt]}
"""


def test_a_yadage_workflow_finds_its_files_in_the_workspace_and_its_promise_in_a_stages_folder(
    analysis: Path, run: Run
) -> None:
    pytest.importorskip("jq")
    pytest.importorskip("jsonpath_ng")
    (analysis / "workflow").mkdir()
    (analysis / "workflow/stages.yaml").write_text(STAGES)
    # One parameter more than its stages read, as the published demos have.
    text = REANA_YADAGE.replace("parameters: {", "parameters: {size: 3, ")
    (analysis / "reana-yadage.yaml").write_text(text)
    assert run("reana-yadage.yaml").succeeded
    text = (analysis / "published/greetings.txt").read_text()
    assert text == "Good day Ada.\nGood day Emmy.\n"


# --- the other way round --------------------------------------------------------------------------

RECIPE = """\
hepflow: v1
name: shout
inputs: {people: {default: [Lise, Marie]}}
steps:
  list:
    scatter: {person: inputs.people}
    command: "echo {{ person }} > {{ outputs.names }}"
    outputs: {names: names.txt}
  greet:
    scatter: {data_names_txt: list.names}
    uses: reana.yaml
  shout:
    inputs: {texts: greet.results_greetings_txt}
    command: "cat {{ inputs.texts }} | grep day | tr a-z A-Z > {{ outputs.loud }}"
    outputs: {loud: loud.txt}
outputs: {loud: shout.loud}
"""


def test_an_analysis_is_a_step_of_a_recipe_scattered_over_its_files(
    analysis: Path, run: Run
) -> None:
    (analysis / "shout.yaml").write_text(RECIPE)
    assert run("shout.yaml").succeeded
    assert (analysis / "published/loud.txt").read_text() == "GOOD DAY LISE.\nGOOD DAY MARIE.\n"


# --- Snakemake ------------------------------------------------------------------------------------


class Copy:
    """Stands for a Snakefile: tells its configuration, and gives back its working directory."""

    def fingerprint(self, inputs: Values) -> str:
        return ""

    def plan(self, inputs: Values, context: PlanContext) -> Planning:
        files = inputs["files"]
        assert isinstance(files, dict)
        listing = tuple(replace(item, basename=path) for path, item in files.items())
        return {
            "folder": Directory("", basename="made", listing=listing),
            "config": inputs["config"],
        }

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        raise AssertionError("there is no task")


def test_a_snakefile_gets_parameters_as_configuration_and_the_files_in_its_folder(
    analysis: Path,
) -> None:
    (analysis / "Snakefile").touch()
    (analysis / "config.yaml").write_text("size: 3\nnames: data/names.txt\n")
    (analysis / "names.txt").write_text("Ada\n")
    (analysis / "reana-snakemake.yaml").write_text(
        "inputs: {files: [names.txt], parameters: {input: config.yaml, size: 4}}\n"
        "workflow: {type: snakemake, file: Snakefile}\n"
        "outputs: {files: [names.txt]}\n"
    )
    ports = (Port("folder"), Port("config"))
    feeds = {name: Binding((Ref("", name),)) for name in ("config", "files")}
    inner = Workflow(
        "Snakefile",
        (Port("config"), Port("files")),
        (Step("snakemake", Copy(), feeds, ports),),
        {port.name: Binding((Ref("snakemake", port.name),)) for port in ports},
    )
    language = ReanaLanguage(lambda path, options: inner)
    workflow = language.load(analysis / "reana-snakemake.yaml", LoadOptions())
    defaults = {port.name: port.default for port in workflow.inputs}
    assert defaults == {
        "size": 4, "names": "data/names.txt", "names_txt": File(str(analysis / "names.txt")),
    }  # fmt: skip
    every = {port.name: Binding((Ref("snakemake", port.name),)) for port in ports}
    told = replace(workflow, outputs={**workflow.outputs, **every})
    result = api.run(told, {"size": 5}, project=api.Project(analysis))
    assert result.succeeded, result.run.message
    outputs = result.outputs
    assert outputs["config"] == {"size": 5, "names": "data/names.txt"}
    promised = outputs["names_txt"]
    assert isinstance(promised, File)
    assert Path(promised.location).read_text() == "Ada\n"
