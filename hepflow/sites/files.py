"""Where site files are: a path given, the user's own, those that come with hepflow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from hepflow.bundled import folder_of
from hepflow.model.errors import UnavailableError
from hepflow.recipe.faults import suggestion

ENDINGS = (".yaml", ".yml")


def shipped_folder() -> Path:
    """The folder of the sites that come with hepflow."""
    return folder_of("site_configs", beside="site-configs")


def user_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the user's own sites."""
    config = environ.get("XDG_CONFIG_HOME", "")
    base = Path(config) if config.startswith("/") else Path.home() / ".config"
    return base / "hepflow" / "sites"


def site_files(environ: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """Every site by name; the user's own stand before those that come with hepflow."""
    shipped = dict(_named(shipped_folder()))
    return dict(sorted({**shipped, **dict(_named(user_folder(environ)))}.items()))


def find_site(
    name: str, environ: Mapping[str, str] = os.environ, *, beside: Path | None = None
) -> Path:
    """The file of a site: by path where the name looks like one, else by name.

    Args:
        beside: the file that asks, by ``extends``: paths are relative to its folder, and its own name
            means the site that it stands in front of.

    Raises:
        UnavailableError: there is no such site.
    """
    if "/" in name or name.endswith(ENDINGS):
        path = (beside.parent if beside else Path()) / Path(name).expanduser()
        if path.is_file():
            return path.absolute()
        raise UnavailableError.of(
            "HF410", f"there is no site file '{name}'", fix="check the path; 'hepflow site list' has the names"
        )  # fmt: skip
    known = site_files(environ)
    found = known.get(name)
    if beside is not None and found == beside:
        found = dict(_named(shipped_folder())).get(name)
        if found == beside:
            found = None
    if found is None:
        others = [other for other in known if other != name]
        raise UnavailableError.of(
            "HF410", f"there is no site '{name}'", fix=suggestion(name, others, "there are")
        )
    return found


def _named(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.glob("*.y*ml")) if folder.is_dir() else ():
        if path.suffix in ENDINGS:
            yield path.stem, path.absolute()
