"""From a site file to the model's ``Site``: variables filled in, units read, all faults at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hepflow.model.errors import RecipeError
from hepflow.model.site import Caches, Container, Limits, Price, Queue, Runtime, Site, Staging
from hepflow.recipe.faults import Faults, Path, suggestion
from hepflow.recipe.units import mebibytes, seconds
from hepflow.sites.files import shipped_folder, user_folder
from hepflow.sites.reading import SiteFile

_VARIABLE: Final = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_QUANTITIES: Final = {
    "memory": ("memory_mib", mebibytes), "disk": ("disk_mib", mebibytes),
    "walltime": ("walltime_s", seconds), "default_walltime": ("default_walltime_s", seconds),
    "poll": ("poll_s", seconds),
}  # fmt: skip
"""Keys that are written with a unit, and the model's fields for them."""


def faults_of(
    file: SiteFile,
    environ: Mapping[str, str] = os.environ,
    *,
    settings: Mapping[str, str] | None = None,
) -> Faults:
    """What keeps a site from being used: what its user must still say, and what nobody knows.

    Args:
        settings: those its executor knows; ``None`` where that cannot be told.
    """
    faults = Faults(lambda: file)
    _filled(file.data, (), environ, faults)
    _check_requirements(file, environ, faults)
    queues = file.data.get("queues") or {}
    assert isinstance(queues, dict)
    if (chosen := file.data.get("queue")) and chosen not in queues:
        what = f"there is no queue '{chosen}'"
        faults.add("HF254", ("queue",), what, fix=suggestion(str(chosen), queues, "there are"))
    if not file.data.get("executor"):
        fix = "write 'extends: NAME' or 'executor: NAME'; 'hepflow site list' has the names"
        faults.add("HF255", (), "the site has no executor", fix=fix)
    if settings is not None:
        _check_settings(file, settings, faults)
    return faults


def build_site(
    file: SiteFile,
    environ: Mapping[str, str] = os.environ,
    *,
    settings: Mapping[str, str] | None = None,
) -> Site:
    """The site of a file, ready to be used.

    Args:
        environ: where ``${env:NAME}`` is looked up.
        settings: those its executor knows; ``None`` where that cannot be told.

    Raises:
        RecipeError: every fault, each at its line.
    """
    faults = faults_of(file, environ, settings=settings)
    if faults.count:
        raise RecipeError(faults.problems)
    data: Any = _filled(file.data, (), environ, faults)
    for key in ("commands", "requires", "retired"):
        data.pop(key, None)
    shared = data.pop("defaults", {})
    queues = data.pop("queues", {})
    container = data.pop("container", {})
    runtime = Runtime(container.pop("runtime", "none"))
    return Site(
        name=file.name,
        queues=tuple(_queue(name, shared, own) for name, own in queues.items()),
        anywhere=_queue("", shared, {}),
        container=Container(runtime, **_fields(container)),
        staging=Staging(data.pop("staging", "shared")),
        caches=Caches(**_fields(data.pop("caches", {}))),
        limits=Limits(**_fields(data.pop("limits", {}))),
        **_fields(data),
    )


def _queue(name: str, shared: Mapping[str, Any], own: Mapping[str, Any]) -> Queue:
    """A queue; the mappings among what all queues share are merged with its own."""
    data = {**shared, **own}
    for key in ("price", "settings", "gpu_kinds"):
        if key in shared and key in own:
            data[key] = {**shared[key], **own[key]}
    if "gpu_kinds" in data:
        data["gpu_kinds"] = {kind: word or kind for kind, word in data["gpu_kinds"].items()}
    price = data.pop("price", None)
    return Queue(name, price=Price(**price) if price else None, **_fields(data))


def _fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a file as fields of the model: units read, lists frozen."""
    fields: dict[str, Any] = {}
    for key, value in data.items():
        name, read = _QUANTITIES.get(key, (key, None))
        fields[name] = read(value) if read else tuple(value) if isinstance(value, list) else value
    return fields


def _filled(data: object, path: Path, environ: Mapping[str, str], faults: Faults) -> object:
    """A copy with every ``${env:NAME}`` replaced; a variable that is not set is a fault."""
    if isinstance(data, dict):
        return {key: _filled(value, (*path, key), environ, faults) for key, value in data.items()}
    if isinstance(data, list):
        return [_filled(item, path, environ, faults) for item in data]
    if not isinstance(data, str):
        return data
    for name in _VARIABLE.findall(data):
        if not environ.get(name):
            what = f"the environment variable {name} is not set"
            fix = f"export {name}=..., or write the value into a site file of your own"
            faults.add("HF257", path, what, fix=fix)
    return _VARIABLE.sub(lambda match: environ.get(match[1], ""), data)


def _check_requirements(file: SiteFile, environ: Mapping[str, str], faults: Faults) -> None:
    required = file.data.get("requires") or []
    assert isinstance(required, list)
    own = file.files[0]
    start = f"write {user_folder(environ) / own.name} with 'extends: {file.name}' and"
    fix = start if own.parent == shipped_folder() else f"write into {own}:"
    missing = [dotted for dotted in required if file.find(dotted) in (None, "", [], {})]
    asked = " and ".join(f"'{line}'" for line in _as_yaml(missing))
    for dotted in missing:
        what = f"the site '{file.name}' needs your '{dotted}'"
        faults.add("HF258", ("requires",), what, fix=f"{fix} {asked}")


def _check_settings(file: SiteFile, known: Mapping[str, str], faults: Faults) -> None:
    for path, _ in file.leaves():
        if "settings" not in path[:-1]:
            continue
        at = path.index("settings") + 1
        name = str(path[at])
        if name not in known:
            what = f"the executor '{file.data.get('executor')}' has no setting '{name}'"
            fix = suggestion(name, known, "it has")
            faults.add("HF256", path[: at + 1], what, fix=fix)


def _as_yaml(dotted: Sequence[str]) -> list[str]:
    """Lines of a site file that say all of these, each once."""
    tree: dict[str, Any] = {}
    for name in dotted:
        *above, last = name.split(".")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = None
    return [f"{name}: {_flow(inner)}" for name, inner in tree.items()]


def _flow(inner: dict[str, Any] | None) -> str:
    if inner is None:
        return "..."
    return "{" + ", ".join(f"{name}: {_flow(more)}" for name, more in inner.items()) + "}"
