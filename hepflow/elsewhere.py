"""Inputs that are the outputs of another run: of this project, of another one, or a folder of results.

Finds them, and makes sure that each file still is what that run left.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from hepflow.model.errors import Place, Problem, RecipeError, UsageError
from hepflow.model.values import Directory, File, Value, files_in, from_json
from hepflow.model.workflow import From
from hepflow.staging.checks import Memory
from hepflow.staging.publish import LISTING
from hepflow.store import reader
from hepflow.store.database import Place as Store
from hepflow.store.records import RunState
from hepflow.store.results import Results

UNKNOWN_SOURCE = "HF227"


def look_up(source: From, project: Store) -> Value:
    """The value an input takes from elsewhere; files without a digest, to be read like any other.

    Args:
        source: ``RUN/OUTPUT``, ``PROJECT#RUN/OUTPUT`` or ``FOLDER/OUTPUT``, the folder one that a run
            has published its outputs in.
        project: where ``RUN`` alone is.

    Raises:
        RecipeError: there is no such run, folder or output; it has not succeeded; or a file of it is
            gone or was changed.
    """
    where, _, output = source.text.rpartition("/")
    folder, _, run = where.rpartition("#")
    if not output or not where:
        fix = "write RUN/OUTPUT, PROJECT#RUN/OUTPUT, or FOLDER/OUTPUT for a folder of results"
        raise _fault(source, f"'{source.text}' names no output of a run", fix=fix)
    if run.isdigit() and (folder or not Path(source.folder, where).is_dir()):
        store = Store(Path(os.path.normpath(Path(source.folder, folder)))) if folder else project
        return _of_run(source, store, int(run), output)
    return _of_folder(source, Path(os.path.normpath(Path(source.folder, where))), output)


def _of_run(source: From, store: Store, run: int, output: str) -> Value:
    if not store.exists():
        raise _fault(source, f"there is no run {run}: nothing was run in {store.folder.parent} yet")
    try:
        summary = reader.find_run(store, run)
    except UsageError as error:
        raise _fault(source, error.problems[0].what, why=error.problems[0].why) from error
    if summary.state is not RunState.SUCCEEDED:
        what = f"run {run} has no outputs: it is {summary.state.value}"
        raise _fault(source, what, fix=f"hepflow resume {run}")
    value = _chosen(source, reader.outputs(store, run), output, f"run {run}")
    kept = {
        (type(item), item.digest): item
        for report in reader.tasks(store, run)
        for item in files_in(report.outputs)
        if item.digest and item.location
    }
    results = Results.of(store)
    try:
        memory = Memory(results.digests)
        fix = f"'hepflow resume {run}' makes again what is gone"
        return _standing(source, value, memory, kept, fix)
    finally:
        results.close()


def _of_folder(source: From, folder: Path, output: str) -> Value:
    listing = folder / LISTING
    try:
        told = from_json(json.loads(listing.read_text(encoding="utf-8")))
    except OSError as error:
        fix = "name a run by its number (see 'hepflow list'), or a folder that a run published"
        raise _fault(source, f"no results are in {folder}", why=str(error), fix=fix) from error
    except ValueError as error:
        raise _fault(source, f"{listing} cannot be read: {error}") from error
    assert isinstance(told, Mapping)
    value = _chosen(source, told, output, str(folder))
    fix = "run the recipe that it came from again"
    return _standing(source, _moved(value, folder), Memory(lambda _: {}), {}, fix)


def _chosen(source: From, outputs: Mapping[str, Value], name: str, where: str) -> Value:
    if name in outputs:
        return outputs[name]
    near = get_close_matches(name, outputs, n=1)
    known = ", ".join(sorted(outputs)) or "none"
    fix = f"did you mean '{near[0]}'?" if near else f"its outputs are {known}"
    raise _fault(source, f"{where} has no output '{name}'", fix=fix)


def _moved(value: Value, folder: Path) -> Value:
    """A value of a listing whose files are looked for where the listing is now."""
    if isinstance(value, File | Directory):
        if not value.location or "://" in value.location or os.path.exists(value.location):
            return value
        parts = value.location.split("/")
        places = (folder.joinpath(*parts[start:]) for start in range(1, len(parts)))
        there = next((place for place in places if place.exists()), None)
        return replace(value, location=str(there)) if there is not None else value
    if isinstance(value, Mapping):
        return {key: _moved(item, folder) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_moved(item, folder) for item in value]
    return value


def _standing(
    source: From,
    value: Value,
    memory: Memory,
    kept: Mapping[tuple[type, str], File | Directory],
    fix: str,
) -> Value:
    """A value whose files all are as they were, each where it still is.

    Args:
        kept: what the tasks of the run left, by kind and digest: a later run may have published
            something else under the same name.
        fix: what to do where one is not.
    """
    if isinstance(value, File | Directory):
        return _file(source, value, memory, kept, fix)
    if isinstance(value, Mapping):
        return {key: _standing(source, item, memory, kept, fix) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_standing(source, item, memory, kept, fix) for item in value]
    return value


def _file(
    source: From,
    item: File | Directory,
    memory: Memory,
    kept: Mapping[tuple[type, str], File | Directory],
    fix: str,
) -> File | Directory:
    if not item.location or "://" in item.location:
        return item
    for place in _places(item, kept.get((type(item), item.digest))):
        plain = type(item)(place)
        try:
            now = memory.with_digests(plain)
        except ValueError:
            continue
        assert isinstance(now, File | Directory)
        if now.digest == item.digest:
            name = item.name if os.path.basename(place) != item.name else ""
            return replace(plain, basename=name)
    gone = "is gone" if not os.path.exists(item.location) else "has been changed"
    raise _fault(source, f"{item.location} {gone}", why=f"'{source.text}' names it", fix=fix)


def _places(item: File | Directory, other: File | Directory | None) -> Iterator[str]:
    """Where a file may be: where a task left it, which nobody replaces, or where it was published."""
    if other is not None:
        yield other.location
    yield item.location


def _fault(source: From, what: str, *, why: str = "", fix: str = "") -> RecipeError:
    place = source.place if source.place.file else Place(f"input from {source.text}")
    return RecipeError(Problem(place, UNKNOWN_SOURCE, what, why, fix))
