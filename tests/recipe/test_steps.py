"""Steps of every kind: how they are fed, what they run, what they leave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hepflow.model.protocols import LoadOptions
from hepflow.model.task import Argv, Container, Output, Read, Resources
from hepflow.model.values import File, Value
from hepflow.model.workflow import Binding, Merge, Pick, Ref, Retry, Scatter, Workflow
from hepflow.recipe import NativeLanguage, starter
from hepflow.recipe.tools import spelled
from tests.recipe.conftest import Load
from tests.recipe.running import (
    argv,
    call,
    collected,
    fingerprint,
    planned,
    shell,
    step,
    values,
)

A = "steps:\n  a: {command: 'true', outputs: {o: o.txt, p: p.txt}}\n"

# --- inputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "type_", "default"),
    [
        ("500", "int", 500), ("0.5", "float", 0.5), ("true", "boolean", True), ("hello", "string", "hello"),
        ("[1, 2]", "int[]", [1, 2]), ("~", "any", None), ("{type: float, default: 1}", "float", 1.0),
        ("{default: [a]}", "string[]", ["a"]), ("{type: int, default: ~}", "int?", None),
        ("{type: 'int?'}", "int?", None), ("{enum: [a, b], default: b}", "one of a, b", "b"),
        ("{type: record, default: {x: 1}}", "record", {"x": 1}),
    ],
)  # fmt: skip
def test_an_input_in_short_and_long_form(
    load: Load, written: str, type_: str, default: Value
) -> None:
    (port,) = load(f"inputs: {{x: {written}}}\n{A}").inputs
    assert (str(port.type), port.default) == (type_, default)


@pytest.mark.parametrize("type_", ["int", "File", "File[]", "string", "Directory"])
def test_a_type_alone_is_a_required_input(load: Load, type_: str) -> None:
    for written in (type_, f"{{type: '{type_}'}}"):
        (port,) = load(
            f"inputs: {{x: {written!r}}}\n{A}"
            if written == type_
            else f"inputs: {{x: {written}}}\n{A}"
        ).inputs
        assert (str(port.type), repr(port.default)) == (type_, "REQUIRED")


def test_files_by_default_lie_beside_the_recipe(load: Load, tmp_path: Path) -> None:
    ports = load(
        "inputs:\n  a: {type: File, default: d/x}\n  b: {type: 'File[]', default: [x, /y, 'root://h//z']}\n"
        "  c: {type: Directory, default: ../d}\n" + A
    ).inputs
    assert ports[0].default == File(f"{tmp_path}/d/x")
    assert ports[1].default == [File(f"{tmp_path}/x"), File("/y"), File("root://h//z")]
    assert ports[2].default.location == str(tmp_path.parent / "d")  # type: ignore[union-attr]


# --- links ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "binding"),
    [
        ("a.o", Binding((Ref("a", "o"),))),
        ("inputs.n", Binding((Ref("", "n"),))),
        ("5", Binding(default=5)),
        ("some text", Binding(default="some text")),
        ("[1, 2]", Binding(default=[1, 2])),
        ("{x: 1}", Binding(default={"x": 1})),
        ("{value: a.o}", Binding(default="a.o")),
        ("[a.o, a.p]", Binding((Ref("a", "o"), Ref("a", "p")), Merge.NESTED)),
        ("[a.o]", Binding((Ref("a", "o"),), Merge.NESTED)),
        ("{from: a.o}", Binding((Ref("a", "o"),))),
        ("{from: [a.o, a.p], merge: flattened}", Binding((Ref("a", "o"), Ref("a", "p")), Merge.FLATTENED)),
        ("{from: [a.o, a.p], pick: first_non_null}", Binding((Ref("a", "o"), Ref("a", "p")), None, Pick.FIRST_NON_NULL)),
        ("{from: a.o, default: 3}", Binding((Ref("a", "o"),), default=3)),
        ("'{{ 5 }}'", Binding(default=5)),
    ],
)  # fmt: skip
def test_what_feeds_a_port(load: Load, written: str, binding: Binding) -> None:
    workflow = load(f"inputs: {{n: 1}}\n{A}  b: {{command: 'true', inputs: {{x: {written}}}}}\n")
    assert step(workflow, "b").inputs["x"] == binding


def test_a_name_of_another_step_in_a_template_is_a_dependency(load: Load) -> None:
    workflow = load(A + "  b: {command: 'cat {{ a.o }}'}\n")
    assert step(workflow, "b").inputs == {"a.o": Binding((Ref("a", "o"),))}
    assert shell(workflow, "b", {"a.o": File("/x y")}) == "cat '/x y'"


def test_own_inputs_come_before_the_workflows_in_templates_only(load: Load) -> None:
    workflow = load(
        "inputs: {n: 1, m: 7}\nsteps: {b: {inputs: {n: '{{ inputs.n + 1 }}'}, command: 'echo {{ inputs.n }} {{ inputs.m }}'}}\n"
    )
    assert shell(workflow, "b") == "echo 2 7"


def test_expressions_inside_a_constant_are_filled_in(load: Load) -> None:
    workflow = load(
        "inputs: {n: 1}\nsteps: {b: {inputs: {x: {k: ['{{ inputs.n }}', 'v{{ inputs.n }}']}}, command: x}}\n"
    )
    assert values(workflow, "b")["x"] == {"k": [1, "v1"]}


def test_outputs_of_the_recipe_are_links_or_expressions(load: Load) -> None:
    workflow = load(
        A + "inputs: {n: 2}\noutputs: {x: a.o, y: '{{ [a.o, inputs.n] }}', z: [a.o, a.p]}\n"
    )
    assert workflow.outputs["x"] == Binding((Ref("a", "o"),))
    assert workflow.outputs["z"] == Binding((Ref("a", "o"), Ref("a", "p")), Merge.NESTED)
    binding = workflow.outputs["y"]
    assert binding.sources == (Ref("a", "o"), Ref("", "n"))
    assert binding.expression is not None
    assert binding.expression.evaluate({"a.o": 1, "inputs.n": 2}) == [1, 2]


# --- scatter, when, loop --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "method"),
    [("dot", Scatter.DOT), ("nested", Scatter.NESTED), ("flat", Scatter.FLAT),
     ("dotproduct", Scatter.DOT), ("nested_crossproduct", Scatter.NESTED), ("flat_crossproduct", Scatter.FLAT)],
)  # fmt: skip
def test_scatter_methods_in_short_and_in_cwls_words(load: Load, word: str, method: Scatter) -> None:
    workflow = load(
        f"steps: {{b: {{scatter: {{i: [1, 2], j: [3, 4]}}, method: {word}, command: x}}}}\n"
    )
    found = step(workflow, "b")
    assert (found.scatter, found.method) == (("i", "j"), method)
    assert found.inputs == {"i": Binding(default=[1, 2]), "j": Binding(default=[3, 4])}


def test_scatter_over_a_declared_input(load: Load) -> None:
    workflow = load(
        "inputs: {xs: [1, 2]}\nsteps: {b: {inputs: {x: inputs.xs}, scatter: [x], command: 'echo {{ inputs.x }} {{ x }}'}}\n"
    )
    assert step(workflow, "b").scatter == ("x",)
    assert shell(workflow, "b", x=2) == "echo 2 2"


def test_when_reads_the_values_of_an_invocation(load: Load) -> None:
    workflow = load(
        "inputs: {n: 3}\nsteps: {b: {scatter: {i: [1, 2]}, when: '{{ i < inputs.n }}', command: x}}\n"
    )
    when = step(workflow, "b").when
    assert when is not None
    assert when.evaluate(values(workflow, "b", i=2)) is True
    assert "inputs.n" not in fingerprint(workflow, "b", i=2)


def test_a_loop_carries_outputs_to_inputs(load: Load) -> None:
    workflow = load(
        """
        steps:
          b:
            inputs: {x: 1, y: 2}
            command: echo {{ inputs.x }}
            outputs: {z: {path: z, read: json}}
            loop: {while: "{{ inputs.x < 9 }}", next: {x: "{{ outputs.z + inputs.y }}", y: "{{ outputs.z }}"}, collect: all, limit: 5}
        """
    )
    loop = step(workflow, "b").loop
    assert loop is not None
    assert (loop.keep_all, loop.limit) == (True, 5)
    assert loop.condition.evaluate({"x": 8}) is True
    assert loop.carry["x"].evaluate({"x": 1, "y": 2, "outputs": {"z": 5}}) == 7
    assert loop.carry["y"].evaluate({"outputs": {"z": 5}}) == 5


# --- commands and scripts -------------------------------------------------------------------------


def test_a_list_is_a_program_and_its_arguments_without_a_shell(load: Load) -> None:
    workflow = load(
        "inputs: {xs: [a b, c], e: [], s: ''}\nsteps: {b: {command: [prog, '{{ inputs.xs }}', 'x={{ inputs.xs }}', 5, true, "
        "'{{ inputs.e }}', '{{ inputs.s }}', '{{ outputs.o }}'], outputs: {o: o}}}\n"
    )
    assert argv(workflow, "b") == ("prog", "a b", "c", "x=a b", "c", "5", "true", "", "o")


def test_a_script_runs_in_bash_or_as_its_first_line_says(load: Load) -> None:
    workflow = load(
        """
        inputs: {x: [it's, 2]}
        steps:
          sh: {script: "echo {{ inputs.x }}"}
          py:
            script: |
              #!/usr/bin/env python3
              print({{ inputs.x }})
          r:
            script: {interpreter: Rscript --vanilla, text: "x <- {{ inputs.x }}", file: fit.R}
        """
    )
    assert shell(workflow, "sh") == "echo 'it'\"'\"'s' 2"
    task = planned(workflow, "py")
    assert task.command == Argv(("python3", "script.py"))
    assert task.texts == (("script.py", '#!/usr/bin/env python3\nprint(["it\'s", 2])\n'),)
    task = planned(workflow, "r")
    assert task.command == Argv(("Rscript", "--vanilla", "fit.R"))
    assert task.texts == (("fit.R", 'x <- ["it\'s", 2]'),)


def test_a_listing_writes_a_long_array_into_a_file(load: Load) -> None:
    workflow = load(
        "inputs: {xs: [a b, c]}\nsteps: {b: {command: 'cat $(cat {{ inputs.xs | listing }}) {{ inputs.xs | listing }}'}}\n"
    )
    task = planned(workflow, "b")
    assert task.texts == (("listing1.txt", "a b\nc\n"),)
    assert shell(workflow, "b") == "cat $(cat listing1.txt) listing1.txt"


def test_blocks_of_jinja_leave_no_empty_lines(load: Load) -> None:
    workflow = load(
        """
        inputs: {xs: [1, 2]}
        steps:
          b:
            command: |
              {% for x in inputs.xs %}
              echo {{ x }}
              {% endfor %}
        """
    )
    assert shell(workflow, "b") == "echo 1\necho 2\n"


def test_a_checkpoint_is_a_name_or_several_and_counts_for_no_fingerprint(load: Load) -> None:
    workflow = load(
        """
        steps:
          one: {command: x, checkpoint: state/}
          several: {command: x, checkpoint: [a.npz, b/c]}
          plain: {command: x}
          call: {python: "json:dumps", inputs: {obj: 1}, checkpoint: a.npz}
        """
    )
    assert planned(workflow, "one").checkpoint == ("state",)
    assert planned(workflow, "several").checkpoint == ("a.npz", "b/c")
    assert planned(workflow, "call").checkpoint == ("a.npz",)
    prints = {fingerprint(workflow, name) for name in ("one", "several", "plain")}
    assert len(prints) == 1


def test_resources_env_container_and_retries(load: Load) -> None:
    workflow = load(
        """
        inputs: {n: 3}
        defaults: {resources: {cpus: 2, memory: 1 GiB}, env: {A: 1, B: 2}, container: base, retries: 1, limit: 4}
        steps:
          b:
            scatter: {i: [1]}
            command: run -j {{ resources.cpus }} -m {{ resources.memory_mib }}
            resources: {memory: "{{ i * inputs.n }} GiB", gpus: {count: 2, kind: a100}, walltime: 1:00:00, disk: 1 GiB}
            env: {B: "{{ i }} x", C: true}
            retries: {times: 3, delay: 1 min, memory_factor: 2}
            cache: false
          c: {command: x, resources: {gpus: 1}}
        """
    )
    task = planned(workflow, "b", i=2)
    assert task.resources == Resources(2.0, 6144, 1024, 2, "a100", 3600.0)
    assert task.env == {"A": "1", "B": "2 x", "C": "true"}
    assert task.container == Container("base")
    assert shell(workflow, "b", i=2) == "run -j 2 -m 6144"
    found = step(workflow, "b")
    assert (found.retry, found.cache, found.limit) == (Retry(3, 60.0, 2.0), False, 4)
    assert planned(workflow, "c").resources == Resources(2.0, 1024, 0, 1)
    assert step(workflow, "c").retry == Retry(1)


# --- outputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "output", "type_"),
    [
        ("o.txt", Output("o", "o.txt"), "File"),
        ("'*.root'", Output("o", "*.root", many=True), "File[]"),
        ("plots/", Output("o", "plots", directory=True), "Directory"),
        ("{path: o.json, read: json, type: float}", Output("o", "o.json", read=Read.JSON), "float"),
        ("{path: o.txt, read: text}", Output("o", "o.txt", read=Read.TEXT), "string"),
        ("{glob: 'a*', optional: true}", Output("o", "a*", many=True, optional=True), "File[]"),
        ("{directory: d}", Output("o", "d", directory=True), "Directory"),
        ("{path: o, optional: true}", Output("o", "o", optional=True), "File?"),
    ],
)  # fmt: skip
def test_outputs_as_files_globs_directories_and_values(
    load: Load, written: str, output: Output, type_: str
) -> None:
    workflow = load(f"steps: {{b: {{command: x, outputs: {{o: {written}}}}}}}\n")
    assert planned(workflow, "b").outputs == (output,)
    assert str(step(workflow, "b").outputs[0].type) == type_


def test_the_path_of_an_output_may_depend_on_the_invocation(load: Load) -> None:
    workflow = load(
        "steps: {b: {scatter: {i: [1]}, command: 'touch {{ outputs.o }}', outputs: {o: 'a {{ i }}.txt'}}}\n"
    )
    assert planned(workflow, "b", i=3).outputs == (Output("o", "a 3.txt"),)
    assert shell(workflow, "b", i=3) == "touch 'a 3.txt'"
    with pytest.raises(ValueError, match="leaves the task's folder"):
        planned(workflow, "b", i="/../..")


def test_contents_are_read_as_declared(load: Load) -> None:
    workflow = load(
        "steps: {b: {command: x, outputs: {j: {path: j, read: json, type: float}, t: {path: t, read: text}, f: f, n: {path: n, read: json, optional: true}}}}\n"
    )
    given: dict[str, Value] = {"j": "5", "t": "hi\n", "f": File("/f"), "n": None}
    assert collected(workflow, "b", given) == {"j": 5.0, "t": "hi", "f": File("/f"), "n": None}


@pytest.mark.parametrize(
    ("content", "why"),
    [("{1", "output 'j': j.json is not JSON: .* at line 1 column 2"), ('"x"', r"output 'j' \(j.json\): takes float, gets string 'x'"),
     ("null", "takes float, gets null"), ("[" * 100_000, "nested too deeply")],
)  # fmt: skip
def test_an_output_that_is_not_as_declared_is_told(load: Load, content: str, why: str) -> None:
    workflow = load(
        "steps: {b: {command: x, outputs: {j: {path: j.json, read: json, type: float}}}}\n"
    )
    with pytest.raises(ValueError, match=why):
        collected(workflow, "b", {"j": content})


# --- python ---------------------------------------------------------------------------------------


@pytest.fixture
def module(write: Callable[[str, str], Path]) -> Path:
    return write("from pathlib import Path\ndef fit(x, y=1):\n    return x\n", "fitting_module.py")


def test_a_function_gets_inputs_and_is_offered_the_rest(load: Load, module: Path) -> None:
    workflow = load(
        "inputs: {f: {type: File, default: d}, n: 1}\nsteps: {b: {scatter: {i: [1]}, inputs: {x: inputs.f, y: [1, '{{ inputs.n }}']}, python: fitting_module:fit, "
        "outputs: {o: o.npz, r: {returns: true}, s: {type: int}}}}\n"
    )
    found = call(workflow, "b", i=4)
    assert found.arguments == {"x": str(module.parent / "d"), "y": [1, 1]}
    assert found.offered == {"i": 4, "o": "o.npz"}
    assert [out.path for out in planned(workflow, "b", i=4).outputs] == ["o.npz", "", ""]


def test_what_holds_no_file_is_handed_to_a_function_as_the_object_that_it_is(
    load: Load, module: Path
) -> None:
    workflow = load(
        "inputs: {a: [1]}\nsteps: {b: {scatter: {x: inputs.a}, python: fitting_module:fit}}\n"
    )
    plain: list[Value] = [1.5, "t", None, [True, {"k": [2]}]]
    assert call(workflow, "b", x=plain).offered["x"] is plain
    held = call(workflow, "b", x=[*plain, File("/d")]).offered["x"]
    assert held == [*plain, "/d"]
    assert all(type(item) is not File for item in held)


def test_a_function_without_outputs_gives_its_result(load: Load, module: Path) -> None:
    workflow = load(
        "steps: {b: {python: fitting_module:fit, inputs: {x: 1}}, c: {python: fitting_module:fit, inputs: {x: 1}, outputs: [p, q]}}\n"
    )
    assert [port.name for port in step(workflow, "b").outputs] == ["result"]
    assert planned(workflow, "c").outputs == (Output("p"), Output("q"))
    assert collected(workflow, "b", {"result": 5}) == {"result": 5}


# --- nested workflows -----------------------------------------------------------------------------


def test_a_workflow_in_place_has_the_steps_inputs(load: Load) -> None:
    workflow = load(
        """
        inputs: {n: 3}
        steps:
          each:
            scatter: {i: [1, 2]}
            inputs: {m: inputs.n}
            workflow:
              steps:
                one: {command: "echo {{ inputs.i }} {{ inputs.m }}", outputs: {o: o}}
                two: {command: "cat {{ one.o }}", outputs: {o: o}}
              outputs: {x: two.o}
          last: {inputs: {xs: each.x}, command: "cat {{ inputs.xs }}"}
        """
    )
    each = step(workflow, "each")
    assert isinstance(each.run, Workflow)
    assert [port.name for port in each.run.inputs] == ["m", "i"]
    assert [port.name for port in each.outputs] == ["x"]
    assert each.run.outputs == {"x": Binding((Ref("two", "o"),))}


def test_another_recipe_is_a_step(
    load: Load, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write(
        "hepflow: v1\ninputs: {f: File, n: 1}\nsteps: {s: {command: x, outputs: {o: o}}}\noutputs: {o: s.o}\n",
        "sub/inner.yaml",
    )
    workflow = load(
        "steps: {u: {uses: sub/inner.yaml, inputs: {f: data.txt}}, v: {command: 'cat {{ u.o }}'}}\n"
    )
    found = step(workflow, "u")
    assert isinstance(found.run, Workflow)
    assert found.run.name == "inner"
    assert found.inputs == {"f": Binding(default=File(f"{tmp_path}/data.txt"))}


def test_other_languages_are_asked_for_by_who_loads(write: Callable[[str, str], Path]) -> None:
    write("cwlVersion: v1.2\n", "t.cwl")
    path = write("hepflow: v1\nsteps: {u: {uses: 't.cwl#main'}}\n", "r.yaml")
    asked: list[tuple[str, str]] = []

    def other(file: Path, options: LoadOptions) -> Workflow:
        asked.append((file.name, options.target))
        return Workflow("foreign")

    workflow = NativeLanguage(other).load(path, LoadOptions())
    assert asked == [("t.cwl", "main")]
    assert workflow.steps[0].run.name == "foreign"  # type: ignore[union-attr]


# --- fingerprints ---------------------------------------------------------------------------------

BASE = "inputs: {n: 1, m: 2}\nsteps: {b: {inputs: {x: 1, y: '{{ inputs.m }}'}, command: 'echo {{ inputs.n }}', outputs: {o: o}, doc: d%s}}\n"


def test_a_fingerprint_holds_what_the_task_is_line_by_line(load: Load) -> None:
    assert fingerprint(load(BASE % ""), "b").splitlines() == [
        'tool=command "echo {{ inputs.n }}"',
        "outputs=o:o:file",
        "inputs.n=1",
        "inputs.x=1",
        "inputs.y=2",
    ]


@pytest.mark.parametrize(
    ("change", "same"),
    [(", resources: {cpus: 4}", True), (", retries: 3", True), (", cache: true", True), (", limit: 2", True),
     (", when: '{{ inputs.n > 0 }}'", True), (", env: {A: 1}", False), (", container: image", False)],
)  # fmt: skip
def test_only_what_a_task_is_changes_its_fingerprint(load: Load, change: str, same: bool) -> None:
    assert (fingerprint(load(BASE % ""), "b") == fingerprint(load(BASE % change), "b")) is same


def test_resources_count_where_the_command_uses_them(load: Load) -> None:
    recipe = "steps: {b: {command: 'x {{ resources.cpus }}', resources: {cpus: %s}}}\n"
    assert fingerprint(load(recipe % 1), "b") != fingerprint(load(recipe % 2), "b")


def test_the_order_of_keys_and_the_place_of_the_recipe_do_not_count(load: Load) -> None:
    one = load("steps: {b: {inputs: {x: 1, y: 2}, command: x}}\n")
    two = load("steps: {b: {command: x, inputs: {y: 2, x: 1}}}\n", name="elsewhere/other.yaml")
    assert fingerprint(one, "b") == fingerprint(two, "b")


def test_sources_count_by_content(load: Load, write: Callable[[str, str], Path]) -> None:
    write("one", "src/a.py")
    recipe = "steps: {b: {command: x, sources: [src/*.py]}}\n"
    first = fingerprint(load(recipe), "b")
    assert "source.src/a.py=" in first
    write("two", "src/a.py")
    assert fingerprint(load(recipe), "b") != first


def test_a_long_array_is_spelled_once() -> None:
    array = list(range(100_000))
    text = spelled(array)
    assert text.startswith("sha256:")
    assert spelled(array) is text
    assert spelled(list(array)) == text
    assert spelled([*array, 1]) != text


# --- profiles and settings ------------------------------------------------------------------------

TUNED = """
inputs: {n: {type: int, default: 10, doc: how many}, s: a}
profiles:
  quick: {inputs: {n: 1}, steps: {b: {resources: {cpus: 4}}}}
  more: {inputs: {s: b}}
steps: {b: {command: 'echo {{ inputs.n }}', resources: {cpus: 1, memory: 10}}}
"""


def test_profiles_are_laid_over_the_file_in_order(load: Load) -> None:
    workflow = load(TUNED, profiles=["quick", "more"])
    assert [(port.default, str(port.type), port.doc) for port in workflow.inputs] == [
        (1, "int", "how many"),
        ("b", "string", ""),
    ]
    assert planned(workflow, "b").resources == Resources(4.0, 10)


def test_settings_are_laid_over_everything(load: Load) -> None:
    workflow = load(
        TUNED,
        profiles=["quick"],
        settings={"steps.b.resources.cpus": "8", "inputs.n": "3", "steps.b.retries": "{times: 2}"},
    )
    assert workflow.inputs[0].default == 3
    assert planned(workflow, "b").resources.cpus == 8.0
    assert step(workflow, "b").retry == Retry(2)


def test_faults_of_profiles_and_settings_are_told_where_they_stand(
    faults: Callable[..., list[object]],
) -> None:
    (problem,) = faults(TUNED, profiles=["quik"])
    assert "no profile 'quik'" in str(problem)
    assert "did you mean 'quick'" in str(problem)
    (problem,) = faults(TUNED, settings={"steps.b.resources.cpus": "many"})
    assert str(problem).startswith("--set steps.b.resources.cpus=many  HF213")
    (problem,) = faults(TUNED.replace("cpus: 4", "cpus: x"), profiles=["quick"])
    assert ":4:57  HF213" in str(problem)


def test_the_starter_loads(write: Callable[[str, str], Path]) -> None:
    workflow = NativeLanguage().load(write(starter(), "start.yaml"), LoadOptions())
    assert workflow.steps
