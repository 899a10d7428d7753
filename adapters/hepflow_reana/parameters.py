"""The parameters of an analysis whose workflow another language reads: its own, and those in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from hepflow.model.errors import RecipeError
from hepflow.model.values import Directory, File, Value, from_json
from hepflow_reana.document import INVALID, Document, Keys
from hepflow_reana.interface import Interface

FILE_OF_PARAMETERS: Final = "input"
"""The parameter that names a file of parameters: CWL's job object, Snakemake's configuration."""


def parameters_of(document: Document, interface: Interface, folder: Path) -> Mapping[str, Value]:
    """The parameters, and those in the file that one of them names.

    Raises:
        RecipeError: that file cannot be read.
    """
    section = document.data["workflow"]
    own = {key: value for key, value in interface.parameters.items() if key != FILE_OF_PARAMETERS}
    where: Keys = ("inputs", "parameters", FILE_OF_PARAMETERS)
    named = interface.parameters.get(FILE_OF_PARAMETERS)
    if "parameters" in section:
        where, named = ("workflow", "parameters", "file"), section["parameters"]["file"]
    if named is None:
        return {name: _in_workspace(value, folder) for name, value in own.items()}
    found = {**_file_of_parameters(document, where, folder / str(named)), **own}
    return {name: _in_workspace(value, folder) for name, value in found.items()}


def _file_of_parameters(document: Document, where: Keys, path: Path) -> Mapping[str, Value]:
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        problem = document.problem(where, f"the file of parameters cannot be read: {error}")
        raise RecipeError(problem) from error
    except yaml.YAMLError as error:
        raise RecipeError.of(INVALID, f"not valid YAML: {error}", where=str(path)) from error
    if not isinstance(data, dict):
        raise RecipeError.of(INVALID, "it does not hold names with values", where=str(path))
    return {str(name): from_json(value) for name, value in data.items()}


def _in_workspace(value: Value, folder: Path) -> Value:
    """A value whose relative files are those beside the `reana.yaml`, wherever it was written."""
    if isinstance(value, File | Directory):
        location = value.location
        here = location if "://" in location or not location else str(folder / location)
        return replace(value, location=here)
    if isinstance(value, Mapping):
        return {key: _in_workspace(item, folder) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_in_workspace(item, folder) for item in value]
    return value
