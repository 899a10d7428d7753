"""Every way a command can end: its exit status, its words, and its JSON."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hepflow.cli.entry import enter
from hepflow.model.errors import (
    ExecutionError,
    HepflowError,
    Place,
    Problem,
    RecipeError,
    StoreError,
    UnavailableError,
    UsageError,
)

Call = Callable[..., Any]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (RecipeError, 3),
        (UsageError, 2),
        (UnavailableError, 4),
        (StoreError, 4),
        (ExecutionError, 1),
    ],
)
def test_each_error_has_its_exit_status(
    fake: Any, call: Call, kind: type[HepflowError], status: int
) -> None:
    fake.answers["runs"] = kind(Problem(Place("x.yaml", 3, 7), "HF123", "what", "why", "fix"))
    ended = call("list")
    assert ended.status == status
    assert ended.err == "x.yaml:3:7  HF123  what\n  why: why\n  fix: fix\n"


def test_all_problems_are_told_and_counted(fake: Any, call: Call) -> None:
    fake.answers["load"] = RecipeError(
        Problem(Place("x.yaml", line, 1), "HF123", f"fault {line}") for line in (9, 4)
    )
    ended = call("run", "numbers.yaml")
    assert ended.status == 3
    assert ended.err.splitlines() == [
        "x.yaml:4:1  HF123  fault 4",
        "x.yaml:9:1  HF123  fault 9",
        "2 problems",
    ]


def test_errors_are_json_too_where_json_is_asked(fake: Any, call: Call) -> None:
    fake.answers["load"] = RecipeError(Problem(Place("x.yaml", 4, 2), "HF123", "a fault"))
    ended = call("validate", "numbers.yaml", "--json")
    fake.answers["validate"] = fake.answers["load"]
    ended = call("validate", "numbers.yaml", "--json")
    assert ended.data == {
        "problems": [
            {
                "file": "x.yaml", "line": 4, "column": 2, "code": "HF123",
                "what": "a fault", "why": "", "fix": "",
            }
        ],
        "exit_code": 3,
    }  # fmt: skip
    assert "x.yaml:4:2" in ended.err
    assert call("run", "--json").data["problems"][0]["code"] == "HF300"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["numbres.yaml"], ["there is no recipe 'numbres.yaml'", "did you mean 'numbers.yaml'?"]),
        (["."], ["'.' is a folder, not a recipe", "numbers.yaml"]),
        (["nowhere/x.yaml"], ["there is no folder 'nowhere' either"]),
        (["lfi/two_moons"], ["hepflow recipes copy lfi/two_moons"]),
        (["numbers.yaml", "n"], ["'n' is not of the form NAME=VALUE", "write name=value"]),
        (
            ["numbers.yaml", "job.yml"],
            ["'job.yml' is not of the form", "there is no file 'job.yml'"],
        ),
        (["numbers.yaml", "n=1", "n=2"], ["'n' is given twice"]),
        (["numbers.yaml", "--set", "x"], ["'x' is not of the form --set"]),
        (["numbers.yaml", "--inputs", "none.yaml"], ["there is no file 'none.yaml'"]),
    ],
)
def test_wrong_arguments_of_run_are_told_apart(
    fake: Any, call: Call, arguments: list[str], words: list[str]
) -> None:
    ended = call("run", *arguments)
    assert ended.status == 2
    for word in words:
        assert word in ended.err
    assert not [name for name, _, _ in fake.calls if name == "run"]


def test_a_word_that_is_no_run_is_told(fake: Any, call: Call) -> None:
    ended = call("status", "yesterday")
    assert ended.status == 2
    assert "'yesterday' is not a run" in ended.err


def test_an_interrupt_ends_quietly(fake: Any, call: Call) -> None:
    fake.answers["runs"] = KeyboardInterrupt()
    ended = call("list")
    assert ended.status == 130
    assert "Traceback" not in ended.err


def test_a_bug_of_ours_shows_where_and_asks_for_a_report(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answers["runs"] = ZeroDivisionError("by zero")
    with pytest.raises(SystemExit) as ended:
        enter(["list"])
    assert ended.value.code == 70
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "ZeroDivisionError: by zero" in told
    assert "Please report it" in told


def test_nobody_reading_ends_quietly(project: Path) -> None:
    """As in ``hepflow --help | true``, made certain by closing the reading end first."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "hepflow", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN),
    )
    os.close(write)
    assert done.returncode == 141
    assert done.stderr == ""


def test_a_terminal_without_unicode_gets_ascii(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hepflow", "doctor"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
