"""The command itself: from flags and words to a run, and to the output object.

The run is one like any other: same engine, store and cache as ``hepflow run``.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import unquote, urlsplit

import click

from hepflow import __version__
from hepflow.cli.group import verb
from hepflow.cli.late import api
from hepflow.cli.options import project_in, takes_project
from hepflow.cli.summary import conduct
from hepflow.model.errors import RecipeError, UsageError
from hepflow.model.protocols import LoadOptions
from hepflow.model.values import Values
from hepflow.model.workflow import Workflow
from hepflow_cwl import containers
from hepflow_cwl.language import CwlLanguage
from hepflow_cwl.orders import STDIN, Order, names_tool, read_order
from hepflow_cwl.runner.delivery import Delivery, deliver, output_object
from hepflow_cwl.runner.flags import Flags, takes_flags
from hepflow_cwl.setup import Setup

UNSUPPORTED: Final = 33
"""The exit status for what a runner does not support (cwltest, and CWL's own test programs)."""

NO_INPUTS: Final = Order()

EXAMPLES = """
hepflow cwl-runner workflow.cwl job.yml                # inputs from a file
hepflow cwl-runner tool.cwl --message hello --n 3      # inputs by name
hepflow cwl-runner --tool-help tool.cwl                # the names and types of the inputs
hepflow cwl-runner --outdir out 'tools.cwl#align' job.yml
hepflow cwl-runner --no-container workflow.cwl job.yml
hepflow cwl-runner --validate workflow.cwl             # run nothing
cwltest --test conformance_tests.yaml --tool hepflow -- cwl-runner
"""


class Unsupported(RecipeError):
    """A correct document asks for what hepflow does not have."""

    exit_code = UNSUPPORTED


@dataclass(frozen=True, slots=True)
class Document:
    """What the command line names.

    Args:
        name: as it was written.
        at: a path or URL.
        target: the ``#id`` of a process in it.
    """

    name: str
    at: str
    target: str

    @property
    def uri(self) -> str:
        return f"{self.at}#{self.target}" if self.target else self.at


@verb(EXAMPLES, context_settings={"allow_interspersed_args": False})
@click.argument("document", required=False, metavar="DOCUMENT")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[JOB | --NAME VALUE...]")
@takes_flags
@takes_project
def command(
    document: str | None, words: tuple[str, ...], flags: Flags, project: api.Project
) -> int:
    """Run a CWL document and print its output object.

    Flags stand before DOCUMENT; after it comes an inputs file (YAML or JSON, '-' for standard
    input), or inputs by name. The flags are cwltool's. Exit status 33 means that the document asks
    for what hepflow does not support.
    """
    if flags.printing == "--version":
        click.echo(f"hepflow {__version__}")
        return 0
    if flags.printing not in ("", "--validate"):
        from hepflow_cwl.runner.printing import show

        place = _located(document).uri if document else ""
        return show([place, *words] if place else words, flags)
    if document is None:
        raise click.UsageError("name a CWL document")
    if not flags.reuse and flags.delivery is Delivery.LEAVE:
        raise click.UsageError("--leave-outputs and --no-cache cannot both be given")
    try:
        with _library_told(flags):
            return _serve(_located(document), words, flags, project)
    except RecipeError as error:
        if _is_unsupported(error):
            raise Unsupported(error.problems) from error
        raise


def _located(name: str) -> Document:
    """A document by path or URI, with the ``#id`` behind it."""
    if os.path.isfile(name):  # such as one with a '#' in its name
        return Document(name, name, "")
    place, _, target = name.partition("#")
    parts = urlsplit(place)
    if parts.scheme in ("http", "https"):
        return Document(name, place, target)
    path = unquote(parts.path) if parts.scheme == "file" else place
    if not os.path.isfile(path):
        raise UsageError.of(
            "HF391", f"there is no document '{path}'", fix="give the path or URL of a CWL document"
        )
    return Document(name, path, target)


def _serve(document: Document, words: tuple[str, ...], flags: Flags, project: api.Project) -> int:
    """Runs a document, or checks it."""
    document, order = _order(document, words, flags)
    settings = _settings(flags, order)
    if flags.printing:
        workflow = _load(document, _readable(settings))
        if words:
            api.check(workflow, _known(order, workflow, flags))
        click.echo(f"{document.name} is valid CWL.")
        return 0
    try:
        workflow = _load(document, settings)
    except RecipeError as error:
        if _is_unsupported(error):  # a fault of the inputs comes first: it can be mended
            workflow = _load(document, _readable(settings))
            api.check(workflow, _known(order, workflow, flags))
        raise
    load_options = LoadOptions(settings=settings, target=document.target)
    return _run(workflow, _known(order, workflow, flags), flags, project, load_options)


def _readable(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings under which also a document can be read that cannot run here for want of an image."""
    return {name: text for name, text in settings.items() if name != "use_container"}


def _is_unsupported(error: RecipeError) -> bool:
    return any(problem.code == containers.UNSUPPORTED for problem in error.problems)


def _run(
    workflow: Workflow,
    inputs: Values,
    flags: Flags,
    project: api.Project,
    load_options: LoadOptions,
) -> int:
    if flags.container_runtime:
        found = [name for name in flags.container_runtime if shutil.which(name)]
        os.environ["HEPFLOW_CONTAINER_RUNTIME"] = (found or flags.container_runtime)[0]
    with ExitStack() as stack:
        if not flags.reuse:
            project = api.Project(Path(stack.enter_context(TemporaryDirectory(prefix="hepflow-"))))
        elif flags.cachedir:
            project = project_in(flags.cachedir)
        return conduct(
            lambda listener: api.run(
                workflow, inputs, project=project, options=_options(flags),
                load_options=load_options, listener=listener, publisher=_publisher(project, flags),
            ),
            quiet=flags.quiet or flags.no_warnings,
            show=lambda result, _: _show(result, flags),
            kept=flags.reuse,
        )  # fmt: skip


def _order(document: Document, words: tuple[str, ...], flags: Flags) -> tuple[Document, Order]:
    """The document to run and its inputs."""
    basedir = str(flags.basedir or "")
    if len(words) == 1 and (words[0] == STDIN or not words[0].startswith("-")):
        return document, read_order(words[0], basedir)
    if words:
        from hepflow_cwl.runner.arguments import order_from_words

        setup = Setup.of(_settings(flags))
        return document, order_from_words(document.at, document.target, words, setup)
    if "://" not in document.at and names_tool(document.at):
        order = read_order(document.at, basedir)
        if order.tool:
            return _located(order.tool), order
    return document, NO_INPUTS


def _load(document: Document, settings: Mapping[str, str]) -> Workflow:
    if "://" not in document.at:
        options = LoadOptions(settings=settings, target=document.target)
        return CwlLanguage().load(Path(document.at), options)
    from hepflow_cwl.loading import load_document

    return load_document(document.at, document.target, Setup.of(settings)).workflow


def _known(order: Order, workflow: Workflow, flags: Flags) -> Values:
    """The inputs that the workflow has; the standard lets an input object have others."""
    ports = {port.name for port in workflow.inputs}
    unknown = [name for name in order.values if name not in ports]
    if unknown and not flags.no_warnings:
        many = "inputs" if len(unknown) > 1 else "input"
        click.echo(
            f"warning: {order.source}: the document has no {many} {', '.join(unknown)}", err=True
        )
    return {name: value for name, value in order.values.items() if name in ports}


def _settings(flags: Flags, order: Order = NO_INPUTS) -> dict[str, str]:
    """What the flags mean for reading the document, as a resumed run will need it again."""
    spelled = {
        "use_container": "" if flags.use_container else "false",
        "default_container": flags.default_container,
        "relax_path_checks": "true" if flags.relax_path_checks else "",
        "strict": "" if flags.strict else "false",
        "skip_schemas": "true" if flags.skip_schemas else "",
        "js_timeout_s": str(flags.eval_timeout or ""),
        "js_console": "true" if flags.js_console else "",
        "keep_environment": ",".join(flags.preserve_environment),
        "keep_whole_environment": "true" if flags.preserve_entire_environment else "",
        "mpi_config": str(flags.mpi_config_file.absolute()) if flags.mpi_config_file else "",
        "requirements": order.requirements,
        "overrides": str(flags.overrides.absolute()) if flags.overrides else "",
        "only": ",".join(flags.target),
    }
    return {name: text for name, text in spelled.items() if text}


def _options(flags: Flags) -> api.RunOptions:
    return api.RunOptions(
        keep_going=flags.on_error == "continue",
        cpus=flags.cpus,
        memory_mib=flags.memory,
        gpus=flags.gpus,
        in_flight=flags.parallel_max,
        reuse=flags.reuse,
        publish=flags.outdir.absolute(),
        site=flags.site,
    )


def _publisher(project: api.Project, flags: Flags) -> api.Publisher:
    store = str(project.store.folder)
    return lambda outputs, folder: deliver(outputs, str(folder), store, flags.delivery)


def _show(result: api.RunResult, flags: Flags) -> None:
    """Prints the output object."""
    if not result.succeeded:
        return
    found = output_object(result.outputs, checksums=flags.compute_checksum)
    text = json.dumps(found, indent=4, ensure_ascii=False)
    if not flags.write_summary:
        click.echo(text)
        return
    try:
        flags.write_summary.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError.of(
            "HF307", f"cannot write {flags.write_summary}: {error.strerror}"
        ) from error


@contextmanager
def _library_told(flags: Flags) -> Iterator[None]:
    """Shows what the CWL library warns of, and all that it says if that is wanted."""
    logger = logging.getLogger("cwltool")
    teller = logging.StreamHandler()
    teller.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    teller.setLevel(logging.ERROR if flags.no_warnings else logging.WARNING)
    if flags.debug:
        import hepflow_cwl.library  # noqa: F401 - sets the level itself when it is imported

        teller.setLevel(logging.DEBUG)
        logger.setLevel(logging.DEBUG)
    logger.addHandler(teller)
    try:
        yield
    finally:
        logger.removeHandler(teller)
