"""What the handbook tells a user to type for sites that see no file of ours, against the stand-ins."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.fixtures import wanted

Run = Callable[..., "subprocess.CompletedProcess[str]"]

RECIPE = """\
hepflow: v1
name: numbers
inputs: {n: 4}
steps:
  write:
    scatter: {i: "{{ range(inputs.n) }}"}
    inputs: {n: inputs.n}
    command: "echo {{ i }} > {{ outputs.number }}"
    outputs: {number: number.txt}
  double:
    scatter: {number: write.number}
    python: far:double
    outputs: {twice: {}}
  total:
    inputs: {numbers: write.number, twice: double.twice}
    command: "cat {{ inputs.numbers }} > {{ outputs.all }}; echo {{ inputs.twice }} >> {{ outputs.all }}"
    outputs: {all: all.txt}
outputs: {all: total.all}
"""
MODULE = "def double(number):\n    return 2 * int(open(number).read())\n"

SITES = {
    "ospool": "extends: ospool\naccount: MyProject\nsettings: {memory_mib: 100, disk_mib: 10}\n",
    "nautilus": "extends: nautilus\nsettings: {namespace: hepflow, bucket: 's3://work', memory_mib: 100,"
    " priority_class: ''}\n",
    "aws-batch": "extends: aws-batch\nlimits: {poll: 1 s}\n"
    "settings: {bucket: work, job_queue: work, memory_mib: 200}\n",
    "azure-batch": "extends: azure-batch\nlimits: {poll: 1 s}\n"
    "settings: {batch_account: mine, storage_account: mine, bucket: files, memory_mib: 200}\n",
}
SERVICES = {
    "ospool": ("condor_stand_in",),
    "nautilus": ("kubernetes_stand_in", "moto"),
    "aws-batch": ("aws_batch_stand_in",),
    "azure-batch": ("azure_batch_stand_in",),
}


@pytest.fixture(params=sorted(SITES))
def site(request: pytest.FixtureRequest, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A site of the user's own that extends a shipped one, and what stands for its service."""
    name: str = request.param
    for service in SERVICES[name]:
        request.getfixturevalue(service)
    if "work" in SITES[name]:
        wanted("boto3").client("s3").create_bucket(Bucket="work")
    sites = project / "config" / "hepflow" / "sites"
    sites.mkdir(parents=True)
    (sites / f"{name}.yaml").write_text(SITES[name])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project / "config"))
    (project / "recipe.yaml").write_text(RECIPE)
    (project / "far.py").write_text(MODULE)
    return name


def test_the_check_finds_nothing_missing_and_shows_what_would_be_sent(
    site: str, hepflow: Run
) -> None:
    checked = hepflow("site", "check", site, "--sample", "recipe.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "write-tag-1" in checked.stdout or "write[0]#1" in checked.stdout


def test_a_recipe_runs_there_as_it_does_here(site: str, hepflow: Run, project: Path) -> None:
    done = hepflow("run", "recipe.yaml", "--site", site)
    assert done.returncode == 0, done.stdout + done.stderr
    found = hepflow("outputs")
    path = next(word for word in found.stdout.split() if word.endswith("all.txt"))
    assert (project / path).read_text() == "0\n1\n2\n3\n0 2 4 6\n"
