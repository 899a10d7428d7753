"""How much the workers of an engine have, as far as the head can know it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hepflow.executors.machine import measure
from hepflow.model.site import Extent, Queue, number, words
from hepflow.model.task import Resources


def extent_of(settings: Mapping[str, object], workers: int, *, here: bool) -> Extent:
    """What a task may have, and all there is.

    Args:
        settings: of the local executor beside each worker.
        workers: how many there will be; 0 where nobody knows.
        here: they are on this machine, which has what the settings do not say.

    Raises:
        ValueError: a setting is of the wrong type; a sentence for the user.
    """
    cpus = number(settings, "cpus", 0)
    memory_mib = int(number(settings, "memory_mib", 0))
    gpus = words(settings, "gpus") if "gpus" in settings else None
    if here:
        has = measure(cpus or None, memory_mib or None, gpus, os.environ)
        cpus, memory_mib, gpus = has.cpus, has.memory_mib, has.gpus
    most = Queue("", cpus=cpus, memory_mib=memory_mib, gpus=len(gpus or ()))
    return Extent(most, cpus * workers)


def refusal(extent: Extent, asked: Resources) -> str:
    """Why no worker can ever run a task, in one sentence; empty when one may."""
    has = extent.task
    if has is None:
        return ""
    if has.cpus and asked.cpus > has.cpus:
        return f"it asks for {asked.cpus:g} cpus; each worker has {has.cpus:g} (the site's setting 'cpus')"
    if has.memory_mib and asked.memory_mib > has.memory_mib:
        return (
            f"it asks for {asked.memory_mib} MiB of memory; each worker has {has.memory_mib}"
            " (the site's setting 'memory_mib')"
        )
    return ""
