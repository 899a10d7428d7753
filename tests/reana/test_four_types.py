"""REANA's helloworld in its four types, described anew: each leaves the bytes that REANA's own left."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from hepflow import api

RECORDED = "5e5b1cd9950ccc17"
"""The first digits of the SHA-256 of the demo's `greetings.txt` (34 bytes), by its own engines."""

GREET = 'while read -r name; do echo "Hello $name!"; done < "$1" > "$2"\n'
IMAGE = "docker.io/library/python:3.12-slim"
PARAMETERS = {"script": "code/greet.sh", "names": "data/names.txt"}

SERIAL = {
    "inputs": {"files": ["code/greet.sh", "data/names.txt"], "parameters": {**PARAMETERS, "out": "results/greetings.txt"}},
    "workflow": {"type": "serial", "specification": {"steps": [
        {"environment": IMAGE, "commands": ["mkdir -p results", 'bash ${script} "${names}" "${out}"']},
    ]}},
    "outputs": {"files": ["results/greetings.txt"]},
}  # fmt: skip

TOOL = {
    "cwlVersion": "v1.2", "class": "CommandLineTool", "baseCommand": "bash",
    "hints": {"DockerRequirement": {"dockerPull": IMAGE}},
    "inputs": {
        "script": {"type": "File", "inputBinding": {"position": 1}},
        "names": {"type": "File", "inputBinding": {"position": 2}},
        "out": {"type": "string", "default": "greetings.txt", "inputBinding": {"position": 3}},
    },
    "outputs": {"result": {"type": "File", "outputBinding": {"glob": "$(inputs.out)"}}},
}  # fmt: skip

STAGES = {"stages": [{
    "name": "greet", "dependencies": ["init"],
    "scheduler": {
        "scheduler_type": "singlestep-stage",
        "parameters": {
            **{name: {"step": "init", "output": name} for name in PARAMETERS},
            "out": "{workdir}/greetings.txt",
        },
        "step": {
            "process": {"process_type": "string-interpolated-cmd", "cmd": 'bash "{script}" "{names}" "{out}"'},
            "publisher": {"publisher_type": "frompar-pub", "outputmap": {"out": "out"}},
            "environment": {"environment_type": "docker-encapsulated", "image": "python", "imagetag": "3.12-slim"},
        },
    },
}]}  # fmt: skip

SNAKEFILE = """\
rule all:
    input: "results/greetings.txt"

rule greet:
    input: script=config["script"], names=config["names"]
    output: "results/greetings.txt"
    container: "docker://docker.io/library/python:3.12-slim"
    shell: "bash {input.script} {input.names} {output}"
"""


def named(kind: str, file: str, promised: str, **parameters: str) -> dict[str, Any]:
    """An analysis whose workflow stands in a file."""
    return {
        "inputs": {"files": ["code/greet.sh", "data/names.txt"], "parameters": parameters},
        "workflow": {"type": kind, "file": f"workflow/{file}"},
        "outputs": {"files": [promised]},
    }


ANALYSES: dict[str, dict[str, Any]] = {
    "serial": SERIAL,
    "cwl": named("cwl", "greet.cwl", "outputs/greetings.txt", input="workflow/job.yml"),
    "yadage": named("yadage", "stages.yml", "greet/greetings.txt", **PARAMETERS),
    "snakemake": named(
        "snakemake", "Snakefile", "results/greetings.txt", input="workflow/config.yml"
    ),
}
LIBRARIES = {"serial": "jsonschema", "cwl": "cwltool", "yadage": "jq", "snakemake": "snakemake"}


@pytest.fixture
def demo(project: Path) -> Callable[[str], Path]:
    """Writes the demo; returns the analysis of a type."""

    def write(kind: str) -> Path:
        job = {name: {"class": "File", "location": path} for name, path in PARAMETERS.items()}
        for path, text in {
            "code/greet.sh": GREET,
            "data/names.txt": "Jane Doe\nJoe Bloggs\n",
            "workflow/greet.cwl": yaml.safe_dump(TOOL),
            "workflow/job.yml": yaml.safe_dump(job),
            "workflow/stages.yml": yaml.safe_dump(STAGES),
            "workflow/Snakefile": SNAKEFILE,
            "workflow/config.yml": yaml.safe_dump(PARAMETERS),
            "reana.yaml": yaml.safe_dump(ANALYSES[kind]),
        }.items():
            place = project / path
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
        return project / "reana.yaml"

    return write


@pytest.mark.parametrize("kind", ANALYSES)
def test_every_type_leaves_the_recorded_bytes(demo: Callable[[str], Path], kind: str) -> None:
    if find_spec(LIBRARIES[kind]) is None:
        pytest.skip(f"not installed: {LIBRARIES[kind]}")
    path = demo(kind)
    options = api.RunOptions(containers=False)
    result = api.run(api.load(path), {}, project=api.Project(path.parent), options=options)
    assert result.succeeded, result.run.message
    (greetings,) = result.outputs.values()
    assert isinstance(greetings, api.File)
    content = Path(greetings.location).read_bytes()
    assert len(content) == 34
    assert sha256(content).hexdigest()[:16] == RECORDED
