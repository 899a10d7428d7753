"""The submit description of one cluster.

Owns its lines. Must never know the queue's answers.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from hepflow.model.site import Queue, Runtime, Site, Staging, number, text
from hepflow.model.task import Attempt, Resources
from hepflow.wire.containers import image_uri

KEPT: Final = "kept"
"""The folder of a checkpoint at a job that travels."""

VACATE_S: Final = 10
"""Seconds beyond a task's own grace in which the capsule writes its result."""


class Shape(NamedTuple):
    """What attempts of one cluster have in common."""

    queue: str
    resources: Resources
    image: str
    keeps: bool = False
    """They keep a checkpoint, which has to come home also where they are evicted."""

    def queue_of(self, site: Site) -> Queue:
        """The queue of that name."""
        return next((queue for queue in site.queues if queue.name == self.queue), site.anywhere)


class Item(NamedTuple):
    """What one job of a cluster has for itself.

    Args:
        number: its number in the batch.
        attempt: its attempt.
        home: the folder that what comes back is put into, relative to the batch's; empty where
            nothing travels.
        brings: what travels there, relative to ``home``.
    """

    number: int
    attempt: Attempt
    home: str = ""
    brings: tuple[str, ...] = ()

    def line(self) -> str:
        """Its line in the list of items."""
        words = [str(self.number), str(self.attempt.priority), plain(self.attempt.id)]
        if self.home:
            words += [self.home, ", ".join(self.brings)]
        return " ".join(words)


def plain(name: str) -> str:
    """A name without what a list of items, a ClassAd or a person could stumble over."""
    return re.sub(r"[^\w.#\[\]-]", "_", name, flags=re.ASCII)


def describe(site: Site, shape: Shape, items: Sequence[Item], folder: str, items_file: str) -> str:
    """The submit description of a cluster.

    Args:
        folder: the batch's folder, absolute.
        items_file: the name of the list of items in it.
    """
    travels = site.staging is Staging.CAPSULE
    lines = [
        f"# {len(items)} x {plain(items[0].attempt.id)}, by hepflow",
        *_program(site, shape, folder, travels),
        *_resources(site, shape),
        *_rules(site, shape),
        *site.lines,
        *shape.queue_of(site).lines,
        f"queue number, priority, name{', home, brings' if travels else ''} from {items_file}",
    ]
    return "\n".join(lines) + "\n"


def _program(site: Site, shape: Shape, folder: str, travels: bool) -> Iterator[str]:
    if shape.image:
        yield "universe = container"
        yield f"container_image = {shape.image}"
    else:
        yield "universe = vanilla"
    yield f"executable = {folder}/job.sh"
    yield "arguments = $(number)"
    yield f"initialdir = {'$(home)' if travels else folder}"
    yield f"log = {folder}/log"
    yield f"error = {folder}/$(number).job"
    if travels:
        yield "should_transfer_files = YES"
        # HTCondor keeps what an evicted job leaves, for 'condor_evicted_files' to get.
        yield f"when_to_transfer_output = ON_EXIT{'_OR_EVICT' if shape.keeps else ''}"
        yield "transfer_input_files = $(brings)"
        yield f"transfer_output_files = out, $(number){f', {KEPT}' if shape.keeps else ''}"
    else:
        yield "should_transfer_files = NO"
    wanted = text(site.settings_for(shape.queue_of(site)), "getenv")
    if wanted:
        yield f"getenv = {wanted}"


def _resources(site: Site, shape: Shape) -> Iterator[str]:
    queue, asked = shape.queue_of(site), shape.resources
    settings = site.settings_for(queue)
    yield f"request_cpus = {max(1, math.ceil(asked.cpus))}"
    yield f"request_memory = {asked.memory_mib or int(number(settings, 'memory_mib', 1024))}M"
    yield f"request_disk = {asked.disk_mib or int(number(settings, 'disk_mib', 1024))}M"
    if asked.gpus:
        yield f"request_gpus = {asked.gpus}"
    if asked.gpus and asked.gpu_kind:
        kind = queue.gpu_kinds.get(asked.gpu_kind, asked.gpu_kind)
        yield f'require_gpus = regexp("{kind}", DeviceName, "i")'
    if queue.constraint:
        yield f"requirements = {queue.constraint}"
    if asked.walltime_s:
        # The capsule keeps the limit; this ends a job whose capsule cannot.
        yield f"allowed_execute_duration = {math.ceil(asked.walltime_s) + 60 + grace_s(site)}"


def _rules(site: Site, shape: Shape) -> Iterator[str]:
    settings = site.settings_for(shape.queue_of(site))
    attribute = text(settings, "account_attribute")
    if site.account and attribute:
        yield f'My.{attribute} = "{site.account}"'
    elif site.account:
        yield f"accounting_group = {site.account}"
    yield "priority = $(priority)"
    yield 'My.HepflowAttempt = "$(name)"'
    yield "want_graceful_removal = true"
    yield f"job_max_vacate_time = {grace_s(site) + VACATE_S}"
    yield "notification = never"
    yield f"max_idle = {int(number(settings, 'max_idle', 1000))}"


def grace_s(site: Site) -> int:
    """Seconds a task that must end may take."""
    return math.ceil(number(site.settings, "grace_s", 10))


def image_of(site: Site, attempt: Attempt) -> str:
    """The image that HTCondor itself is to start for an attempt; empty for none."""
    container = attempt.task.container
    if container is None or site.container.runtime is not Runtime.NATIVE:
        return ""
    return image_uri(site.container.spell(container.image))


JOB: Final = """\
#!/bin/sh
# One job of hepflow: the capsule carries out the order of its number.
{setup}exec {python} {capsule} {folder}/"$1".json
"""

TRAVELLING: Final = """\
#!/bin/sh
# One job of hepflow, far from its files: the capsule carries out the order of its number here,
# and what it tells of this folder is told of a word that the head knows.
{setup}here=$(pwd -P)
sed "s|{word}|$here|g" "$1.json" >order.json
{python} capsule.pyz order.json &
capsule=$!
trap 'kill -TERM "$capsule"' TERM INT
wait "$capsule"; code=$?
while kill -0 "$capsule" 2>/dev/null; do wait "$capsule"; code=$?; done
mkdir -p out {kept}
if [ -e "$1" ]; then sed "s|$here|{word}|g" "$1" >told && mv told "$1"; else : >"$1"; fi
exit "$code"
"""


def job_script(site: Site, folder: str, capsule: str, python: str, word: str) -> str:
    """The program of every job of a batch: what leads to the capsule.

    Args:
        word: what stands, in orders and results that travel, for the folder of the job.
    """
    setup = [f"module load {' '.join(site.modules)}"] if site.modules else []
    setup += site.setup
    form = TRAVELLING if site.staging is Staging.CAPSULE else JOB
    return form.format(
        setup="".join(f"{line}\n" for line in setup),
        python=shlex.quote(python), capsule=shlex.quote(capsule), folder=shlex.quote(folder), word=word,
        kept=KEPT,
    )  # fmt: skip
