"""What is wrong with a `reana.yaml`, and where; and that our schema says what REANA's says."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hepflow import api
from hepflow_reana.document import schema
from tests.reana.conftest import SERIAL

FAULTS = [
    ("  parameters:", "  parameter:", "6:3", "inputs has no key 'parameter'", "did you mean 'parameters'?"),
    ("type: serial", "type: seril", "11:3", "takes one of serial, cwl, yadage, snakemake", "'serial'"),
    ("        environment: docker", "        enviroment: docker", "15:9", "no key 'enviroment'", "'environment'"),
    ("256Mi", "256", "16:9", "takes a text, gets 256", 'write "256" in quotes'),
    ("256Mi", "256Q", "16:9", "'256Q' is not a size", "256Mi"),
    ("${script}", "${scrip}", "18:13", "asks for a parameter 'scrip'", "did you mean 'script'?"),
    ("$$(hostname", "$(hostname", "23:13", "'$(hostname |' in a command is no parameter", "$$"),
    ("- data/names.txt", "- ../names.txt", "5:7", "'../names.txt' is not in the workspace", "relative"),
    ("workflow:", "workflows:", "10:1", "has no key 'workflows'", "'workflow'"),
    ("version: 0.9.0", "version: [", "3:8", "not valid YAML", ""),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "what", "fix"), FAULTS)
def test_a_fault_is_told_at_its_line_and_column(
    project: Path, old: str, new: str, place: str, what: str, fix: str
) -> None:
    (project / "reana.yaml").write_text(SERIAL.replace(old, new, 1))
    with pytest.raises(api.RecipeError) as caught:
        api.load(project / "reana.yaml")
    text = str(caught.value)
    assert what in text
    assert fix in text
    assert any(str(problem.place).endswith(f"reana.yaml:{place}") for problem in caught.value.problems), text  # fmt: skip


def test_all_faults_are_told_at_once(project: Path) -> None:
    text = (
        SERIAL.replace("version", "verson").replace("256Mi", "256").replace("  files:", "  file:")
    )
    (project / "reana.yaml").write_text(text)
    with pytest.raises(api.RecipeError) as caught:
        api.load(project / "reana.yaml")
    assert len(caught.value.problems) == 4


def test_a_file_that_is_not_there_is_told_where_the_analysis_names_it(project: Path) -> None:
    (project / "reana.yaml").write_text(SERIAL.replace("- data/names.txt", "- data/nowhere.txt", 1))
    workflow = api.load(project / "reana.yaml")
    with pytest.raises(api.RecipeError) as caught:
        api.plan(workflow, api.read_inputs(workflow), project=api.Project(project))
    (problem, *_) = [p for p in caught.value.problems if "nowhere.txt" in p.what]
    assert str(problem.place).endswith("reana.yaml:5:7")


def test_what_is_merged_from_elsewhere_in_the_file_is_read(project: Path) -> None:
    (project / "reana.yaml").write_text(
        "workflow:\n"
        "  type: serial\n"
        "  specification:\n"
        "    steps:\n"
        "    - &first {environment: busybox, commands: ['echo ${a} > a.txt']}\n"
        "    - {<<: *first, name: second}\n"
        "inputs:\n"
        "  parameters: {<<: {a: 1}}\n"
        "outputs: {files: [a.txt]}\n"
    )
    workflow = api.load(project / "reana.yaml")
    assert [port.name for port in workflow.inputs] == ["a"]
    assert [step.name for step in workflow.steps] == ["step1", "second"]


def test_an_analysis_is_known_by_its_content_under_any_name(project: Path) -> None:
    path = project / "analysis.yml"
    path.write_text(SERIAL)
    assert [step.name for step in api.load(path).steps] == ["greet", "sign"]


# --- REANA's own schema as the oracle ---------------------------------------------------------------


def official() -> dict[str, Any]:
    spec = find_spec("reana_commons")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("not installed: reana-commons (pip install --no-deps reana-commons)")
    place = Path(
        spec.submodule_search_locations[0], "validation/schemas/reana_analysis_schema.json"
    )
    found: dict[str, Any] = json.loads(place.read_text())
    return found


def variants() -> Iterator[Any]:
    """The analysis with each of its pieces left out, renamed, or replaced by something of another kind."""
    whole = yaml.safe_load(SERIAL)
    step = whole["workflow"]["specification"]["steps"][0]
    step |= {"kerberos": True, "kubernetes_uid": 1000, "compute_backend": "slurmcern"}
    whole["workflow"]["resources"] = {"cvmfs": ["atlas.cern.ch"], "dask": {"image": "dask/dask:1"}}
    whole["workspace"] = {"root_path": "/data", "retention_days": {"*.root": 3}}
    whole["tests"] = {"files": ["a.feature"]}
    yield whole
    yield {"workflow": {"type": "cwl", "file": "main.cwl", "parameters": {"file": "job.yml"}}}
    for keys in pieces(whole, ()):
        for instead in (None, 7, "text", "", True, [], {}, [1], {"x": 1}):
            changed = copy.deepcopy(whole)
            place = changed
            for key in keys[:-1]:
                place = place[key]
            if instead is None:
                del place[keys[-1]]
            else:
                place[keys[-1]] = instead
            yield changed
            if isinstance(place, dict):
                yield {**changed} | ({"renamed": 1} if place is changed else {})


def pieces(data: Any, keys: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for key, value in items:
        yield (*keys, key)
        yield from pieces(value, (*keys, key))


def test_our_schema_takes_and_refuses_what_reanas_does() -> None:
    ours = jsonschema.Draft7Validator(schema())
    theirs = jsonschema.Draft7Validator(official())
    differing = [
        (list(ours.iter_errors(data)), list(theirs.iter_errors(data)))
        for data in variants()
        if ours.is_valid(data) != theirs.is_valid(data)
    ]
    # A serial workflow without steps is nothing to run; REANA's engine refuses it as well.
    left = [pair for pair in differing if not any("steps" in str(error.schema_path) or "'steps'" in error.message for error in pair[0])]  # fmt: skip
    assert not left, left[0]


def test_our_schema_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
