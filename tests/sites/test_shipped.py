"""The sites that come with hepflow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hepflow.model.site import Site
from hepflow.model.task import Resources
from hepflow.sites.building import build_site
from hepflow.sites.files import shipped_folder
from hepflow.sites.reading import SiteFile, read_site

FOLDER = shipped_folder()
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
ASKED_FOR = {
    "local", "slurm", "nersc-perlmutter", "nersc-cori", "bluewaters", "ncsa-delta", "ospool", "chtc",
    "cern-lxbatch", "nautilus", "kubernetes", "dask", "parsl-htex", "parsl-slurm", "aws-batch",
    "gcp-batch", "azure-batch", "burst",
}  # fmt: skip


def completed(name: str) -> Site:
    """A shipped site, with what its user must say."""
    file = read_site(str(FOLDER / f"{name}.yaml"), {})
    data: dict[str, Any] = dict(file.data)
    required: Any = data.get("requires", [])
    for dotted in required:
        *above, last = dotted.split(".")
        inner = data
        for part in above:
            inner[part] = dict(inner.get(part, {}))
            inner = inner[part]
        inner[last] = "mine"
    return build_site(SiteFile(file.name, data, file.places, file.files), {})


def chosen(name: str, **asked: object) -> str:
    found = completed(name).queue_for(Resources(**asked))  # type: ignore[arg-type]
    return found if isinstance(found, str) else found.name


def test_every_site_that_is_asked_for_is_there() -> None:
    assert set(NAMES) >= ASKED_FOR


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_site_is_right_once_its_user_has_said_what_is_theirs(name: str) -> None:
    site = completed(name)
    assert site.doc
    assert site.executor
    if site.queues:
        assert not isinstance(site.queue_for(Resources(walltime_s=600)), str)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_site_says_where_its_facts_come_from_and_names_no_account(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    head = text.partition("\ndoc:")[0]
    assert re.search(r"Facts|general knowledge|never ran Slurm", head)
    assert not re.search(r"^account:", text, re.MULTILINE)


def test_no_other_file_lies_among_them() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {"README.md", *(f"{n}.yaml" for n in NAMES)}


def test_tasks_find_their_queues_at_the_big_sites() -> None:
    assert chosen("nersc-perlmutter") == "cpu-shared"
    assert chosen("nersc-perlmutter", cpus=128) == "cpu"
    assert chosen("nersc-perlmutter", gpus=1) == "gpu-shared"
    assert chosen("nersc-perlmutter", gpus=4) == "gpu"
    assert "at most 4 gpus" in chosen("nersc-perlmutter", gpus=8)
    assert chosen("ncsa-delta", gpus=1, gpu_kind="h200") == "h200"
    assert chosen("ospool", walltime_s=30 * 3600) == "long"
    assert chosen("chtc", gpus=1, walltime_s=3600) == "gpu-short"
    assert chosen("chtc", gpus=1) == "gpu-medium"
    assert chosen("cern-lxbatch") == "workday"
    assert chosen("cern-lxbatch", walltime_s=1000) == "espresso"
    assert chosen("nautilus", gpus=2, gpu_kind="rtx-3090") == "gpu"
    assert chosen("bluewaters", gpus=1) == "xk"
    assert chosen("burst", gpus=1, gpu_kind="a100") == "gcp-europe-west4-a100"


def test_a_burst_goes_where_the_users_prices_say(tmp_path: Path) -> None:
    own = tmp_path / "cheap.yaml"
    own.write_text(
        "extends: burst\nsettings: {bucket: b}\nqueues:\n"
        "  aws-us-east-1-v100: {price: {gpu_hour: 0.9}}\n"
        "  azure-southcentralus-v100: {price: {gpu_hour: 0.3}}\n",
        encoding="utf-8",
    )
    queue = build_site(read_site(str(own), {}), {}).queue_for(Resources(gpus=1, gpu_kind="v100"))
    assert not isinstance(queue, str)
    assert queue.name == "azure-southcentralus-v100"
    assert queue.settings["region"] == "southcentralus"
