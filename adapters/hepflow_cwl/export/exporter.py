"""`hepflow export --to cwl`: a native recipe as CWL v1.2 that any CWL runner runs.

The document stands on its own: expressions are JavaScript with the few helpers they need, Python
functions are called by a small program inside it. Loops need the extension `cwltool:Loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import yaml

from hepflow.model.errors import RecipeError
from hepflow.model.portable import Graph
from hepflow.model.types import Type
from hepflow.model.values import Directory, File, Value
from hepflow.model.workflow import From, Port, Required
from hepflow_cwl.export.code import literal
from hepflow_cwl.export.document import Document, Mapped, library
from hepflow_cwl.export.tools import granted
from hepflow_cwl.export.types import Known, required
from hepflow_cwl.export.workflow import WorkflowWriter

WORKFLOW = "workflow.cwl"
JOB = "job.yml"
_NAMESPACES = {
    "cwltool": "http://commonwl.org/cwltool#",
    "hepflow": "urn:hepflow:",
}


class CwlExporter:
    """Writes recipes as CWL."""

    def export(
        self,
        recipe: Graph,
        inputs: Mapping[str, Value],
        locate: Callable[[File | Directory], str],
    ) -> dict[str, str]:
        """The workflow and a job file with its inputs.

        Raises:
            RecipeError: every place of the recipe that has no exact counterpart in CWL.
        """
        document = Document(locate)
        given = {port.name: Known(_type(port)) for port in recipe.inputs}
        workflow, _ = WorkflowWriter(recipe, given, document).write()
        if document.problems:
            raise RecipeError(dict.fromkeys(document.problems))
        job = {name: document.value(value) for name, value in inputs.items()}
        return {WORKFLOW: _spelled(_headed(recipe.name, workflow, document)), JOB: _spelled(job)}


def _type(port: Port) -> Type:
    """What steps see of an input: a default stands in for null."""
    has_default = not isinstance(port.default, Required | From) and port.default is not None
    return required(port.type) if has_default else port.type


def _headed(name: str, workflow: Mapped, document: Document) -> Mapped:
    """The workflow with its version and what it needs of a runner in front."""
    found: Mapped = {"cwlVersion": "v1.2"}
    namespaces = {key: iri for key, iri in _NAMESPACES.items() if key in document.features}
    if namespaces:
        found["$namespaces"] = namespaces
    found["class"] = workflow.pop("class")
    found["label"] = name
    if "doc" in workflow:
        found["doc"] = workflow.pop("doc")
    helpers = library(workflow)
    needed: Mapped = {"InlineJavascriptRequirement": {"expressionLib": helpers} if helpers else {}}
    needed.update((word, {}) for word in sorted(document.features) if word not in _NAMESPACES)
    # Where a tool has variables of its own, these are among them.
    needed["EnvVarRequirement"] = {"envDef": granted(literal(1))}
    found["requirements"] = needed
    found.update(workflow)
    return found


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that commands and scripts can be read."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)


def _spelled(data: object) -> str:
    return yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )
