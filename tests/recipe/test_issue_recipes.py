"""The two recipes that fix the language's look load as they stand and mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hepflow.model.task import Read
from hepflow.model.types import Type
from hepflow.model.values import File
from hepflow.model.workflow import Binding, Ref, Workflow
from tests.recipe.conftest import Load
from tests.recipe.running import call, planned, shell, step, values

NUMBERS = """
hepflow: v1
name: numbers
inputs:
  n: 500                                   # short form: type and default in one
steps:
  write:
    scatter: {i: "{{ range(inputs.n) }}"}
    command: "echo {{ i }} > {{ outputs.number }}"
    outputs: {number: number.txt}
  total:
    inputs: {numbers: write.number}        # the gathered array, in order
    command: "cat {{ inputs.numbers }} | paste -sd+ | bc > {{ outputs.sum }}"
    outputs:
      sum: sum.txt
      value: {path: sum.txt, read: json}   # a value, not a file: usable in `when` and expressions
outputs:
  sum: total.sum
  value: total.value
"""

TWO_MOONS = """
hepflow: v1
name: two-moons
doc: Neural posterior for the two-moons simulator against its published reference.
inputs:
  simulations: 10000
  shards: 20
  observation: {type: File, default: data/two_moons.npz, doc: ten observations with reference posteriors}
defaults: {resources: {cpus: 1, memory: 1 GB}, retries: 2}
steps:
  simulate:
    scatter: {shard: "{{ range(inputs.shards) }}"}
    python: hepflow_lfi.simulate:draw
    inputs: {task: two_moons, draws: "{{ inputs.simulations // inputs.shards }}", seed: "{{ shard }}"}
    outputs: {sample: sample.npz}
  train:
    inputs: {samples: simulate.sample}
    command: python -m hepflow_lfi train two_moons {{ inputs.samples }} --out {{ outputs.posterior }}
    outputs: {posterior: posterior.pt}
    resources: {cpus: 2, walltime: 30 min}
  judge:
    inputs: {posterior: train.posterior, observation: inputs.observation}
    command: python -m hepflow_lfi judge {{ inputs.posterior }} {{ inputs.observation }} --metrics {{ outputs.metrics }} --plot {{ outputs.figure }}
    outputs: {metrics: {path: metrics.json, read: json}, figure: posterior.png}
outputs: {metrics: judge.metrics, figure: judge.figure, posterior: train.posterior}
"""


@pytest.fixture
def numbers(load: Load) -> Workflow:
    return load(NUMBERS)


@pytest.fixture
def two_moons(load: Load, write: Callable[[str, str], Path]) -> Workflow:
    write("", "hepflow_lfi/__init__.py")
    write("def draw(task, draws, seed, sample): ...", "hepflow_lfi/simulate.py")
    return load(TWO_MOONS)


def test_a_short_input_is_type_and_default_in_one(numbers: Workflow) -> None:
    (port,) = numbers.inputs
    assert (port.name, port.type, port.default, port.place.line) == ("n", Type("int"), 500, 4)


def test_a_scatter_runs_over_the_array_of_its_expression(numbers: Workflow) -> None:
    write = step(numbers, "write")
    assert write.scatter == ("i",)
    expression = write.inputs["i"].expression
    assert expression is not None
    assert list(expression.names) == ["inputs.n"]
    assert expression.evaluate({"inputs.n": 4}) == range(4)
    assert write.inputs["inputs.n"] == Binding((Ref("", "n"),))


def test_a_command_is_rendered_for_each_invocation(numbers: Workflow) -> None:
    assert shell(numbers, "write", i=3) == "echo 3 > number.txt"


def test_a_link_feeds_the_gathered_array(numbers: Workflow) -> None:
    assert step(numbers, "total").inputs == {"numbers": Binding((Ref("write", "number"),))}
    files = [File("/a/number.txt"), File("/b c/number.txt")]
    text = shell(numbers, "total", {"write.number": files})
    assert text == "cat /a/number.txt '/b c/number.txt' | paste -sd+ | bc > sum.txt"


def test_one_file_can_be_an_output_and_a_value(numbers: Workflow) -> None:
    task = planned(numbers, "total", {"write.number": []})
    assert [(out.port, out.path, out.read) for out in task.outputs] == [
        ("sum", "sum.txt", Read.FILE),
        ("value", "sum.txt", Read.JSON),
    ]
    assert numbers.outputs == {
        "sum": Binding((Ref("total", "sum"),)),
        "value": Binding((Ref("total", "value"),)),
    }


def test_a_file_default_lies_beside_the_recipe(two_moons: Workflow, tmp_path: Path) -> None:
    port = two_moons.inputs[2]
    assert port.default == File(str(tmp_path / "data/two_moons.npz"))
    assert port.doc == "ten observations with reference posteriors"


def test_a_python_step_is_called_with_its_inputs(two_moons: Workflow, tmp_path: Path) -> None:
    found = call(two_moons, "simulate", shard=7)
    assert found.function == "hepflow_lfi.simulate:draw"
    assert found.arguments == {"task": "two_moons", "draws": 500, "seed": 7}
    assert found.offered == {"shard": 7, "sample": "sample.npz"}
    assert found.path == (str(tmp_path),)


def test_an_expression_of_an_input_sees_workflow_inputs_and_scatter_variables(
    two_moons: Workflow,
) -> None:
    found = values(two_moons, "simulate", shard=2)
    assert found["draws"] == 500
    assert found["seed"] == 2
    assert found["inputs.simulations"] == 10000


def test_defaults_lie_under_the_modifiers_of_each_step(two_moons: Workflow) -> None:
    asked = planned(two_moons, "train", {"simulate.sample": []}).resources
    assert (asked.cpus, asked.memory_mib, asked.walltime_s) == (2.0, 954, 1800.0)
    assert [found.retry.times for found in two_moons.steps] == [2, 2, 2]
