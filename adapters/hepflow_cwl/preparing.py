"""Making the inputs of a run ready by the library's code for jobs: see ``jobs.py``."""

from __future__ import annotations

from typing import Any

import hepflow_cwl.library  # noqa: F401 - makes cwltool ready; first

# isort: split
from cwltool.context import RuntimeContext
from cwltool.errors import WorkflowException
from cwltool.process import shortname
from cwltool.utils import visit_files
from schema_salad.exceptions import SchemaSaladException
from schema_salad.ref_resolver import Loader

from hepflow.model.errors import RecipeError
from hepflow.model.values import Value, Values
from hepflow_cwl.definition import Definition
from hepflow_cwl.faults import WRONG_INPUT, problems_of
from hepflow_cwl.setup import Setup
from hepflow_cwl.values import CWL, Known, from_cwl, to_cwl


def prepared(outside: Definition, setup: Setup, values: Values) -> dict[str, Value]:
    """The inputs of a run, checked, with their secondary files.

    Args:
        outside: the inputs and requirements of the process that is to run.

    Raises:
        RecipeError: a value is not as declared, or a secondary file is missing.
    """
    process = outside.process
    known: Known = {}
    order = {name: to_cwl(value, known) for name, value in values.items()}
    namespaces = process.metadata.get("$namespaces", {})
    if namespaces:
        visit_files(order, _expander(namespaces))
    context = RuntimeContext(
        {"toplevel": True, "use_container": False, "eval_timeout": setup.js_timeout_s}
    )
    try:
        job = process._init_job(order, context).job
        names = [shortname(entry["id"]) for entry in process.tool["inputs"]]
        return {name: from_cwl(job[name], known) for name in names if name in job}
    except (WorkflowException, SchemaSaladException, ValueError) as error:
        raise RecipeError(problems_of(error, "inputs", WRONG_INPUT)) from error
    except KeyError as error:
        # The library tells of a wrong format by a name that items of arrays do not have.
        if not isinstance(error.__context__, SchemaSaladException):
            raise
        raise RecipeError(problems_of(error.__context__, "inputs", WRONG_INPUT)) from error


def _expander(namespaces: Any) -> Any:
    """What writes out the prefix of a file's format (``edam:format_1929``)."""
    loader = Loader(namespaces)

    def expand(file: CWL) -> None:
        if "format" in file:
            file["format"] = loader.expand_url(file["format"], "")

    return expand
