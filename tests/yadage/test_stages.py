"""How stages make their nodes, what they select, and when they may begin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow import api
from hepflow.model.values import Value
from hepflow_yadage.scheduling import nodes_of
from hepflow_yadage.specs import Kind, Scheduler, Scope
from hepflow_yadage.view import View
from tests.yadage.conftest import Run, initial, shell, stage, zipped

Left = Callable[[], dict[str, str]]

WRITE = shell("echo {word} > {out}")


def write(name: str, word: Any, *after: str, **scheduler: Any) -> dict[str, Any]:
    """A stage whose node writes a word into a file that it publishes."""
    parameters = {"word": word, "out": "{workdir}/word.txt"}
    return stage(name, parameters, *(after or ("init",)), **{"step": WRITE, **scheduler})


def selected(stages: str, output: str = "out", **more: Any) -> dict[str, Any]:
    return {"stages": stages, "output": output, **more}


def joined(name: str, selection: Any, *after: str) -> dict[str, Any]:
    """A stage whose node prints the names of the folders that files are in, and the files' words."""
    parameters = {"files": selection, "out": "{workdir}/all.txt"}
    return stage(name, parameters, *after, step=shell("cat {files} > {out}"))


def by_jq(name: str, bindings: dict[str, Any], stepscript: str, **more: Any) -> dict[str, Any]:
    said = {"scheduler_type": "jq-stage", "bindings": bindings, "stepscript": stepscript}
    return {"name": name, "dependencies": ["init"], "scheduler": {**said, "step": WRITE, **more}}


# --- scattering -------------------------------------------------------------------------------------------


def test_batches_give_a_node_several_elements(run: Run, left: Left) -> None:
    assert run([write("map", initial("words"), scatter=zipped("word"), batchsize=2)],
               {"words": [1, 2, 3, 4, 5]}).succeeded  # fmt: skip
    assert left() == {
        "map_0/word.txt": "1 2\n", "map_1/word.txt": "3 4\n", "map_2/word.txt": "5\n",
    }  # fmt: skip


def scattered(values: list[int], **how: Any) -> list[Any]:
    scheduler = Scheduler(
        Kind.MULTI, Scope((), None), {"x": values, "y": "same"}, ("x",), **how  # type: ignore[arg-type]
    )  # fmt: skip
    nodes = nodes_of(scheduler, View({}, {}))
    assert all(node.parameters["y"] == "same" for node in nodes)  # type: ignore[index, call-overload]
    return [node.parameters["x"] for node in nodes]  # type: ignore[index, call-overload]


@given(st.lists(st.integers(), max_size=40), st.integers(1, 50))
def test_batches_and_partitions_share_out_every_element_in_order(
    values: list[int], many: int
) -> None:
    batches = scattered(values, batchsize=many)
    assert [item for batch in batches for item in batch] == values
    assert all(len(batch) == many for batch in batches[:-1])
    parts = scattered(values, partitionsize=many)
    assert [item for part in parts for item in part] == values
    assert len(parts) == min(many, len(values))
    assert {len(part) for part in parts} <= {len(values) // many, len(values) // many + 1} or (
        many > len(values)
    )


def test_cases_are_chosen_node_by_node_and_some_nodes_are_none(run: Run, left: Left) -> None:
    low = {"if": ".word < 2", "step": shell("echo low {word} > {out}")}
    high = {"if": ".word > 2", "workflow": {"stages": [write("inner", initial("word"))]}}
    chosen = write("map", initial("words"), scatter=zipped("word"), cases=[low, high])
    del chosen["scheduler"]["step"]
    del chosen["scheduler"]["parameters"]["out"]
    chosen["scheduler"]["parameters"]["out"] = "word.txt"
    assert run([chosen], {"words": [1, 2, 3]}).succeeded
    assert left() == {"map_0/word.txt": "low 1\n", "map_2/inner/word.txt": "3\n"}


def test_nodes_may_be_what_a_jq_program_says(run: Run, left: Left) -> None:
    each = by_jq(
        "each", {"words": {"$wflowref": [".init[]", ".words"]}},
        '.words[][] | map({word: ., out: "{workdir}/word.txt"})',
        postscript='.word |= "<" + . + ">" | .word |= ascii_upcase | .word |= @sh',
    )  # fmt: skip
    assert run([each], {"words": ["a", "b"]}).succeeded
    assert left() == {"each_0/word.txt": "<A>\n", "each_1/word.txt": "<B>\n"}


def test_a_jq_program_moves_pointers_and_never_sees_what_they_lead_to(run: Run, left: Left) -> None:
    every = by_jq(
        "every", {"found": {"$wflowref": ["{map: [.map[]]}", ".out"]}, "n": 2},
        '[{word: [.found[].map[][]], out: "{workdir}/word.txt"}]',
        step=shell("cat {word} > {out}"),
    )  # fmt: skip
    every["dependencies"] = ["map"]
    assert run([write("map", [7, 8], "init", scatter=zipped("word")), every]).succeeded
    assert left()["every_0/word.txt"] == "7\n8\n"


# --- selections -------------------------------------------------------------------------------------------


def test_lists_are_selected_as_they_are_flattened_or_unwrapped() -> None:
    nodes: list[Value] = [{"result": {"many": [1, 2], "deep": {"one": "x"}}, "workdir": None}] * 2
    view = View({"a": nodes, "b": nodes[:1]}, {})

    def value(**selection: Any) -> Any:
        expression = {"expression_type": "stage-output-selector", **selection}
        scheduler = Scheduler(Kind.SINGLE, Scope((), None), {"x": expression})  # type: ignore[arg-type]
        (node,) = nodes_of(scheduler, view)
        return node.parameters["x"]  # type: ignore[index, call-overload]

    assert value(stages="a", output="many") == [[1, 2], [1, 2]]
    assert value(stages="a", output="many", flatten=True) == [1, 2, 1, 2]
    assert value(stages="b", output="many", unwrap=True) == [1, 2]
    assert value(steps="a[1]", output="deep.one") == ["x"]
    assert value(step="b", output="many") == [1, 2]
    assert value(step="b") == {"many": [1, 2], "deep": {"one": "x"}}
    with pytest.raises(ValueError, match="means one node, and leads to 2"):
        value(step="a", output="many")
    with pytest.raises(ValueError, match="output 'none' is not there; published is many, deep"):
        value(stages="a", output="none")


def test_stages_within_workflows_are_selected_by_their_path(run: Run, left: Left) -> None:
    inner = {"stages": [write("stage", initial("word"))]}
    several = stage("several", {"word": ["x", "y"]}, workflow=inner, scatter=zipped("word"))
    last = joined("last", selected("several[*].stage"), "several")
    second = joined("second", selected("several[1].stage", unwrap=True), "several[1].stage")
    assert run([last, several, second]).succeeded
    assert left() == {
        "several_0/stage/word.txt": "x\n", "several_1/stage/word.txt": "y\n",
        "last/all.txt": "x\ny\n", "second/all.txt": "y\n",
    }  # fmt: skip


def test_registered_values_are_read_from_outside_and_from_inside(run: Run, left: Left) -> None:
    register = {"best": {"expression_type": "stage-output-selector", "step": "stage", "output": "out"}}  # fmt: skip
    inner = {
        "stages": [
            write("stage", initial("word"), register_values=register),
            joined("inside", {"expression_type": "fromvalue", "key": "best"}, "stage"),
        ]
    }
    several = stage("several", {"word": ["x", "y"]}, workflow=inner, scatter=zipped("word"))
    last = joined("last", selected("several[*]", "best"), "several")
    first = joined("first", {"expression_type": "fromvalue", "key": "best", "scope": "several[0]"}, "several")  # fmt: skip
    assert run([several, last, first]).succeeded
    found = left()
    assert (found["last/all.txt"], found["first/all.txt"]) == ("x\ny\n", "x\n")
    assert found["several_1/inside/all.txt"] == "y\n"


# --- beginning --------------------------------------------------------------------------------------------


def test_a_stage_whose_dependency_made_nothing_is_passed_over(run: Run, left: Left) -> None:
    none = write("none", [], scatter=zipped("word"))
    after = joined("after", selected("none"), "none")
    result = run([write("one", "x"), none, after])
    assert result.succeeded
    assert left() == {"one/word.txt": "x\n"}
    assert result.outputs["none"] == []
    assert result.outputs["after"] is None


def test_a_stage_may_depend_on_an_expression(run: Run, left: Left) -> None:
    def only_if(name: str) -> dict[str, Any]:
        expression = {"expression_type": "stage-output-selector", "step": "init", "output": name}
        said = write(f"if_{name}", name)
        said["dependencies"] = {"dependency_type": "expressions_fulfilled", "expressions": [expression]}  # fmt: skip
        return said

    assert run([only_if("yes"), only_if("no")], {"yes": True, "no": False}).succeeded
    assert left() == {"if_yes/word.txt": "yes\n"}


def test_order_in_the_file_does_not_matter(run: Run, left: Left) -> None:
    assert run([joined("last", selected("first"), "first"), write("first", "x")]).succeeded
    assert left()["last/all.txt"] == "x\n"


# --- files ------------------------------------------------------------------------------------------------


def test_names_among_the_inputs_are_files_of_the_initdir(
    run: Run, left: Left, folder: Path
) -> None:
    (folder / "data").mkdir()
    for name in ("b.txt", "a.txt", "c.dat"):
        (folder / "data" / name).write_text(f"{name}\n")
    stages = [
        joined("exact", initial("one"), "init"),
        joined("pattern", initial("many"), "init"),
        write("word", initial("word")),
    ]
    inputs = {"one": "c.dat", "many": "*.txt", "word": "*.none"}
    assert run(stages, inputs, settings={"initdir": str(folder / "data")}).succeeded
    assert left() == {
        "exact/all.txt": "c.dat\n", "pattern/all.txt": "a.txt\nb.txt\n", "word/word.txt": "*.none\n",
    }  # fmt: skip


def test_a_file_is_known_by_its_content(run: Run, folder: Path) -> None:
    (folder / "words.txt").write_text("one\n")
    stages = [joined("copy", initial("file"), "init"), joined("again", selected("copy"), "copy")]
    inputs = {"file": api.File(str(folder / "words.txt"))}

    def reused() -> dict[str, int]:
        return {step.path: step.reused for step in run(stages, inputs).status.steps}

    assert reused() == {"init": 0, "copy": 0, "again": 0}
    assert reused() == {"init": 0, "copy": 1, "again": 1}
    (folder / "words.txt").write_text("two\n")
    assert reused() == {"init": 0, "copy": 0, "again": 0}


def test_within_a_workflow_a_name_is_of_the_folder_it_comes_from(run: Run, left: Left) -> None:
    publish = {"publisher_type": "constant-pub", "publish": {"name": "made.txt"}}
    make = stage("make", {}, "init", step=shell("echo made > made.txt", **publish))
    inner = {"stages": [joined("use", initial("name"), "init")]}
    use = stage("inside", {"name": {"step": "make", "output": "name"}}, "make", workflow=inner)
    assert run([make, use]).succeeded
    assert left()["inside/use/all.txt"] == "made\n"


# --- failures ---------------------------------------------------------------------------------------------


def test_a_failing_packtivity_tells_its_own_error(run: Run) -> None:
    bad = stage("bad", {"out": "{workdir}/x"}, step=shell("echo no beam >&2; exit 3"))
    result = run([bad, joined("after", selected("bad"), "bad")])
    assert not result.succeeded
    (failure,) = result.status.failures
    assert failure.message == "command exited with code 3: no beam"


def test_what_cannot_be_selected_is_told_with_its_stage(run: Run) -> None:
    result = run([write("one", "x"), joined("two", selected("one", "put"), "one")])
    assert not result.succeeded
    (failure,) = result.status.failures
    assert failure.step == "two"
    assert "stage 'two' (" in failure.message
    assert "parameter 'files': the output 'put' is not there; published is out" in failure.message


def test_a_run_goes_on_after_what_stopped_it_is_mended(run: Run, folder: Path, left: Left) -> None:
    stages = [
        write("map", initial("words"), scatter=zipped("word")),
        joined("last", selected("map"), "map"),
        stage("hold", {"files": selected("last"), "out": "{workdir}/x"}, "last",
              step=shell("test -e {files} && cat /nowhere/at-all > {out}")),
    ]  # fmt: skip
    assert not run(stages, {"words": [1, 2]}).succeeded
    path = folder / "workflow.yml"
    path.write_text(path.read_text().replace("/nowhere/at-all", "{files}"))
    result = api.resume(api.Project(folder))
    assert result.succeeded
    assert left()["hold/x"] == "1\n2\n"
    assert {step.path: step.reused for step in result.status.steps}["map/node"] == 2
