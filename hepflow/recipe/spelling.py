"""How a value is spelled where a template puts it: as a shell word, as a literal, as plain text.

Inside quotes of a command other rules hold than outside of them, so the template's own text is
followed with a small shell lexer: whatever the value, it stays one word and nothing of it runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Final, TypeAlias

from hepflow.model.values import Directory, File, Value, to_json

PathOf: TypeAlias = Callable[[File | Directory], str]
Spelling: TypeAlias = Callable[[Value, PathOf], str]

_UNSAFE: Final = re.compile(r"[^\w@%+=:,./-]", re.ASCII)
_IN_DOUBLE: Final = re.compile(r'([\\"$`])')
_WORD_ENDS: Final = " \t\n;&|(<>"
_IN_ANSI: Final = re.compile(r"([\\'])")


class Raw(str):
    """Text that goes into a command as it is."""

    __slots__ = ()


class FilePath(str):
    """A file's path as text, with what is known of the file as attributes."""

    __slots__ = ("file",)
    file: File | Directory


def location_of(file: File | Directory) -> str:
    """The path of a file where no machine is known yet: its location."""
    return file.location


def plain(value: Value, path_of: PathOf) -> str:
    """A value as text without any quoting."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]
    if kind is int or kind is float:
        return repr(value)
    if value is None:
        return ""
    if kind is bool:
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (File, Directory)):
        return path_of(value)
    if isinstance(value, (list, tuple, range)):
        return " ".join([plain(item, path_of) for item in value])
    return as_json(value, path_of)


def shell_word(value: Value, path_of: PathOf) -> str:
    """A value as a word of a shell command; an array as as many words as it has items."""
    kind = type(value)
    if kind is int or kind is float:
        return repr(value)
    if kind is str:
        return quoted(value)  # type: ignore[arg-type]
    if value is None:
        return ""
    if isinstance(value, File):
        return quoted(path_of(value))
    if isinstance(value, (list, tuple, range)):
        return " ".join([shell_word(item, path_of) for item in value])
    if isinstance(value, Raw):
        return str(value)
    return quoted(plain(value, path_of))


def quoted(text: str) -> str:
    """One shell word that means exactly this text.

    Raises:
        ValueError: no shell word can hold it.
    """
    if not text:
        return "''"
    if _UNSAFE.search(text) is None:
        return text
    if "\0" in text:
        raise ValueError("a text with a NUL character cannot stand in a command")
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _within(pattern: re.Pattern[str] | None) -> Spelling:
    def spell(value: Value, path_of: PathOf) -> str:
        if isinstance(value, Raw):
            return str(value)
        text = plain(value, path_of)
        if "\0" in text:
            raise ValueError("a text with a NUL character cannot stand in a command")
        if pattern is None:
            return text.replace("'", "'\"'\"'")
        return pattern.sub(r"\\\1", text)

    return spell


def as_python(value: Value, path_of: PathOf) -> str:
    """A Python literal."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, float) and not float("-inf") < value < float("inf"):
        return f"float('{value!r}')"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, str):
        return repr(str(value))
    if isinstance(value, (File, Directory)):
        return repr(path_of(value))
    if isinstance(value, Mapping):
        items = (f"{key!r}: {as_python(item, path_of)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, (list, tuple, range)):
        return "[" + ", ".join([as_python(item, path_of) for item in value]) + "]"
    raise ValueError(f"a {type(value).__name__} is not a value")


def as_json(value: Value, path_of: PathOf) -> str:
    """JSON on one line, files as paths."""
    if isinstance(value, Raw):
        return str(value)
    return json.dumps(with_paths(value, path_of), ensure_ascii=False, default=_refuse)


def _refuse(value: object) -> object:
    raise ValueError(f"a {type(value).__name__} is not a value")


def with_paths(value: Value, path_of: PathOf) -> Value:
    """The value with every file replaced by its path (a text that still knows the file)."""
    if isinstance(value, (File, Directory)):
        path = FilePath(path_of(value))
        path.file = value
        return path
    if isinstance(value, Mapping):
        return {key: with_paths(item, path_of) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [with_paths(item, path_of) for item in value]
    return list(value) if isinstance(value, range) else value


def has_files(value: Value) -> bool:
    """Whether a value is or holds a file."""
    if isinstance(value, (list, tuple)):
        return any(has_files(item) for item in value)
    if isinstance(value, Mapping):
        return any(has_files(item) for item in value.values())
    return isinstance(value, (File, Directory))


NO_WORDS: Final = "\0none"


def as_words(value: Value, path_of: PathOf) -> str:
    """An array as words each ended by NUL (which no argument can hold), anything else as text."""
    if isinstance(value, (list, tuple, range)):
        return "".join([plain(item, path_of) + "\0" for item in value]) or NO_WORDS
    return plain(value, path_of)


def words_of(text: str) -> list[str]:
    """The arguments in a text that ``as_words`` spelled."""
    if text == NO_WORDS:
        return []
    return text.removesuffix("\0").split("\0") if "\0" in text else [text]


SPELLINGS: Final[Mapping[str, Spelling]] = {
    "shell": shell_word,
    'shell"': _within(_IN_DOUBLE),
    "shell'": _within(None),
    "shell$'": _within(_IN_ANSI),
    "python": as_python,
    "json": as_json,
    "text": plain,
    "words": as_words,
}
"""By mode; the mode ``shell`` has variants for the quotes a slot stands in."""


QUOTING: Final = re.compile(r"""['"`\\#(]""")
"""Where none of these is, the quotes a place stands in cannot change."""


class ShellLexer:
    """Which quotes a place in a shell text stands in, followed piece by piece."""

    __slots__ = ("_stack", "_word_start")

    def __init__(self) -> None:
        # Contexts from outside in: "" plain, ", ', $' quotes; ( and ` open a command of its own.
        self._stack = [""]
        self._word_start = True

    @property
    def quote(self) -> str:
        """The quotes around the next character: empty, ``"``, ``'`` or ``$'``."""
        top = self._stack[-1]
        return "" if top in ("(", "`") else top

    def feed(self, text: str) -> None:
        """Follow a piece of the shell text."""
        if len(self._stack) == 1 and QUOTING.search(text) is None:
            if text:
                self._word_start = text[-1] in _WORD_ENDS
            return
        position = 0
        while position < len(text):
            top = self._stack[-1]
            if top == "'":
                position = self._skip_to(text, position, "'")
            elif top == "$'":
                position = self._ansi(text, position)
            elif top == '"':
                position = self._double(text, position)
            else:
                position = self._plain(text, position, top)

    def value(self) -> None:
        """A value stands here: what follows is not the start of a word."""
        self._word_start = False

    def _skip_to(self, text: str, position: int, end: str) -> int:
        found = text.find(end, position)
        if found < 0:
            return len(text)
        self._stack.pop()
        return found + 1

    def _ansi(self, text: str, position: int) -> int:
        if text[position] == "\\":
            return position + 2
        if text[position] == "'":
            self._stack.pop()
        return position + 1

    def _double(self, text: str, position: int) -> int:
        character = text[position]
        if character == "\\":
            return position + 2
        if character == '"':
            self._stack.pop()
        elif text.startswith("$(", position):
            self._stack.append("(")
            self._word_start = True
            return position + 2
        elif character == "`":
            self._backtick()
        return position + 1

    def _backtick(self) -> None:
        if "`" in self._stack:
            while self._stack.pop() != "`":
                pass
        else:
            self._stack.append("`")

    def _plain(self, text: str, position: int, top: str) -> int:
        character = text[position]
        word_start, self._word_start = self._word_start, character in _WORD_ENDS
        if character == "\\":
            return position + 2
        if character == "#" and word_start:
            end = text.find("\n", position)
            return len(text) if end < 0 else end
        if character in "'\"":
            self._stack.append(character)
        elif text.startswith("$'", position):
            self._stack.append("$'")
            return position + 2
        elif character == "`":
            self._backtick()
        elif character == "(" and (top == "(" or text[position - 1 : position] == "$"):
            self._stack.append("(")
        elif character == ")" and top == "(":
            self._stack.pop()
        return position + 1


def json_line(value: Value) -> str:
    """The text of a value in a fingerprint's constant part."""
    if type(value) is str:
        return encode_basestring_ascii(value)
    return json.dumps(to_json(value), sort_keys=True, ensure_ascii=True)
