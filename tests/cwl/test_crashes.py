"""A CWL workflow survives its head: what had finished is not done again, and the result is the same."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

WIDTH = 1000

SUMS = """\
cwlVersion: v1.2
class: Workflow
requirements:
  ScatterFeatureRequirement: {}
  InlineJavascriptRequirement: {}
  StepInputExpressionRequirement: {}
inputs: {numbers: "int[]", ledger: string}
outputs:
  total: {type: File, outputSource: total/sum}
steps:
  square:
    scatter: number
    in:
      number: numbers
      square: {valueFrom: "$(inputs.number * inputs.number)"}
      ledger: ledger
    out: [line]
    run:
      class: CommandLineTool
      requirements: {ShellCommandRequirement: {}}
      inputs: {number: int, square: int, ledger: string}
      arguments:
        - {shellQuote: false, valueFrom: "echo $(inputs.square) && echo $(inputs.number) >> $(inputs.ledger)"}
      stdout: line.txt
      outputs: {line: stdout}
  total:
    in: {lines: square/line}
    out: [sum]
    run:
      class: CommandLineTool
      baseCommand: [awk, "{s += $1} END {print s}"]
      inputs: {lines: {type: "File[]", inputBinding: {}}}
      stdout: sum.txt
      outputs: {sum: stdout}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sums.cwl").write_text(SUMS)
    job = {"numbers": list(range(WIDTH)), "ledger": str(tmp_path / "ledger")}
    (tmp_path / "job.json").write_text(json.dumps(job))
    return tmp_path


def hepflow(folder: Path, *words: str) -> dict[str, object]:
    command = [sys.executable, "-m", "hepflow", *words]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def killed_in_the_middle(folder: Path) -> Counter[str]:
    """Runs the workflow, kills its head with a third of it done, and returns what was done by then."""
    command = [sys.executable, "-m", "hepflow", "run", "sums.cwl", "job.json"]
    head = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    ledger = folder / "ledger"
    while not ledger.exists() or len(ledger.read_text().split()) < WIDTH // 3:
        assert head.poll() is None
        time.sleep(0.01)
    head.send_signal(signal.SIGKILL)
    head.wait()
    return Counter(ledger.read_text().split())


@pytest.mark.slow
def test_a_wide_scatter_goes_on_after_its_head_was_killed(folder: Path) -> None:
    before = killed_in_the_middle(folder)
    assert len(before) < WIDTH
    hepflow(folder, "resume", "--json")
    total = hepflow(folder, "outputs", "--json")["total"]
    data = f"{sum(n * n for n in range(WIDTH))}\n".encode()
    assert isinstance(total, dict)
    assert total["size"] == len(data)
    assert total["checksum"] == f"sha256${hashlib.sha256(data).hexdigest()}"
    # Only what was under way when the head died may have been done a second time.
    after = Counter((folder / "ledger").read_text().split())
    assert set(after) == {str(n) for n in range(WIDTH)}
    again = [number for number, count in after.items() if count > 1]
    assert len(again) <= 16
    # And once more: nothing at all is done.
    hepflow(folder, "run", "sums.cwl", "job.json", "--json")
    assert Counter((folder / "ledger").read_text().split()) == after
