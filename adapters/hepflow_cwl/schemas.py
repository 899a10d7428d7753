"""CWL's schemas with cwltool's extensions, worked out once for each user.

Compiling one takes half a second (measured); a load needs that of the document's version and three
types of v1.0. Only what the library later reads of a compiled schema is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from cwltool import process
from schema_salad.ref_resolver import Loader

from hepflow_cwl import cache

_EXTENSIONS: Final = {
    "v1.0": "extensions.yml",
    "v1.1": "extensions-v1.1.yml",
    "v1.2": "extensions-v1.2.yml",
    "v1.3.0-dev1": "extensions-v1.3.yml",
    "v1.2.0-dev1": "extensions-v1.1.yml",
    "v1.2.0-dev2": "extensions-v1.1.yml",
    "v1.2.0-dev3": "extensions-v1.1.yml",
}
"""As cwltool's ``--enable-ext`` has them."""

_BASIC_TYPES: Final = {
    "SCHEMA_ANY": "https://w3id.org/cwl/salad#Any",
    "SCHEMA_FILE": "https://w3id.org/cwl/cwl#File",
    "SCHEMA_DIR": "https://w3id.org/cwl/cwl#Directory",
}


@dataclass(frozen=True, slots=True)
class _Compiled:
    """The parts of a compiled schema: the context and texts of its loader, and its types."""

    context: Any
    texts: Any
    types: Any


def make_ready(version: str) -> None:
    """Give the library the schema of a version, from earlier work where there is some."""
    if not process.custom_schemas:
        _basic_types()  # while the schemas are still without extensions, and quicker to work out
        for known, name in _EXTENSIONS.items():
            text = files("cwltool").joinpath(name).read_text("utf-8")
            process.use_custom_schema(known, "http://commonwl.org/cwltool", text)
    if version not in _EXTENSIONS or version in process.SCHEMA_CACHE:
        return
    name = cache.key("schema", version, ours=False)
    kept = cache.read(name)
    if isinstance(kept, _Compiled):
        loader = Loader(kept.context, cache=kept.texts)
        process.SCHEMA_CACHE[version] = (loader, kept.types, {}, loader)
    else:
        loader, types, _, _ = process.get_schema(version)
        cache.write(name, _Compiled(loader.ctx, loader.cache, types))


def _basic_types() -> None:
    """The three types of v1.0 that every process starts from."""
    name = cache.key("basic types", ours=False)
    kept = cache.read(name)
    if not isinstance(kept, dict):
        index = process.get_schema("v1.0")[3].idx
        kept = {variable: index[uri] for variable, uri in _BASIC_TYPES.items()}
        cache.write(name, kept)
    for variable, found in kept.items():
        setattr(process, variable, found)
