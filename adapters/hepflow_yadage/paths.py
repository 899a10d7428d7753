"""Files as yadage has them, as paths in texts, and as the model has them, as values.

Within yadage a file is a text that happens to be a path. A task's results must say which of its texts are
files, or nobody could digest, stage or publish them; and its parameters must be texts again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from hepflow.model.values import Directory, File, Value, files_in
from hepflow_yadage.specs import JSON


class Known:
    """The files that somebody has told of, by path."""

    def __init__(self) -> None:
        self._files: dict[str, File | Directory] = {}
        self._folders: set[str] = set()

    def texts(self, value: Value) -> JSON:
        """A value with paths instead of files, which are remembered."""
        if isinstance(value, (File, Directory)):
            self._files[value.location] = value
            if isinstance(value, Directory):
                self.allow(value.location)
            return value.location
        if isinstance(value, Mapping):
            return {key: self.texts(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, range)):
            return [self.texts(item) for item in value]
        return value

    def values(self, data: JSON) -> Value:
        """Texts with files instead of the paths that are known, or lie in a known directory."""
        if isinstance(data, str):
            return self._file(data) if data.startswith("/") else data
        if isinstance(data, dict):
            return {key: self.values(item) for key, item in data.items()}
        if isinstance(data, list):
            return [self.values(item) for item in data]
        return data  # type: ignore[no-any-return]

    def add(self, files: Iterable[File | Directory]) -> None:
        """Remember files."""
        for file in files:
            self.texts(file)

    def allow(self, folder: str) -> None:
        """Take what is there in a folder for files as well."""
        self._folders.add(os.path.normpath(folder))

    def _file(self, path: str) -> File | Directory | str:
        found = self._files.get(path)
        if found is not None:
            return found
        plain = os.path.normpath(path)
        if plain in self._files:
            return self._files[plain]
        folder = plain
        while folder not in self._folders:
            if folder in ("/", ""):
                return path
            folder = os.path.dirname(folder)
        return _existing(plain) or path


def _existing(path: str) -> File | Directory | None:
    """What is at a path, not yet read; ``None`` where nothing is."""
    if os.path.isdir(path):
        return Directory(path)
    return File(path) if os.path.exists(path) else None


def by_location(values: Mapping[str, Value] | Sequence[Value]) -> dict[str, File | Directory]:
    """All files in some values."""
    return {file.location: file for file in files_in(values)}
