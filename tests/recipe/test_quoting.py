"""Whatever a value is, it reaches the program as it is, and nothing of it runs."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepflow.model.errors import Place
from hepflow.model.values import File, Value
from hepflow.recipe.compiling import compile_text
from hepflow.recipe.faults import Faults, Path
from hepflow.recipe.scope import Scope, Surroundings
from hepflow.recipe.spelling import ShellLexer, as_python, location_of
from hepflow.recipe.templates import Frame

SHELLS = [name for name in ("sh", "bash") if shutil.which(name)]
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
NASTY = st.one_of(TEXTS, st.text("'\"\\$`!*?[](){}<>|&;#~ \n\tab$(", max_size=20))


class Nowhere:
    """Places for texts that stand in no file."""

    def at(self, path: Path, *, key: bool = False, needle: str = "", line: int = 0) -> Place:
        return Place()


def render(text: str, value: Value, mode: str = "shell") -> str:
    """A text with ``x`` filled in."""
    faults = Faults(Nowhere)
    scope = Scope(Surroundings({}, {}), variables=("x",))
    template = compile_text(text, mode, scope, faults, ())
    assert not faults.problems
    return template.render(Frame({"x": value}, {}, {}, location_of, []))


def printed(shell: str, command: str) -> bytes:
    ran = subprocess.run([shell, "-c", command], capture_output=True, check=True)
    return ran.stdout


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=60)
@given(value=NASTY)
def test_any_text_survives_the_shell_in_every_kind_of_quotes(shell: str, value: str) -> None:
    text = "printf '<%s>' {{ x }} \"{{ x }}\" '{{ x }}' \"$(printf '%s.' {{ x }})\" a'b'{{ x }}; # don't {{ x | int(0) }}\n"
    found = printed(shell, render(text, value)).decode()
    assert found == f"<{value}><{value}><{value}><{value}.><ab{value}>"


@settings(max_examples=30)
@given(value=NASTY)
def test_text_in_ansi_quotes_survives_bash(value: str) -> None:
    if "bash" in SHELLS:
        assert printed("bash", render("printf %s $'{{ x }}'", value)).decode() == value


@settings(max_examples=40)
@given(values=st.lists(NASTY, max_size=5))
def test_an_array_is_as_many_words_as_it_has_items(values: Sequence[str]) -> None:
    command = "for word in {{ x }}; do printf '<%s>' \"$word\"; done"
    assert printed("sh", render(command, values)).decode() == "".join(f"<{v}>" for v in values)


@settings(max_examples=40)
@given(value=NASTY)
def test_the_quick_and_the_full_template_quote_alike(value: str) -> None:
    text = "a {{ x }} \"{{ x }}\" '{{ x }}'"
    assert render(text, value) == render(text.replace("{{ x }}", "{{ x | string }}"), value)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, ""), (True, "true"), (False, "false"), (5, "5"), (-1, "-1"), (0.1, "0.1"),
        (1e-30, "1e-30"), ("", "''"), ("a-b_c/d.e,f:g=h@i%j+k", "a-b_c/d.e,f:g=h@i%j+k"), ("é", "'é'"),
        (File("/a b/c"), "'/a b/c'"), (range(3), "0 1 2"), ([], ""), ([[1, 2], [3]], "1 2 3"),
        ({"a": 1}, "'{\"a\": 1}'"), (["a b", File("/c")], "'a b' /c"),
    ],
)  # fmt: skip
def test_values_as_shell_words(value: Value, word: str) -> None:
    assert render("{{ x }}", value) == word
    assert render("{{ x if true }}", value) == word


def test_raw_and_quote_say_otherwise() -> None:
    assert render("{{ x | raw }}", "a; b") == "a; b"
    assert render('"{{ x | raw }}"', "$HOME") == '"$HOME"'
    assert render("{{ x | quote }}", "a b") == "'a b'"
    assert render("{{ x | json }}", ["a"]) == "'[\"a\"]'"


def test_a_nul_cannot_stand_in_a_command() -> None:
    with pytest.raises(ValueError, match="NUL"):
        render("echo {{ x }}", "a\0b")


def test_bash_lengths_and_braces_are_left_alone() -> None:
    text = "echo ${#a[@]} ${a%%.*} $((1+2)) {1..3} {{ x }}"
    assert render(text, 1) == text.replace("{{ x }}", "1")


DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(value=DATA)
def test_values_are_literals_in_a_python_script(value: Value) -> None:
    text = as_python(value, location_of)
    assert eval(text, {"float": float}) == value
    if "float(" not in text:
        assert ast.literal_eval(text) == value


@given(value=DATA)
def test_values_are_json_in_other_scripts(value: Value) -> None:
    assert json.loads(render("{{ x }}", value, "json")) == value


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("a ", ""), ("a '", "'"), ('a "', '"'), ("a \\' ", ""), ("a \"b'c", '"'), ("a \"$(b ", ""),
        ('a "$(b "', '"'), ('"$(b)', '"'), ("$'a", "$'"), ("a # don't\n", ""), ("a#'", "'"),
        ("`a '", "'"), ("a \"`b ", ""), ("x=$(a 'b') '", "'"), ("case a in b) '", "'"), ("''", ""),
    ],
)  # fmt: skip
def test_the_lexer_knows_the_quotes_of_a_place(text: str, quote: str) -> None:
    lexer = ShellLexer()
    lexer.feed(text)
    assert lexer.quote == quote
