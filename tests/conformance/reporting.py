"""Reports on suites: as text, as JSON, and as the tables of ``docs/conformance.md``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from judging import Judged, Report, Verdict

BEGIN: Final = "<!-- written by tests/conformance/run: begin -->"
END: Final = "<!-- written by tests/conformance/run: end -->"


def as_text(report: Report) -> str:
    """A line of counts, then each test that was run and did not pass, with its reason."""
    counts = ", ".join(f"{report.count(verdict)} {verdict}" for verdict in Verdict)
    head = (
        f"CWL {report.version} ({report.commit[:12] or 'no commit'}): {len(report.tests)} tests"
        f" ({_must_fail(report)} must fail, {_images(report)} need an image): {counts};"
        f" {report.wall_s:.0f} s, {report.cpu_s:.0f} s of processor time"
    )
    faults = [f"  {test.verdict:<11} {test.id}: {test.reason}" for test in _not_passed(report)]
    return "\n".join([head, *faults])


def as_json(reports: Sequence[Report]) -> str:
    """All there is; the ``reason`` of a must-fail test that passed is what refused it."""
    return json.dumps([asdict(report) for report in reports], indent=1) + "\n"


def from_json(text: str) -> list[Report]:
    """The inverse of :func:`as_json`."""
    return [
        Report(
            **{name: value for name, value in data.items() if name != "tests"},
            tests=tuple(
                Judged(**{**test, "verdict": Verdict(test["verdict"])}) for test in data["tests"]
            ),
        )
        for data in json.loads(text)
    ]


def as_markdown(reports: Sequence[Report]) -> str:
    """A table with a line for each version and runner; below it what did not pass or run, and why."""
    columns = (
        "CWL", "suite at", "runner", "tests (must fail)", "need an image",
        *Verdict, "wall time", "processor time",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [
        f"| {report.version} | `{report.commit[:12]}` | {report.runner_version}"
        f" | {len(report.tests)} ({_must_fail(report)}) | {_images(report)}"
        f" | {' | '.join(str(report.count(verdict)) for verdict in Verdict)}"
        f" | {report.wall_s:.0f} s | {report.cpu_s:.0f} s |"
        for report in sorted(reports, key=lambda report: report.version, reverse=True)
    ]
    lines += ["", "Commands, run with as many tests at a time as said:", ""]
    commands = {f"- `{report.runner}` ({report.workers} at a time)" for report in reports}
    lines += sorted(commands)
    for report in reports:
        lines += _section(report)
    return "\n".join(lines)


def write_into(document: Path, reports: Sequence[Report]) -> None:
    """Puts the tables between the two marks of a Markdown document.

    Raises:
        ValueError: it has no such marks.
    """
    text = document.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{document} has no lines '{BEGIN}' and '{END}'")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    document.write_text(f"{head}{BEGIN}\n\n{as_markdown(reports)}\n\n{END}{tail}", encoding="utf-8")


def _section(report: Report) -> Iterator[str]:
    """The tests of one report that were not passed."""
    faults = list(_not_passed(report))
    missing = [test.id for test in report.tests if test.verdict is Verdict.NOT_RUN]
    if faults or missing:
        yield from ("", f"### {report.version}, {report.runner_version}", "")
    for test in faults:
        yield f"- {test.verdict}: `{test.id}`: {test.reason.replace('|', chr(92) + '|')}"
    if missing:
        yield f"- not run, for they need their image: {', '.join(f'`{name}`' for name in missing)}"


def _must_fail(report: Report) -> int:
    return sum(test.must_fail for test in report.tests)


def _images(report: Report) -> int:
    return sum(test.image for test in report.tests)


def _not_passed(report: Report) -> Iterator[Judged]:
    for test in report.tests:
        if test.verdict in (Verdict.FAILED, Verdict.UNSUPPORTED):
            yield test
