"""What a checkout of an official CWL conformance suite holds: its tests, and what each one asks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import yaml
from cwltest.utils import load_and_validate_tests, shortname

LISTS: Final = {
    "conformance_tests.yaml": "",
    "v1.0/conformance_test_v1.0.yaml": "v1.0",
    "conformance_test_v1.0.yaml": "v1.0",
}
"""Where the list of tests stands in the three layouts, and the version where the layout says it."""

REFUSED_BEFORE_ITS_IMAGE: Final = frozenset({"filesarray_secondaryfiles2"})
"""Must-fail tests of a tool with an image whose inputs are at fault: no runner gets to the image."""


@dataclass(frozen=True, slots=True)
class Test:
    """One conformance test.

    Args:
        entry: the test as ``cwltest`` reads and judges it.
        must_fail: the runner has to refuse it.
        image: it cannot be judged without its container image: a ``DockerRequirement`` of it is a
            requirement and not a hint.
    """

    id: str
    entry: dict[str, Any]
    tags: frozenset[str]
    must_fail: bool
    image: bool


@dataclass(frozen=True, slots=True)
class Suite:
    """All tests of one version of the standard.

    Args:
        listed: the file that lists them.
        commit: of the checkout; empty where it is none.
    """

    version: str
    listed: Path
    commit: str
    tests: tuple[Test, ...]


def read_suite(checkout: Path) -> Suite:
    """The suite in a checkout.

    Raises:
        ValueError: there is no list of tests in it.
    """
    for name, version in LISTS.items():
        listed = checkout.absolute() / name
        if listed.is_file():
            entries, _ = load_and_validate_tests(str(listed))
            tests = tuple(_test(entry) for entry in entries)
            return Suite(version or _version(listed), listed, _commit(checkout), tests)
    raise ValueError(f"{checkout} is no checkout of a suite: it has none of {', '.join(LISTS)}")


def _test(entry: dict[str, Any]) -> Test:
    name = shortname(entry["id"])
    image = name not in REFUSED_BEFORE_ITS_IMAGE and any(
        _asks_for_image(document) for document in _documents(entry["tool"], set())
    )
    must_fail = bool(entry.get("should_fail"))
    return Test(name, entry, frozenset(entry.get("tags", ())), must_fail, image)


def _version(listed: Path) -> str:
    """By what the suite's own description of the standard calls itself."""
    found = re.search(r"\bv1\.\d\b", (listed.parent / "README.md").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{listed.parent}/README.md does not say the version of the standard")
    return found.group()


def _commit(checkout: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def _documents(uri: str, seen: set[str]) -> Iterator[object]:
    """A document and all it runs or imports."""
    uri = urldefrag(uri).url
    path = Path(unquote(urlparse(uri).path))
    if uri in seen or not path.is_file():
        return
    seen.add(uri)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    yield document
    for reference in _references(document):
        yield from _documents(urljoin(uri, reference), seen)


def _references(node: object) -> Iterator[str]:
    for key, value in _fields(node):
        if key in ("run", "$import") and isinstance(value, str):
            yield value


def _asks_for_image(document: object) -> bool:
    """Whether a DockerRequirement stands under a ``requirements``, written as a list or a map."""
    return any(
        key == "requirements"
        and (
            (isinstance(value, dict) and "DockerRequirement" in value)
            or (
                isinstance(value, list)
                and any(
                    isinstance(item, dict) and item.get("class") == "DockerRequirement"
                    for item in value
                )
            )
        )
        for key, value in _fields(document)
    )


def _fields(node: object) -> Iterator[tuple[str, object]]:
    """Every field anywhere in a document."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key), value
            yield from _fields(value)
    elif isinstance(node, list):
        for item in node:
            yield from _fields(item)
