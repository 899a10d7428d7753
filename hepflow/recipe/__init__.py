"""The native YAML language: recipes in, workflows of the model out.

Owns the recipe's keys, its expressions, its quoting and its error messages. Knows nothing of
engines, stores, executors or runs. Importing this package loads neither YAML nor Jinja2.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hepflow.model.protocols import LoadOptions
from hepflow.model.workflow import Workflow
from hepflow.recipe.document import claims
from hepflow.recipe.native import Loader

__all__ = ["NativeLanguage", "starter"]


class NativeLanguage:
    """Reads hepflow's own recipes.

    Args:
        load_other: reads a file of another language for ``uses``; without it such a file is a fault.
    """

    name = "hepflow"

    def __init__(self, load_other: Callable[[Path, LoadOptions], Workflow] | None = None) -> None:
        self._load_other = load_other

    def claims(self, path: Path) -> bool:
        """Whether a file is a YAML or JSON file with the top key ``hepflow``."""
        return claims(path)

    def load(self, path: Path, options: LoadOptions) -> Workflow:
        """The workflow in a recipe.

        Raises:
            RecipeError: with every fault found, each at its line and column.
        """
        return Loader(self._load_other).load(path, options)


def starter() -> str:
    """The text of a small commented recipe to begin with."""
    return (Path(__file__).parent / "starter.yaml").read_text(encoding="utf-8")
