"""The recipes that come with hepflow: found beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hepflow.model.errors import UsageError


@dataclass(frozen=True, slots=True)
class BundledRecipe:
    """A recipe by the name ``hepflow recipes`` lists it under."""

    name: str
    path: Path
    doc: str


def folder_of(name: str, *, beside: str) -> Path:
    """A data folder: ``hepflow/NAME`` in a wheel, ``BESIDE`` next to the package in a checkout."""
    package = Path(__file__).parent
    return package / name if (package / name).is_dir() else package.parent / beside


def bundled_recipes() -> tuple[BundledRecipe, ...]:
    """All bundled recipes, by name."""
    root = folder_of("recipes", beside="recipes")
    return tuple(sorted(_found(root), key=lambda recipe: recipe.name))


def _found(root: Path) -> Iterator[BundledRecipe]:
    for path in root.rglob("*.y*ml"):
        head = path.read_text(encoding="utf-8")
        if re.search(r"^hepflow:", head, re.MULTILINE):
            doc = re.search(r"^doc:\s*(.+)$", head, re.MULTILINE)
            yield BundledRecipe(
                str(path.relative_to(root).with_suffix("")), path, doc[1] if doc else ""
            )


def find_recipe(name: str) -> BundledRecipe:
    """A bundled recipe by name.

    Raises:
        UsageError: there is none of that name.
    """
    recipes = {recipe.name: recipe for recipe in bundled_recipes()}
    if name in recipes:
        return recipes[name]
    near = get_close_matches(name, recipes, n=1, cutoff=0.3)
    raise UsageError.of(
        "HF305", f"there is no bundled recipe '{name}'",
        fix=f"did you mean '{near[0]}'?" if near else "see 'hepflow recipes'",
    )  # fmt: skip


def copy_recipe(name: str, into: Path) -> Path:
    """Copies a bundled recipe, the files it uses, and the ``data`` folder beside it, into a folder.

    Raises:
        UsageError: there is no such recipe, or a file is in the way.
    """
    recipe = find_recipe(name)
    target = into / recipe.path.name
    if target.exists():
        raise UsageError.of(
            "HF306", f"{target} is there already", fix="remove it or name another folder"
        )
    into.mkdir(parents=True, exist_ok=True)
    for source in _needed(recipe.path):
        below = into / source.relative_to(recipe.path.parent)
        if not below.exists():
            below.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, below)
    shutil.copy2(recipe.path, target)
    return target


def _needed(recipe: Path) -> Iterator[Path]:
    """The files beside a recipe that it names: those it uses, and all of its ``data``."""
    text = recipe.read_text(encoding="utf-8")
    for name in re.findall(r"^\s*uses:\s*([^\s#]+)", text, re.MULTILINE):
        yield recipe.parent / name
    if "data/" in text:
        yield from (path for path in sorted((recipe.parent / "data").rglob("*")) if path.is_file())
