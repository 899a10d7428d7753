"""A user's own folder of sites, away from the one of whoever runs the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a site file into the user's folder, or elsewhere."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    own = tmp_path / "config" / "hepflow" / "sites"
    own.mkdir(parents=True)

    def into(name: str, text: str, folder: Path = own) -> Path:
        path = folder / name
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return into
