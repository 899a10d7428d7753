"""Parsl's providers by name, and which of a site's words each takes for what.

Must never know a task.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import parsl.launchers

from hepflow.model.errors import UnavailableError
from hepflow.model.site import Queue, Site, number, text


class Provider(NamedTuple):
    """How one of Parsl's providers is asked.

    Args:
        kind: its class in ``parsl.providers``.
        words: our name of something -> the name of its argument.
        needs: which of ours must be said.
        launches: whether it takes a launcher.
        why: what happens where they are not.
    """

    kind: str
    words: Mapping[str, str] = {}
    needs: tuple[str, ...] = ()
    launches: bool = True
    why: str = ""


BATCH: Final = {
    "nodes_per_block": "nodes_per_block",
    "walltime": "walltime",
    "setup": "worker_init",
}
"""What all batch systems take."""

PROVIDERS: Final = {
    "local": Provider("LocalProvider", {"setup": "worker_init"}),
    "slurm": Provider(
        "SlurmProvider",
        {
            **BATCH, "account": "account", "partition": "partition", "qos": "qos",
            "constraint": "constraint", "cores_per_node": "cores_per_node",
            "mem_per_node_gb": "mem_per_node", "exclusive": "exclusive", "lines": "scheduler_options",
        },
        ("cores_per_node", "mem_per_node_gb"),
        why="Slurm ends the workers of a block that asked for too little, and Parsl would not say so",
    ),
    "htcondor": Provider(
        "CondorProvider",
        {
            **BATCH, "account": "project", "cores_per_node": "cores_per_slot",
            "mem_per_node_gb": "mem_per_slot", "lines": "scheduler_options",
        },
    ),
    "pbs": Provider(
        "PBSProProvider",
        {
            **BATCH, "account": "account", "partition": "queue", "cores_per_node": "cpus_per_node",
            "lines": "scheduler_options",
        },
    ),
    "torque": Provider(
        "TorqueProvider",
        {**BATCH, "account": "account", "partition": "queue", "lines": "scheduler_options"},
    ),
    "lsf": Provider(
        "LSFProvider",
        {
            **BATCH, "account": "project", "partition": "queue", "cores_per_node": "cores_per_node",
            "lines": "scheduler_options",
        },
    ),
    "sge": Provider("GridEngineProvider", {**BATCH, "partition": "queue", "lines": "scheduler_options"}),
    "kubernetes": Provider(
        "KubernetesProvider",
        {"setup": "worker_init", "image": "image", "namespace": "namespace"},
        ("image",),
        launches=False,
    ),
    "aws": Provider("AWSProvider", {"setup": "worker_init", "walltime": "walltime"}),
    "googlecloud": Provider("GoogleCloudProvider"),
    "azure": Provider("AzureProvider", {"setup": "worker_init"}),
}  # fmt: skip

LAUNCHERS: Final = {
    "simple": "SimpleLauncher",
    "single-node": "SingleNodeLauncher",
    "srun": "SrunLauncher",
    "mpiexec": "MpiExecLauncher",
    "mpirun": "MpiRunLauncher",
    "aprun": "AprunLauncher",
    "jsrun": "JsrunLauncher",
}


def asked(site: Site) -> dict[str, Any]:
    """The arguments of a site's provider, but for its launcher.

    Raises:
        ValueError: something is missing or not known; a sentence for the user.
    """
    settings = site.settings
    name = text(settings, "provider", "local")
    if name not in PROVIDERS:
        raise ValueError(
            f"the setting 'provider' takes one of {', '.join(PROVIDERS)}, gets '{name}'"
        )
    launcher = text(settings, "launcher", "simple")
    if launcher not in LAUNCHERS:
        raise ValueError(
            f"the setting 'launcher' takes one of {', '.join(LAUNCHERS)}, gets '{launcher}'"
        )
    provider = PROVIDERS[name]
    ours = _ours(site)
    for need in provider.needs:
        if not ours.get(need):
            why = f": {provider.why}" if provider.why else ""
            raise ValueError(f"the provider '{name}' needs the setting '{need}'{why}")
    options = settings.get("options", {})
    if not isinstance(options, Mapping):
        raise ValueError("the setting 'options' takes a mapping")
    blocks = int(number(settings, "max_blocks", 1))
    given = {
        theirs: ours[our] for our, theirs in provider.words.items() if ours.get(our) is not None
    }
    return {"init_blocks": 0, "min_blocks": 0, "max_blocks": blocks, **given, **options}


def _ours(site: Site) -> dict[str, Any]:
    """What a site says, by our own names; ``None`` where it says nothing."""
    settings = site.settings
    queue = _queue(site)
    memory = number(settings, "mem_per_node_gb", queue.memory_mib / 1024)
    cores = number(settings, "cores_per_node", queue.cpus)
    folder = os.path.dirname(sys.executable)
    setup = [
        *[f"module load {module}" for module in site.modules],
        f"export PATH={folder}:$PATH",
        *[f"export {name}={_quoted(value)}" for name, value in site.env.items()],
        *site.setup,
    ]
    return {
        "account": site.account or None,
        "partition": queue.partition or None,
        "qos": queue.qos or None,
        "constraint": queue.constraint or None,
        "exclusive": queue.exclusive,
        "cores_per_node": int(cores) or None,
        "mem_per_node_gb": max(1, int(memory)) if memory else None,
        "nodes_per_block": int(number(settings, "nodes_per_block", 1)),
        "walltime": text(settings, "walltime") or None,
        "lines": "\n".join([*site.lines, *queue.lines]) or None,
        "setup": "\n".join(setup),
        "image": text(settings, "image") or None,
        "namespace": text(settings, "namespace") or None,
    }


def _queue(site: Site) -> Queue:
    """The queue for blocks of workers: the one that is named, else the first."""
    for queue in site.queues:
        if queue.name == site.queue or (not site.queue and queue.automatic):
            return queue
    return site.anywhere


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


def made(site: Site, scripts: Path) -> Any:
    """The provider of a site.

    Raises:
        UnavailableError: it needs a library, or does not take what the site says.
    """
    provider = PROVIDERS[text(site.settings, "provider", "local")]
    arguments = asked(site)
    if provider.launches:
        launcher = LAUNCHERS[text(site.settings, "launcher", "simple")]
        arguments["launcher"] = getattr(parsl.launchers, launcher)()
    try:
        found = getattr(importlib.import_module("parsl.providers"), provider.kind)(**arguments)
    except Exception as error:  # noqa: BLE001 - each provider has its own ways to say no
        raise UnavailableError.of(
            "HF404", f"Parsl's {provider.kind} cannot be used", why=str(error) or type(error).__name__,
            fix="'hepflow site show' has the settings that it was asked for with",
        ) from None  # fmt: skip
    scripts.mkdir(parents=True, exist_ok=True)
    found.script_dir = str(scripts)
    return found
