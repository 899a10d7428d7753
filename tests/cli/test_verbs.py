"""Each verb: what it asks of the API, and what it says of the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hepflow import api

Call = Callable[..., Any]


def test_run_passes_inputs_changes_and_limits_on(fake: Any, call: Call, project: Path) -> None:
    Path("mine.yaml").write_text("n: 3\n")
    ended = call(
        "run", "numbers.yaml", "n=7", "text=a=b", "--input", "m=1", "--inputs", "mine.yaml",
        "--set", "steps.write.retries=2", "--profile", "big", "--target", "part", "-k",
        "--cpus", "2.5", "--memory", "8 GB", "--gpus", "0,1", "--in-flight", "9", "--no-reuse",
        "--publish", "out", "--site", "local", "--no-container",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    load = fake.called("load")["args"][1]
    assert load.settings == {"steps.write.retries": "2"}
    assert tuple(load.profiles) == ("big",)
    assert load.target == "part"
    _, files, values = fake.called("read_inputs")["args"]
    assert files == (Path("mine.yaml"),)
    assert values == {"n": "7", "text": "a=b", "m": "1"}
    run = fake.called("run")
    assert run["load_options"] == load
    assert run["project"].folder == project
    assert run["options"] == api.RunOptions(
        keep_going=True, cpus=2.5, memory_mib=7630, gpus=("0", "1"), in_flight=9, reuse=False,
        publish=project / "out", site="local", containers=False,
    )  # fmt: skip


def test_a_word_that_is_a_file_gives_inputs(fake: Any, call: Call) -> None:
    for name in ("first.json", "second.yml"):
        Path(name).write_text("{}")
    ended = call("run", "numbers.yaml", "first.json", "n=7", "--inputs", "second.yml")
    assert ended.status == 0, ended.err
    _, files, values = fake.called("read_inputs")["args"]
    assert files == (Path("first.json"), Path("second.yml"))
    assert values == {"n": "7"}


def test_the_part_to_run_may_stand_behind_the_file(fake: Any, call: Call) -> None:
    assert call("run", "numbers.yaml#part").status == 0
    path, options = fake.called("load")["args"]
    assert (path, options.target) == (Path("numbers.yaml"), "part")


def test_run_tells_outputs_on_stdout_and_the_rest_on_stderr(fake: Any, call: Call) -> None:
    ended = call("run", "numbers.yaml")
    assert ended.status == 0
    assert ended.out == "  sum    results/numbers/sum.txt\n  value  124750\n"
    assert "numbers  run 7  succeeded in 41 s: 481 tasks run, 20 reused" in ended.err
    assert "outputs, in results/numbers:" in ended.err


def test_a_quiet_run_says_only_its_outputs(fake: Any, call: Call) -> None:
    ended = call("run", "numbers.yaml", "--quiet")
    assert ended.out == "sum    results/numbers/sum.txt\nvalue  124750\n"
    assert ended.err == ""


def test_a_failed_run_tells_why_and_what_next(fake: Any, call: Call) -> None:
    fake.fails()
    ended = call("run", "numbers.yaml")
    assert ended.status == 1
    assert ended.out == ""
    for words in (
        "write[3]#1  failed: the command ended with exit code 3",
        "command   echo 3 > number.txt",
        "exit code 3",
        "folder    /scratch/run7/write-3",
        "| No such file: events.root",
        "… 9 lines before",
        "hepflow logs 7 'write[3]'",
        "hepflow explain 'write[3]' 7",
        "hepflow resume 7",
    ):
        assert words in ended.err
    assert "line 8\n" not in ended.err


def test_suggested_commands_name_the_project_that_was_named(fake: Any, call: Call) -> None:
    fake.fails()
    Path("sub").mkdir()
    assert "hepflow resume 7 --dir sub" in call("run", "numbers.yaml", "--dir", "sub").err


def test_of_many_failures_a_few_are_shown(fake: Any, call: Call) -> None:
    fake.fails()
    result = fake.answers["run"]
    many = replace(result.status, failures=result.status.failures * 20)
    fake.answers["run"] = replace(result, status=many)
    ended = call("run", "numbers.yaml")
    assert ended.err.count("| No such file") == 3
    assert "and 17 more failed" in ended.err


def test_a_failure_before_there_was_a_task_is_told_too(fake: Any, call: Call) -> None:
    fake.fails()
    result = fake.answers["run"]
    fake.answers["run"] = replace(
        result,
        run=replace(result.run, message="a: division by zero"),
        status=replace(result.status, failures=()),
    )
    assert "a: division by zero" in call("run", "numbers.yaml").err


def test_a_cancelled_run_can_be_resumed(fake: Any, call: Call) -> None:
    fake.fails("cancelled")
    ended = call("run", "numbers.yaml")
    assert ended.status == 130
    assert "hepflow resume 7" in ended.err


def test_an_interrupt_that_the_api_raises_names_the_run(fake: Any, call: Call) -> None:
    def interrupted(*_: Any, listener: Any, **__: Any) -> None:
        listener(api.Progress(9, "numbers", (), (), 0.0))
        raise KeyboardInterrupt

    fake.answers["run"] = interrupted
    ended = call("run", "numbers.yaml")
    assert ended.status == 130
    assert "hepflow resume 9" in ended.err


def test_run_as_json_has_everything(fake: Any, call: Call) -> None:
    data = call("run", "numbers.yaml", "--json").data
    assert data["succeeded"] is True
    assert data["run"]["id"] == 7
    assert data["run"]["state"] == "succeeded"
    assert data["outputs"]["value"] == 124750
    assert data["outputs"]["sum"]["class"] == "File"
    assert data["status"]["steps"][0]["finished"] == 500


def test_a_failed_run_as_json_still_is_json(fake: Any, call: Call) -> None:
    fake.fails()
    ended = call("run", "numbers.yaml", "--json")
    assert ended.status == 1
    assert ended.data["status"]["failures"][0]["id"] == "write[3]#1"
    assert ended.data["status"]["failures"][0]["state"] == "failed"


def test_plan_shows_counts_and_reasons(fake: Any, call: Call) -> None:
    ended = call("plan", "numbers.yaml", "n=501")
    assert ended.status == 0
    lines = ended.out.splitlines()
    assert lines[0] == "numbers: 502 tasks: 500 reused, 1 to run, 1 not known yet"
    assert lines[2].split() == ["step", "tasks", "reused", "to", "run", "unknown", "why"]
    assert lines[3].split() == ["write", "501", "500", "1", "never", "run", "before"]
    assert "its input 'numbers' will be remade" in lines[4]
    assert not [name for name, _, _ in fake.calls if name == "run"]


def test_run_dry_run_is_plan(fake: Any, call: Call) -> None:
    assert call("run", "numbers.yaml", "-n").out == call("plan", "numbers.yaml").out
    assert not [name for name, _, _ in fake.calls if name == "run"]


def test_plan_draws_text_and_svg(fake: Any, call: Call) -> None:
    ended = call("plan", "numbers.yaml", "--dag", "--svg", "dag.svg")
    assert "● write ×501  500 reused, 1 to run" in ended.out
    assert "▼" in ended.out
    assert Path("dag.svg").read_text().startswith("<svg")


def test_plan_says_when_the_svg_cannot_be_written(fake: Any, call: Call) -> None:
    ended = call("plan", "numbers.yaml", "--svg", "missing/dag.svg")
    assert ended.status == 2
    assert "cannot write 'missing/dag.svg'" in ended.err


def test_a_plan_of_many_steps_shows_those_that_run(fake: Any, call: Call) -> None:
    steps = tuple(
        api.PlannedStep(f"s{index}", 1, int(index != 900), int(index == 900), 0)
        for index in range(1000)
    )
    fake.answers["plan"] = api.PlanReport("big", steps)
    short = call("plan", "numbers.yaml").out
    assert "s900" in short
    assert "960 more steps" in short
    assert len(call("plan", "numbers.yaml", "--all").out.splitlines()) > 1000


def test_a_step_that_cannot_be_planned_is_told(fake: Any, call: Call) -> None:
    plan = fake.answers["plan"]
    fake.answers["plan"] = replace(plan, problems=("step 'x': division by zero",))
    ended = call("plan", "numbers.yaml")
    assert ended.status == 1
    assert "cannot be planned: step 'x': division by zero" in ended.err


def test_plan_as_json_has_the_totals(fake: Any, call: Call) -> None:
    data = call("plan", "numbers.yaml", "--json").data
    assert (data["tasks"], data["reused"], data["to_run"], data["unknown"]) == (502, 500, 2, 1)
    assert data["steps"][1]["depends_on"] == ["write"]


def test_validate_shows_what_a_recipe_takes(fake: Any, call: Call) -> None:
    ended = call("validate", "numbers.yaml")
    assert ended.status == 0
    assert "numbers.yaml: valid: numbers" in ended.out
    assert "n      int   500      how many" in ended.out
    assert call("validate", "numbers.yaml", "--json").data["inputs"][0]["default"] == 500


def test_list_shows_runs(fake: Any, call: Call) -> None:
    lines = call("list").out.splitlines()
    assert lines[1].split()[:3] == ["7", "numbers", "succeeded"]
    assert lines[2].split()[:3] == ["6", "numbers", "interrupted"]
    assert [run["id"] for run in call("list", "--json").data] == [7, 6]
    fake.answers["runs"] = ()
    assert "no runs yet" in call("list").err


def test_status_shows_steps_and_what_failed(fake: Any, call: Call) -> None:
    fake.fails()
    ended = call("status", "7")
    assert fake.called("status")["args"][1] == 7
    assert ended.status == 0
    assert "numbers  run 7  failed" in ended.out
    assert ended.out.splitlines()[3].split() == ["write", "201/500", "200", "1"]
    assert "No such file" in ended.err
    assert call("status", "latest", "--json").data["run"]["id"] == 7


def test_status_watch_ends_with_the_run(
    fake: Any, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = fake.answers["status"]
    going = replace(done, run=replace(done.run, state=api.RunState.RUNNING))
    answers = [going, going, done]
    fake.answers["status"] = lambda *_: answers.pop(0)
    monkeypatch.setattr("hepflow.cli.cmd_status.time.sleep", lambda _: None)
    ended = call("status", "--watch")
    assert "numbers  run 7  succeeded" in ended.out
    assert answers == []


def test_logs_show_failures_first(fake: Any, call: Call) -> None:
    ended = call("logs")
    assert "write[3]#1  failed in 0.2 s" in ended.out
    assert "| No such file: events.root" in ended.out
    assert "write[2]" not in ended.out
    assert "shows 1 more" in ended.err


def test_logs_of_a_pattern_and_a_stream(fake: Any, call: Call) -> None:
    ended = call("logs", "7", "write[*]", "--stdout")
    assert fake.called("tasks")["args"][1:3] == (7, "write[*]")
    assert "| two" in ended.out
    assert "| a word on stdout" in ended.out
    assert "No such file" not in ended.out
    assert len(call("logs", "7/write", "--json").data) == 2


def test_logs_follow_shows_each_thing_once(
    fake: Any, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, (success, failure) = fake.answers["status"], fake.answers["tasks"]
    going = replace(status, run=replace(status.run, state=api.RunState.RUNNING))
    running = replace(failure, state=api.TaskState.RUNNING, stderr="line 0\n")
    states = [going, going, going, status]
    reports = [(success,), (success, running), (success, failure), (success, failure)]
    fake.answers["status"] = lambda *_: states.pop(0)
    fake.answers["tasks"] = lambda *_: reports.pop(0)
    monkeypatch.setattr("hepflow.cli.cmd_logs.time.sleep", lambda _: None)
    out = call("logs", "--follow").out
    assert out.count("| two") == 1
    assert out.count("| line 0\n") == 1
    assert out.count("| line 19\n") == 1


def test_explain_shows_of_long_values_where_they_part(fake: Any, call: Call) -> None:
    alike = ",".join(f'"file{n}":digest{n}' for n in range(20))
    before, after = f'{{{alike},"x":1}}', f'{{{alike},"log":2,"x":1}}'
    change = api.Change("sources", before, after)
    fake.answers["explain"] = replace(fake.answers["explain"], changes=(change,))
    assert '…"x":1}  ->  …"log":2,"x":1}' in call("explain", "total", "7").out


def test_explain_says_what_changed(fake: Any, call: Call) -> None:
    ended = call("explain", "total", "7", "--key")
    assert fake.called("explain")["args"][1:] == ("total", 7)
    assert "total: ran because its input 'numbers' changed" in ended.out
    assert "compared with run 6" in ended.out
    assert "inputs.numbers  aaa     ->  bbb" in ended.out
    assert "command  cat" in ended.out
    assert call("explain", "7/total", "--json").data["compared_with"] == 6


def test_resume_and_retry_keep_the_runs_own_options(fake: Any, call: Call) -> None:
    assert call("resume").status == 0
    assert fake.called("resume")["args"][1] is None
    assert fake.called("resume")["options"] is None
    assert call("retry", "7", "train", "judge", "--cpus", "2").status == 0
    assert fake.called("retry")["args"][1:] == (7, ["train", "judge"])
    assert fake.called("retry")["options"].cpus == 2


def test_cancel_names_the_run(fake: Any, call: Call) -> None:
    ended = call("cancel", "7")
    assert "asked run 7 (numbers) to end" in ended.out
    assert "hepflow resume 7" in ended.err


def test_outputs_give_one_value_whole_for_a_shell(fake: Any, call: Call, project: Path) -> None:
    assert call("outputs", "sum").out == f"{project}/results/numbers/sum.txt\n"
    assert call("outputs", "7", "value").out == "124750\n"
    assert call("outputs").out.splitlines()[1] == "value  124750"
    assert call("outputs", "--json").data["value"] == 124750
    wrong = call("outputs", "smu")
    assert wrong.status == 2
    assert "did you mean 'sum'?" in wrong.err


def test_gc_says_what_went(fake: Any, call: Call) -> None:
    ended = call("gc", "--keep", "3", "--older-than", "12h")
    assert ended.out == "removed 2 runs and 30 files, 4.1 MB\n"
    asked = fake.called("gc")
    assert (asked["keep"], asked["older_than_days"], asked["dry_run"]) == (3, 0.5, False)
    assert call("gc", "-n").out.startswith("would remove")


def test_recipes_are_listed_and_copied(fake: Any, call: Call) -> None:
    assert "lfi/two_moons  Two moons." in call("recipes").out
    assert call("recipes", "--json").data[0]["name"] == "lfi/two_moons"
    assert call("recipes", "copy", "lfi/two_moons").out == "two_moons.yaml\n"
    assert fake.called("copy_recipe")["args"] == ("lfi/two_moons", Path())


def test_init_says_what_to_do_next(fake: Any, call: Call) -> None:
    ended = call("init")
    assert ended.out == "recipe.yaml\n"
    assert "hepflow run recipe.yaml" in ended.err


def test_doctor_shows_how_to_mend(fake: Any, call: Call) -> None:
    out = call("doctor").out
    assert "✓ python  3.11" in out
    assert "✗ torch   not installed" in out
    assert "fix: pip install torch" in out
    assert call("doctor", "--json").data[1]["ok"] is False
