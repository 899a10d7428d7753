"""Analyses for REANA on a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepflow import api
from tests.reana.conftest import GREETINGS


@pytest.mark.usefixtures("slurm")
def test_a_workspace_travels_from_job_to_job(analysis: Path) -> None:
    site = analysis / "cluster.yaml"
    site.write_text("extends: slurm\nqueues: {main: {partition: main, cpus: 4}}\n")
    workflow = api.load(analysis / "reana.yaml")
    options = api.RunOptions(containers=False, publish=analysis / "published", site=str(site))
    assert api.run(workflow, {}, project=api.Project(analysis), options=options).succeeded
    assert (analysis / "published/greetings.txt").read_text() == GREETINGS
    assert {task.site for task in api.tasks(api.Project(analysis))} == {str(site)}
