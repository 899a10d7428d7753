"""Feature files: scenarios of steps in Gherkin, as `reana-client test` reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepflow.model.errors import Place, Problem, RecipeError, UnavailableError


@dataclass(frozen=True, slots=True)
class Clause:
    """One step of a scenario; a text that stands below it follows in quotes."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is checked together."""

    feature: str
    name: str
    clauses: tuple[Clause, ...]


def read_feature(path: Path) -> list[Scenario]:
    """The scenarios of a file.

    Raises:
        RecipeError: it cannot be read, or is not Gherkin.
        UnavailableError: the library that reads Gherkin is not installed.
    """
    try:
        from gherkin.errors import CompositeParserException, ParserException
        from gherkin.parser import Parser
        from gherkin.pickles.compiler import Compiler
    except ImportError as error:
        raise UnavailableError.of(
            "HF402", "feature files cannot be read", why=str(error),
            fix="pip install 'hepflow[reana]'",
        ) from error  # fmt: skip
    try:
        document: Any = Parser().parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError.of("HF100", f"cannot be read: {error}", where=str(path)) from error
    except CompositeParserException as error:
        raise RecipeError([_fault(path, inner) for inner in error.errors]) from error
    except ParserException as error:
        raise RecipeError(_fault(path, error)) from error
    if document.get("feature") is None:
        return []
    places = _places(document["feature"], path)
    return [
        Scenario(
            document["feature"]["name"],
            pickle["name"],
            tuple(Clause(_text(step), places[step["astNodeIds"][0]]) for step in pickle["steps"]),
        )
        for pickle in Compiler().compile({**document, "uri": str(path)})
    ]


def _fault(path: Path, error: Any) -> Problem:
    place = Place(str(path), error.location["line"], error.location.get("column", 1))
    return Problem(place, "HF284", f"not Gherkin: {str(error).partition(': ')[2] or error}")


def _text(step: Any) -> str:
    if "argument" in step:
        return f'{step["text"]} "{step["argument"]["docString"]["content"]}"'
    text: str = step["text"]
    return text


def _places(node: Any, path: Path) -> dict[str, Place]:
    """Where each step of a feature stands, by the id that the library gives it."""
    found: dict[str, Place] = {}
    if isinstance(node, dict):
        if "keyword" in node and "text" in node:
            location = node["location"]
            found[node["id"]] = Place(str(path), location["line"], location["column"])
        for value in node.values():
            found.update(_places(value, path))
    elif isinstance(node, list):
        for value in node:
            found.update(_places(value, path))
    return found
