"""Inputs of a run: from the command line, from YAML or JSON files, checked against the ports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeAlias

from hepflow.model.errors import Place, Problem, RecipeError
from hepflow.model.types import ANY, Type, as_type, mismatch, read_text
from hepflow.model.values import Directory, File, Value, Values, files_in, from_json
from hepflow.model.workflow import From, Port, Required, Workflow

ELSEWHERE: Final = "from:"
"""What a value on a command line begins with that is an output of another run."""

LookUp: TypeAlias = Callable[[From], Value]


def _nowhere(source: From) -> Value:
    """Where no project is known, no run can be looked up.

    Raises:
        RecipeError: always.
    """
    raise RecipeError.of("HF227", f"'{source.text}' is an output of a run, and no project is known")


def read_inputs(
    workflow: Workflow,
    files: Sequence[Path] = (),
    values: Mapping[str, str] | None = None,
    look_up: LookUp = _nowhere,
) -> dict[str, Value]:
    """The inputs of a run: defaults, then each file in order, then single values.

    Args:
        files: YAML or JSON files of ``name: value``; relative paths in one are relative to it.
        values: name -> text, read as the port's type asks; relative paths are the caller's.
        look_up: finds what comes from other runs.

    Raises:
        RecipeError: every fault at once: unknown names, wrong types, missing values and files.
    """
    ports = {port.name: port for port in workflow.inputs}
    problems: list[Problem] = []
    found: dict[str, Value] = {}
    for file in files:
        if workflow.read is None:
            found.update(_from_file(file, ports, problems, look_up))
        else:
            found.update(_as_its_language_reads(file, workflow.read, ports, problems))
    for name, text in (values or {}).items():
        place = Place(f"input {name}")
        port = _known(name, ports, place, problems)
        if port is None:
            continue
        try:
            if text.startswith(ELSEWHERE):
                found[name] = look_up(From(text.removeprefix(ELSEWHERE), str(Path.cwd()), place))
            else:
                found[name] = _located(read_text(text, port.type), Path.cwd())
        except RecipeError as error:
            problems.extend(error.problems)
        except ValueError as error:
            problems.append(Problem(place, "HF221", f"input '{name}' {error}"))
    problems.extend(_check(found, ports, look_up))
    if problems:
        raise RecipeError(problems)
    return found


def complete(
    workflow: Workflow, given: Mapping[str, Value], look_up: LookUp = _nowhere
) -> dict[str, Value]:
    """Inputs given by a program, with the defaults filled in, checked like those of a user.

    Args:
        look_up: finds what comes from other runs.

    Raises:
        RecipeError: as :func:`read_inputs`.
    """
    ports = {port.name: port for port in workflow.inputs}
    problems: list[Problem] = []
    found: dict[str, Value] = {}
    for name, value in given.items():
        port = _known(name, ports, Place(f"input {name}"), problems)
        if port is not None:
            found[name] = _located(as_type(value, port.type), Path.cwd())
    problems.extend(_check(found, ports, look_up))
    if problems:
        raise RecipeError(problems)
    return found


def _known(
    name: str, ports: Mapping[str, Port], place: Place, problems: list[Problem]
) -> Port | None:
    if name in ports:
        return ports[name]
    near = get_close_matches(name, ports, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"its inputs are {', '.join(ports) or 'none'}"
    problems.append(Problem(place, "HF222", f"the workflow has no input '{name}'", fix=hint))
    return None


def _as_its_language_reads(
    file: Path,
    read: Callable[[str], Values],
    ports: Mapping[str, Port],
    problems: list[Problem],
) -> dict[str, Value]:
    try:
        found = read(str(file))
    except RecipeError as error:
        problems.extend(error.problems)
        return {}
    place = Place(str(file))
    return {
        name: value
        for name, value in found.items()
        if _known(name, ports, place, problems) is not None
    }


def _from_file(
    file: Path, ports: Mapping[str, Port], problems: list[Problem], look_up: LookUp
) -> dict[str, Value]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        problems.append(
            Problem(Place(str(file)), "HF223", f"cannot read the inputs file: {error.strerror}")
        )
        return {}
    except UnicodeDecodeError:
        problems.append(Problem(Place(str(file)), "HF223", "the inputs file is not UTF-8 text"))
        return {}
    import yaml

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = Place(str(file), mark.line + 1, mark.column + 1) if mark else Place(str(file))
        problems.append(
            Problem(place, "HF224", f"not valid YAML: {getattr(error, 'problem', error)}")
        )
        return {}
    if not isinstance(data, dict):
        problems.append(
            Problem(Place(str(file)), "HF224", "an inputs file is a mapping of name: value")
        )
        return {}
    found: dict[str, Value] = {}
    for name, value in data.items():
        port = _known(str(name), ports, Place(str(file)), problems)
        if port is None:
            continue
        if isinstance(value, dict) and value.keys() == {"from"} and port.type.name != "record":
            source = From(str(value["from"]), str(file.absolute().parent), Place(str(file)))
            try:
                found[port.name] = look_up(source)
            except RecipeError as error:
                problems.extend(error.problems)
        else:
            found[port.name] = _located(as_type(from_json(value), port.type), file.parent)
    return found


def _located(value: Value, base: Path) -> Value:
    """A value whose file paths are absolute; literals stand nowhere."""
    if isinstance(value, File):
        secondary = tuple(_located(item, base) for item in value.secondary)
        return replace(value, location=_absolute(value.location, base), secondary=secondary)  # type: ignore[arg-type]
    if isinstance(value, Directory):
        listing = value.listing and tuple(_located(item, base) for item in value.listing)  # type: ignore[misc]
        return replace(value, location=_absolute(value.location, base), listing=listing)
    if isinstance(value, Mapping):
        return {key: _located(item, base) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_located(item, base) for item in value]
    return value


def _absolute(location: str, base: Path) -> str:
    location = location.removeprefix("file://")
    if not location or "://" in location:
        return location
    return os.path.normpath(base.absolute() / Path(location).expanduser())


def _check(
    found: dict[str, Value], ports: Mapping[str, Port], look_up: LookUp
) -> Iterable[Problem]:
    for name, port in ports.items():
        value = found.get(name)
        if value is None and not isinstance(port.default, Required):
            try:
                value = found[name] = _default(port.default, port.type, look_up)
            except RecipeError as error:
                yield from error.problems
                continue
        place = port.place if port.place.line else Place(f"input {name}")
        if value is None and isinstance(port.default, Required) and not port.type.optional:
            if port.type != ANY or name not in found:
                fix = f"give it: {name}=..." + (f"   ({port.doc})" if port.doc else "")
                yield Problem(place, "HF225", f"input '{name}' ({port.type}) has no value", fix=fix)
            continue
        reason = mismatch(value, port.type)
        if reason:
            yield Problem(place, "HF221", f"input '{name}' {reason}")
        yield from _missing(name, place, value)


def _default(default: Value | From, expected: Type, look_up: LookUp) -> Value:
    return as_type(look_up(default), expected) if isinstance(default, From) else default


def _missing(name: str, place: Place, value: Value) -> Iterable[Problem]:
    for file in files_in(value):
        path = Path(file.location)
        if not file.location or "://" in file.location:
            continue
        if not path.exists():
            near = get_close_matches(path.name, _siblings(path), n=1)
            fix = (
                f"did you mean {path.parent / near[0]}?"
                if near
                else "give the path of a file that is there"
            )
            yield Problem(place, "HF226", f"input '{name}': there is no file {path}", fix=fix)
        elif isinstance(file, File) and path.is_dir():
            yield Problem(
                place, "HF226", f"input '{name}': {path} is a directory, a File is expected"
            )
        elif isinstance(file, Directory) and not path.is_dir():
            yield Problem(
                place, "HF226", f"input '{name}': {path} is a file, a Directory is expected"
            )
        elif not os.access(path, os.R_OK):
            yield Problem(place, "HF226", f"input '{name}': {path} cannot be read")


def _siblings(path: Path) -> list[str]:
    try:
        return os.listdir(path.parent)
    except OSError:
        return []
