"""The look that all figures share, and how one is opened and written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.linewidth": 0.7,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "mathtext.fontset": "cm",
}
DOTS_PER_INCH = 200


@contextmanager
def new_figure(path: str | os.PathLike[str], width: float, height: float) -> Iterator[Figure]:
    """Open a figure of so many inches; what was drawn by the end is written to ``path`` as PNG."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Named, because a path given by a workflow may have any ending; no version, so that the
        # same numbers give the same bytes.
        figure.savefig(path, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
