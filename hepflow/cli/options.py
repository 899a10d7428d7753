"""The options that several verbs share, and what they mean to the API."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import click

from hepflow.cli.group import RECIPE_ENDINGS
from hepflow.cli.late import api
from hepflow.cli.quantities import days, mebibytes

Function: TypeAlias = Callable[..., Any]

_DIRECTORY_KEY: Final = "hepflow.directory"
INPUTS_ENDINGS: Final = (".yaml", ".yml", ".json")


def read_memory(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """An amount of memory, in MiB."""
    try:
        return None if text is None else mebibytes(text)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


def read_days(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """An age, in days."""
    try:
        return None if text is None else days(text)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


def read_gpus(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[str, ...] | None:
    """Ids of accelerators, ``0,1``; ``none`` for none."""
    if text is None:
        return None
    return () if text == "none" else tuple(part.strip() for part in text.split(",") if part)


@dataclass(frozen=True, slots=True)
class Source:
    """The recipe a command line names, what it changes in it, and the inputs it gives.

    Where a run will do as well, and is named by its number, ``run`` is that, and the rest is empty.
    """

    path: Path
    load: api.LoadOptions
    files: tuple[Path, ...]
    values: dict[str, str]
    run: int = 0


_RECIPE: Final[Sequence[Callable[[Function], Function]]] = (
    click.argument("recipe", type=click.Path()),
    click.argument("values", nargs=-1, metavar="[NAME=VALUE | FILE]..."),
    click.option(
        "--input", "-i", "more", multiple=True, metavar="NAME=VALUE",
        help="An input's value; the same as NAME=VALUE after the recipe.",
    ),
    click.option(
        "--inputs", "files", multiple=True, type=click.Path(), metavar="FILE",
        help="A YAML or JSON file with input values, the same as FILE after the recipe; a later one"
        " wins, NAME=VALUE wins over all.",
    ),
    click.option(
        "--set", "settings", multiple=True, metavar="PATH=VALUE",
        help="Change the recipe: --set steps.train.resources.cpus=4",
    ),
    click.option(
        "--profile", "-p", "profiles", multiple=True, metavar="NAME",
        help="Apply one of the recipe's profiles.",
    ),
    click.option("--target", default="", metavar="NAME", help="The part of the file to run."),
    click.option(
        "--config", "entries", multiple=True, metavar="NAME=VALUE",
        help="An entry of a Snakefile's configuration; all together are the input 'config'.",
    ),
    click.option(
        "--replay", is_flag=True,
        help="Replay a recorded run (WfFormat) as fast as it was; the same as replay=1.",
    ),
)  # fmt: skip

_RUN: Final[Sequence[Callable[[Function], Function]]] = (
    click.option(
        "--keep-going", "-k", is_flag=True,
        help="After a failure finish all that does not depend on it.",
    ),
    click.option(
        "--cpus", type=click.FloatRange(0, min_open=True), metavar="N",
        help="Cores to use. [default: all]",
    ),
    click.option(
        "--memory", callback=read_memory, metavar="AMOUNT",
        help="Memory to use, such as '8 GB'. [default: all]",
    ),
    click.option(
        "--gpus", callback=read_gpus, metavar="IDS",
        help="Accelerators to use: '0,1', or 'none'. [default: all]",
    ),
    click.option(
        "--in-flight", type=click.IntRange(0), default=0, metavar="N",
        help="At most so many tasks at a time. [default: as many as fit]",
    ),
    click.option("--no-reuse", is_flag=True, help="Run everything, even what is known already."),
    click.option(
        "--no-container", is_flag=True,
        help="Start no container images: commands find what they need on the machine itself.",
    ),
    click.option(
        "--tracking", multiple=True, metavar="NAME",
        help="Who keeps a record of the run: 'mlflow', or 'none'. [default: as the recipe says]",
    ),
    click.option(
        "--publish", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
        help="Where the outputs go. [default: results/NAME]",
    ),
)  # fmt: skip


def takes_recipe(function: Function) -> Function:
    """Gives a verb RECIPE, its inputs and its changes, as ``source``."""

    @functools.wraps(function)
    def called(
        recipe: str,
        values: tuple[str, ...],
        more: tuple[str, ...],
        files: tuple[str, ...],
        settings: tuple[str, ...],
        profiles: tuple[str, ...],
        target: str,
        replay: bool,
        entries: tuple[str, ...],
        **rest: Any,
    ) -> Any:
        path, part = _recipe_and_part(recipe)
        load = api.LoadOptions(profiles, assignments(settings, "--set"), target or part)
        beside = [word for word in values if _is_inputs_file(word)]
        words = [word for word in values if word not in beside]
        as_fast = ["replay=1"] if replay else []
        given = assignments([*as_fast, *words, *more], "NAME=VALUE")
        if entries:
            given["config"] = _record(assignments(entries, "--config NAME=VALUE"))
        paths = tuple(_existing(Path(file)) for file in [*beside, *files])
        return function(source=Source(path, load, paths, given), **rest)

    return _with(called, _RECIPE)


def takes_recipe_or_run(function: Function) -> Function:
    """The same where a run's number may stand in the place of a recipe."""
    with_recipe = takes_recipe(function)

    @functools.wraps(with_recipe)
    def called(recipe: str, **rest: Any) -> Any:
        if not recipe.isdigit() or os.path.exists(recipe):
            return with_recipe(recipe=recipe, **rest)
        changes = {name: rest.pop(name) for name in _CHANGES}
        if any(changes.values()):
            what = f"run {recipe} has its inputs and its changes: nothing can be given with it"
            raise api.UsageError.of("HF314", what, fix="name its recipe instead")
        source = Source(Path(), api.LoadOptions(), (), {}, int(recipe))
        return function(source=source, **rest)

    return called


_CHANGES: Final = ("values", "more", "files", "settings", "profiles", "target", "replay", "entries")
"""What a recipe on a command line may come with, by the names of the parameters."""


def takes_run_options(function: Function) -> Function:
    """Gives a verb how to run, as ``options``."""

    @functools.wraps(function)
    def called(
        keep_going: bool,
        cpus: float | None,
        memory: int | None,
        gpus: tuple[str, ...] | None,
        in_flight: int,
        no_reuse: bool,
        no_container: bool,
        publish: Path | None,
        tracking: tuple[str, ...],
        site: str | tuple[str, ...],
        **rest: Any,
    ) -> Any:
        options = api.RunOptions(
            keep_going=keep_going,
            cpus=cpus,
            memory_mib=memory,
            gpus=gpus,
            in_flight=in_flight,
            reuse=not no_reuse,
            publish=publish.absolute() if publish else None,
            site=site,
            containers=not no_container,
            tracking=tracking,
        )
        return function(options=options, **rest)

    return takes_site(_with(called, _RUN))


def takes_site(function: Function) -> Function:
    """Gives a verb where to run, as ``site``: a name, or the absolute path of a site file, or several."""

    @functools.wraps(function)
    def called(sites: tuple[str, ...], **rest: Any) -> Any:
        found = tuple(absolute(site) for site in sites)
        return function(site=found if len(found) > 1 else "".join(found), **rest)

    option = click.option(
        "--site", "sites", multiple=True, metavar="NAME",
        help="Where the tasks run: a site, or a site file; 'hepflow site list' has the names. Given"
        " more than once, each task goes where it fits best. [default: this machine]",
    )  # fmt: skip
    return option(called)


def absolute(site: str) -> str:
    """A site as it can be found again from another folder."""
    path = Path(site).expanduser()
    is_path = "/" in site or path.suffix in RECIPE_ENDINGS[:2]
    return str(path.absolute()) if is_path else site


def unless_default(options: api.RunOptions) -> api.RunOptions | None:
    """The options of a run that goes on: where none are given, those it was started with."""
    return None if options == api.RunOptions() else options


def takes_project(function: Function) -> Function:
    """Gives a verb the project it works in, as ``project``."""

    @functools.wraps(function)
    def called(directory: Path | None, **rest: Any) -> Any:
        return function(project=project_in(directory), **rest)

    option = click.option(
        "--dir", "directory", type=click.Path(file_okay=False, path_type=Path), metavar="PROJECT",
        envvar="HEPFLOW_DIR",
        help="The project folder, which holds .hepflow. [default: here, or the nearest above]",
    )  # fmt: skip
    return option(called)


def project_in(directory: Path | None) -> api.Project:
    """The project in a folder that the user named, which commands we suggest will name as well;
    without one, that of the folder we are in."""
    click.get_current_context().meta[_DIRECTORY_KEY] = directory
    return api.Project(directory.absolute()) if directory else api.Project.find()


def _with(function: Function, decorators: Sequence[Callable[[Function], Function]]) -> Function:
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


as_json = click.option("--json", "machine", is_flag=True, help="Print JSON for a program to read.")
quietly = click.option(
    "--quiet", "-q", is_flag=True, help="Only outputs and failures, no progress."
)


def next_command(words: str) -> str:
    """A command to suggest: it works as printed, in the folder where this one was given."""
    context = click.get_current_context(silent=True)
    directory = context.meta.get(_DIRECTORY_KEY) if context else None
    return f"hepflow {words} --dir {directory}" if directory else f"hepflow {words}"


def run_number(text: str) -> int | None:
    """``latest`` or a number; None means the latest.

    Raises:
        UsageError: it is neither.
    """
    if text in ("", "latest"):
        return None
    if text.isdecimal():
        return int(text)
    raise api.UsageError.of(
        "HF393", f"'{text}' is not a run", fix=f"give a number ({next_command('list')}) or 'latest'"
    )


def is_run(text: str) -> bool:
    """Whether a word names a run rather than a task, a step or an output."""
    return text == "latest" or text.isdecimal()


def run_and_rest(words: Sequence[str]) -> tuple[int | None, list[str]]:
    """``[RUN] [WORD]...`` and ``RUN/WORD``, as identifiers are written, told apart."""
    found = list(words)
    if found and is_run(found[0]):
        return run_number(found[0]), found[1:]
    if found:
        head, slash, rest = found[0].partition("/")
        if slash and is_run(head):
            return run_number(head), [rest, *found[1:]]
    return None, found


def assignments(words: Sequence[str], what: str) -> dict[str, str]:
    """``name=value`` words as a mapping."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            fix = "write name=value, or the name of a file with input values"
            if word.endswith(INPUTS_ENDINGS):
                fix = f"there is no file '{word}'"
            if what == "--set":
                fix = "write --set steps.train.resources.cpus=4"
            raise api.UsageError.of("HF390", f"'{word}' is not of the form {what}", fix=fix)
        if name in found:
            raise api.UsageError.of(
                "HF390", f"'{name}' is given twice: '{found[name]}' and '{text}'", fix="keep one"
            )
        found[name] = text
    return found


def _record(entries: Mapping[str, str]) -> str:
    """Entries as one record in JSON, each value as JSON where it is, else as text."""
    import json

    def read(text: str) -> object:
        try:
            return json.loads(text)
        except ValueError:
            return text

    return json.dumps({name: read(text) for name, text in entries.items()})


def _is_inputs_file(word: str) -> bool:
    """Whether a word after the recipe is a file of inputs rather than ``name=value``."""
    return "=" not in word and os.path.isfile(word)


def _recipe_and_part(text: str) -> tuple[Path, str]:
    """A recipe and the part of it to run, which may stand behind a ``#``."""
    file, mark, part = text.partition("#")
    if mark and not os.path.exists(text) and os.path.isfile(file):
        return Path(file), part
    return existing_recipe(text), ""


def existing_recipe(text: str) -> Path:
    """The recipe's path, or an error that names what is there instead."""
    path = Path(text)
    if path.is_file() or (path.exists() and not path.is_dir()):
        return path
    if path.is_dir():
        here = sorted(str(item) for item in path.iterdir() if item.suffix in RECIPE_ENDINGS[:3])
        fix = f"name the recipe in it: {', '.join(here[:5])}" if here else "name a recipe file"
        raise api.UsageError.of("HF391", f"'{text}' is a folder, not a recipe", fix=fix)
    return _existing(path, "recipe")


def _existing(path: Path, what: str = "file") -> Path:
    if path.is_file() or path.is_fifo() or str(path) == "/dev/stdin":
        return path
    from difflib import get_close_matches

    folder = path.parent
    names = [item.name for item in folder.iterdir()] if folder.is_dir() else []
    near = get_close_matches(path.name, names, n=1)
    known = [item.name for item in api.bundled_recipes()] if what == "recipe" else []
    bundled = [name for name in known if str(path).removesuffix(".yaml") == name]
    if bundled:
        fix = f"it comes with hepflow; copy it first: hepflow recipes copy {bundled[0]}"
    elif near:
        fix = f"did you mean '{folder / near[0]}'?"
    elif not folder.is_dir():
        fix = f"there is no folder '{folder}' either"
    else:
        fix = "write a first one with 'hepflow init'" if what == "recipe" else "check the path"
    raise api.UsageError.of("HF391", f"there is no {what} '{path}'", fix=fix)
