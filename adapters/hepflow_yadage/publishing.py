"""What a node publishes: the kinds of publisher (packtivity 0.17, ``handlers/publisher_handlers.py``).

Everything here is texts and JSON. Names that a pattern matches are sorted, which yadage's are not.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from hepflow_yadage.queries import first_of_jq
from hepflow_yadage.specs import JSON


def published(
    publisher: Mapping[str, Any], parameters: JSON, folder: str, *, before: bool = False
) -> JSON:
    """What a publisher makes of a node's parameters, and of what is in its folder.

    Args:
        publisher: with its defaults filled in.
        parameters: with the folder's path in them.
        folder: where the node ran.
        before: it has not run yet: tell only what needs no look at the folder, else ``None``.

    Raises:
        ValueError: something is missing; a sentence.
    """
    kind = publisher["publisher_type"]
    looks = kind in ("fromyaml-pub", "fromglob-pub") or publisher.get("glob", False)
    if before and looks:
        return None
    return _PUBLISHERS[kind](publisher, parameters, folder)


def _from_parameters(publisher: Mapping[str, Any], parameters: JSON, _folder: str) -> JSON:
    return _each_leaf(publisher["outputmap"], lambda name: _parameter(parameters, name))


def _parameter(parameters: JSON, name: JSON) -> JSON:
    if isinstance(parameters, dict) and name in parameters:
        return parameters[name]
    there = ", ".join(parameters) if isinstance(parameters, dict) else "no names"
    raise ValueError(f"frompar-pub: there is no parameter '{name}'; there is {there}")


def _interpolated(publisher: Mapping[str, Any], parameters: JSON, folder: str) -> JSON:
    def filled(leaf: JSON) -> JSON:
        if not isinstance(leaf, str):
            return leaf
        text = interpolated(leaf, parameters, workdir=folder)
        path = text
        if publisher["relative_paths"] and not text.startswith("/"):
            path = f"{folder}/{text}"
        return (matches(path) or text) if publisher["glob"] else path

    return _each_leaf(publisher["publish"], filled)


def _by_jq(publisher: Mapping[str, Any], parameters: JSON, folder: str) -> JSON:
    return located(
        first_of_jq(publisher["script"], parameters),
        folder if publisher["relative_paths"] else "",
        exact=publisher["tryExact"],
        patterns=publisher["glob"],
    )


def _from_yaml(publisher: Mapping[str, Any], _parameters: JSON, folder: str) -> JSON:
    path = f"{folder}/{publisher['yamlfile']}"
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.safe_load(file)
    except OSError as error:
        raise ValueError(f"fromyaml-pub: cannot read '{path}': {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"fromyaml-pub: '{path}' is not YAML: {error}") from None


def _from_pattern(publisher: Mapping[str, Any], _parameters: JSON, folder: str) -> JSON:
    return {publisher["outputkey"]: matches(f"{folder}/{publisher['globexpression']}")}


def _constant(publisher: Mapping[str, Any], _parameters: JSON, _folder: str) -> JSON:
    return publisher["publish"]


_PUBLISHERS: Mapping[str, Callable[[Mapping[str, Any], JSON, str], JSON]] = {
    "frompar-pub": _from_parameters,
    "interpolated-pub": _interpolated,
    "fromparjq-pub": _by_jq,
    "fromyaml-pub": _from_yaml,
    "fromglob-pub": _from_pattern,
    "constant-pub": _constant,
}


# --- texts --------------------------------------------------------------------------------------------


def located(data: JSON, folder: str, *, exact: bool, patterns: bool) -> JSON:
    """JSON data in which texts that name files have the files' paths instead.

    Args:
        folder: what relative names are in; empty where these stay as they are.
        exact: a name may be that of a file.
        patterns: it may be a pattern, which becomes the list of what it matches, if there is anything.
    """

    def path_of(leaf: JSON) -> JSON:
        if not isinstance(leaf, str) or not leaf:
            return leaf
        path = leaf if os.path.isabs(leaf) or not folder else f"{folder}/{leaf}"
        if exact and os.path.exists(path):
            return path
        return (matches(path) or leaf) if patterns else leaf

    return _each_leaf(data, path_of)


def interpolated(text: str, parameters: JSON, **more: str) -> str:
    """A text with Python's braces filled in from parameters, lists as words with blanks between.

    Raises:
        ValueError: it names what is not there, or its braces do not match; a sentence.
    """
    try:
        if isinstance(parameters, dict):
            return text.format(**{**more, **{key: _word(item) for key, item in parameters.items()}})
        if isinstance(parameters, list):
            return text.format(*map(_word, parameters), **more)
        return text.format(value=parameters, **more)
    except (KeyError, AttributeError, TypeError) as error:
        there = ", ".join(parameters) if isinstance(parameters, dict) else "no names"
        raise ValueError(
            f"'{{{_name(error)}}}' stands for no parameter; there is {there}"
        ) from None
    except IndexError:
        raise ValueError(
            "'{}' stands for no parameter; write '{{}}' for braces that are meant as such"
        ) from None
    except ValueError as error:
        raise ValueError(
            f"{error}; write '{{{{' and '}}}}' for braces that are meant as such"
        ) from None


def _word(value: JSON) -> JSON:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _name(error: Exception) -> str:
    return str(error.args[0]) if isinstance(error, KeyError) else str(error)


def matches(pattern: str) -> list[str]:
    """The paths that a pattern matches, sorted.

    Folders at its beginning that are there are no patterns, whatever signs are in their names.
    """
    folder = os.path.dirname(pattern)
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    pattern = glob.escape(folder) + pattern[len(folder) :]
    return sorted(glob.glob(pattern, recursive=True), key=os.fsencode)


def _each_leaf(data: JSON, by: Callable[[JSON], JSON]) -> JSON:
    if isinstance(data, dict):
        return {key: _each_leaf(item, by) for key, item in data.items()}
    if isinstance(data, list):
        return [_each_leaf(item, by) for item in data]
    return by(data)
