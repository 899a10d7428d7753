"""From names of sites to the posts of a run: site files read, executors made, none of them started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, cast

from hepflow import plugins
from hepflow.model.errors import HepflowError, RecipeError, UnavailableError, UsageError
from hepflow.model.protocols import Executor, ExecutorClass, Measured
from hepflow.model.site import Extent, Site
from hepflow.runner.fleet import Fleet, Post
from hepflow.runner.placing import Offer

HERE: Final = "local"
"""The site of a run that names none: this machine, all of it. No file is read, so that a run starts soon."""


class Wish(NamedTuple):
    """Where a run is to take place.

    Args:
        sites: by name or path, in the order of the user's wish; none for this machine.
        named: further sites that steps name, each with the first such step.
        settings: laid over those of the sites whose executors have them.
    """

    sites: Sequence[str] = ()
    named: Mapping[str, str] = {}
    settings: Mapping[str, object] = {}


def open_fleet(wish: Wish, folder: Path) -> Fleet:
    """The sites of a run, with their executors; nothing is started.

    Args:
        folder: where each executor gets a folder of its own.

    Raises:
        UnavailableError: there is no such site, or its executor is not installed.
        RecipeError: a site's file has faults, or settings that its executor refuses.
        UsageError: two sites of one name, or a setting that none of them has.
    """
    posts = [_post(name, wish.settings, folder) for name in wish.sites or ("",)]
    _refuse_twins(posts)
    known = {post.offer.site.name for post in posts}
    for name, step in wish.named.items():
        if name not in known:
            posts.append(_named_post(name, step, folder))
    taken = {name for post in posts for name in post.offer.site.settings}
    for name in wish.settings:
        if name not in taken:
            raise _no_such_setting(name, posts[0].offer.site)
    return Fleet(posts, lambda name: _post(name, {}, folder))


def executor_class(name: str) -> ExecutorClass:
    """The class of an executor.

    Raises:
        UnavailableError: it is not installed, or not made for this hepflow.
    """
    kind = plugins.load(plugins.EXECUTORS, name)
    if not hasattr(kind, "settings"):
        raise UnavailableError.of(
            "HF403", f"the executor '{name}' is not made for this hepflow",
            why="its class does not say which settings it has", fix="install a newer version of it",
        )  # fmt: skip
    return cast("ExecutorClass", kind)


def executor_at(site: Site, kind: ExecutorClass, folder: Path) -> Executor:
    """The executor of a site.

    Raises:
        RecipeError: it refuses the site's settings.
    """
    try:
        return kind(folder / site.name, site=site)
    except ValueError as error:
        raise RecipeError.of("HF259", f"site '{site.name}': {error}") from error


def site_at(name: str) -> tuple[Site, ExecutorClass]:
    """A site by name or path, and the class of its executor; an empty name is this machine.

    Raises:
        UnavailableError: there is no such site, or its executor is not installed.
        RecipeError: its file has faults.
    """
    if not name:
        return Site(HERE, executor="local"), executor_class("local")
    from hepflow.sites.building import build_site
    from hepflow.sites.reading import read_site

    file = read_site(name)
    kind = executor_class(str(file.data.get("executor", "")))
    return build_site(file, settings=kind.settings), kind


def _post(
    name: str, settings: Mapping[str, object], folder: Path, *, by_name: bool = False
) -> Post:
    site, kind = site_at(name)
    given = {key: value for key, value in settings.items() if key in kind.settings}
    site = replace(site, settings={**site.settings, **given})
    executor = executor_at(site, kind, folder)
    extent = executor.extent if isinstance(executor, Measured) else Extent()
    return Post(name or HERE, Offer(site, extent, by_name), executor)


def _named_post(name: str, step: str, folder: Path) -> Post:
    try:
        return _post(name, {}, folder, by_name=True)
    except HepflowError as error:
        first = error.problems[0]
        fix = f"{first.fix}; or run the step elsewhere: --set steps.{step}.site=local"
        said = replace(first, what=f"step '{step}' is to run at '{name}': {first.what}", fix=fix)
        raise type(error)([said, *error.problems[1:]]) from None


def _refuse_twins(posts: Sequence[Post]) -> None:
    seen: dict[str, str] = {}
    for post in posts:
        name = post.offer.site.name
        if name in seen:
            raise UsageError.of(
                "HF314", f"two sites of this run are called '{name}'",
                why=f"'{seen[name]}' and '{post.name}'", fix="name it once, or rename one of the files",
            )  # fmt: skip
        seen[name] = post.name


def _no_such_setting(name: str, site: Site) -> UsageError:
    word = name.removesuffix("_mib")
    return UsageError.of(
        "HF313", f"the site '{site.name}' takes no --{word}",
        why=f"its executor '{site.executor}' has no setting '{name}'",
        fix=f"its queues say what a task may use: hepflow site show {site.name}",
    )  # fmt: skip
