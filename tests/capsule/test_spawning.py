"""Both ways to a process do the same: the quick one, and that of a Python that has no other."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hepflow.capsule.placing import DUPLICATED, OPENED
from hepflow.capsule.spawning import fork, spawn

Start = Callable[[str, list[str], dict[bytes, bytes], list[Any]], int]

both = pytest.mark.parametrize("start", [spawn, fork])


@pytest.fixture
def null() -> Any:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@both
def test_a_program_gets_its_words_variables_and_streams(
    start: Start, null: int, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    files = [
        (DUPLICATED, null, 0),
        (OPENED, 1, str(out), os.O_WRONLY | os.O_CREAT, 0o600),
        (DUPLICATED, 1, 2),
    ]
    text = 'echo "$0 $X"; echo told >&2; cat'
    pid = start("/bin/sh", ["sh", "-c", text, "word"], {b"X": b"value"}, files)
    assert os.waitpid(pid, 0)[1] == 0
    assert out.read_text() == "word value\ntold\n"


@both
def test_it_leads_a_group_and_dies_of_what_python_ignores(start: Start, null: int) -> None:
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    files = [(DUPLICATED, null, number) for number in range(3)]
    pid = start("/bin/sleep", ["sleep", "60"], {}, files)
    assert os.getpgid(pid) == pid
    os.killpg(pid, signal.SIGPIPE)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGPIPE


@both
def test_what_cannot_be_started_is_told_to_who_wanted_it(
    start: Start, null: int, tmp_path: Path
) -> None:
    files = [(DUPLICATED, null, number) for number in range(3)]
    with pytest.raises(FileNotFoundError):
        start(str(tmp_path / "nothing"), ["nothing"], {}, files)
    lacking = [(OPENED, 0, str(tmp_path / "nothing"), os.O_RDONLY, 0), *files[1:]]
    with pytest.raises(FileNotFoundError):
        start("/bin/true", ["true"], {}, lacking)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
