"""Where a task goes: one of a run's sites, by what it needs and what each of them has.

Pure: ``hepflow plan`` and the runner ask the same function. Must never know an executor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from hepflow.model.site import Extent, Queue, Site, Staging
from hepflow.model.task import Resources
from hepflow.model.values import Values, files_in
from hepflow.model.workflow import Workflow, within

AHEAD: Final = 2.0
"""Work that a site of known size is given, in times its cores: the next task is there when one ends."""
GIB: Final = 1 << 30

Data: TypeAlias = Mapping[str, int]
"""Bytes that a task reads, by the scheme of their URIs; empty for files of the head's own."""
NOTHING: Final[Mapping[str, int]] = MappingProxyType({})
NO_REFUSALS: Final[Mapping[str, str]] = MappingProxyType({})

NOT_MEASURED: Final = Extent()


@dataclass(frozen=True, slots=True)
class Offer:
    """A site as a place for tasks.

    Args:
        extent: what its executor knows of it that the site does not say.
        by_name: only steps that name it go there.
    """

    site: Site
    extent: Extent = NOT_MEASURED
    by_name: bool = False

    def queue_for(self, resources: Resources) -> Queue | str:
        """The queue for a task, or why there is none."""
        if self.site.queues or self.extent.task is None:
            return self.site.queue_for(resources)
        return self.extent.task.misfit(resources) or self.extent.task

    def fullness(self, load: Load) -> float:
        """How full it is, 1 when no more should be sent; 0 where nobody knows its size."""
        cores, jobs = self.extent.cores * AHEAD, self.site.limits.jobs
        return max(load.cores / cores if cores else 0.0, load.tasks / jobs if jobs else 0.0)

    def gib_to_bring(self, data: Data) -> int:
        """Whole gibibytes that would travel there: less than one is no reason to go elsewhere."""
        if self.site.staging is Staging.SHARED:
            return 0
        caches = self.site.caches
        near = {
            *(("root", "roots", "xroot", "xroots") if caches.xrootd else ()),
            *(("http", "https") if caches.http else ()),
        }
        return sum(size for scheme, size in data.items() if scheme not in near) // GIB


class Load(NamedTuple):
    """What is under way at a site."""

    tasks: int = 0
    cores: float = 0.0


class Need(NamedTuple):
    """What a task needs of a site.

    Args:
        site: the one its step names; empty for any.
        data: what it reads.
        losses: how often it was lost, by site.
        refusals: why sites would not take it, by site.
    """

    resources: Resources
    site: str = ""
    data: Data = NOTHING
    losses: Mapping[str, int] = NOTHING
    refusals: Mapping[str, str] = NO_REFUSALS


class Placement(NamedTuple):
    """Where a task goes, and why not elsewhere.

    Args:
        site: empty where no site takes it.
        others: each other site with what speaks against it, in a few words.
    """

    site: str
    others: tuple[tuple[str, str], ...] = ()

    @property
    def why(self) -> str:
        """Why it goes there and not elsewhere, or nowhere, in one sentence."""
        against = "; ".join(f"{name}: {reason}" for name, reason in self.others)
        if self.site:
            return f"at {self.site}" + (f" (not {against})" if against else "")
        if not self.others:
            return "it goes only where its step names a site, and it names none"
        if len(self.others) == 1:
            return self.others[0][1]
        return f"no site of this run takes it ({against})"


def place(
    need: Need, offers: Sequence[Offer], loads: Mapping[str, Load] = MappingProxyType({})
) -> Placement:
    """The site for a task.

    Of the sites that have what it asks for: one where it was not lost before, rather no queue with
    gpus if it asks for none, one that has room, one that its data need not travel to, the cheapest
    where all say a price in one unit; then the first.

    Args:
        offers: in the order of the user's wish.
        loads: what is under way at each.
    """
    against: dict[str, str] = {}
    suited: list[tuple[Offer, Queue]] = []
    for offer in offers:
        found = _queue(offer, need)
        if isinstance(found, Queue):
            suited.append((offer, found))
        elif found:
            against[offer.site.name] = found
    if not suited:
        return Placement("", tuple(against.items()))
    costs = _costs(suited, need.resources)
    ranks = [
        _rank(offer, queue, cost, need, loads.get(offer.site.name, Load()))
        for (offer, queue), cost in zip(suited, costs, strict=True)
    ]
    best = min(range(len(ranks)), key=ranks.__getitem__)
    for (offer, _), rank in zip(suited, ranks, strict=True):
        if offer is not suited[best][0]:
            against[offer.site.name] = _worse(rank, ranks[best])
    order = [offer.site.name for offer in offers if offer.site.name in against]
    return Placement(suited[best][0].site.name, tuple((name, against[name]) for name in order))


def idle_for(need: Need, here: str, offers: Sequence[Offer], loads: Mapping[str, Load]) -> str:
    """Another site that has cores for a task this moment and is no worse for it; empty for none.

    Args:
        here: the site where it waits.
    """
    suited = [(offer, q) for offer in offers if isinstance(q := _queue(offer, need), Queue)]
    costs = _costs(suited, need.resources)
    ranks = {
        offer.site.name: (offer, queue, _rank(offer, queue, cost, need, Load()))
        for (offer, queue), cost in zip(suited, costs, strict=True)
    }
    if here not in ranks:
        return ""
    _, queue_here, mine = ranks[here]
    for name, (offer, queue, rank) in ranks.items():
        load = loads.get(name, Load())
        free = offer.extent.cores - load.cores
        if name == here or not 0 < need.resources.cpus <= free or offer.fullness(load) >= 1.0:
            continue
        if queue.price is not None and not _same_unit(queue, queue_here):
            continue  # nobody knows whether it costs more
        if all(theirs <= ours for theirs, ours in zip(rank, mine, strict=True)):
            return name
    return ""


def _same_unit(one: Queue, other: Queue) -> bool:
    return one.price is not None and other.price is not None and one.price.unit == other.price.unit


def _queue(offer: Offer, need: Need) -> Queue | str:
    """A site's queue for a task, or why it may not go there; nothing to say where it is not meant."""
    name = offer.site.name
    if need.site and name != need.site:
        return f"its step names '{need.site}'"
    if offer.by_name and not need.site:
        return ""
    return need.refusals.get(name, "") or offer.queue_for(need.resources)


class _Rank(NamedTuple):
    """What is preferred, the smaller the better, the first that differs decides."""

    losses: int
    wasted_gpus: bool
    fullness: float
    gib: int
    cost: float


_AGAINST: Final = (
    "it was lost there", "gpus are for others", "it is full", "its data would travel", "it costs more"
)  # fmt: skip
"""What is said of a site that ranks worse, field by field."""


def _rank(offer: Offer, queue: Queue, cost: float, need: Need, load: Load) -> _Rank:
    fullness = offer.fullness(load)
    return _Rank(
        need.losses.get(offer.site.name, 0),
        bool(offer.site.queues and queue.gpus) and not need.resources.gpus,
        fullness if fullness >= 1.0 else 0.0,
        offer.gib_to_bring(need.data),
        cost,
    )


def _worse(rank: _Rank, best: _Rank) -> str:
    for mine, theirs, word in zip(rank, best, _AGAINST, strict=True):
        if mine != theirs:
            return word
    return "it is named later"


def _costs(suited: Sequence[tuple[Offer, Queue]], resources: Resources) -> list[float]:
    """What an hour costs at each site; the same for all where they cannot be compared."""
    prices = [queue.price for _, queue in suited if queue.price is not None]
    if len(prices) < len(suited) or len({price.unit for price in prices}) > 1:
        return [0.0] * len(suited)
    return [price.an_hour_of(resources) for price in prices]


# --- reading a workflow -------------------------------------------------------------------------


def data_of(inputs: Values) -> Data:
    """The bytes of the files among an invocation's inputs, as far as they are known."""
    found: dict[str, int] = {}
    for file in files_in(inputs):
        if (size := getattr(file, "size", -1)) > 0:
            scheme = file.location.partition("://")[0] if "://" in file.location else ""
            found[scheme] = found.get(scheme, 0) + size
    return found


def named_sites(workflow: Workflow) -> dict[str, str]:
    """The sites that steps name, each with the first such step."""
    found: dict[str, str] = {}
    for step, site in _named(workflow, ""):
        found.setdefault(site, step)
    return found


def _named(workflow: Workflow, prefix: str) -> Iterator[tuple[str, str]]:
    for step in workflow.steps:
        if step.site:
            yield prefix + step.name, step.site
        inner = within(step)
        if inner is not None:
            yield from _named(inner, f"{prefix}{step.name}/")
