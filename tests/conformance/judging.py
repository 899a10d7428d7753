"""Runs a suite's tests with a CWL runner, ``cwltest`` being the judge.

Tests are given to ``cwltest``'s own function one by one: its command line cannot select a suite's
first test, and names the wrong tests in its report once a selection is made.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import cwltest
from cwltest.utils import CWLTestConfig, TestResult, run_test_plain
from suites import Suite, Test

UNSUPPORTED: Final = 33
TRACEBACK: Final = "Traceback (most recent call last)"
REASON_LENGTH: Final = 300

_TELLING: Final = re.compile(r"\bHF\d{3}\b|#\d+  failed: ")
"""What marks the line of hepflow's that says why."""


class Verdict(StrEnum):
    """What became of a test."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Judged:
    """A test and its verdict, as they stand in a report's JSON.

    Args:
        must_fail: the runner had to refuse it.
        image: it cannot be judged without its container image.
        reason: why it was not passed; of a must-fail test, what the runner refused it with.
    """

    id: str
    must_fail: bool
    image: bool
    verdict: Verdict
    reason: str = ""
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """The verdicts on a suite.

    Args:
        runner: the command that ran the tests.
        runner_version: what it says of itself.
        commit: of the suite's checkout; empty where it is none.
        workers: tests under way at a time.
        wall_s: from the first test's start to the last one's end.
        cpu_s: processor time of all processes of the runner's.
    """

    runner: str
    runner_version: str
    version: str
    commit: str
    workers: int
    wall_s: float
    cpu_s: float
    tests: tuple[Judged, ...]

    def count(self, verdict: Verdict) -> int:
        return sum(test.verdict is verdict for test in self.tests)


def judge(
    suite: Suite,
    command: Sequence[str],
    *,
    workers: int = 2,
    containers: bool = False,
    limit_s: int = 300,
    tell: Callable[[Judged], None] = lambda _: None,
) -> Report:
    """Runs the tests of a suite in a folder of their own, which is gone afterwards.

    Args:
        command: the runner and its own options.
        workers: tests under way at a time.
        containers: also run those that need their container image.
        tell: called with each test that has ended, from any thread.
    """
    cwltest.logger.setLevel(logging.CRITICAL)  # its verdicts are told by us

    def one(test: Test) -> Judged:
        judged = _judge(suite, test, command, containers, limit_s)
        tell(judged)
        return judged

    with _scratch_folder(), ThreadPoolExecutor(workers) as pool:
        begun, used = time.monotonic(), _cpu_s()
        judged = tuple(pool.map(one, suite.tests))
        wall_s, cpu_s = round(time.monotonic() - begun, 1), round(_cpu_s() - used, 1)
    return Report(
        shlex.join([Path(command[0]).name, *command[1:]]),
        _own_version(command),
        suite.version,
        suite.commit,
        workers,
        wall_s,
        cpu_s,
        judged,
    )


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _own_version(command: Sequence[str]) -> str:
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    words = done.stdout.split()
    return " ".join([Path(words[0]).name, *words[1:]]) if words else Path(command[0]).name


@contextmanager
def _scratch_folder() -> Iterator[None]:
    """Everything that a runner leaves goes into a temporary folder, what it remembers for other runs
    as well. (``cwltest`` makes an output folder for each test and removes none.)"""
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        before, tempfile.tempdir = tempfile.tempdir, folder
        os.environ.update(TMPDIR=folder, XDG_CACHE_HOME=f"{folder}/cache")
        work = Path(folder, "work")
        work.mkdir()
        os.chdir(work)
        try:
            yield
        finally:
            os.chdir(here)
            tempfile.tempdir = before


def _judge(
    suite: Suite, test: Test, command: Sequence[str], containers: bool, limit_s: int
) -> Judged:
    if test.image and not containers:
        return Judged(test.id, test.must_fail, True, Verdict.NOT_RUN, "needs its container image")
    folder = f"{suite.listed.parent}/"
    config = CWLTestConfig(
        entry=str(suite.listed),
        entry_line=test.entry["line"],
        test_basedir=f"file://{folder}",
        test_baseuri=f"file://{folder}",
        tool=command[0],
        args=list(command[1:]),
        timeout=limit_s,
    )
    result = run_test_plain(config, test.entry)
    verdict, reason = _verdict(test, result)
    wall_s = round(result.duration, 2)
    return Judged(test.id, test.must_fail, test.image, verdict, reason, wall_s)


def _verdict(test: Test, result: TestResult) -> tuple[Verdict, str]:
    """The judge's verdict, but that a runner that crashes has not refused anything."""
    last = _last_words(result.error_output.splitlines())
    if result.return_code == UNSUPPORTED:
        return Verdict.UNSUPPORTED, last
    if test.must_fail and result.return_code:
        return Verdict.FAILED, "it was not refused"
    if TRACEBACK in result.error_output:
        return Verdict.FAILED, f"the runner crashed: {last}"
    if test.must_fail:
        return (Verdict.PASSED, last) if last else (Verdict.FAILED, "refused without a word")
    if result.return_code:
        return Verdict.FAILED, _shorter(result.message) if _compared(result) else last
    return Verdict.PASSED, ""


def _compared(result: TestResult) -> bool:
    """Whether it was the output that was not as expected."""
    return result.message.startswith(("expected:", "Output is not", "Test timed out"))


def _last_words(lines: Iterable[str]) -> str:
    """The line that says why: a problem or failed task of hepflow's, else the last with words."""
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in lines]
    said = [line for line in plain if line]
    telling = [line for line in said if _TELLING.search(line)]
    return _shorter(telling[0] if telling else said[-1] if said else "")


def _shorter(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= REASON_LENGTH else f"{flat[: REASON_LENGTH - 1]}…"
