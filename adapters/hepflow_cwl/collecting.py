"""From what a tool left behind to its outputs (CWL v1.2, CommandLineTool, section "Output binding").

Most outputs are files with a name or a pattern, whose typed value follows from what the launcher
found. The others (expressions, secondary files, records, ``cwl.output.json``) are collected by the
library, in the folder. Digests are those the launcher made; none is made here.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, cast

from cwltool.builder import INPUT_OBJ_VOCAB, Builder, substitute
from cwltool.command_line_tool import CommandLineTool, remove_path, revmap_file
from cwltool.errors import WorkflowException
from cwltool.process import _logger_validation_warnings, shortname
from cwltool.stdfsaccess import StdFsAccess
from cwltool.utils import (
    adjustDirObjs,
    aslist,
    normalizeFilesDirs,
    trim_listing,
    visit_files_directories,
)
from schema_salad.validate import validate_ex

from hepflow.model.task import FOLDER, INPUTS, Outcome, Output, Task
from hepflow.model.values import File, Value, Values, files_in
from hepflow_cwl.binding import Bound, Prepared, told
from hepflow_cwl.values import CWL, LITERAL, from_cwl, to_path, to_uri

CUSTOM: Final = "cwl.output.json"
"""The file in which a tool may say its outputs itself."""

SHOWN: Final = 8
"""Names of files that a message lists."""


class Shape(NamedTuple):
    """The type of an output of nothing but files.

    Args:
        kinds: the classes it may be of.
        array: whether it is an array of them.
        optional: whether it may be null.
        format: what the document says of their format.
    """

    kinds: frozenset[str]
    array: bool
    optional: bool
    format: str


@dataclass(frozen=True, slots=True)
class OutputPort:
    """One output of a tool.

    Args:
        name: its name.
        schema: as the library holds it.
        globs: names and patterns of files, or expressions for such; those of a record's fields too.
        beside: suffixes of secondary files (CWL's SecondaryFilesDSL), as far as they are constant.
        shape: of an output that follows from the found files alone; ``None`` of any other.
    """

    name: str
    schema: Mapping[str, Any]
    globs: tuple[str, ...]
    beside: tuple[str, ...]
    shape: Shape | None


class Ports:
    """The outputs of one tool: what to look for, and what it means.

    Args:
        tool: the tool, prepared.
    """

    def __init__(self, tool: Prepared) -> None:
        self._tool = tool
        self._process = cast(CommandLineTool, tool.process)
        self._ports = [_port(schema) for schema in self._process.tool["outputs"]]
        self._plain = all(port.shape is not None for port in self._ports)
        self._declared: tuple[Output, ...] | None = None
        self._constant = not any("$" in text for port in self._ports for text in port.globs)
        schema = self._process.names.get_name("outputs_record_schema", None)
        self._types = {field.name: field.type for field in cast(Any, schema).fields}

    # --- before the start -------------------------------------------------------------------------

    def declared(self, builder: Builder) -> tuple[Output, ...]:
        """What the launcher is to find and digest.

        Raises:
            WorkflowException: a pattern is no text, or points out of the tool's folder.
        """
        if self._declared is not None:
            return self._declared
        outputs = [output for port in self._ports for output in _declared(port, builder)]
        if self._ports:
            outputs.append(Output(CUSTOM, CUSTOM, optional=True))
        if self._constant:
            self._declared = tuple(outputs)
        return tuple(outputs)

    # --- after the end ----------------------------------------------------------------------------

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        """The typed outputs.

        Raises:
            ValueError: with a sentence that says which output is not as declared.
        """
        found = outcome.outputs
        if self._plain and not found.get(CUSTOM):
            return {
                port.name: self._shaped(port, port.shape, found.get(port.name), folder)
                for port in self._ports
                if port.shape is not None
            }
        return self.collect_all(task, outcome, folder)

    def collect_all(self, task: Task, outcome: Outcome, folder: str) -> Values:
        """The same, all of them the library's way, whatever was found already.

        Raises:
            ValueError: as :meth:`collect`.
        """
        place = _Place(cast(Bound, task.memo), task, outcome, folder)
        with told(self._tool.name):
            given = place.custom() if os.path.lexists(f"{folder}/{CUSTOM}") else None
        return {port.name: self._collected(port, place, given) for port in self._ports}

    def _shaped(self, port: OutputPort, shape: Shape, value: Any, folder: str) -> Value:
        """An output of files alone, from what the launcher found."""
        found = value if isinstance(value, list) else [] if value is None else [value]
        for entry in found:
            kind = type(entry).__name__
            if kind not in shape.kinds:
                raise self._fault(
                    port, f"'{entry.name}' is a {kind}, not a {' or '.join(sorted(shape.kinds))}"
                )
        if shape.format:
            found = [
                replace(entry, format=shape.format) if isinstance(entry, File) else entry
                for entry in found
            ]
        if not found and shape.optional:
            return None
        if shape.array:
            return cast(Value, found)
        if len(found) != 1:
            names = " or ".join(f"'{text}'" for text in port.globs) or "nothing: it has no glob"
            if not found:
                raise self._fault(port, f"there is no {names}; {_left(folder)}")
            matches = ", ".join(f"'{entry.name}'" for entry in found[:SHOWN])
            raise self._fault(port, f"{names} matches several files for one: {matches}")
        return cast(Value, found[0])

    def _collected(self, port: OutputPort, place: _Place, given: CWL) -> Value:
        """An output as the library collects it, or as the tool itself gave it."""
        with told(f"{self._tool.name}': output '{port.name}"):
            if given is not None:
                value = given.get(port.name)
            else:
                value = self._process.collect_output(
                    cast(Any, port.schema),
                    place.builder,
                    place.folder,
                    place.files,
                    compute_checksum=False,
                )
            value = place.settled(value)
            _check_type(self._types[port.name], value)
        return place.model(value)

    def _fault(self, port: OutputPort, message: str) -> ValueError:
        return ValueError(f"tool '{self._tool.name}': output '{port.name}': {message}")


def computed(tool: Prepared, values: Values) -> Values:
    """The outputs of an ExpressionTool.

    Args:
        tool: the tool, prepared.
        values: the inputs of an invocation.

    Raises:
        ValueError: the expression failed, or gives something else than declared.
    """
    bound = tool.bind(values)
    process = tool.process
    types = cast(Any, process.names.get_name("outputs_record_schema", None))
    with told(tool.name):
        found = bound.builder.do_eval(process.tool["expression"])
        if not isinstance(found, Mapping):
            raise WorkflowException(f"its expression must give an object, not {found!r}")
        outputs: dict[str, CWL] = {field.name: found.get(field.name) for field in types.fields}
        normalizeFilesDirs(outputs)
        for field in types.fields:
            # Null passes for any type: the conformance suites have an output of type Any that is.
            if outputs[field.name] is not None:
                _check_type(field.type, outputs[field.name])
    return {name: from_cwl(value, bound.known) for name, value in outputs.items()}


def _check_type(expected: Any, value: CWL) -> None:
    """Raises ValidationException where a value is not of its type."""
    validate_ex(
        expected, value, strict=False, logger=_logger_validation_warnings, vocab=INPUT_OBJ_VOCAB
    )


# --- what is declared -----------------------------------------------------------------------------


def _port(schema: Mapping[str, Any]) -> OutputPort:
    binding = schema.get("outputBinding") or {}
    globs = [*_globs(schema)]
    plain = (
        "glob" in binding
        and "outputEval" not in binding
        and not binding.get("loadContents")
        and not schema.get("secondaryFiles")
        and "$" not in schema.get("format", "")
    )
    shape = _shape(schema["type"], schema.get("format", "")) if plain else None
    beside = [entry["pattern"] for entry in aslist(schema.get("secondaryFiles") or [])]
    constant = tuple(pattern for pattern in beside if "$" not in pattern)
    return OutputPort(shortname(schema["id"]), schema, tuple(globs), constant, shape)


def _globs(schema: Mapping[str, Any]) -> Iterator[str]:
    """Every glob of an output, those of a record's fields too."""
    yield from aslist((schema.get("outputBinding") or {}).get("glob") or [])
    kind = schema["type"]
    if isinstance(kind, Mapping) and kind.get("type") == "record":
        for field in kind["fields"]:
            yield from _globs(field)


def _shape(kind: Any, format_: str) -> Shape | None:
    """The shape of a type, if it has one: File, Directory, either, arrays of these, null."""
    options = aslist(kind)
    real = [option for option in options if option != "null"]
    optional = len(real) < len(options)
    array = len(real) == 1 and isinstance(real[0], Mapping) and real[0].get("type") == "array"
    kinds = aslist(real[0]["items"]) if array else real
    if not kinds or any(item not in ("File", "Directory") for item in kinds):
        return None
    return Shape(frozenset(kinds), array, optional, format_)


def _declared(port: OutputPort, builder: Builder) -> Iterator[Output]:
    patterns = [text for pattern in port.globs for text in _evaluated(pattern, builder)]
    shape = port.shape
    for pattern in patterns:
        if shape is None or shape.array or len(patterns) > 1 or glob.has_magic(pattern):
            yield Output(port.name, pattern, many=True, optional=True, either=True)
            for suffix in port.beside:
                other = substitute(pattern, suffix)
                yield Output(f"{port.name}.beside", other, many=True, optional=True, either=True)
        else:
            either = len(shape.kinds) > 1
            directory = not either and "Directory" in shape.kinds
            yield Output(port.name, pattern, directory=directory, optional=True, either=either)


def _evaluated(pattern: str, builder: Builder) -> Iterator[str]:
    """The patterns an expression stands for, each relative to the tool's folder."""
    value = builder.do_eval(pattern)
    for text in aslist(value) if value else []:
        if not isinstance(text, str):
            raise WorkflowException(f"the glob '{pattern}' must be text, not {value!r}")
        inner = text[len(FOLDER) :].lstrip("/") if text.startswith(FOLDER) else text
        if inner.startswith("/") or ".." in inner.split("/"):
            raise WorkflowException(f"the glob '{text}' points out of the tool's folder")
        if text:
            yield os.path.normpath(inner or ".")


# --- the library's way ----------------------------------------------------------------------------


class FolderAccess(StdFsAccess):
    """The library's view of the folder a tool ran in: patterns match inside it only.

    Args:
        folder: its path.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self._folder = folder

    def glob(self, pattern: str) -> list[str]:
        inner = pattern.removeprefix(self._folder).lstrip("/")
        if not inner:
            return [to_uri(self._folder)]
        if ".." in inner.split("/"):
            raise WorkflowException(f"the glob '{inner}' points out of the tool's folder")
        return [
            to_uri(os.path.normpath(f"{self._folder}/{name}"))
            for name in glob.glob(inner, root_dir=self._folder)
        ]


class _Place:
    """A folder a tool has left, and how the paths the tool saw map to it.

    Args:
        bound: the invocation.
        task: what ran.
        outcome: how it ended.
        folder: where it ran.
    """

    def __init__(self, bound: Bound, task: Task, outcome: Outcome, folder: str) -> None:
        self.builder = bound.builder
        self.folder = folder
        self.files = FolderAccess(folder)
        self._inside = task.container.folder if task.container else ""
        self._root = os.path.realpath(folder)
        if self.builder.cwlVersion != "v1.0":
            self.builder.resources["exitCode"] = outcome.exit_code
        self._staged = task.stage
        places = [item.what.location for item in task.stage]
        self._given = {os.path.realpath(place) for place in places if place}
        found = [file for value in outcome.outputs.values() for file in files_in(value)]
        self._known = {**bound.known, **{to_uri(file.location): file for file in found}}

    def custom(self) -> Any:
        """The outputs a tool gave itself, with the paths it saw.

        Raises:
            WorkflowException: the file is not a JSON object.
        """
        with open(f"{self.folder}/{CUSTOM}", encoding="utf-8") as file:
            try:
                given = json.load(file)
            except ValueError as error:
                raise WorkflowException(f"{CUSTOM} is not JSON: {error}") from None
        if not isinstance(given, dict):
            raise WorkflowException(f"{CUSTOM} must be an object with the tool's outputs")
        visit_files_directories(given, self._outer)
        return given

    def _outer(self, entry: Any) -> None:
        """Gives a file that a tool named by a path it saw the place where it really is."""
        path = entry.get("path") or to_path(entry.get("location", ""))
        if not path.startswith("/"):
            return
        entry.pop("location", None)
        if self._inside and f"{path}/".startswith(f"{self._inside}/"):
            path = self.folder + path[len(self._inside) :]
        if not f"{path}/".startswith(f"{self.folder}/"):
            path = self._input(path) or os.path.realpath(path)
        entry["path"] = path
        if self._is_given(path):
            entry.setdefault("basename", os.path.basename(path))
            entry["location"] = to_uri(path)
            del entry["path"]

    def _input(self, path: str) -> str:
        """Where an input is that a tool saw in the folder of its inputs, wherever that was."""
        for item in self._staged:
            tail = item.path.removeprefix(INPUTS)
            if tail != item.path and f"{tail}/" in f"{path}/":
                return item.what.location + path.partition(tail)[2]
        return ""

    def settled(self, value: CWL) -> CWL:
        """A collected value with each file at its real location.

        Raises:
            WorkflowException: a file does not exist, or is not the tool's to give.
        """
        held = {"value": value}
        adjustDirObjs(held, trim_listing)
        visit_files_directories(held, self._locate)
        visit_files_directories(held, remove_path)
        normalizeFilesDirs(held)
        visit_files_directories(held, self._check)
        return held["value"]

    def _locate(self, entry: Any) -> None:
        location = str(entry.get("location", ""))
        if "path" not in entry:
            literal = not location or location.startswith(LITERAL)
            if literal or self._is_given(os.path.realpath(to_path(location))):
                return
        revmap_file(self.builder, self.folder, entry)
        entry["location"] = to_uri(entry["location"])

    def _check(self, entry: Any) -> None:
        location = entry["location"]
        if location.startswith(LITERAL):
            return
        path = to_path(location)
        real = os.path.realpath(path)
        exists = os.path.isdir if entry["class"] == "Directory" else os.path.isfile
        if not exists(real):
            raise WorkflowException(f"there is no {entry['class']} '{path}'; {_left(self.folder)}")
        if not f"{real}/".startswith(f"{self._root}/") and not self._is_given(real):
            raise WorkflowException(
                f"'{entry['basename']}' is a link that leaves the tool's folder (to {real})"
            )
        if path.startswith(f"{self.folder}/") and not f"{real}/".startswith(f"{self._root}/"):
            entry["location"] = to_uri(real)

    def _is_given(self, real: str) -> bool:
        """Whether a path is that of an input, or below one."""
        return any(real == given or real.startswith(f"{given}/") for given in self._given)

    def model(self, value: CWL) -> Value:
        """A settled value as the model's, words for the folder replaced in its texts."""
        return from_cwl(_spelled(value, self._inside or self.folder), self._known)


def _spelled(value: CWL, folder: str) -> CWL:
    """A value in whose texts the tool's folder has its real name."""
    if isinstance(value, str):
        return value.replace(FOLDER, folder) if FOLDER in value else value
    if isinstance(value, Mapping):
        return {key: _spelled(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_spelled(item, folder) for item in value]
    return value


def _left(folder: str) -> str:
    """What a tool left, as the end of a sentence."""
    names = sorted(os.listdir(folder))
    if not names:
        return "it left nothing"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"it left {', '.join(names[:SHOWN])}{more}"
