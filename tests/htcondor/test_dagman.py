"""A run written down for DAGMan, which cannot be had here.

Nodes are submitted as DAGMan does it, by `condor_submit -append` with the variables of each, parents first;
so the DAG is held against a reader of ours, the descriptions against HTCondor's own parser.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hepflow.model.protocols import Done
from hepflow.model.task import Container, Output, Shell, Task
from hepflow_htcondor.dagman import DagmanExporter
from tests import masses
from tests.masses import Run
from tests.services.condor import CondorStandIn
from tests.services.daemons import wait_until
from tests.services.fixtures import wanted

htcondor2 = wanted("htcondor2")

NODE = re.compile(r"^JOB (\S+) (\S+)$", re.MULTILINE)
VARIABLES = re.compile(r"^VARS (\S+) (.*)$", re.MULTILINE)
EDGE = re.compile(r"^PARENT (.+) CHILD (.+)$", re.MULTILINE)


@pytest.fixture
def finished(project: Path, hepflow: Run) -> Path:
    """A project in which a run has succeeded."""
    return masses.run(masses.write(project), hepflow)


def nodes_of(dag: str) -> dict[str, dict[str, str]]:
    """The variables of each node, parents before their children."""
    said = {
        name: dict(re.findall(r'(\w+)="([^"]*)"', text)) for name, text in VARIABLES.findall(dag)
    }
    assert list(said) == [name for name, _ in NODE.findall(dag)]
    place = {name: at for at, name in enumerate(said)}
    for parents, children in EDGE.findall(dag):
        for parent in parents.split():
            for child in children.split():
                assert place[parent] < place[child]
    return said


def run_nodes(condor: CondorStandIn, package: Path) -> list[int]:
    """Run the nodes one after the other as DAGMan would; returns their exit codes."""
    codes = []
    for variables in nodes_of((package / "workflow.dag").read_text()).values():
        more = [word for name, value in variables.items() for word in ("-a", f"{name} = {value}")]
        said = subprocess.run(
            ["condor_submit", "-terse", *more, "task.sub"],
            cwd=package, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        wait_until(lambda: condor.call("condor_q", "-af", "ClusterId") == "", "the node's end")
        events = htcondor2.JobEventLog(str(package / "nodes.log")).events(stop_after=0)
        ended = [e for e in events if e.type is htcondor2.JobEventType.JOB_TERMINATED]
        codes.append(int(ended[-1]["ReturnValue"]))
    return codes


def test_the_nodes_give_what_the_run_gave(
    finished: Path,
    hepflow: Run,
    condor_stand_in: CondorStandIn,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    exported = hepflow("export", "1", "--to", "dagman", "--out", "package")
    assert exported.returncode == 0, exported.stderr
    assert exported.stdout.startswith("run 1: exported to package/workflow.dag, ")
    package = masses.take_away(finished, tmp_path_factory.mktemp("elsewhere"))
    assert run_nodes(condor_stand_in, package) == [0] * 7
    place = json.loads((package / "outputs.json").read_text())["all"]["location"]
    assert (package / place).read_text() == masses.RESULT


def test_a_node_that_fails_fails_the_dag(
    finished: Path, hepflow: Run, condor_stand_in: CondorStandIn
) -> None:
    hepflow("export", "1", "--to", "dagman", "--out", "package")
    package = finished / "package"
    order = package / "orders" / "0.json"
    order.write_text(order.read_text().replace("mkdir deep", "echo 'no disk' >&2; exit 3"))
    assert run_nodes(condor_stand_in, package)[0] == 1
    assert "command exited with code 3: no disk" in (package / "logs" / "0.err").read_text()


def test_a_recipe_stands_for_its_last_run_that_succeeded(finished: Path, hepflow: Run) -> None:
    hepflow("run", "recipe.yaml", "n=4")
    hepflow("run", "recipe.yaml", "--set", "steps.all.command=exit 3")
    said = hepflow("export", "recipe.yaml", "--to", "dagman", "--out", "package")
    assert said.stdout.startswith("run 2: exported to package/workflow.dag, ")


def test_edges_are_where_files_go(finished: Path, hepflow: Run) -> None:
    hepflow("export", "1", "--to", "dagman", "--out", "package")
    dag = (finished / "package" / "workflow.dag").read_text()
    names = {variables["name"]: node for node, variables in nodes_of(dag).items()}
    last = [parents.split() for parents, child in EDGE.findall(dag) if child == names["all"]]
    assert last == [[names[f"cut[{n}]"] for n in range(3)]]
    assert [names["cut[1]"]] in [parents.split() for parents, _ in EDGE.findall(dag)]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["1", "--to", "dagman"], "name a new folder for them: --out DIR"),
        (["1", "--to", "cwl", "--out", "x"], "is written from a recipe, not from a run"),
        (["other.yaml", "--to", "dagman", "--out", "x"], "no run of other.yaml has succeeded"),
        (
            ["recipe.yaml", "n=3", "--to", "dagman", "--out", "x"],
            "is written from a run, which has its inputs already",
        ),
        (["7", "--to", "dagman", "--out", "x"], "there is no run 7"),
        (["1", "n=2", "--to", "dagman", "--out", "x"], "nothing can be given with it"),
        (["2", "--to", "dagman", "--out", "x"], "run 2 has not succeeded"),
    ],
)
def test_what_cannot_be_exported_is_told(
    finished: Path, hepflow: Run, words: list[str], complaint: str
) -> None:
    if words[0] == "2":
        hepflow("run", "recipe.yaml", "--set", "steps.all.command=exit 3")
    (finished / "other.yaml").write_text((finished / "recipe.yaml").read_text())
    said = hepflow("export", *words)
    assert said.returncode == 2, said.stderr
    assert complaint in said.stderr


def test_a_task_in_an_image_is_a_node_that_htcondor_runs_in_it(tmp_path: Path) -> None:
    boxed = Task(Shell("echo 1 > o"), (Output("o", "o"),), container=Container("lab/img:1"))
    tasks = [Done("fit", boxed, {}), Done("plot", replace(boxed, container=None), {})]
    written = DagmanExporter().export_run("x", tasks, {}, tmp_path)
    assert "image.sub" in written
    dag = (tmp_path / "workflow.dag").read_text()
    assert [description for _, description in NODE.findall(dag)] == ["image.sub", "task.sub"]
    fit = next(iter(nodes_of(dag).values()))
    assert fit["image"] == "docker://lab/img:1"
    for name, universe in (("image.sub", "container"), ("task.sub", "vanilla")):
        said = htcondor2.Submit((tmp_path / name).read_text())
        assert said["universe"] == universe
        assert ("container_image" in said) == (universe == "container")
    assert '"container"' not in (tmp_path / "orders" / "0.json").read_text()
