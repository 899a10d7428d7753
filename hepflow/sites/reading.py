"""Reading a site file and laying it over those it extends; where each value comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TypeAlias

from hepflow.model.errors import HepflowError, Place, Problem, RecipeError
from hepflow.recipe.faults import Faults, Path, Places
from hepflow.sites.files import find_site
from hepflow.sites.schema import check

Data: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A site file laid over those it extends.

    Args:
        name: the file's name without its ending.
        data: what holds in the end, by the file's own keys.
        places: where each value, and each mapping of values, was written.
        files: the file, what it extends, and so on.
    """

    name: str
    data: Data
    places: Mapping[Path, Place] = field(default_factory=dict)
    files: tuple[FilePath, ...] = ()

    def at(self, path: Path, *, key: bool = False, needle: str = "", line: int = 0) -> Place:
        """The place of a value, or of the nearest that it stands in."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(str(self.files[0])))

    def find(self, dotted: str) -> object:
        """A value by its dotted path; ``None`` where nothing is said."""
        value: object = self.data
        for part in dotted.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def leaves(self) -> Iterator[tuple[Path, object]]:
        """Every value that is no mapping, with its path, in order."""
        yield from _leaves(self.data, ())


def read_site(name: str, environ: Mapping[str, str] = os.environ) -> SiteFile:
    """A site by name or path.

    Raises:
        UnavailableError: there is no such site.
        RecipeError: every fault in its file or in those it extends.
    """
    return _read(find_site(name, environ), environ, ())


def _read(file: FilePath, environ: Mapping[str, str], children: tuple[FilePath, ...]) -> SiteFile:
    data, places = _own(file)
    chain = (*children, file)
    parent = data.pop("extends", None)
    found = {path: places.at(path) for path in _paths(data, ())}
    if parent is None:
        return SiteFile(file.stem, _merged({}, data), found, (file,))
    place = places.at(("extends",))
    assert isinstance(parent, str)
    try:
        above = find_site(parent, environ, beside=file)
    except HepflowError as error:
        problem = error.problems[0]
        raise RecipeError(Problem(place, "HF253", problem.what, problem.why, problem.fix)) from None
    if above in chain:
        round_ = " -> ".join(each.stem for each in (*chain[chain.index(above) :], above))
        raise RecipeError(
            Problem(
                place, "HF253", f"'{parent}' extends this site in turn", round_, "extend another"
            )
        )
    base = _read(above, environ, chain)
    # That a machine is retired is said of the machine, not of what is made after it.
    inherited = {key: value for key, value in base.data.items() if key != "retired"}
    return SiteFile(
        file.stem, _merged(inherited, data), {**base.places, **found}, (file, *base.files)
    )


def _own(file: FilePath) -> tuple[dict[str, object], Places]:
    """What one file says itself.

    Raises:
        RecipeError: every fault in it.
    """
    from hepflow.recipe.yaml_nodes import NotYaml, load_yaml

    name = str(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(Problem(Place(name), "HF100", f"cannot be read: {error}")) from None
    if not text.strip():
        what, fix = (
            "the file is empty",
            "write 'extends: NAME' and what differs, or 'executor: NAME'",
        )
        raise RecipeError(Problem(Place(name, 1, 1), "HF102", what, "", fix))
    try:
        data, places, problems = load_yaml(text, name)
    except NotYaml as error:
        raise RecipeError(error.problems) from None
    faults = Faults(lambda: places)
    faults.take(problems)
    check(data, faults)
    if faults.count:
        raise RecipeError(faults.problems)
    assert isinstance(data, dict)
    return data, places


def _paths(data: object, path: Path) -> Iterator[Path]:
    """The path of a value and of all below it."""
    yield path
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _paths(value, (*path, key))


def _leaves(data: Data, path: Path) -> Iterator[tuple[Path, object]]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _merged(below: Data, above: Data) -> dict[str, object]:
    """Mappings are merged, all else is replaced; a null takes away what stands below."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merged(old if isinstance(old, dict) else {}, value)
        else:
            result[key] = value
    return result
