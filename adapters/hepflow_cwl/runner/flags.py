"""The flags of ``hepflow cwl-runner``: those of the reference runner, by its names and meanings.

Whoever has a command line for ``cwltool`` can give it to hepflow. A flag that hepflow has no use
for is taken where leaving it out changes no result, and refused with a reason where it would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

import click

from hepflow.cli.options import read_gpus, read_memory
from hepflow_cwl.runner.delivery import Delivery

Function: TypeAlias = Callable[..., Any]
Decorator: TypeAlias = Callable[[Function], Function]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What a command line asks for, but the document and its inputs.

    Args:
        printing: the flag that asks for something to be printed instead of a run; empty for a run.
        delivery: what happens to the output files.
        cachedir: the folder that holds the store; ``None`` for the project's.
        container_runtime: the programs that may run containers; empty for any.
        reuse: results of earlier runs may be taken, and those of this one are kept.
    """

    outdir: Path
    write_summary: Path | None
    delivery: Delivery
    compute_checksum: bool
    quiet: bool
    no_warnings: bool
    debug: bool
    printing: str
    relative_deps: str
    rdf_serializer: str
    basedir: Path | None
    strict: bool
    enable_dev: bool
    skip_schemas: bool
    relax_path_checks: bool
    overrides: Path | None
    eval_timeout: float | None
    js_console: bool
    target: tuple[str, ...]
    use_container: bool
    container_runtime: list[str]
    default_container: str
    preserve_environment: tuple[str, ...]
    preserve_entire_environment: bool
    mpi_config_file: Path | None
    on_error: str
    parallel_max: int
    cpus: float | None
    memory: int | None
    gpus: tuple[str, ...] | None
    site: str
    cachedir: Path | None
    reuse: bool


def takes_flags(function: Function) -> Function:
    """Gives a command all flags, as ``flags``."""
    plain = [item.name for item in fields(Flags) if item.name not in _CHOICES]

    @wraps(function)
    def called(**given: Any) -> Any:
        chosen = {name: choice.made(given) for name, choice in _CHOICES.items()}
        flags = Flags(**chosen, **{name: given.pop(name) for name in plain})
        return function(flags=flags, **given)

    choices = (option for choice in _CHOICES.values() for option in choice.options())
    command: Function = called
    for decorate in reversed(
        (*choices, *_OUTPUTS, *_DOCUMENT, *_RUN, *_TELLING, *_TAKEN, *_refused())
    ):
        command = decorate(command)
    return command


@dataclass(frozen=True, slots=True)
class _Choice:
    """Flags of which at most one is given.

    Args:
        default: the value when none is.
        flags: each flag, its value and its help.
    """

    default: object
    flags: Mapping[str, tuple[object, str]]

    def options(self) -> list[Decorator]:
        return [
            click.option(name, is_flag=True, help=text) for name, (_, text) in self.flags.items()
        ]

    def made(self, given: dict[str, Any]) -> Any:
        """The value that was chosen; takes the flags out of what was given.

        Raises:
            click.UsageError: two were.
        """
        words = [name for name in self.flags if given.pop(name.lstrip("-").replace("-", "_"))]
        if len(words) > 1:
            raise click.UsageError(f"{words[0]} and {words[1]} cannot both be given")
        return self.flags[words[0]][0] if words else self.default


def _folder(name: str, **more: Any) -> Decorator:
    return click.option(
        name, type=click.Path(file_okay=False, path_type=Path), metavar="DIR", **more
    )


def _file(name: str, **more: Any) -> Decorator:
    return click.option(
        name, type=click.Path(dir_okay=False, exists=True, path_type=Path), metavar="FILE", **more
    )


_PRINTING: Final = {
    "--validate": "Check the document, and the inputs if there are any; run nothing.",
    "--tool-help": "Print the options that the document's inputs are.",
    "--make-template": "Print an inputs file to fill in.",
    "--pack": "Print the document and all it refers to as one.",
    "--print-pre": "Print the document with its references resolved.",
    "--print-deps": "Print the files that the document refers to.",
    "--print-input-deps": "Print the files that the inputs refer to.",
    "--print-targets": "Print the names that --target knows.",
    "--print-subgraph": "Print the part of the workflow that --target selects.",
    "--print-dot": "Print the workflow as a graph for graphviz.",
    "--print-rdf": "Print the workflow as RDF.",
    "--print-supported-versions": "Print the versions of the standard that are understood.",
    "--version": "Print hepflow's version.",
}

_CHOICES: Final[Mapping[str, _Choice]] = {
    "printing": _Choice("", {name: (name, text) for name, text in _PRINTING.items()}),
    "delivery": _Choice(Delivery.LINK, {
        "--move-outputs": (
            Delivery.LINK,
            "Put output files into the output folder (the default): hard links, else copies.",
        ),
        "--copy-outputs": (Delivery.COPY, "Copy them there."),
        "--leave-outputs": (Delivery.LEAVE, "Leave them where the tasks wrote them."),
    }),
    "container_runtime": _Choice([], {
        "--docker": (["docker"], "Run containers with docker."),
        "--podman": (["podman"], "Run containers with podman."),
        "--singularity": (["singularity", "apptainer"], "Run containers with singularity or apptainer."),
        "--udocker": (["udocker"], "Run containers with udocker."),
    }),
}  # fmt: skip
"""The flags that exclude each other, by the field of :class:`Flags` they set."""

_OUTPUTS: Final = (
    _folder("--outdir", default=Path(), help="Where the output files go. [default: here]"),
    click.option(
        "--write-summary", "-w", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        help="Write the output object there instead of to standard output.",
    ),
    click.option("--compute-checksum/--no-compute-checksum", default=True,
                 help="Put the SHA-1 of each file into the output object, or do not."),
)  # fmt: skip

_DOCUMENT: Final = (
    click.option("--relative-deps", type=click.Choice(["primary", "cwd"]), default="primary",
                 help="What the paths that --print-deps prints are relative to."),
    click.option("--rdf-serializer", default="turtle", metavar="FORMAT",
                 help="The format that --print-rdf prints."),
    _folder("--basedir", help="What relative paths of inputs are relative to."),
    click.option("--strict/--non-strict", default=True,
                 help="Whether a field that the standard does not know is an error."),
    click.option("--enable-dev", is_flag=True, help="Understand development versions, too."),
    click.option("--skip-schemas", is_flag=True, help="Do not read $schemas."),
    click.option("--relax-path-checks", is_flag=True,
                 help="Allow any character in the names of files."),
    _file("--overrides", help="Requirements that replace the document's."),
    click.option("--eval-timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
                 help="What one JavaScript expression may take. [default: 20]"),
    click.option("--js-console", is_flag=True, help="Show what expressions print."),
    click.option("--target", "-t", multiple=True, metavar="NAME",
                 help="Run only what this output or step needs; may be given several times."),
)  # fmt: skip

_RUN: Final = (
    click.option("--no-container", "use_container", is_flag=True, flag_value=False, default=True,
                 help="Run tools here, even those that name a container image as a hint."),
    click.option("--default-container", default="", metavar="IMAGE",
                 help="The image for tools that name none."),
    click.option("--preserve-environment", multiple=True, metavar="NAME",
                 help="Let tools see this variable; may be given several times."),
    click.option("--preserve-entire-environment", is_flag=True,
                 help="Let tools see all variables."),
    _file("--mpi-config-file", help="How programs that want MPI are started, as in cwltool."),
    click.option("--on-error", type=click.Choice(["stop", "continue"]), default="stop",
                 help="After a failure start nothing new (the default), or go on with the rest."),
    click.option("--parallel-max", type=click.IntRange(0), default=0, metavar="N",
                 help="At most so many tasks at a time. [default: as many as fit]"),
    click.option("--cpus", type=click.FloatRange(0, min_open=True), metavar="N",
                 help="Cores to use. [default: all]"),
    click.option("--memory", callback=read_memory, metavar="AMOUNT",
                 help="Memory to use, such as '8 GB'. [default: all]"),
    click.option("--gpus", callback=read_gpus, metavar="IDS",
                 help="Accelerators to use: '0,1', or 'none'. [default: all]"),
    click.option("--site", default="", metavar="NAME",
                 help="Where to run; 'hepflow site list' shows the sites. [default: this machine]"),
    _folder("--cachedir", help="Keep the store of results in this folder."),
    click.option("--no-cache", "--disable-cache", "reuse", is_flag=True, flag_value=False,
                 default=True, help="Reuse nothing, and keep nothing but the outputs."),
)  # fmt: skip

_TELLING: Final = (
    click.option("--quiet", is_flag=True, help="Only warnings, failures and the output object."),
    click.option("--no-warnings", is_flag=True, help="Only failures and the output object."),
    click.option("--debug", is_flag=True, help="Also tell what the CWL library has to say."),
)

_TAKEN: Final = (
    *(click.option(name, is_flag=True, expose_value=False, hidden=True, help="Always so.")
      for name in (
          "--parallel", "--enable-ext", "--verbose", "--timestamps", "--enable-color",
          "--disable-color", "--rm-tmpdir", "--leave-tmpdir", "--rm-container", "--enable-pull",
          "--doc-cache", "--no-doc-cache", "--disable-js-validation", "--fast-parser",
          "--disable-validate", "--enable-ga4gh-tool-registry", "--disable-ga4gh-tool-registry",
          "--disable-user-provenance", "--disable-host-provenance",
      )),
    *(click.option(name, expose_value=False, hidden=True, metavar="PREFIX",
                   help="Tasks have their folders in the store, or as the site says.")
      for name in ("--tmpdir-prefix", "--tmp-outdir-prefix")),
)  # fmt: skip

_PROVENANCE: Final = (
    "hepflow writes a record of a run in another way: 'hepflow explain', 'hepflow status --json'"
)
_RUNTIME: Final = "how containers are run is said in the site's configuration"
_PACKAGES: Final = "hepflow installs no packages; load the environment before the start"
_STEP: Final = "use --target, or run the step's own document"

_REFUSED: Final[Mapping[str, str]] = {
    "--provenance=": _PROVENANCE, "--enable-user-provenance": _PROVENANCE,
    "--enable-host-provenance": _PROVENANCE, "--orcid=": _PROVENANCE, "--full-name=": _PROVENANCE,
    "--log-dir=": "what tasks print is kept: 'hepflow logs'",
    "--user-space-docker-cmd=": "use --udocker", "--leave-container": _RUNTIME,
    "--disable-pull": _RUNTIME, "--force-docker-pull": _RUNTIME, "--no-read-only": _RUNTIME,
    "--no-match-user": _RUNTIME, "--custom-net=": _RUNTIME, "--strict-memory-limit": _RUNTIME,
    "--strict-cpu-limit": _RUNTIME, "--singularity-sandbox-path=": _RUNTIME,
    "--record-container-id": _RUNTIME, "--cidfile-dir=": _RUNTIME, "--cidfile-prefix=": _RUNTIME,
    "--beta-dependency-resolvers-configuration=": _PACKAGES,
    "--beta-dependencies-directory=": _PACKAGES, "--beta-use-biocontainers": _PACKAGES,
    "--beta-conda-dependencies": _PACKAGES, "--add-ga4gh-tool-registry=": "give the document's URL",
    "--js-hint-options-file=": "hepflow does not run jshint",
    "--single-step=": _STEP, "--single-process=": _STEP,
}  # fmt: skip
"""cwltool's flags that hepflow cannot honour (``=`` marks those with a value), and what to do."""


def _refused() -> list[Decorator]:
    return [
        click.option(
            name.rstrip("="), f"refused_{number}", is_flag=not name.endswith("="), hidden=True,
            expose_value=False, callback=_refusal(name.rstrip("="), advice), help="Not hepflow's.",
        )
        for number, (name, advice) in enumerate(_REFUSED.items())
    ]  # fmt: skip


def _refusal(name: str, advice: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def refuse(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value:
            _fail(f"{name} is a flag of cwltool that hepflow cannot honour: {advice}", context)

    return refuse


def _fail(message: str, context: click.Context) -> NoReturn:
    raise click.UsageError(message, context)
