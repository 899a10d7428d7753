"""Which shell, if any, a shell text needs.

A shell text means what ``bash -e -o pipefail`` makes of it. Starting bash costs three times as much
as starting the plain shell, and that as much again as starting the program alone, so texts whose
meaning is the same without bash are recognised here. Recognition is strict: what is not known to
mean the same goes to bash. Owns that knowledge; must never start anything.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from hepflow.capsule.spawning import ARGV, BASH, SH, WORDS
from hepflow.model.task import Argv, Shell

PLAIN = r"[\w@%+=:,./^-]"
"""Characters that stand for themselves in every shell (a tilde, a bracket or a brace does not)."""

WORD = rf"(?:{PLAIN}|'[^']*'|\"[^\"$`\\!]*\")+"
BLANK = r"[ \t]"
SIMPLE: Final = re.compile(
    rf"{BLANK}*({WORD}(?:{BLANK}+{WORD})*)(?:{BLANK}*(?<![0-9])(>>?){BLANK}*({WORD}))?\s*", re.ASCII
)
"""One command of plain words, with at most its standard output sent to a file."""

# A number of two digits before a sign is a descriptor to bash and a word to the plain shell.
REDIRECTION = rf"(?<![0-9])(?:(?:>>?|<){BLANK}*{WORD}|2>&1|2>>?{BLANK}*{WORD})"
COMMAND = rf"{WORD}(?:{BLANK}+(?:{REDIRECTION}|{WORD})|{BLANK}*{REDIRECTION})*"
LIST: Final = re.compile(
    rf"\s*{COMMAND}(?:{BLANK}*(?:&&|;|\n){BLANK}*\n*{BLANK}*{COMMAND})*{BLANK}*;?\s*", re.ASCII
)
"""Such commands one after the other."""

FIRST: Final = re.compile(rf"(?:^|&&|;|\n)\s*({WORD})(?:{BLANK}+({WORD}))?", re.ASCII)

RESERVED: Final = frozenset(
    "if then else elif fi case esac for select while until do done in function time coproc { } ! [["
    " ]]".split()
)
BUILTIN: Final = RESERVED | frozenset(
    ". : [ alias bg bind break builtin caller cd command compgen complete compopt continue declare"
    " dirs disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill"
    " let local logout mapfile popd printf pushd pwd read readarray readonly return set shift shopt"
    " source suspend test times trap true type typeset ulimit umask unalias unset wait chdir"
    " newgrp".split()
)
"""Words that a shell takes itself. They are no programs, or not quite the same ones."""

ALIKE: Final = frozenset(": cd echo exit false true".split())
"""Built-in commands that the plain shell and bash take alike, as long as words are plain."""


class Shells:
    """Decides how commands run under one environment."""

    def __init__(self, env: Mapping[str, str]) -> None:
        # Both can change what a command means, and only bash heeds them.
        self._bash_only = "BASH_ENV" in env
        self._functions = frozenset(
            name[len("BASH_FUNC_") :].split("%")[0] for name in env if name.startswith("BASH_FUNC_")
        )

    def route(self, command: Shell | Argv, env: Mapping[str, str]) -> tuple[int, Any]:
        """How the launcher shall run a command, and the body it needs for that."""
        if isinstance(command, Argv):
            return ARGV, list(command.words)
        text = command.text
        if self._bash_only or "BASH_ENV" in env:
            return BASH, text
        simple = SIMPLE.fullmatch(text)
        if simple is not None:
            words = _split(simple[1])
            if self._is_program(words[0]):
                target = _split(simple[3])[0] if simple[3] else ""
                return WORDS, [text, words, target, int(simple[2] == ">>")]
        if not self._functions and LIST.fullmatch(text) and _means_the_same(text):
            return SH, text
        return BASH, text

    def _is_program(self, word: str) -> bool:
        return (
            bool(word)
            and "=" not in word
            and word[0] != "%"
            and word not in BUILTIN | self._functions
        )


def _split(text: str) -> list[str]:
    if "'" in text or '"' in text:
        return shlex.split(text)
    return text.split()


def _means_the_same(text: str) -> bool:
    """Whether every command of a list is one that the plain shell takes like bash."""
    bare = _without_quoted(text)
    for head in FIRST.finditer(bare):
        word, option = head[1], head[2] or ""
        if "=" in word:  # an assignment, or a command's name in quotes
            return False
        if word.startswith("%"):  # to bash a job, to the plain shell a program's name
            return False
        if word in BUILTIN and (word not in ALIKE or option.startswith("-")):
            return False
    return True


def _without_quoted(text: str) -> str:
    """A text with what stands in quotes made harmless, so that it hides no operator.

    The sign that replaces it tells a quoted word from a bare one, and begins with a minus where the
    quoted text might.
    """
    return re.sub(
        r"'[^']*'|\"[^\"]*\"",
        lambda found: "-=" if len(found[0]) == 2 or found[0][1] == "-" else "=",
        text,
    )
