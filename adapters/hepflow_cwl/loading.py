"""From the name of a document to cwltool's processes, and to the workflow made of them.

Owns what a load involves: fetching, the schema, upgrades between versions, validation, and turning
whatever goes wrong into problems at their place. Knows nothing of what a workflow means.
"""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urldefrag

import hepflow_cwl.library  # noqa: F401 - makes cwltool ready; first

# isort: split
from cwltool.context import LoadingContext
from cwltool.errors import WorkflowException
from cwltool.load_tool import (
    default_loader,
    fetch_document,
    load_overrides,
    make_tool,
    resolve_and_validate_document,
)
from cwltool.process import Process
from cwltool.update import ORDERED_VERSIONS, ORIGINAL_CWLVERSION
from cwltool.workflow import default_make_tool
from schema_salad.exceptions import SchemaSaladException
from schema_salad.fetcher import DefaultFetcher

from hepflow.model.errors import Problem, RecipeError
from hepflow.model.workflow import Workflow
from hepflow_cwl import schemas
from hepflow_cwl.faults import INVALID, UNREADABLE, problems_of
from hepflow_cwl.places import place_of
from hepflow_cwl.setup import Setup
from hepflow_cwl.values import to_path, to_uri
from hepflow_cwl.workflows import workflow_of

REQUIREMENTS_SINCE: Final = "v1.1"
"""The first version that takes requirements from a job file (CWL v1.1, section 1.3)."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded document.

    Args:
        files: the paths of all it was made of; ``None`` when some of it is not on this machine.
    """

    workflow: Workflow
    files: frozenset[str] | None


def load_document(document: str, target: str, setup: Setup) -> Loaded:
    """The workflow in a document.

    Args:
        document: a path, or a URL of http or https.
        target: the ``#id`` of the process in it; empty for its only one, or ``main``.

    Raises:
        RecipeError: with every fault the library finds.
    """
    fetched: set[str] = set()
    with _told_as_problems(document):
        process = _process(document, target, setup, fetched)
    source = f"{document}#{target}" if target else document
    workflow = workflow_of(process, source, setup)
    local = all(url.startswith("file://") for url in fetched)
    return Loaded(workflow, frozenset(to_path(url) for url in fetched) if local else None)


def load_process(document: str, target: str, setup: Setup) -> Process:
    """The library's own object of a process in a document; arguments as of :func:`load_document`.

    Raises:
        RecipeError: with every fault the library finds.
    """
    with _told_as_problems(document):
        return _process(document, target, setup, set())


@contextmanager
def _told_as_problems(document: str) -> Iterator[None]:
    """Turns what the library raises about a document into problems."""
    try:
        yield
    except RecipeError:
        raise
    except (SchemaSaladException, WorkflowException) as error:
        raise RecipeError(problems_of(error, document)) from error
    except OSError as error:
        raise RecipeError.of(UNREADABLE, str(error), where=document) from error
    except StopIteration as error:
        raise RecipeError.of(UNREADABLE, "the document is empty", where=document) from error
    except RecursionError as error:
        raise RecipeError.of(
            INVALID, "its processes run each other without end", where=document,
            why="a step runs a document that, in the end, is run by that step",
        ) from error  # fmt: skip
    except Exception as error:
        # The library trips over some faulty documents (KeyError, TypeError, AssertionError).
        what = f"the document cannot be read: {type(error).__name__}: {error}"
        raise RecipeError.of(
            INVALID, what, where=document,
            why="it has a form that the CWL library does not expect",
            fix="check it against the standard; an entry may be of the wrong kind or lack its id",
        ) from error  # fmt: skip


def _process(document: str, target: str, setup: Setup, fetched: set[str]) -> Process:
    uri = document if "://" in document else to_uri(os.path.abspath(document))
    uri = f"{uri}#{target}" if target else uri
    context = LoadingContext(
        {
            "construct_tool_object": default_make_tool,
            # A second look at expressions costs more than the load, and what it finds are warnings.
            "disable_js_validation": True,
            "do_update": True,
            "enable_dev": setup.enable_dev,
            "eval_timeout": setup.js_timeout_s,
            "fetcher_constructor": _recorder(fetched),
            "relax_path_checks": setup.relax_path_checks,
            "skip_schemas": setup.skip_schemas,
            "strict": setup.strict,
        }
    )
    context.loader = default_loader(context.fetcher_constructor)
    context, content, uri = fetch_document(uri, context)
    schemas.make_ready(_version(content, document, setup))
    context, uri = resolve_and_validate_document(context, content, uri)
    if setup.overrides:
        file = to_uri(setup.overrides)
        fetched.add(file)
        context.overrides_list.extend(load_overrides(file, urldefrag(uri)[0]))
    if setup.requirements:
        _add_requirements(context, uri, document, setup)
    process = make_tool(uri, context)
    return _part(process, document, context, setup.only) if setup.only else process


def _version(content: Any, document: str, setup: Setup) -> str:
    """The version of CWL a document is written in."""
    if not isinstance(content, dict):
        what = "a CWL document is a mapping, with 'cwlVersion' and 'class' or '$graph'"
        raise RecipeError.of(INVALID, what, where=document)
    if "cwl:tool" in content:  # a job file that names its document, whose version then counts
        return ""
    version = content.get("cwlVersion")
    known = [name for name in ORDERED_VERSIONS if setup.enable_dev or "dev" not in name]
    fix = f"write one of {', '.join(known)}; the usual one is v1.2"
    if version is None:
        raise RecipeError.of(INVALID, "'cwlVersion' is missing", where=document, fix=fix)
    word = str(version).removeprefix("cwl:").removeprefix("https://w3id.org/cwl/cwl#")
    if word not in known:
        place = replace(place_of(content, "cwlVersion"), file=document)
        raise RecipeError(Problem(place, INVALID, f"there is no CWL version '{version}'", "", fix))
    return word


def _part(
    process: Process, document: str, context: LoadingContext, names: tuple[str, ...]
) -> Process:
    """The workflow with only what the named outputs and steps need."""
    from cwltool.main import choose_target  # dear, and hardly ever wanted

    chosen = choose_target(Namespace(target=list(names)), process, context)
    if chosen is None:
        what = "parts of a workflow are asked for, and the document is none"
        raise RecipeError.of(INVALID, what, where=document)
    return chosen


def _recorder(fetched: set[str]) -> Any:
    """A constructor of fetchers that note what they fetch."""

    class Recorder(DefaultFetcher):
        def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
            text = super().fetch_text(url, content_types)
            if url not in self.cache:  # the library's own schemas are there from the beginning
                fetched.add(url)
            return text

    return Recorder


def _add_requirements(context: LoadingContext, uri: str, document: str, setup: Setup) -> None:
    """Put the requirements of a job file on top of those of the process that is to run."""
    version = str(context.metadata.get(ORIGINAL_CWLVERSION))
    if version < REQUIREMENTS_SINCE:
        raise RecipeError.of(
            INVALID, f"a job file gives 'cwl:requirements', but the document is CWL {version}",
            where=document,
            why=f"requirements in a job file came with CWL {REQUIREMENTS_SINCE}",
            fix=f"write 'cwlVersion: {REQUIREMENTS_SINCE}', or put them into the document",
        )  # fmt: skip
    loader = context.loader
    assert loader is not None
    found, _ = loader.resolve_ref(uri)
    if isinstance(found, list):
        uri = f"{urldefrag(uri)[0]}#main"
    requirements = json.loads(setup.requirements)
    context.overrides_list.append({"overrideTarget": uri, "requirements": requirements})
