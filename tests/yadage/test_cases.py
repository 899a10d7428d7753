"""Six shapes of workflow that yadage's own tests have, described anew, with the files that yadage 0.21.2
left for them on Python 3.11.

The oracle is yadage itself: where ``yadage-run`` is on the path, it is asked again (``-m long``).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from hepflow import api
from tests.yadage.conftest import Run, initial, shell, stage, zipped

CONSTANT = {"publisher_type": "constant-pub", "publish": {"made": "output"}}
THREE_FILES = Path(__file__).parent.parent / "data" / "yadage" / "three_files.zip"


def loud(word: str) -> dict[str, Any]:
    return shell(f"echo {word} {{number}} | tee {{out}}")


INNERMOST = [
    stage(
        "stage1",
        {"input": initial("numbers")},
        "init",
        step=shell("echo hello > {input}", **CONSTANT),
    )
]
INNER = [
    stage("deeper", {"numbers": initial("numbers")}, "init", workflow={"stages": INNERMOST}),
    stage(
        "output", {"input": {"stages": "deeper[*].stage1", "output": "made", "unwrap": True}}, "deeper",
        step={
            "process": None, "environment": None,
            "publisher": {"publisher_type": "frompar-pub", "outputmap": {"known": "input"}},
        },
    ),
]  # fmt: skip


class Case(NamedTuple):
    """A workflow, its inputs, and the files that yadage leaves: path -> first digits of the SHA-256."""

    stages: list[dict[str, Any]]
    inputs: dict[str, Any]
    expected: dict[str, str]


CASES = {
    "one step": Case(
        [
            stage(
                "hello_world", {"name": initial("par"), "out": "{workdir}/hello_world.txt"}, "init",
                step=shell("echo Hello {name} | tee {out}"),
            )
        ],
        {"par": "value"},
        {"hello_world/hello_world.txt": "78ee05d3f3db713a"},
    ),
    "map and reduce": Case(
        [
            stage(
                "map", {"input": initial("input")}, "init",
                step=shell("echo hello > {input}", **CONSTANT), scatter=zipped("input"),
            ),
            stage(
                "reduce", {"input": {"stages": "map", "output": "made"}}, "map",
                step=shell("echo hello > {input}", **CONSTANT),
            ),
        ],
        {"input": [1, 2, 3]},
        {
            "map_0/1": "5891b5b522d5df08", "map_1/2": "5891b5b522d5df08", "map_2/3": "5891b5b522d5df08",
            "reduce/output": "c13290c0cc4de12c",
        },
    ),
    "all combinations": Case(
        [
            stage(
                "map", {"input": initial("one"), "second": initial("two")}, "init",
                step=shell("echo hello {second} > {input}", **CONSTANT),
                scatter={"method": "cartesian", "parameters": ["input", "second"]},
            ),
            stage(
                "reduce", {"input": {"stages": "map", "output": "made"}, "second": "ok"}, "map",
                step=shell("echo hello {second} > {input}", **CONSTANT),
            ),
        ],
        {"one": [1, 2, 3], "two": [1, 2]},
        {
            "map_0/1": "a96db6890367a8bc", "map_1/1": "b172c329ef45c8fd", "map_2/2": "a96db6890367a8bc",
            "map_3/2": "b172c329ef45c8fd", "map_4/3": "a96db6890367a8bc", "map_5/3": "b172c329ef45c8fd",
            "reduce/output": "cc887e50ee045fd0",
        },
    ),
    "workflows in workflows": Case(
        [
            stage("nested", {"numbers": initial("input")}, "init", workflow={"stages": INNER}),
            stage(
                "higher", {"input": {"stages": "nested[0].output", "output": "known"}}, "nested",
                step=shell("echo hello > {input}", **CONSTANT),
            ),
        ],
        {"input": [1, 2, 3]},
        {"higher/output": "5891b5b522d5df08", "nested/deeper/stage1/1": "218106d0d83fbfaa"},
    ),
    "a branch chosen at run time": Case(
        [
            stage(
                "hello_world", {"number": initial("par"), "out": "{workdir}/hello_world.txt"}, "init",
                cases=[
                    {"if": ".number==0", "step": loud("HELLO")},
                    {"if": "0 < .number and .number < 4", "step": loud("bye")},
                ],
            )
        ],
        {"par": 0},
        {"hello_world/hello_world.txt": "f385595e56bee64d"},
    ),
}  # fmt: skip

DYNAMIC = [
    stage(
        "acquisition", {"source": initial("sourcefile"), "local": "{workdir}/mydata.zip"}, "init",
        step=shell(
            "cp {source} {local} && unzip -q {local}",
            publisher_type="fromglob-pub", globexpression="*.txt", outputkey="unzipped",
        ),
    ),
    stage(
        "map",
        {
            "input": {"stages": "acquisition", "output": "unzipped", "unwrap": True},
            "out": "{workdir}/mapout.txt",
        },
        "acquisition",
        step=shell("tr a-z A-Z < {input} > {out}"), scatter=zipped("input"),
    ),
    stage(
        "reduce", {"inputs": {"stages": "map", "output": "out"}, "out": "{workdir}/out.txt"}, "map",
        step=shell("cat {inputs} > {out}"),
    ),
]  # fmt: skip
"""How many nodes the second stage has, only the first one knows."""


def digests(files: dict[str, str]) -> dict[str, str]:
    return {name: sha256(text.encode()).hexdigest()[:16] for name, text in files.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_case_leaves_the_files_that_yadage_leaves(
    name: str, run: Run, left: Callable[[], dict[str, str]]
) -> None:
    case = CASES[name]
    assert run(case.stages, case.inputs).succeeded
    assert digests(left()) == case.expected


def test_as_many_nodes_as_files_that_a_pattern_matched(
    run: Run, left: Callable[[], dict[str, str]]
) -> None:
    result = run(DYNAMIC, {"sourcefile": str(THREE_FILES)})
    assert result.succeeded
    found = left()
    assert [found[f"map_{n}/mapout.txt"] for n in range(3)] == [
        f"THIS IS FILE {n}\n" for n in (1, 2, 3)
    ]
    assert found["reduce/out.txt"] == "THIS IS FILE 1\nTHIS IS FILE 2\nTHIS IS FILE 3\n"


def test_the_second_run_of_a_dynamic_workflow_runs_nothing(run: Run) -> None:
    run(DYNAMIC, {"sourcefile": str(THREE_FILES)})
    again = run(DYNAMIC, {"sourcefile": str(THREE_FILES)})
    reused = {step.path: step.reused for step in again.status.steps}
    assert (reused["acquisition"], reused["map/node"], reused["reduce"]) == (1, 3, 1)


@pytest.mark.long
@pytest.mark.parametrize("name", [*CASES, "dynamic"])
def test_yadage_leaves_the_same(
    name: str, folder: Path, run: Run, left: Callable[[], dict[str, str]]
) -> None:
    if shutil.which("yadage-run") is None:
        pytest.skip("yadage-run is not on the path: pip install 'setuptools<81' yadage==0.21.2")
    case = CASES.get(name) or Case(DYNAMIC, {"sourcefile": str(THREE_FILES)}, {})
    assert run(case.stages, case.inputs).succeeded
    (folder / "init.yml").write_text(yaml.safe_dump(case.inputs))
    command = ["yadage-run", "out", "workflow.yml", "init.yml", "-t", ".", "--no-visualize"]
    subprocess.run(command, check=True, capture_output=True)
    theirs = {
        str(path.relative_to("out")): path.read_text(errors="replace")
        for path in Path("out").rglob("*")
        if path.is_file() and not re.search(r"_yadage|_packtivity", str(path))
    }
    assert left() == theirs


def test_yadages_own_inputs_file_is_read(folder: Path) -> None:
    (folder / "input.yml").write_text("input: [1, 2]\nmore: {deep: true}\n")
    (folder / "workflow.yml").write_text(yaml.safe_dump({"stages": CASES["map and reduce"].stages}))
    workflow = api.load(folder / "workflow.yml")
    assert api.read_inputs(workflow, [folder / "input.yml"]) == {
        "input": [1, 2], "init": {"more": {"deep": True}},
    }  # fmt: skip
