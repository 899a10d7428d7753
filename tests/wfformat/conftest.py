"""Recorded runs of others, and the figures that an independent script found in them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from hepflow_wfformat.instance import Figures

DATA = Path(__file__).resolve().parent.parent / "data" / "wfinstances"

FIGURES = {
    "helloworld-chain-5-chameleon": Figures(5, 4, 5, 1, 1, 1, 501.2, 501.2),
    "helloworld-forkjoin-10-chameleon": Figures(10, 16, 3, 8, 1, 1, 307.4, 1028.7),
    "epigenomics-chameleon-hep-1seq-100k-001": Figures(41, 48, 9, 9, 1, 1, 104.8, 539.3),
    "montage-chameleon-dss-05d-001": Figures(58, 114, 8, 18, 12, 4, 559.8, 5585.8),
    "bwa-chameleon-small-001": Figures(104, 400, 3, 100, 2, 2, 91.4, 380.0),
    "1000genome-chameleon-22ch-250k-001": Figures(902, 1166, 3, 572, 572, 308, 314.0, 53409.6),
}
"""Tasks, edges, levels, widest level, roots, leaves, critical path and sum of runtimes in seconds."""


@pytest.fixture
def recorded(project: Path) -> Callable[[str], Path]:
    """Unpacks an instance into the project."""

    def unpack(name: str) -> Path:
        path = project / f"{name}.json"
        path.write_bytes(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))
        return path

    return unpack
