"""Loops as sequential inference uses them: rounds of several steps, a stopping rule read from a file,
and a head that may be killed in the middle of a round."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from hepflow import api

RECIPE = """\
hepflow: v1
name: rounds
inputs: {start: {type: File, default: start.txt}, ledger: LEDGER, tolerance: 0.2}
steps:
  infer:
    inputs: {proposal: inputs.start, change: 1.0, round: 0, ledger: inputs.ledger, tolerance: inputs.tolerance}
    workflow:
      steps:
        simulate:
          scatter: {shard: [1, 2, 3, 4]}
          command: |
            sleep 0.0{{ shard }}
            echo "$(cat {{ inputs.proposal }}) {{ shard }}" > {{ outputs.sample }}
            echo simulate.{{ inputs.round }}.{{ shard }} >> {{ inputs.ledger }}
          outputs: {sample: sample.txt}
        train:
          inputs: {samples: simulate.sample}
          command: |
            cat {{ inputs.samples }} | awk '{s += $1} END {print s / NR / 2}' > {{ outputs.posterior }}
            echo train.{{ inputs.round }} >> {{ inputs.ledger }}
          outputs: {posterior: posterior.txt}
        propose:
          command: |
            cp {{ train.posterior }} {{ outputs.proposal }}
            echo "{\\"change\\": $(cat {{ train.posterior }})}" > {{ outputs.metrics }}
            echo propose.{{ inputs.round }} >> {{ inputs.ledger }}
          outputs: {proposal: proposal.txt, metrics: {path: metrics.json, read: json}}
      outputs: {posterior: train.posterior, proposal: propose.proposal, metrics: propose.metrics}
    loop:
      while: "{{ inputs.change > inputs.tolerance and inputs.round < 8 }}"
      next:
        proposal: "{{ outputs.proposal }}"
        change: "{{ outputs.metrics.change }}"
        round: "{{ inputs.round + 1 }}"
outputs: {posterior: infer.posterior, metrics: infer.metrics}
"""
ROUNDS = 6  # from 8, halved until it is at most 0.2: 4, 2, 1, 0.5, 0.25, 0.125


class Sequence:
    """A project with the recipe; ``done`` is what finished, by the store, ``ledger`` what ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.ledger.touch()
        (folder / "start.txt").write_text("8\n")
        (folder / "rounds.yaml").write_text(RECIPE.replace("LEDGER", str(self.ledger)))
        self.project = api.Project(folder)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hepflow", *words], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    @property
    def effects(self) -> Counter[str]:
        return Counter(self.ledger.read_text().split())

    @property
    def done(self) -> set[str]:
        if not api.runs(self.project):
            return set()
        found = api.tasks(self.project, state=api.TaskState.SUCCEEDED)
        return {_effect(task.id.partition("#")[0]) for task in found}


def _effect(task: str) -> str:
    """``infer@2/simulate[1]`` is ``simulate.2.2`` in the ledger, where shards count from 1."""
    above, _, name = task.partition("/")
    step, _, index = name.rstrip("]").partition("[")
    words = [step, above.partition("@")[2], *([str(int(index) + 1)] if index else [])]
    return ".".join(words)


def test_rounds_end_when_a_value_read_from_a_file_says_so(tmp_path: Path) -> None:
    sequence = Sequence(tmp_path)
    said, _ = (process := sequence.start("run", "rounds.yaml", "-q")).communicate(timeout=60)
    assert process.returncode == 0, said
    outputs = api.outputs(sequence.project)
    assert outputs["metrics"] == {"change": 0.125}
    assert len(sequence.effects) == 6 * ROUNDS
    assert {step.path: step.finished for step in api.status(sequence.project).steps} == {
        "infer/simulate": 4 * ROUNDS, "infer/train": ROUNDS, "infer/propose": ROUNDS
    }  # fmt: skip


@pytest.mark.slow
def test_a_head_killed_in_a_round_repeats_nothing_that_had_finished(tmp_path: Path) -> None:
    rng = random.Random(5)
    sequence = Sequence(tmp_path)
    finished: dict[str, int] = {}
    words = ["run", "rounds.yaml"]
    kills = 0
    for limit in [*(rng.uniform(0.4, 0.9) for _ in range(5)), 60]:
        process = sequence.start(*words)
        try:
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
        else:
            assert process.returncode == 0, said
            break
        for name in sequence.done:
            finished.setdefault(name, sequence.effects[name])
        words = ["resume"] if api.runs(sequence.project) else words
    assert kills
    assert api.outputs(sequence.project)["metrics"] == {"change": 0.125}
    assert len(sequence.effects) == 6 * ROUNDS
    assert finished == {name: sequence.effects[name] for name in finished}


def test_a_round_that_fails_is_mended_and_gone_on_with(tmp_path: Path) -> None:
    sequence = Sequence(tmp_path)
    recipe = tmp_path / "rounds.yaml"
    text = recipe.read_text()
    broken = text.replace("cp {{ train.posterior }}", "test {{ inputs.round }} -ne 3; cp {{ train.posterior }}")  # fmt: skip
    recipe.write_text(broken)
    sequence.start("run", "rounds.yaml", "-q").communicate(timeout=60)
    assert [task.id for task in api.status(sequence.project).failures] == ["infer@3/propose#1"]
    recipe.write_text(broken.replace("test {{ inputs.round }} -ne 3; ", "true; "))
    said, _ = (process := sequence.start("resume", "-q")).communicate(timeout=60)
    assert process.returncode == 0, said
    effects = sequence.effects
    assert {
        name: n for name, n in effects.items() if n > 1 and not name.startswith("propose")
    } == {}
    assert len(effects) == 6 * ROUNDS
