"""Writing a recipe, loading it, and reading what is wrong with it, in a line each."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from hepflow.model.errors import Problem, RecipeError
from hepflow.model.protocols import LoadOptions
from hepflow.model.workflow import Workflow
from hepflow.recipe import NativeLanguage

Load = Callable[..., Workflow]
Faults = Callable[..., list[Problem]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file into the recipe's folder."""

    def put(text: str, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return put


@pytest.fixture
def load(write: Callable[[str, str], Path]) -> Load:
    """Loads a recipe's text, ``hepflow: v1`` being added."""

    def read(
        text: str,
        *,
        profiles: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        name: str = "recipe.yaml",
    ) -> Workflow:
        body = textwrap.dedent(text).lstrip("\n")
        path = write(body if re.search(r"\bhepflow\b\W", body) else f"hepflow: v1\n{body}", name)
        return NativeLanguage().load(path, LoadOptions(profiles, settings or {}))

    return read


@pytest.fixture
def faults(load: Load) -> Faults:
    """All faults of a recipe; its own first line is line 2, after ``hepflow: v1``."""

    def read(text: str, **options: object) -> list[Problem]:
        with pytest.raises(RecipeError) as caught:
            load(text, **options)
        assert caught.value.exit_code == 3
        return list(caught.value.problems)

    return read
