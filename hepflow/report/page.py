"""A run as one HTML page that needs no other file and no network."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, select_autoescape

from hepflow.model.record import RunRecord, Trial, figures_of
from hepflow.model.secrets import masked
from hepflow.model.values import Directory, File, Value, Values, to_json
from hepflow.store.records import RunStatus, TaskReport, TaskState

LARGEST_FIGURE: Final = 8_000_000
"""Bytes of a figure that still is put into the page."""
LONGEST_VALUE: Final = 400
SHOWN_FAILURES: Final = 20
SHOWN_TRIALS: Final = 500
_TYPES: Final = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".svg": "image/svg+xml",
    ".gif": "image/gif", ".webp": "image/webp",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """What a page is made from.

    Args:
        tasks: every attempt of the run.
        recipe: its text as it stands now; empty where it is gone.
        drawing: its steps as SVG; empty for none.
    """

    record: RunRecord
    status: RunStatus
    tasks: Sequence[TaskReport]
    recipe: str
    drawing: str


class StepRow(NamedTuple):
    """One step with what its attempts took."""

    path: str
    width: str
    done: int
    reused: int
    failed: int
    attempts: int
    wall: str
    longest: str
    cpu: str
    memory: str


class Figure(NamedTuple):
    """A figure with its content as a data address; without one where it is gone or too large."""

    name: str
    path: str
    address: str


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    run, record = page.status.run, page.record
    end = run.ended or time.time()
    return environment.get_template("page.html").render(
        run=run,
        began=_moment(run.started),
        ended=_moment(run.ended),
        took=_duration(end - run.started),
        message=masked(run.message),
        inputs=_values(record.inputs),
        outputs=_values(record.outputs),
        metrics=_numbers(record.metrics),
        step_metrics=_numbers(record.step_metrics),
        figures=[_figure(name, file) for name, file in figures_of(record.outputs).items()],
        studies=list(_studies(record.trials)),
        steps=list(_steps(page)),
        places=_places(page.tasks),
        failures=[_failure(report) for report in page.status.failures[:SHOWN_FAILURES]],
        more_failures=max(0, len(page.status.failures) - SHOWN_FAILURES),
        recipe=masked(page.recipe),
        drawing=page.drawing,
    )


# --- values --------------------------------------------------------------------------------------


def _values(values: Values) -> list[tuple[str, str]]:
    # Masked together with the name: of `password: x` the name is what tells.
    rows = []
    for name, value in values.items():
        text = _shown(value)
        rows.append((name, masked(f"{name}={text}").removeprefix(f"{name}=")))
    return rows


def _shown(value: Value) -> str:
    if isinstance(value, File | Directory):
        text = value.location
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(to_json(value), ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _numbers(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(name, _number(value)) for name, value in metrics.items()]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _figure(name: str, file: File) -> Figure:
    path = Path(file.location)
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST_FIGURE else b""
    except OSError:
        content = b""
    kind = _TYPES.get(path.suffix.lower(), "image/png")
    address = f"data:{kind};base64,{b64encode(content).decode()}" if content else ""
    return Figure(name, file.location, address)


def _studies(trials: Sequence[Trial]) -> Iterator[dict[str, object]]:
    """The trials of each study as a table."""
    for study in dict.fromkeys(trial.study for trial in trials):
        mine = [trial for trial in trials if trial.study == study]
        names = list(mine[0].parameters)
        rows = [
            [str(trial.number), trial.state, _number(trial.value), *(_cell(trial.parameters.get(name)) for name in names)]
            for trial in mine[:SHOWN_TRIALS]
        ]  # fmt: skip
        yield {
            "name": study,
            "count": len(mine),
            "header": ["trial", "state", "value", *names],
            "rows": rows,
        }


def _cell(value: Value) -> str:
    return _number(value) if isinstance(value, float) else _shown(value)


# --- what ran ------------------------------------------------------------------------------------


def _steps(page: Page) -> Iterator[StepRow]:
    attempts: dict[str, list[TaskReport]] = {}
    for task in page.tasks:
        attempts.setdefault(task.step, []).append(task)
    for step in page.status.steps:
        mine = attempts.get(step.path, [])
        peak = max((task.peak_bytes for task in mine), default=0)
        yield StepRow(
            step.path,
            f"{step.width:,}" if step.width >= 0 else "?",
            step.succeeded,
            step.reused + step.skipped,
            step.failed,
            len(mine),
            _duration(sum(task.wall_s for task in mine)) if mine else "",
            _duration(max(task.wall_s for task in mine)) if mine else "",
            _duration(sum(task.cpu_s for task in mine)) if mine else "",
            f"{peak / 1e6:,.0f} MB" if peak else "",
        )


def _places(tasks: Sequence[TaskReport]) -> list[tuple[str, int]]:
    """The sites and hosts where attempts ran, with how many each, most first."""
    counts = Counter(
        " · ".join(part for part in (task.site, task.where.partition(" ")[0]) if part)
        for task in tasks
    )
    return [(place or "not begun", count) for place, count in counts.most_common()]


def _failure(report: TaskReport) -> dict[str, str]:
    printed = report.stderr or report.stdout
    return {
        "id": report.id,
        "why": masked(report.message or report.reason),
        "command": masked(report.command),
        "where": report.where,
        "printed": masked("\n".join(printed.splitlines()[-30:])),
        "state": TaskState(report.state).name.lower(),
    }


def _moment(epoch_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(epoch_s)) if epoch_s else ""


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
