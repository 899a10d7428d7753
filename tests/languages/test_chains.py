"""One recipe whose steps are written in several languages: one run, one cache, one resume."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("cwltool", reason="needs hepflow[cwl]")
pytest.importorskip("jq", reason="needs hepflow[yadage]")
pytest.importorskip("jsonpath_ng", reason="needs hepflow[yadage]")

from hepflow import api

if find_spec("snakemake") is None:
    pytest.skip("needs hepflow[snakemake]", allow_module_level=True)

pytestmark = pytest.mark.needs("awk", "sort")


@pytest.fixture
def chain(project: Path) -> Path:
    """The bundled recipe with all it uses, copied as `hepflow recipes --copy` does."""
    return api.copy_recipe("chains/excess", project)


def run(chain: Path, **values: str) -> api.RunResult:
    workflow = api.load(chain)
    return api.run(
        workflow, api.read_inputs(workflow, values=values), project=api.Project(chain.parent)
    )


def succeeded(chain: Path) -> Counter[str]:
    """The tasks of its latest run that succeeded in it, and how often."""
    project = api.Project(chain.parent)
    latest = next(run.id for run in api.runs(project) if run.name == "excess")
    reports = api.tasks(project, latest, state=api.TaskState.SUCCEEDED)
    return Counter(report.id.partition("#")[0] for report in reports)


def test_files_and_values_pass_between_the_languages_and_nothing_is_done_twice(chain: Path) -> None:
    result = run(chain, samples="2", events="500")
    assert result.succeeded, result.run.message
    masses = [
        float(line)
        for path in sorted((chain.parent / ".hepflow/work/1").rglob("masses.txt"))
        for line in path.read_text().split()
    ]
    assert len(masses) == 2 * (500 + 120)
    table = (chain.parent / "results/excess/table.txt").read_text().split("\n")[:-1]
    expected = Counter(int((mass - 100) // 2) for mass in masses if 100 <= mass < 150)
    assert [int(line.split()[1]) for line in table] == [expected[n] for n in range(25)]
    excess = result.outputs["excess"]
    assert isinstance(excess, dict)
    assert excess["observed"] == sum(1 for mass in masses if 120 <= mass < 130)
    assert run(chain, samples="2", events="500").succeeded
    assert not succeeded(chain), "a second run starts no task"


@pytest.mark.long
def test_more_samples_run_only_what_is_new(chain: Path) -> None:
    run(chain, samples="2", events="200")
    run(chain, samples="3", events="200")
    assert succeeded(chain) == {
        "simulate[2]": 1, "select[2]/select": 1, "histogram/fill": 1,
        "significance/snakemake": 1, "report": 1,
    }  # fmt: skip


def test_a_head_that_is_killed_loses_nothing_in_any_language(chain: Path) -> None:
    words = [sys.executable, "-m", "hepflow", "run", str(chain), "samples=12", "--cpus", "1"]
    head = subprocess.Popen(
        words, cwd=chain.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    before: Counter[str] = Counter()
    while head.poll() is None and not any(name.startswith("select") for name in before):
        time.sleep(0.02)
        if (chain.parent / ".hepflow/store.sqlite").exists() and api.runs(
            api.Project(chain.parent)
        ):
            before = succeeded(chain)
    head.send_signal(signal.SIGKILL)
    head.wait()
    assert api.resume(api.Project(chain.parent), 1).succeeded
    done = succeeded(chain)
    assert set(done.values()) == {1}, "nothing that finished ran again"
    assert len(done) == 12 + 12 + 3
    listed = json.loads((chain.parent / "results/excess/outputs.json").read_text())
    assert listed["excess"]["observed"] > 0
