"""A tool gives what the reference runner has it give, wherever it is bound and collected."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cwltool", reason="needs hepflow[cwl]")
pytest.importorskip("quickjs", reason="needs hepflow[cwl]")

from hepflow.executors.local import LocalExecutor
from hepflow.model.errors import HepflowError
from hepflow.model.protocols import LoadOptions
from hepflow.model.site import Site
from hepflow.model.task import Attempt, Task
from hepflow.model.values import Directory, File, Value, Values
from hepflow.model.workflow import PlanContext, Workflow
from hepflow_cwl import CwlLanguage
from hepflow_cwl.values import from_cwl
from tests.contract.loop import Loop
from tests.cwl.tool_cases import CASES, DATA, FILES, Case

ORACLE = Path(__file__).with_name("oracle.py")
CONTEXT = PlanContext(lambda file: file.location)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases as documents with their inputs and the files these name."""
    folder = tmp_path_factory.mktemp("documents")
    for number, case in enumerate(CASES):
        (folder / f"{number}.cwl").write_text(json.dumps(case.tool))
        (folder / f"{number}.json").write_text(json.dumps(case.inputs))
    for name, text in FILES.items():
        path = folder / DATA / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def reference(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What cwltool makes of all cases, by their number."""
    done = subprocess.run(
        [sys.executable, ORACLE, documents],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path_factory.mktemp("reference"),
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Bench:
    """One executor for many tools, each run in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loop = Loop()
        self.executor = LocalExecutor(
            folder / "executor",
            site=Site(
                "local", executor="local", settings={"cpus": 2, "memory_mib": 8192, "gpus": []}
            ),
        )
        self.executor.start(self.loop)

    def run(self, workflow: Workflow, inputs: Values) -> Values:
        """The outputs of a workflow of one tool.

        Raises:
            HepflowError, ValueError: as the runner would tell a user.
        """
        assert workflow.prepare is not None
        inputs = workflow.prepare(inputs)
        tool = workflow.steps[0].run
        assert not isinstance(tool, Workflow)
        tool.fingerprint(inputs)
        task = tool.plan(inputs, CONTEXT)
        if not isinstance(task, Task):
            assert isinstance(task, dict)
            return task
        name = f"tool[{len(self.loop.final)}]#1"
        folder = self.folder / str(len(self.loop.final))
        self.executor.submit([Attempt(name, task, str(folder))])
        self.loop.finish([name])
        outcome = self.loop.outcome(name)
        if not outcome.succeeded:
            raise ValueError(outcome.message)
        return tool.collect(task, outcome, str(folder))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("bench"))
    yield made
    made.executor.close()


def given(case: Case, documents: Path) -> Any:
    """The inputs of a case with the paths of its files."""

    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            found = {key: placed(item) for key, item in value.items()}
            if "location" in found:
                found["location"] = str(documents / found["location"])
            return found
        return [placed(item) for item in value] if isinstance(value, list) else value

    return from_cwl(placed(case.inputs))


def told_by_us(value: Value) -> Any:
    """A value by names and contents, files in no order that matters."""
    if isinstance(value, File):
        path = value.location
        data = Path(path).read_bytes() if value.contents is None else value.contents.encode()
        beside = sorted(map(repr, map(told_by_us, value.secondary)))
        return ["File", value.name, sha1(data).hexdigest(), value.format, beside]
    if isinstance(value, Directory):
        listing: Any = value.listing
        if listing is None:
            inner = Path(value.location).iterdir()
            listing = [Directory(str(i)) if i.is_dir() else File(str(i)) for i in inner]
        return ["Directory", value.name, sorted(map(repr, map(told_by_us, listing)))]
    if isinstance(value, dict):
        return {key: told_by_us(item) for key, item in value.items()}
    return [told_by_us(item) for item in value] if isinstance(value, list) else value


def told_by_reference(value: Any) -> Any:
    """The same of a CWL output object."""
    if isinstance(value, dict) and value.get("class") == "File":
        beside = sorted(map(repr, map(told_by_reference, value.get("secondaryFiles", []))))
        digest = value["checksum"].removeprefix("sha1$")
        return ["File", value["basename"], digest, value.get("format", ""), beside]
    if isinstance(value, dict) and value.get("class") == "Directory":
        listing = sorted(map(repr, map(told_by_reference, value["listing"])))
        return ["Directory", value["basename"], listing]
    if isinstance(value, dict):
        return {key: told_by_reference(item) for key, item in value.items()}
    return [told_by_reference(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("lane", ["head", "worker"])
@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_a_tool_gives_what_the_reference_runner_has_it_give(
    number: int, lane: str, documents: Path, reference: dict[str, Any], bench: Bench
) -> None:
    settings = {"use_container": "false", "lane": lane}
    try:
        workflow = CwlLanguage().load(documents / f"{number}.cwl", LoadOptions(settings=settings))
        outputs = told_by_us(bench.run(workflow, given(CASES[number], documents)))
    except (HepflowError, ValueError):
        outputs = None
    assert outputs == told_by_reference(reference[str(number)])
