"""Finding languages, executors, exporters, trackers and verbs: what is built in at once, what others bring
when it is asked for.

Everything stands in entry-point groups, ours too. Scanning them costs more than the whole start of
hepflow, so what we ship ourselves is also written down here; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from typing import Final

from hepflow.model.errors import UnavailableError

LANGUAGES: Final = "hepflow.languages"
EXECUTORS: Final = "hepflow.executors"
EXPORTERS: Final = "hepflow.exporters"
BUCKETS: Final = "hepflow.buckets"
TRACKERS: Final = "hepflow.trackers"
VERBS: Final = "hepflow.verbs"

BUILTIN: Final = {
    LANGUAGES: {
        "hepflow": "hepflow.recipe:NativeLanguage",
        "cwl": "hepflow_cwl:CwlLanguage",
        "reana": "hepflow_reana:ReanaLanguage",
        "wfformat": "hepflow_wfformat:WfFormatLanguage",
        "yadage": "hepflow_yadage:YadageLanguage",
        "snakemake": "hepflow_snakemake:SnakemakeLanguage",
    },
    EXECUTORS: {
        "local": "hepflow.executors.local:LocalExecutor",
        "htcondor": "hepflow_htcondor:HTCondorExecutor",
        "clouds": "hepflow_clouds:CloudsExecutor",
        "kubernetes": "hepflow_kubernetes:KubernetesExecutor",
        "slurm": "hepflow_slurm:SlurmExecutor",
        "pbs": "hepflow_pbs:PBSExecutor",
        "dask": "hepflow_dask:DaskExecutor",
        "parsl": "hepflow_parsl:ParslExecutor",
    },
    EXPORTERS: {
        "cwl": "hepflow_cwl.export:CwlExporter",
        "dagman": "hepflow_htcondor.dagman:DagmanExporter",
        "reana": "hepflow_reana.export:ReanaExporter",
        "snakemake": "hepflow_snakemake.export:SnakemakeExporter",
        "wfformat": "hepflow_wfformat.export:WfFormatExporter",
    },
    BUCKETS: {
        "az": "hepflow_clouds.blobs:BlobBucket",
        "s3": "hepflow_clouds.s3:S3Bucket",
    },
    TRACKERS: {"mlflow": "hepflow_mlflow:MlflowTracker"},
    VERBS: {
        "cwl-runner": "hepflow_cwl.runner.command:command",
        "test": "hepflow_reana.checks.command:command",
    },
}


def load(group: str, name: str) -> type:
    """The class registered under a name.

    Raises:
        UnavailableError: there is none, or it needs a library that is not installed.
    """
    found = _loaded(group, name)
    assert isinstance(found, type)
    return found


def load_verb(name: str) -> object:
    """The command of the command line registered under a name.

    Raises:
        UnavailableError: as :func:`load`.
    """
    return _loaded(VERBS, name)


def _loaded(group: str, name: str) -> object:
    target = BUILTIN[group].get(name) or _installed(group).get(name)
    kind = group.rpartition(".")[2].removesuffix("s")
    if target is None:
        known = names(group)
        near = get_close_matches(name, known, n=1)
        raise UnavailableError.of(
            "HF401", f"there is no {kind} '{name}'", why=f"installed are {', '.join(known)}",
            fix=f"did you mean '{near[0]}'?" if near else f"install the package that brings it: pip install 'hepflow[{name}]'",
        )  # fmt: skip
    module, _, attribute = target.partition(":")
    try:
        found: object = getattr(import_module(module), attribute)
    except ImportError as error:
        raise UnavailableError.of(
            "HF402", f"the {kind} '{name}' cannot be loaded", why=str(error),
            fix=_installation(module, name),
        ) from error  # fmt: skip
    return found


def _installation(module: str, name: str) -> str:
    """How to come by the libraries a plug-in lacks: our adapters have an extra named like them."""
    package = module.partition(".")[0]
    if package == "hepflow":
        return ""
    extra = package.removeprefix("hepflow_") if package.startswith("hepflow_") else name
    return f"pip install 'hepflow[{extra}]'"


def names(group: str) -> list[str]:
    """All names of a group, ours first."""
    return list(names_lazily(group))


def names_lazily(group: str) -> Iterator[str]:
    """The same, one by one: nothing installed is looked for while ours will do."""
    yield from BUILTIN[group]
    yield from (name for name in _installed(group) if name not in BUILTIN[group])


def _installed(group: str) -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=group)}
