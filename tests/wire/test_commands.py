"""Which shell a text needs, and that it means the same there as under bash."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.capsule.spawning import ARGV, BASH, SH, WORDS
from hepflow.model.task import Argv, Shell
from hepflow.wire.commands import Shells

SHELLS = Shells({})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("touch x", ["touch", "x"]),
        ("  python -m thing --n=5 a/b,c:d @e %f +g  \n", None),
        ("cat 'a b' \"c d\" e'f'g", ["cat", "a b", "c d", "efg"]),
        ("prog ''", ["prog", ""]),
    ],
)
def test_plain_words_need_no_shell(text: str, words: list[str] | None) -> None:
    how, body = SHELLS.route(Shell(text), {})
    assert how == WORDS
    assert body == [text, words or text.split(), "", 0]


@pytest.mark.parametrize(
    ("text", "target", "append"),
    [("seq 3 > out.txt", "out.txt", 0), ("seq 3 >>'a b'", "a b", 1), ("seq 3>o", None, 0)],
)
def test_one_redirection_needs_no_shell(text: str, target: str | None, append: int) -> None:
    how, body = SHELLS.route(Shell(text), {})
    if target is None:
        # Here the shell sends descriptor 3.
        assert how != WORDS
    else:
        assert (how, body[2:]) == (WORDS, [target, append])


@pytest.mark.parametrize(
    "text",
    [
        "echo 5 > number.txt",
        "touch a && touch b; touch c\n",
        "echo 'two words' > x\ncat < x >> y 2> err",
        "cd sub; make 2>&1",
        "false",
    ],
)
def test_plain_lists_take_the_plain_shell(text: str) -> None:
    assert SHELLS.route(Shell(text), {}) == (SH, text)


@pytest.mark.parametrize(
    "text",
    [
        "echo $HOME",
        "touch *",
        "touch ~/x",
        "touch {a,b}",
        "A=1 touch x",
        "touch x &",
        "cat x | wc",
        "echo `date`",
        "echo -e a",
        "echo '-e' a",
        "echo ''-e a",
        "echo a\\tb",
        "printf x",
        "'printf' x",
        "[ -f x ]",
        "test -f x",
        "if true; then echo; fi",
        "for i in a b; do echo; done",
        "source x",
        "# only a comment",
        "touch x # comment",
        "",
        "cat <<END\nx\nEND",
        "cat <(ls)",
        "touch x &> y",
        "touch x >| y",
        "touch ü",
        "time touch x",
        "! touch x",
        "x=1",
    ],
)
def test_everything_else_takes_bash(text: str) -> None:
    assert SHELLS.route(Shell(text), {})[0] == BASH


def test_what_only_bash_heeds_takes_bash() -> None:
    assert SHELLS.route(Shell("touch x"), {"BASH_ENV": "x"})[0] == BASH
    assert Shells({"BASH_ENV": "x"}).route(Shell("touch x"), {})[0] == BASH
    shells = Shells({"BASH_FUNC_module%%": "() { true; }"})
    assert shells.route(Shell("module load root"), {})[0] == BASH
    assert shells.route(Shell("touch x"), {})[0] == WORDS
    assert shells.route(Shell("touch x; module load root"), {})[0] == BASH


def test_an_argv_is_taken_as_it_is() -> None:
    assert SHELLS.route(Argv(("echo", "$x")), {}) == (ARGV, ["echo", "$x"])


PIECES = [
    "echo", "cat", "true", "false", "a", "b.txt", "'a b'", '"c  d"', "''", "-n", "x=1", "5", "2",
    " ", " ", " ", ">", ">>", "<", "2>", "2>&1", "&&", ";", "\n", "cd", ":", "exit", "-e", "^", "%",
]  # fmt: skip


@pytest.mark.slow
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12))
def test_the_plain_shell_does_what_bash_does(pieces: list[str]) -> None:
    text = "".join(pieces)
    if SHELLS.route(Shell(text), {})[0] != SH:
        return
    assert _effect(["sh", "-e", "-c", text]) == _effect(
        ["bash", "--norc", "-e", "-o", "pipefail", "-c", text]
    )


def _effect(command: list[str]) -> tuple[bool, bytes, dict[str, bytes]]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, check=False
        )
        left = {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}
        said = {name: _without_complaints(content) for name, content in left.items()}
        return done.returncode == 0, _without_complaints(done.stdout), said


def _without_complaints(text: bytes) -> bytes:
    """The words of an error message are each shell's own."""
    lines = text.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith((b"sh: ", b"bash: ")))
