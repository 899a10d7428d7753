"""From the values of an invocation to what the library binds a command line from.

Owns the job order (defaults, sizes, listings, checks of types) and the ``Builder`` made from it.
The library's ``Process._init_job`` does the same for one job; here what does not depend on the job
is prepared once for each tool, and nothing is copied that nobody else holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from decimal import Decimal
from functools import cmp_to_key, partial
from typing import Any, Final, cast

from cwltool.builder import INPUT_OBJ_VOCAB, Builder
from cwltool.context import RuntimeContext
from cwltool.errors import WorkflowException
from cwltool.process import (
    Process,
    _logger_validation_warnings,
    add_sizes,
    fill_in_defaults,
    shortname,
)
from cwltool.stdfsaccess import StdFsAccess
from cwltool.update import ORIGINAL_CWLVERSION
from cwltool.utils import (
    LoadListingType,
    aslist,
    cmp_like_py2,
    get_listing,
    normalizeFilesDirs,
    visit_files,
)
from schema_salad.avro.schema import Schema
from schema_salad.exceptions import SchemaSaladException, ValidationException
from schema_salad.validate import validate_ex

import hepflow_cwl.library  # noqa: F401 - makes cwltool ready; first
from hepflow.model.task import FOLDER, INPUTS, SCRATCH
from hepflow.model.values import Directory, File, Value, Values
from hepflow_cwl.setup import Setup
from hepflow_cwl.values import CWL, to_cwl

FAULTS: Final = (WorkflowException, SchemaSaladException, OSError)
"""What the library raises when a document, a value or a file is not as it should be."""

CUDA: Final = "http://commonwl.org/cwltool#CUDARequirement"

ANY: Final = "org.w3id.cwl.salad.Any"

BASE_COMMAND: Final = -1000000
"""The position of ``baseCommand``: before everything (as in the library)."""


class CommandBuilder(Builder):
    """The library's builder, which spells every float as a decimal number.

    The library does so only for numbers that still know how the YAML file spelled them; after one
    step they no longer do (CWL v1.2, CommandLineTool, section "Input binding": "decimal
    representation").
    """

    def tostr(self, value: Any) -> str:
        if type(value) is float:
            text = repr(value)
            return format(Decimal(text), "f") if "e" in text else text
        return super().tostr(value)


class Array(list[Any]):
    """An array of a job order. The library copies it once for each of its items, and then throws
    the copy away: sharing it instead keeps binding linear in the length."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Array:
        return self


class Bound:
    """One invocation, bound.

    Args:
        builder: with the job order, the bindings and the resources.
        known: the model's files by the locations they have in the job order.
    """

    __slots__ = ("builder", "known")

    def __init__(self, builder: Builder, known: dict[str, File | Directory]) -> None:
        self.builder = builder
        self.known = known


class Prepared:
    """A tool, with all of a job that does not depend on its inputs.

    Args:
        process: a CommandLineTool or an ExpressionTool of the library.
        setup: the user's choices.
    """

    def __init__(self, process: Process, setup: Setup) -> None:
        self.process = process
        self.name = shortname(process.tool["id"])
        self.is_expression: bool = process.tool["class"] == "ExpressionTool"
        self.version = str(process.metadata[ORIGINAL_CWLVERSION])
        self.ports = frozenset(shortname(port["id"]) for port in process.tool["inputs"])
        self.context = RuntimeContext({"eval_timeout": setup.js_timeout_s})
        self.files = StdFsAccess("")
        self._types = cast(Schema, process.names.get_name("input_record_schema", None))
        self._schema = _one_type_each(_plain(process.inputs_record_schema))
        self._changing = _mentions_any(self._schema)
        listing: Mapping[str, Any] = self.requirement("LoadListingRequirement") or {}
        self._listing: LoadListingType = listing.get("loadListing", "no_listing")
        self._fixed = list(_fixed_bindings(process.tool))
        request: Mapping[str, Any] = self.requirement("ResourceRequirement") or {}
        gpus: Mapping[str, Any] = self.requirement(CUDA) or {}
        computed = any("$" in str(value) for value in (*request.values(), *gpus.values()))
        self.resources: dict[str, float] | None = None
        if not computed:
            self.resources = process.evalResources(cast(Builder, None), self.context)

    def requirement(self, name: str) -> dict[str, Any] | None:
        """A requirement or hint of the tool by its class."""
        return cast("dict[str, Any] | None", self.process.get_requirement(name)[0])

    def bind(self, values: Values) -> Bound:
        """Bind an invocation.

        Raises:
            ValueError: a value is not of its type, or an expression failed.
        """
        with told(self.name):
            try:
                return self._bind(values, self._schema)
            except FAULTS:
                # The library's own objects know at which line they stand; plain ones are faster.
                return self._bind(values, deepcopy(self.process.inputs_record_schema))

    def blank(self) -> Builder:
        """A builder without inputs, for fields in which there is no expression."""
        return self._builder({})

    def _bind(self, values: Values, schema: CWL) -> Bound:
        known: dict[str, File | Directory] = {}
        job = self._job_order(values, known)
        builder = self._builder(job)
        schema = deepcopy(schema) if self._changing else schema
        try:
            bindings: list[Any] = builder.bind_input(schema, job, discover_secondaryFiles=False)
        except KeyError as error:
            # The library tells of a wrong format by a name that items of arrays do not have.
            if not isinstance(error.__context__, ValidationException):
                raise
            raise WorkflowException(str(error.__context__)) from error
        bindings += [self._positioned(binding, builder) for binding in self._fixed]
        bindings.sort(key=cmp_to_key(cmp_like_py2))
        builder.bindings.extend(bindings)
        if self.resources is None:
            builder.resources = self.process.evalResources(builder, self.context)
        return Bound(builder, known)

    def _job_order(self, values: Values, known: dict[str, File | Directory]) -> dict[str, CWL]:
        """The inputs as the library's job order, completed and checked."""
        job = {name: _ordered(values[name], known) for name in values if name in self.ports}
        try:
            if any(job.get(name) is None for name in self.ports):
                fill_in_defaults(self.process.tool["inputs"], job, self.files)
                normalizeFilesDirs(job)
            validate_ex(
                self._types,
                job,
                strict=False,
                logger=_logger_validation_warnings,
                vocab=INPUT_OBJ_VOCAB,
            )
        except (ValidationException, WorkflowException) as error:
            raise WorkflowException(f"its inputs are not as declared: {error}") from error
        if self._listing != "no_listing":
            get_listing(self.files, job, recursive=self._listing == "deep_listing")
        visit_files(job, partial(add_sizes, self.files))
        return job

    def _builder(self, job: dict[str, CWL]) -> Builder:
        process, context = self.process, self.context
        builder = CommandBuilder(
            job,
            [],
            [],
            process.schemaDefs,
            process.names,
            process.requirements,
            process.hints,
            dict(self.resources or {}),
            None,
            process.formatgraph,
            StdFsAccess,
            self.files,
            None,
            context.eval_timeout,
            False,
            False,
            False,
            self._listing,
            FOLDER,
            SCRATCH,
            INPUTS,
            self.version,
            process.container_engine,
        )
        if self.is_expression:
            builder.outdir = builder.tmpdir = ""
        return builder

    @staticmethod
    def _positioned(binding: dict[str, Any], builder: Builder) -> dict[str, Any]:
        """A binding that is no input's, its position evaluated where that is an expression."""
        first, *rest = binding["position"]
        if isinstance(first, str):
            return {**binding, "position": [builder.do_eval(first) or 0, *rest]}
        return binding


# --- preparing ------------------------------------------------------------------------------------


def _plain(data: CWL) -> CWL:
    """Data of the YAML library as plain dicts and lists, which are ten times quicker to copy."""
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return data


def _one_type_each(schema: CWL) -> CWL:
    """A record schema whose optional fields have their one real type: nulls are never bound, so
    the library need not find out for each value which of the two it is."""
    for field in schema["fields"]:
        if isinstance(field["type"], list):
            real = [item for item in field["type"] if item != "null"]
            if len(real) == 1:
                field["type"] = real[0]
    return schema


def _mentions_any(data: CWL) -> bool:
    """Whether a schema has the type Any, which the library replaces in place by what it met."""
    if isinstance(data, Mapping):
        return any(_mentions_any(value) for value in data.values())
    if isinstance(data, list):
        return any(_mentions_any(value) for value in data)
    return data in (ANY, "Any")


def _fixed_bindings(tool: Mapping[str, CWL]) -> Iterator[dict[str, Any]]:
    """The bindings of ``baseCommand`` and ``arguments``."""
    for number, word in enumerate(aslist(tool.get("baseCommand") or [])):
        yield {"position": [BASE_COMMAND, number], "datum": word}
    for number, argument in enumerate(tool.get("arguments") or []):
        if isinstance(argument, Mapping):
            yield {**argument, "position": [argument.get("position") or 0, number]}
        elif "$(" in argument or "${" in argument:
            yield {"position": [0, number], "valueFrom": argument}
        else:
            yield {"position": [0, number], "datum": argument}


def _ordered(value: Value, known: dict[str, File | Directory]) -> CWL:
    found = to_cwl(value, known)
    return Array(found) if type(found) is list else found


# --- faults ---------------------------------------------------------------------------------------


@contextmanager
def told(name: str) -> Iterator[None]:
    """Turns what the library raises into a ValueError that names the tool."""
    try:
        yield
    except FAULTS as error:
        raise ValueError(f"tool '{name}': {sentence(error)}") from error


def sentence(error: BaseException) -> str:
    """The library's message as one text without empty lines."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line) or type(error).__name__
