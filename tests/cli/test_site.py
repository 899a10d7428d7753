"""``hepflow site`` and ``--site``, through real files and the real API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hepflow import api, plugins
from hepflow.executors.local import LocalExecutor
from hepflow.model.site import Queue, Site
from hepflow.model.task import Attempt

Call = Callable[..., Any]

RECIPE = """
hepflow: v1
inputs: {n: 2}
steps:
  big:
    command: echo {{ i }} > x.txt
    scatter: {i: "{{ range(inputs.n) }}"}
    resources: {cpus: 2}
    outputs: {x: x.txt}
  more:
    command: cat {{ big.x }} > all.txt
    outputs: {all: all.txt}
outputs: {all: more.all}
"""


class BatchExecutor(LocalExecutor):
    """Runs here, and can show what it would submit."""

    settings = {**LocalExecutor.settings, "flavour": "of the jobs"}  # type: ignore[misc]

    def __init__(self, workdir: Path, *, site: Site) -> None:
        super().__init__(workdir, site=Site(site.name, executor="local", settings=site.settings))
        self._site = site

    def sample(self, attempts: Sequence[Attempt]) -> str:
        """One line an attempt."""
        lines = []
        for attempt in attempts:
            queue = self._site.queue_for(attempt.task.resources)
            if not isinstance(queue, Queue):
                raise ValueError(queue)
            lines.append(f"submit {attempt.id} -q {queue.name} -A {self._site.account}")
        return "\n".join(lines)


@pytest.fixture
def sites(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of sites, and an executor that submits, called 'batch'."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project / "config"))
    load = plugins.load
    monkeypatch.setattr(
        plugins, "load",
        lambda group, name: BatchExecutor if name == "batch" else load(group, name),
    )  # fmt: skip
    folder = project / "config/hepflow/sites"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "executor: batch\ndoc: Our cluster\naccount: m1\nsettings: {cpus: 2, gpus: []}\n"
        "queues:\n  small: {cpus: 1}\n  large: {cpus: 4}\n"
    )
    (project / "numbers.yaml").write_text(RECIPE)
    return folder


def test_the_list_has_a_line_a_site(call: Call, sites: Path) -> None:
    (sites / "broken.yaml").write_text("executor: [\n")
    ended = call("site")
    assert ended.status == 0
    lines = {line.split()[0]: line for line in ended.out.splitlines()}
    assert lines["mine"].split(maxsplit=3)[1:] == ["batch", "yes", "Our cluster"]
    assert lines["slurm"].split()[1] == "slurm"
    assert "cannot be read" in lines["broken"]
    assert "broken.yaml:" in lines["broken"]
    found = {site["name"]: site for site in call("site", "list", "--json").data}
    assert found["nersc-cori"]["retired"] == "2023-05"


def test_show_tells_where_each_value_comes_from(call: Call, sites: Path) -> None:
    (sites / "own.yaml").write_text("extends: mine\nqueues:\n  large: {cpus: 8}\n")
    ended = call("site", "show", "own")
    assert ended.status == 0
    lines = [line.split() for line in ended.out.splitlines()]
    folder = "config/hepflow/sites"
    assert ["account:", "m1", f"{folder}/mine.yaml:3"] in lines
    assert ["cpus:", "8", f"{folder}/own.yaml:3"] in lines
    assert ["cpus:", "1", f"{folder}/mine.yaml:6"] in lines
    found = {value["path"]: value for value in call("site", "show", "own", "--json").data}
    assert found["queues.large.cpus"]["value"] == 8


def test_check_prints_what_would_be_submitted(call: Call, sites: Path) -> None:
    ended = call("site", "check", "mine")
    assert ended.status == 0, ended.out
    assert ended.out.endswith("\nsubmit sample#1 -q small -A m1\n")


def test_check_takes_a_sample_from_a_recipe(call: Call, sites: Path) -> None:
    ended = call("site", "check", "mine", "--sample", "numbers.yaml", "n=3")
    assert [line for line in ended.out.splitlines() if line.startswith("submit")] == [
        f"submit big[{index}]#1 -q large -A m1" for index in range(3)
    ]
    assert not Path(".hepflow").exists()


def test_check_says_what_is_missing_and_how_to_mend_it(call: Call, sites: Path) -> None:
    (sites / "far.yaml").write_text(
        "executor: nowhere\ncommands: [sbatch-of-mine]\nrequires: [account]\n"
        "account: '${env:NOT_THERE}'\ncontainer: {runtime: podman-hpc}\nscratch: $NOT_THERE/x\n"
    )
    ended = call("site", "check", "far")
    assert ended.status == 4
    for words in (
        "there is no executor 'nowhere'",
        "pip install 'hepflow[nowhere]'",
        "sbatch-of-mine",
        "podman-hpc",
        "the environment variable NOT_THERE is not set",
        "a variable of it is not set here",
    ):
        assert words in ended.out
    assert "Traceback" not in ended.err


def test_check_tells_a_scratch_folder_that_cannot_be_written(call: Call, sites: Path) -> None:
    (sites / "odd.yaml").write_text("extends: mine\nscratch: /proc/nothing\n")
    ended = call("site", "check", "odd")
    assert "/proc cannot be written" in ended.out or "✓ /proc/nothing" in ended.out


def test_a_run_at_a_site_goes_on_at_that_site(call: Call, sites: Path) -> None:
    here = Path.cwd() / "go"
    Path("numbers.yaml").write_text(RECIPE.replace("cat {{", f"test -e {here} && cat {{{{"))
    assert call("run", "numbers.yaml", "--site", "mine", "-q").status == 1
    text = (sites / "mine.yaml").read_text()
    (sites / "mine.yaml").write_text(text.replace("batch", "nowhere"))
    ended = call("resume")
    assert ended.status == 4
    assert "there is no executor 'nowhere'" in ended.err
    here.touch()
    assert call("resume", "--site", "local", "-q").status == 0


def test_a_site_file_is_found_again_from_another_folder(call: Call, sites: Path) -> None:
    Path("site.yaml").write_text("executor: batch\n")
    assert call("run", "numbers.yaml", "--site", "site.yaml", "-q").status == 0
    with_path = api.RunOptions(site=str(Path.cwd() / "site.yaml"))
    from hepflow.store import reader

    stored = reader.stored_request(api.Project.find().store, 1)[1]["run"]
    assert isinstance(stored, dict)
    assert stored["site"] == with_path.site


def test_plan_tells_tasks_that_no_queue_takes(call: Call, sites: Path) -> None:
    assert call("plan", "numbers.yaml", "--site", "mine").status == 0
    ended = call("plan", "numbers.yaml", "--site", "mine", "--set", "steps.big.resources.gpus=1")
    assert ended.status == 1
    assert "big: no queue of site 'mine' takes a task of 2 cpus, 1 gpus" in ended.err


def test_limits_of_this_machine_are_settings_of_executors_that_have_them(
    call: Call, sites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("run", "numbers.yaml", "--site", "mine", "--cpus", "3", "-q").status == 0
    monkeypatch.setattr(BatchExecutor, "settings", {"flavour": "of the jobs"})
    (sites / "mine.yaml").write_text("executor: batch\n")
    ended = call("run", "numbers.yaml", "--site", "mine", "--memory", "1 GB")
    assert ended.status == 2
    assert "the site 'mine' takes no --memory" in ended.err


def test_limits_of_one_site_do_not_follow_a_run_to_another(call: Call, sites: Path) -> None:
    here = Path.cwd() / "go"
    Path("numbers.yaml").write_text(RECIPE.replace("cat {{", f"test -e {here} && cat {{{{"))
    assert call("run", "numbers.yaml", "--cpus", "2", "-q").status == 1
    (sites / "mine.yaml").write_text("executor: batch\nsettings: {cpus: 3, flavour: x}\n")
    here.touch()
    assert call("resume", "--site", "mine", "-q").status == 0


def test_wrong_settings_of_an_executor_are_told_before_there_is_a_run(
    call: Call, sites: Path
) -> None:
    (sites / "bad.yaml").write_text("extends: local\nsettings: {cpus: many}\n")
    ended = call("run", "numbers.yaml", "--site", "bad")
    assert ended.status == 3
    assert "site 'bad': the setting 'cpus' takes a number, gets 'many'" in ended.err
    (sites / "bad.yaml").write_text("extends: local\nmodules: [root]\n")
    ended = call("run", "numbers.yaml", "--site", "bad")
    assert "the local executor runs tasks as they are and has no 'modules'" in ended.err
    (sites / "bad.yaml").write_text("extends: local\nsettings: {flavour: x}\n")
    ended = call("run", "numbers.yaml", "--site", "bad")
    assert "bad.yaml:2:21  HF256" in ended.err
    assert not Path(".hepflow").exists()


def test_an_executor_that_is_not_made_for_this_hepflow_is_told(
    call: Call, sites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = plugins.load
    monkeypatch.setattr(
        plugins, "load", lambda group, name: object if name == "batch" else load(group, name)
    )
    ended = call("run", "numbers.yaml", "--site", "mine")
    assert ended.status == 4
    assert "the executor 'batch' is not made for this hepflow" in ended.err


def test_variables_of_a_site_reach_its_tasks(call: Call, sites: Path) -> None:
    (sites / "env.yaml").write_text("extends: local\nenv: {OF_THE_SITE: here}\n")
    Path("env.yaml").write_text(
        "hepflow: v1\nsteps:\n  a:\n    command: echo -n $OF_THE_SITE > x\n    outputs: {x: x}\n"
        "outputs: {x: a.x}\n"
    )
    assert call("run", "env.yaml", "--site", "env", "-q").status == 0
    assert Path("results/env/x").read_text() == "here"
