"""What starting the program loads: the dear libraries only when a verb needs them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hepflow.cli.group import VERBS

DEAR = {"rich", "yaml", "jinja2", "sqlite3", "asyncio", "hepflow.api", "hepflow.engine"}


def loaded_by(*arguments: str) -> set[str]:
    """The modules that are there when a command line has ended."""
    code = (
        "import sys; from hepflow.__main__ import main; status = main();"
        " sys.stderr.write(' '.join(['', 'loaded:', *sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stderr.split(" loaded: ")[1].split())


def test_the_version_needs_no_parser() -> None:
    loaded = loaded_by("--version")
    assert not loaded & (DEAR | {"click", "dataclasses", "json"})
    assert "hepflow" in loaded


def test_the_main_help_loads_no_verb() -> None:
    loaded = loaded_by("--help")
    assert not loaded & DEAR
    assert not {name for name in loaded if name.startswith("hepflow.cli.cmd_")}


@pytest.mark.parametrize("verb", ["run", "plan", "status"])
def test_a_verbs_help_loads_that_verb_and_not_the_engine(verb: str) -> None:
    loaded = loaded_by(verb, "--help")
    assert not loaded & DEAR
    verbs = {name for name in loaded if name.startswith("hepflow.cli.cmd_")}
    assert verbs == {f"hepflow.cli.cmd_{verb}"}


def test_a_wrong_verb_loads_no_verb() -> None:
    assert not loaded_by("rnu") & DEAR


def test_nothing_is_drawn_where_there_is_no_terminal() -> None:
    assert not {name for name in loaded_by("list") if name.split(".")[0] == "rich"}


@pytest.mark.parametrize("arguments", [["--version"], ["-V"]])
def test_the_version_is_one_line(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hepflow", *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("hepflow 0.")
    assert done.stdout.count("\n") == 1


def test_completing_a_verb_loads_no_verb() -> None:
    code = (
        "import os, sys; os.environ.update(_HEPFLOW_COMPLETE='bash_complete', COMP_CWORD='1',"
        " COMP_WORDS='hepflow re'); from hepflow.cli.entry import enter; enter([]);"
        " print([name for name in sys.modules if '.cmd_' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    words = [line.split(",")[1] for line in done.stdout.splitlines() if line.startswith("plain,")]
    assert words == [verb for verb in VERBS if verb.startswith("re")]
    assert done.stdout.splitlines()[-1] == "[]"
