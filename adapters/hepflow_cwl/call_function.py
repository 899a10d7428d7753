"""Calls a Python function as a step of an exported workflow: arguments in, `cwl.output.json` out.

Travels inside exported workflows and runs where hepflow is not installed: standard library only, for
Python 3.8. What arguments, returned values and output files mean is what hepflow's own worker makes
of them. Its one argument says what to call; the inputs stand in files beside it.
"""

from __future__ import annotations

import glob
import importlib
import inspect
import json
import os
import sys
from typing import Any

INPUTS = ".hepflow-inputs.json"
ORDER = ".hepflow-order.json"


def main() -> None:
    """Do what the argument says."""
    settings = json.loads(sys.argv[1])
    inputs = read_inputs()
    sys.dont_write_bytecode = True
    if settings.get("code"):
        sys.path.insert(0, inputs[settings["code"]]["path"])
    arguments = {name: argument(inputs.get(port)) for name, port in settings["arguments"].items()}
    offered = {name: argument(inputs.get(port)) for name, port in settings["offered"].items()}
    for name in settings["floats"]:
        for some in (arguments, offered):
            if name in some:
                some[name] = as_float(some[name])
    outputs = settings["outputs"]
    offered.update((output["port"], output["path"]) for output in outputs if output["path"])
    value = call(settings["function"], arguments, offered)
    found = returned(value, [output for output in outputs if not output["path"]])
    for output in outputs:
        if output["path"]:
            found[output["port"]] = collected(output)
    with open("cwl.output.json", "w", encoding="utf-8") as stream:
        json.dump(found, stream)


def read_inputs() -> Any:
    """The step's inputs: the numbers from one file, the order of keys from the other, if it is there.

    The one is written without JavaScript, which would take 2.0 for 2, but with sorted keys.
    """
    with open(INPUTS, encoding="utf-8") as stream:
        inputs = json.load(stream)
    if os.path.exists(ORDER):
        with open(ORDER, encoding="utf-8") as stream:
            inputs = arranged(inputs, json.load(stream))
    return inputs


def arranged(value: Any, like: Any) -> Any:
    """A value with the keys of its records in another's order."""
    if isinstance(value, dict) and isinstance(like, dict):
        return {key: arranged(value[key], like[key]) for key in like if key in value}
    if isinstance(value, list) and isinstance(like, list):
        return [arranged(value[place], like[place]) for place in range(len(value))]
    return value


def argument(value: Any) -> Any:
    """A value as a function takes it: files as paths."""
    if isinstance(value, dict):
        if value.get("class") in ("File", "Directory"):
            return value["path"]
        return {key: argument(item) for key, item in value.items()}
    return [argument(item) for item in value] if isinstance(value, list) else value


def as_float(value: Any) -> Any:
    """A value whose numbers are floats, though JSON may have dropped a needless fraction."""
    if isinstance(value, list):
        return [as_float(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def call(name: str, arguments: dict[str, Any], offered: dict[str, Any]) -> Any:
    """Call a function with its arguments and with what it takes of the offered."""
    module, _, path = name.partition(":")
    function: Any = importlib.import_module(module)
    for part in path.split("."):
        function = getattr(function, part)
    takes = parameters(function)
    for key, value in offered.items():
        if key in takes and key not in arguments:
            arguments[key] = value
    try:
        return function(**arguments)
    except SystemExit as error:
        if error.code in (None, 0):
            return None
        raise


def parameters(function: Any) -> set[str]:
    """The names a function takes; none for what is not written in Python."""
    try:
        known = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {parameter.name for parameter in known if parameter.kind in named}


# --- outputs --------------------------------------------------------------------------------------


def returned(value: Any, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """The outputs that are no files: one is the value itself, several are a mapping."""
    if len(outputs) == 1:
        return {outputs[0]["port"]: plain(value)}
    if outputs and not isinstance(value, dict):
        sys.exit(f"the function must return a dict, not {type(value).__name__}")
    absent = [one["port"] for one in outputs if one["port"] not in value and not one["optional"]]
    if absent:
        sys.exit(f"the returned dict lacks {', '.join(absent)}")
    return {one["port"]: plain(value.get(one["port"])) for one in outputs}


def plain(value: Any) -> Any:
    """A returned value as JSON data; numbers and arrays of numpy and paths are turned into it."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            sys.exit("the keys of a returned dict must be text")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    for method in ("tolist", "item"):
        if callable(getattr(value, method, None)):
            return plain(getattr(value, method)())
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return sys.exit(f"the function returned a {type(value).__qualname__}, which is not JSON data")


def collected(output: dict[str, Any]) -> Any:
    """The file or files of an output, or what stands in it."""
    path, directory = output["path"], output["directory"]
    if output["many"]:
        matches = sorted(glob.glob(path, recursive=True))
        names = [name for name in matches if os.path.isdir(name) == directory]
        if not names and not output["optional"]:
            sys.exit(f"output '{output['port']}': nothing matches '{path}'")
        return [described(name, directory) for name in names]
    if not os.path.exists(path):
        return None if output["optional"] else sys.exit(f"there is no '{path}'")
    if os.path.isdir(path) != directory:
        sys.exit(f"'{path}' is {'a file, not a directory' if directory else 'a directory'}")
    if output["read"] == "file":
        return described(path, directory)
    with open(path, encoding="utf-8", newline="") as stream:
        text = stream.read()
    return json.loads(text) if output["read"] == "json" else text.rstrip("\n")


def described(path: str, directory: bool) -> dict[str, str]:
    return {"class": "Directory" if directory else "File", "path": path}


if __name__ == "__main__":
    main()
