"""Values flow through a CWL workflow as the reference runner has them flow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cwltool", reason="needs hepflow[cwl]")
pytest.importorskip("quickjs", reason="needs hepflow[cwl]")

from hepflow import api
from hepflow.model.values import to_json
from tests.cwl.flow_cases import Case, all_cases

pytestmark = pytest.mark.slow

CASES = all_cases()
ORACLE = Path(__file__).with_name("oracle.py")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What cwltool makes of all cases, by their number."""
    folder = tmp_path_factory.mktemp("reference")
    for number, case in enumerate(CASES):
        (folder / f"{number}.cwl").write_text(case.document)
        (folder / f"{number}.json").write_text(json.dumps(case.inputs))
    done = subprocess.run(
        [sys.executable, ORACLE, folder], capture_output=True, text=True, check=True, cwd=folder
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def outputs_of(case: Case, folder: Path) -> Any:
    """What hepflow makes of a case; ``None`` when it fails with a proper message."""
    document = folder / "case.cwl"
    document.write_text(case.document)
    try:
        workflow = api.load(document)
        result = api.run(workflow, case.inputs, project=api.Project(folder))
    except api.HepflowError:
        return None
    return to_json(dict(result.outputs)) if result.succeeded else None


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_a_workflow_gives_what_the_reference_runner_gives(
    number: int, reference: dict[str, Any], project: Path
) -> None:
    assert outputs_of(CASES[number], project) == reference[str(number)]
