"""Every kind of fault: its place, its code, its sentence, and the way out. A recipe's own first
line is line 2 here, after ``hepflow: v1``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.recipe.conftest import Faults, Load

ONE_STEP = "steps: {a: {command: 'true', outputs: {o: o.txt}}}\n"


def step(text: str) -> str:
    """A recipe whose step ``b`` comes after a step ``a`` with the output ``o``."""
    return f"inputs: {{n: 5, f: File}}\nsteps:\n  a: {{command: 'true', outputs: {{o: o.txt}}}}\n  b: {text}\n"


def study(section: str, more: str = "") -> str:
    """A recipe whose step ``b`` has a study."""
    return step(
        f"{{study: {{{section}}}, command: x, outputs: {{o: {{path: o, read: json}}}}{more}}}"
    )


X = "parameters: {x: {low: 0, high: 1}}"
GOAL = "minimize: '{{ outputs.o }}'"

CASES = {
    # keys and forms
    "unknown top key": ("inpts: {}\n" + ONE_STEP, 2, 1, "HF111", "a recipe has no key 'inpts'", "'inputs'"),
    "unknown step key": (step("{comand: x}"), 5, 7, "HF111", "step 'b' has no key 'comand'", "'command'"),
    "another tool's word": (step("{command: x, image: y}"), 5, 19, "HF111", "no key 'image'", "'container'"),
    "steps as a list": ("steps: [a]\n", 2, 8, "HF110", "'steps' takes names with steps, gets a list", "below it"),
    "a step that is text": (step("echo"), 5, 6, "HF110", "step 'b' takes a mapping, gets the text", "{command"),
    "no steps": ("name: x\n", 1, 1, "HF217", "there are no steps", "add 'steps:'"),
    "unknown version": ("hepflow: v9\n" + ONE_STEP, 1, 10, "HF114", "unknown version 'v9'", "hepflow: v1"),
    "a bad name": (step("{command: x, inputs: {a b: 1}}"), 5, 28, "HF112", "cannot be called 'a b'", "letters"),
    "a taken name": ("steps: {inputs: {command: x}}\n", 2, 9, "HF112", "cannot be called 'inputs'", ""),
    "text for a flag": (step("{command: x, cache: sometimes}"), 5, 26, "HF113", "'cache' takes true or false", ""),
    "a checkpoint elsewhere": (step("{command: x, checkpoint: [../x]}"), 5, 32, "HF211", "leaves the task's folder", "own folder"),
    "a checkpoint that is a template": (step("{command: x, checkpoint: '{{ n }}'}"), 5, 31, "HF211", "is a template", "own folder"),
    # what to run
    "nothing to run": (step("{inputs: {x: 1}}"), 5, 3, "HF217", "step 'b' has nothing to run", "command, script"),
    "two things to run": (step("{command: x, script: y}"), 5, 19, "HF218", "both 'command' and 'script'", "keep one"),
    "an empty command": (step("{command: ''}"), 5, 16, "HF217", "'command' takes text, gets nothing", "shell command"),
    # links
    "link to an unknown input": (step("{command: x, inputs: {x: inputs.m}}"), 5, 31, "HF201", "no input 'm'", "n, f"),
    "link to an unknown output": (
        step("{command: x, inputs: {x: a.oo}}"), 5, 31, "HF202", "step 'a' has no output 'oo'", "'o'"),
    "link to nearly a step": (
        "steps:\n  simulate: {command: x, outputs: {o: o}}\n  b: {command: x, inputs: {x: simulat.o}}\n",
        4, 31, "HF204", "there is no step 'simulat'", "did you mean 'simulate.o'?"),
    "a part of a link": (step("{command: x, inputs: {x: a.o.size}}"), 5, 31, "HF206", "not a link but a part", "{{ a.o.size }}"),
    "links and constants mixed": (
        step("{command: x, inputs: {x: [a.o, 5]}}"), 5, 37, "HF206", "a list of links holds the number 5", "one expression"),
    "from without a link": (
        step("{command: x, inputs: {x: {from: 5}}}"), 5, 38, "HF206", "'from' takes links, gets the number 5", "step.output"),
    "unknown merge": (
        step("{command: x, inputs: {x: {from: a.o, merge: sideways}}}"), 5, 50, "HF113", "'merge' does not take", "nested"),
    "output from nowhere": (ONE_STEP + "outputs: {x: foo}\n", 3, 14, "HF206", "comes from no step", "a.o"),
    "output of an unknown port": (ONE_STEP + "outputs: {x: a.p}\n", 3, 14, "HF202", "no output 'p'", "known: o"),
    # names in templates
    "an unknown name": (step("{command: 'echo {{ n }}'}"), 5, 25, "HF204", "the name 'n' is not known here", "write inputs.n"),
    "a misspelt input": (step("{command: 'echo {{ inputs.nn }}'}"), 5, 25, "HF201", "no input 'nn'", "'n'"),
    "a misspelt port": (step("{command: 'echo {{ a.oo }}'}"), 5, 25, "HF202", "step 'a' has no output 'oo'", "'o'"),
    "a misspelt own output": (
        step("{command: 'echo {{ outputs.y }}', outputs: {z: z}}"), 5, 25, "HF202", "the step has no output 'y'", "z"),
    "a misspelt resource": (
        step("{command: 'echo {{ resources.cpu }}'}"), 5, 25, "HF208", "no resource 'cpu'", "'cpus'"),
    "a step as a value": (step("{command: 'echo {{ a }}'}"), 5, 25, "HF204", "'a' is a step, not a value", "a.o"),
    "a function as a value": (step("{command: 'echo {{ len }}'}"), 5, 25, "HF204", "'len' is a function", "len(...)"),
    "a misspelt function": (
        step("{command: x, scatter: {i: '{{ rnge(inputs.n) }}'}}"), 5, 36, "HF204", "'rnge' is not known", "'range'"),
    "an unknown filter": (
        step("{command: 'echo {{ inputs.f | basenam }}'}"), 5, 36, "HF209", "no filter 'basenam'", "'basename'"),
    "a broken template": (
        step("{command: 'echo {{ inputs.n'}"), 5, 22, "HF120", "not a valid template", "every '{{' needs its '}}'"),
    "a scatter variable taken for an input": (
        step("{command: 'echo {{ inputs.i }}', scatter: {i: [1]}}"), 5, 25, "HF201", "'i' is a scatter variable", "write i alone"),
    # types
    "unknown type": ("inputs: {f: {type: Fle}}\n" + ONE_STEP, 2, 20, "HF210", "'Fle' is not a type", "'File'"),
    "default of another type": (
        "inputs: {k: {type: int, default: hi}}\n" + ONE_STEP, 2, 34, "HF203", "takes int, gets string 'hi'", ""),
    "default out of the enum": (
        "inputs: {k: {enum: [red, blue], default: rad}}\n" + ONE_STEP, 2, 42, "HF203", "gets 'rad'", ""),
    "one file for an array": (
        step("{command: x, inputs: {x: {from: a.o, type: 'File[]'}}}"),
        5, 31, "HF203", "step 'b': input 'x' takes File[], gets File", "write [a.o]"),
    "an array for one file": (
        "steps:\n  a: {command: x, scatter: {i: [1]}, outputs: {o: o}}\n  b: {command: x, inputs: {x: {from: a.o, type: File}}}\n",
        4, 31, "HF203", "input 'x' takes File, gets File[]", "scatter: [x]"),
    "a text for a number": (
        step("{inputs: {m: hi}, workflow: {inputs: {m: int}, steps: {c: {command: x}}}}"),
        5, 19, "HF203", "step 'b': input 'm' takes int, gets string 'hi'", ""),
    "scatter over a number": (step("{command: x, scatter: {i: 10}}"), 5, 32, "HF203", "cannot scatter 'i' over int", "range(10)"),
    # scatter, when, loop
    "scatter over no input": (step("{command: x, scatter: [i]}"), 5, 29, "HF201", "no input 'i' to scatter over", "scatter: {name"),
    "scatter that hides an input": (
        step("{command: x, inputs: {i: 1}, scatter: {i: [1]}}"), 5, 45, "HF219", "hides the input 'i'", "scatter: [i]"),
    "scatter that hides a step": (step("{command: x, scatter: {a: [1]}}"), 5, 29, "HF219", "hides the step 'a'", "rename"),
    "scatter called like a function": (step("{command: x, scatter: {len: [1]}}"), 5, 29, "HF112", "cannot be called 'len'", ""),
    "method alone": (step("{command: x, method: dot}"), 5, 19, "HF215", "'method' without 'scatter'", ""),
    "unknown method": (step("{command: x, scatter: {i: [1]}, method: doot}"), 5, 46, "HF113", "the text 'doot'", "'dot'"),
    "when without braces": (step("{command: x, when: inputs.n > 3}"), 5, 25, "HF113", "'when' takes an expression", "{{ inputs.n > 3 }}"),
    "a study without parameters": (study(GOAL), 5, 7, "HF227", "has no parameters", "low: 0"),
    "a study without a goal": (study(X), 5, 7, "HF227", "neither 'minimize' nor 'maximize'", "minimize: "),
    "a study with two goals": (
        study(f"{X}, {GOAL}, maximize: '{{{{ outputs.o }}}}'"), 5, 7, "HF227", "both 'minimize' and 'maximize'", "minimize: "),
    "a goal that reads no output": (
        study(X + ", minimize: '{{ x }}'"), 5, 61, "HF227", "reads no output of the trial", "outputs.loss"),
    "a goal in no output": (
        study(X + ", minimize: '{{ outputs.p }}'"), 5, 65, "HF202", "the step has no output 'p'", ""),
    "a goal that is a name": (study(X + ", minimize: o"), 5, 61, "HF113", "'minimize' takes an expression", "{{ outputs"),
    "bounds the wrong way round": (
        study(f"parameters: {{x: {{low: 2, high: 1}}}}, {GOAL}"), 5, 31, "HF227", "'low' is 2, above 'high', 1", ""),
    "a logarithm of zero": (
        study(f"parameters: {{x: {{low: 0.0, high: 1, log: true}}}}, {GOAL}"), 5, 31, "HF227", "'log' needs bounds above 0", ""),
    "half bounds": (study(f"parameters: {{x: {{low: 2}}}}, {GOAL}"), 5, 31, "HF227", "'high' takes a number, is not given", ""),
    "a parameter that is a number": (study(f"parameters: {{x: 3}}, {GOAL}"), 5, 31, "HF227", "takes bounds or choices", "low: 0"),
    "a parameter that hides an input": (
        study(f"{X}, {GOAL}", ", inputs: {x: 1}"), 5, 28, "HF219", "'x' hides an input", "rename"),
    "a parameter that hides a step": (
        study(f"parameters: {{a: {{low: 0, high: 1}}}}, {GOAL}"), 5, 28, "HF219", "hides the step 'a'", "rename"),
    "a pruner without rounds": (study(f"{X}, {GOAL}, pruner: median"), 5, 80, "HF227", "'pruner' without 'loop'", "loop:"),
    "an output called study": (
        step(f"{{command: x, outputs: {{study: s, o: o}}, study: {{{X}, {GOAL}}}}}"),
        5, 36, "HF212", "cannot be called 'study'", "rename"),
    "a first point with an unknown parameter": (
        study(f"{X}, {GOAL}, first: {{y: 1}}"), 5, 88, "HF201", "no parameter 'y'", "x"),
    "no trials": (study(f"{X}, {GOAL}, trials: 0"), 5, 88, "HF113", "'trials' takes a whole number from 1", ""),
    "loop without while": (step("{command: x, loop: {limit: 3}}"), 5, 19, "HF220", "the loop has no 'while'", "add while"),
    "loop of an unknown port": (
        step("{command: x, inputs: {x: 1}, loop: {while: '{{ inputs.x }}', next: {y: 1}}}"),
        5, 74, "HF201", "no input 'y' to carry on", "x"),
    # modifiers
    "a strange amount": (step("{command: x, resources: {memory: lots}}"), 5, 39, "HF213", "not an amount of memory", "2 GB"),
    "a strange time": (step("{command: x, resources: {walltime: soon}}"), 5, 41, "HF213", "is not a time", "30 min"),
    "minus two cpus": (step("{command: x, resources: {cpus: -2}}"), 5, 37, "HF213", "-2 is not a number of cpus", ""),
    "half a gpu": (step("{command: x, resources: {gpus: 0.5}}"), 5, 37, "HF213", "whole number of gpus", ""),
    "unknown resource": (step("{command: x, resources: {cpu: 1}}"), 5, 31, "HF111", "no key 'cpu'", "'cpus'"),
    "many retries": (step("{command: x, retries: many}"), 5, 28, "HF113", "'retries' takes a whole number", ""),
    "a list as a variable": (step("{command: x, env: {A: [1]}}"), 5, 28, "HF113", "'A' takes text or a number, gets a list", ""),
    "a fault in the defaults": (
        "defaults: {resources: {memory: lots}}\n" + ONE_STEP, 2, 32, "HF213", "not an amount of memory", "2 GB"),
    "unknown default": ("defaults: {command: x}\n" + ONE_STEP, 2, 12, "HF111", "'defaults' has no key", ""),
    # outputs
    "an absolute output": (step("{command: x, outputs: {o: /tmp/o}}"), 5, 32, "HF211", "not relative to the task's folder", "own folder"),
    "an output outside": (step("{command: x, outputs: {o: ../o}}"), 5, 32, "HF211", "leaves the task's folder", "own folder"),
    "one file twice": (step("{command: x, outputs: {o: o.txt, p: o.txt}}"), 5, 39, "HF212", "are the same file 'o.txt'", "own name"),
    "an output without a file": (step("{command: x, outputs: {o: {type: int}}}"), 5, 29, "HF207", "names no file", "'path'"),
    "a list for a command": (step("{command: x, outputs: [o]}"), 5, 28, "HF207", "is for 'python' steps", "file.txt"),
    "many files as one value": (
        step("{command: x, outputs: {o: {glob: '*.x', read: json}}}"), 5, 52, "HF207", "several files cannot be read", ""),
    "an unknown reading": (
        step("{command: x, outputs: {o: {path: x, read: jsn}}}"), 5, 48, "HF113", "'read' takes file, json, text", "'json'"),
    # other files
    "a missing file": (step("{uses: recipes.yaml}"), 5, 13, "HF225", "there is no file 'recipes.yaml'", "'recipe.yaml'"),
    "a file that uses itself": (step("{uses: recipe.yaml}"), 5, 13, "HF224", "recipe.yaml -> recipe.yaml", "break"),
    "a missing module": (step("{python: 'no_such_module_x:f'}"), 5, 15, "HF221", "no module 'no_such_module_x'", ""),
    "no function": (step("{python: 'json'}"), 5, 15, "HF221", "'json' is not a Python function", "package.module:function"),
    "an unknown function": (step("{python: 'json:lods'}"), 5, 15, "HF221", "has no function 'lods'", "'loads'"),
    "missing sources": (step("{command: x, sources: [nope/*.py]}"), 5, 29, "HF222", "no file 'nope/*.py'", "folder"),
    # nested workflows
    "an input not given": (
        step("{workflow: {inputs: {m: int}, steps: {c: {command: x}}}}"), 5, 3, "HF205", "the input 'm' is not given", "inputs: {m"),
    "an input not asked for": (
        step("{inputs: {k: 1}, workflow: {inputs: {m: 1}, steps: {c: {command: x}}}}"),
        5, 16, "HF201", "has no input 'k'", "m"),
    "outputs beside a workflow": (
        step("{workflow: {steps: {c: {command: x}}}, outputs: {o: o}}"), 5, 45, "HF216", "'outputs' means nothing", "remove"),
    "the outer inputs inside": (
        step("{workflow: {steps: {c: {command: 'echo {{ inputs.n }}'}}}}"), 5, 48, "HF201", "no input 'n'", ""),
    # the whole
    "a cycle": (
        "steps:\n  a: {command: x, inputs: {x: b.o}, outputs: {o: o}}\n  b: {command: x, inputs: {x: a.o}, outputs: {o: o}}\n",
        3, 3, "HF223", "wait for each other: a -> b -> a", "break"),
    "a step that waits for itself": (
        "steps: {a: {command: 'echo {{ a.o }}', outputs: {o: o}}}\n", 2, 9, "HF223", "waits for its own output", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_told_with_place_code_sentence_and_remedy(faults: Faults, name: str) -> None:
    text, line, column, code, what, fix = CASES[name]
    (problem,) = faults(text)
    assert (problem.place.line, problem.place.column, problem.code) == (line, column, code), problem
    assert what in problem.what
    assert fix in problem.fix
    assert Path(problem.place.file).name == "recipe.yaml"


def test_a_name_is_found_inside_a_block(faults: Faults) -> None:
    (problem,) = faults(
        """
        steps:
          a:
            command: |
              echo one
              echo {{ two }}
        """
    )
    assert (problem.place.line, problem.place.column) == (6, 15)


def test_a_broken_template_is_found_inside_a_block(faults: Faults) -> None:
    (problem,) = faults(
        """
        inputs: {n: 1}
        steps:
          a:
            command: |
              echo {{ inputs.n }}
              echo {{ inputs.n + }}
        """
    )
    assert (problem.code, problem.place.line, problem.place.column) == ("HF120", 7, 12)
    assert problem.why == "in: echo {{ inputs.n + }}"


def test_all_faults_come_at_once_sorted_by_line(faults: Faults) -> None:
    found = faults(
        step("{command: 'echo {{ x }} {{ y }}', when: no, retris: 1}") + "outputs: {o: b.c}\n"
    )
    assert [problem.place.line for problem in found] == [5, 5, 5, 5, 6]
    assert len({str(problem) for problem in found}) == 5


def test_faults_of_a_used_file_are_told_with_those_of_the_user(
    faults: Faults, write: Callable[[str, str], Path]
) -> None:
    write("hepflow: v1\nsteps: {a: {comand: x}}\n", "inner.yaml")
    found = faults("nam: x\nsteps: {a: {uses: inner.yaml}, b: {uses: inner.yaml}}\n")
    assert sorted({Path(problem.place.file).name for problem in found}) == [
        "inner.yaml",
        "recipe.yaml",
    ]


def test_files_that_use_each_other_are_shown(
    faults: Faults, write: Callable[[str, str], Path]
) -> None:
    write("hepflow: v1\nsteps: {a: {uses: recipe.yaml}}\n", "inner.yaml")
    (problem,) = faults("steps: {a: {uses: inner.yaml}}\n")
    assert "recipe.yaml -> inner.yaml -> recipe.yaml" in problem.what


def test_a_file_of_another_language_needs_that_language(
    faults: Faults, write: Callable[[str, str], Path]
) -> None:
    write("cwlVersion: v1.2\n", "tool.cwl")
    (problem,) = faults("steps: {a: {uses: tool.cwl}}\n")
    assert (problem.code, problem.what) == (
        "HF226",
        "'tool.cwl' is not a native recipe, the only language here",
    )


def test_a_text_with_a_dot_is_no_link_unless_it_nearly_is(load: Load) -> None:
    workflow = load(step("{command: x, inputs: {x: data.npz, y: 1.2.3, z: {value: inputt.x}}}"))
    given = workflow.steps[1].inputs
    assert [given[name].default for name in "xyz"] == ["data.npz", "1.2.3", "inputt.x"]
