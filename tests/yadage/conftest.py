"""yadage workflows written down, and run as a user would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hepflow import api

Run = Callable[..., api.RunResult]


def shell(command: str, **publisher: Any) -> dict[str, Any]:
    """A packtivity of one command on this machine; it publishes parameters unless something else is said."""
    kind = {"publisher_type": "frompar-pub", "outputmap": {"out": "out"}}
    return {
        "process": {"process_type": "string-interpolated-cmd", "cmd": command},
        "environment": {"environment_type": "localproc-env"},
        "publisher": publisher or kind,
    }


def stage(name: str, parameters: dict[str, Any], *after: str, **scheduler: Any) -> dict[str, Any]:
    """A stage of one node, or with ``scatter`` of several."""
    kind = "multistep-stage" if "scatter" in scheduler else "singlestep-stage"
    said = {"scheduler_type": kind, "parameters": parameters, **scheduler}
    return {"name": name, "dependencies": list(after), "scheduler": said}


def zipped(*names: str) -> dict[str, Any]:
    """A scatter in step."""
    return {"method": "zip", "parameters": list(names)}


def initial(name: str) -> dict[str, str]:
    """A parameter of the workflow."""
    return {"step": "init", "output": name}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a workflow and its project are."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """Runs a workflow: a list of stages, or the text of a file, and the inputs."""

    def running(
        workflow: list[dict[str, Any]] | str,
        inputs: dict[str, Any] | None = None,
        *,
        options: api.RunOptions = api.RunOptions(),
        settings: dict[str, str] | None = None,
    ) -> api.RunResult:
        path = folder / "workflow.yml"
        text = workflow if isinstance(workflow, str) else yaml.safe_dump({"stages": workflow})
        path.write_text(text)
        load_options = api.LoadOptions(settings=settings or {})
        loaded = api.load(path, load_options)
        return api.run(
            loaded, inputs or {}, project=api.Project(folder), options=options,
            load_options=load_options,
        )  # fmt: skip

    return running


@pytest.fixture
def left(folder: Path) -> Callable[[], dict[str, str]]:
    """What is in the results' folder: relative path -> text."""

    def reading() -> dict[str, str]:
        results = folder / "results" / "workflow"
        return {
            str(path.relative_to(results)): path.read_text(errors="replace")
            for path in sorted(results.rglob("*"))
            if path.is_file() and path.name != "outputs.json"
        }

    return reading
