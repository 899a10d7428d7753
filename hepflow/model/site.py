"""A site: a place where tasks run, as an executor sees it.

Owns the vocabulary of site configs: queues and their limits, account, containers, staging, prices.
Memory and disk are in mebibytes, times in seconds, as in ``Resources``; a limit of 0 is no limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from hepflow.model.task import Resources


class Staging(Enum):
    """How a task's files come to it."""

    SHARED = "shared"
    """The head and the workers see one file system: nothing travels."""
    CAPSULE = "capsule"
    """The task travels with its inputs, and its outputs come back."""


class Runtime(Enum):
    """What starts a task's container image."""

    NONE = "none"
    """Nothing: a task that names an image cannot run here."""
    NATIVE = "native"
    """The batch system itself, which is told the image (Kubernetes, HTCondor, the clouds)."""
    APPTAINER = "apptainer"
    DOCKER = "docker"
    PODMAN = "podman"
    PODMAN_HPC = "podman-hpc"
    SHIFTER = "shifter"


@dataclass(frozen=True, slots=True)
class Container:
    """How container images run.

    Args:
        runtime: what starts them.
        image: how the runtime spells a reference; ``{image}`` stands for the recipe's.
        options: words for the runtime, before the image (``--nv``).
    """

    runtime: Runtime = Runtime.NONE
    image: str = "{image}"
    options: tuple[str, ...] = ()

    def spell(self, image: str) -> str:
        """An image as the runtime wants it; a path or an URI stays as it is."""
        plain = "://" in image or image.startswith(("/", "./"))
        return image if plain else self.image.replace("{image}", image)


@dataclass(frozen=True, slots=True)
class Caches:
    """Where data is near: doors of XRootD and HTTP caches, and CVMFS paths."""

    xrootd: tuple[str, ...] = ()
    http: tuple[str, ...] = ()
    cvmfs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Price:
    """What a running task costs, in ``unit`` for an hour.

    Args:
        hour: for the task whatever its size: a whole node, a virtual machine.
        cpu_hour: for each of its cores.
        gpu_hour: for each of its accelerators.
        unit: a currency, or what the site charges in.
    """

    hour: float = 0.0
    cpu_hour: float = 0.0
    gpu_hour: float = 0.0
    unit: str = "USD"

    def an_hour_of(self, resources: Resources) -> float:
        """What a task with these resources costs in an hour."""
        return self.hour + self.cpu_hour * resources.cpus + self.gpu_hour * resources.gpus


@dataclass(frozen=True, slots=True)
class Queue:
    """One way to ask a site for work, with what a task may have there.

    Args:
        name: the site config's name for it.
        partition: the system's own name: a Slurm partition, a PBS queue, a cloud's job queue.
        qos: quality of service, a job flavour, a priority class.
        constraint: features of the node, as the system writes them.
        cpus: most cores of one task.
        memory_mib: most memory of one task.
        disk_mib: most scratch space of one task.
        gpus: most accelerators of one task; here 0 is none.
        gpu_kinds: kinds of accelerators a recipe may ask for -> the system's own names of them;
            without any, every kind is let through.
        walltime_s: longest a task may run.
        default_walltime_s: what a task is taken to need that does not say; 0 for the longest.
        exclusive: a job gets, and pays for, whole nodes.
        preemptible: a job may be ended at any time for somebody else's.
        automatic: taken for tasks that it suits; else only where ``Site.queue`` names it.
        array: most tasks of one job array.
        jobs: most jobs of one user queued or running at a time.
        pack: tasks of equal shape that may share one job.
        price: what it costs, where that is known.
        lines: extra lines for the submit file, as they are.
        settings: what only the executor understands; laid over the site's.
    """

    name: str
    partition: str = ""
    qos: str = ""
    constraint: str = ""
    cpus: float = 0.0
    memory_mib: int = 0
    disk_mib: int = 0
    gpus: int = 0
    gpu_kinds: Mapping[str, str] = field(default_factory=dict)
    walltime_s: float = 0.0
    default_walltime_s: float = 0.0
    exclusive: bool = False
    preemptible: bool = False
    automatic: bool = True
    array: int = 0
    jobs: int = 0
    pack: int = 1
    price: Price | None = None
    lines: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)

    def misfit(self, resources: Resources) -> str:
        """Why a task cannot run here, in a few words; empty when it can."""
        return next(self._misfits(resources), "")

    def _misfits(self, asked: Resources) -> Iterator[str]:
        if self.cpus and asked.cpus > self.cpus:
            yield f"at most {self.cpus:g} cpus"
        if self.memory_mib and asked.memory_mib > self.memory_mib:
            yield f"at most {self.memory_mib} MiB of memory"
        if self.disk_mib and asked.disk_mib > self.disk_mib:
            yield f"at most {self.disk_mib} MiB of disk"
        if asked.gpus > self.gpus:
            yield f"at most {self.gpus} gpus" if self.gpus else "no gpus"
        if (
            asked.gpus
            and asked.gpu_kind
            and self.gpu_kinds
            and asked.gpu_kind not in self.gpu_kinds
        ):
            yield f"only gpus of kind {', '.join(self.gpu_kinds)}"
        if self.walltime_s and self.walltime(asked) > self.walltime_s:
            yield f"at most {self.walltime_s:g} s"

    def walltime(self, resources: Resources) -> float:
        """The seconds to ask for; 0 where neither the task nor the queue says."""
        return resources.walltime_s or self.default_walltime_s or self.walltime_s


@dataclass(frozen=True, slots=True)
class Extent:
    """What an executor knows of its site that the site's config does not say.

    Args:
        task: the most that one task may have; ``None`` where nobody knows.
        cores: cores of the whole site; 0 where nobody knows.
    """

    task: Queue | None = None
    cores: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard a site may be pressed.

    Args:
        jobs: most jobs queued or running at a time, over all queues.
        submits_per_s: most submissions in a second.
        poll_s: seconds between two questions how the jobs are; 0 for the executor's own choice.
    """

    jobs: int = 0
    submits_per_s: float = 0.0
    poll_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Site:
    """A place where tasks run, and how to ask it.

    Args:
        name: what ``--site`` calls it.
        executor: the executor that runs tasks there, by name.
        doc: one line that says what it is.
        account: the project that is charged.
        queue: the only queue to use; empty to choose by what a task needs.
        queues: all there are.
        anywhere: stands in where there are no queues: nothing is known, and nothing is refused.
        container: how container images run.
        modules: environment modules to load before a task.
        setup: shell lines before a task.
        env: variables for every task.
        scratch: folder for the work of running tasks, as a shell there would expand it.
        staging: how files come to a task.
        caches: where data is near.
        limits: how hard it may be pressed.
        lines: extra lines for every submit file, as they are.
        settings: what only the executor understands.
    """

    name: str
    executor: str
    doc: str = ""
    account: str = ""
    queue: str = ""
    queues: tuple[Queue, ...] = ()
    anywhere: Queue = Queue("")
    container: Container = Container()
    modules: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    scratch: str = ""
    staging: Staging = Staging.SHARED
    caches: Caches = Caches()
    limits: Limits = Limits()
    lines: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)

    def queue_for(self, resources: Resources) -> Queue | str:
        """The queue for a task, or one sentence that says why there is none.

        Of those that suit it the cheapest, where all of them have a price in one unit; else the
        first in the config's order. A task without gpus leaves queues with gpus to others where it can.
        """
        if not self.queues:
            return self.anywhere
        offered = [
            queue
            for queue in self.queues
            if (queue.name == self.queue if self.queue else queue.automatic)
        ]
        suited = [queue for queue in offered if not queue.misfit(resources)]
        if not suited:
            reasons: dict[str, list[str]] = {}
            for queue in offered:
                reasons.setdefault(queue.misfit(resources), []).append(f"'{queue.name}'")
            why = "; ".join(f"{_few(names)}: {reason}" for reason, names in reasons.items())
            return f"no queue of site '{self.name}' takes {_in_words(resources)} ({why})"
        if not resources.gpus:
            suited = [queue for queue in suited if not queue.gpus] or suited
        prices = [queue.price for queue in suited if queue.price is not None]
        if len(prices) < len(suited) or len({price.unit for price in prices}) > 1:
            return suited[0]
        costs = [price.an_hour_of(resources) for price in prices]
        return suited[costs.index(min(costs))]

    def settings_for(self, queue: Queue) -> Mapping[str, object]:
        """The executor's settings for a queue: the site's, with the queue's laid over them."""
        return {**self.settings, **queue.settings}


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _in_words(resources: Resources) -> str:
    """What a task asks for, in a few words."""
    parts = [f"{resources.cpus:g} cpus"]
    if resources.memory_mib:
        parts.append(f"{resources.memory_mib} MiB of memory")
    if resources.disk_mib:
        parts.append(f"{resources.disk_mib} MiB of disk")
    if resources.gpus:
        parts.append(f"{resources.gpus} {resources.gpu_kind} gpus".replace("  ", " "))
    if resources.walltime_s:
        parts.append(f"{resources.walltime_s:g} s")
    return "a task of " + ", ".join(parts)


# --- reading an executor's own settings ---------------------------------------------------------


def number(settings: Mapping[str, object], name: str, default: float) -> float:
    """A setting that is a number.

    Raises:
        ValueError: it is something else; a sentence for the user.
    """
    value = settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"the setting '{name}' takes a number, gets {value!r}")
    return value


def text(settings: Mapping[str, object], name: str, default: str = "") -> str:
    """A setting that is text.

    Raises:
        ValueError: it is something else; a sentence for the user.
    """
    value = settings.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"the setting '{name}' takes text, gets {value!r}")
    return value


def flag(settings: Mapping[str, object], name: str, default: bool = False) -> bool:
    """A setting that is ``true`` or ``false``.

    Raises:
        ValueError: it is something else; a sentence for the user.
    """
    value = settings.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"the setting '{name}' takes true or false, gets {value!r}")
    return value


def words(settings: Mapping[str, object], name: str) -> tuple[str, ...]:
    """A setting that is a list of words; numbers count as words.

    Raises:
        ValueError: it is something else; a sentence for the user.
    """
    value = settings.get(name, ())
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(word, (str, int)) and not isinstance(word, bool) for word in value
    ):
        raise ValueError(f"the setting '{name}' takes a list of words, gets {value!r}")
    return tuple(str(word) for word in value)
