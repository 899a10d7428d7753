"""Where a task goes: a function of what it needs and of what the sites have."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.model.site import Caches, Extent, Limits, Price, Queue, Site, Staging
from hepflow.model.task import Resources
from hepflow.model.values import File
from hepflow.runner.placing import GIB, Load, Need, Offer, data_of, idle_for, place

HERE = Offer(Site("here", executor="local"), Extent(Queue("", cpus=4, memory_mib=8000), 4.0))
CLUSTER = Offer(Site("cluster", executor="slurm", queues=(Queue("main", cpus=64),)))
GPUS = Offer(Site("gpus", executor="slurm", queues=(Queue("gpu", cpus=8, gpus=4, gpu_kinds={"a100": "a"}),)))  # fmt: skip
ALL = (HERE, CLUSTER, GPUS)


def priced(name: str, hour: float, unit: str = "USD") -> Offer:
    return Offer(Site(name, executor="x", queues=(Queue("q", price=Price(hour=hour, unit=unit)),)))


def chosen(offers: tuple[Offer, ...], loads: dict[str, Load] | None = None, **asked: object) -> str:
    resources = asked.pop("resources", Resources())
    return place(Need(resources, **asked), offers, loads or {}).site  # type: ignore[arg-type]


def test_a_task_goes_to_the_first_site_that_has_what_it_asks_for() -> None:
    assert chosen(ALL) == "here"
    assert chosen(ALL, resources=Resources(cpus=16)) == "cluster"
    assert chosen(ALL, resources=Resources(gpus=1)) == "gpus"
    assert chosen(ALL, resources=Resources(gpus=1, gpu_kind="a100")) == "gpus"


def test_a_task_that_fits_nowhere_is_told_why_site_by_site() -> None:
    found = place(Need(Resources(cpus=32, gpus=1)), ALL)
    assert found.site == ""
    assert found.why == (
        "no site of this run takes it (here: at most 4 cpus;"
        " cluster: no queue of site 'cluster' takes a task of 32 cpus, 1 gpus ('main': no gpus);"
        " gpus: no queue of site 'gpus' takes a task of 32 cpus, 1 gpus ('gpu': at most 8 cpus))"
    )
    assert place(Need(Resources(cpus=5)), (HERE,)).why == "at most 4 cpus"


def test_the_site_that_a_step_names_is_the_only_one_that_counts() -> None:
    assert chosen(ALL, site="gpus") == "gpus"
    assert chosen(ALL, site="here", resources=Resources(gpus=1)) == ""
    assert chosen(ALL, site="elsewhere") == ""


def test_a_site_that_only_steps_name_takes_nothing_else() -> None:
    named = replace(HERE, by_name=True)
    assert chosen((named, CLUSTER)) == "cluster"
    assert chosen((named, CLUSTER), site="here") == "here"
    assert "here" not in place(Need(Resources()), (named, CLUSTER)).why


def test_a_lost_task_goes_elsewhere_and_back_only_where_there_is_nothing_better() -> None:
    assert chosen(ALL, losses=Counter(here=1)) == "cluster"
    assert chosen(ALL, losses=Counter(here=2, cluster=1, gpus=1)) == "cluster"
    assert chosen((HERE,), losses=Counter(here=3)) == "here"
    assert place(Need(Resources(), losses={"here": 1}), (HERE, CLUSTER)).why == (
        "at cluster (not here: it was lost there)"
    )


def test_a_site_that_refused_a_task_is_not_asked_again() -> None:
    assert chosen(ALL, refusals={"here": "no such account"}) == "cluster"
    found = place(Need(Resources(), refusals={"here": "no such account"}), (HERE,))
    assert (found.site, found.why) == ("", "no such account")


def test_what_waits_may_be_called_back_for_a_site_with_idle_cores_that_is_no_worse() -> None:
    def called(offers: tuple[Offer, ...], free: float = 4.0, **asked: object) -> str:
        resources = asked.pop("resources", Resources())
        need = Need(resources, **asked)  # type: ignore[arg-type]
        return idle_for(need, "cluster", offers, {"here": Load(cores=4.0 - free)})

    assert called(ALL) == "here"
    assert called(ALL, free=0.5) == "", "it would only wait there"
    assert called(ALL, resources=Resources(cpus=5)) == ""
    assert called(ALL, site="cluster") == "", "its step names where it runs"
    assert called(ALL, losses=Counter(here=1)) == "", "and not back where it was lost"
    assert called((GPUS, CLUSTER)) == "", "nobody knows what is idle there"
    assert called((replace(HERE, by_name=True), CLUSTER)) == ""
    dear = Queue("", cpus=4, price=Price(hour=1.0, unit="USD"))
    assert called((replace(HERE, extent=Extent(dear, 4.0)), CLUSTER)) == "", "it may cost more"


def test_what_does_not_fit_into_a_full_site_spills_over() -> None:
    assert chosen((HERE, CLUSTER), {"here": Load(7, 7.0)}) == "here"
    assert chosen((HERE, CLUSTER), {"here": Load(8, 8.0)}) == "cluster"
    small = Offer(Site("small", executor="slurm", limits=Limits(jobs=2)))
    assert chosen((small, CLUSTER), {"small": Load(2, 2.0)}) == "cluster"


def test_where_all_are_full_the_least_loaded_takes_it() -> None:
    large = replace(HERE, site=replace(HERE.site, name="large"), extent=Extent(Queue(""), 40.0))
    assert chosen((HERE, large), {"here": Load(16, 16.0), "large": Load(90, 90.0)}) == "large"


def test_tasks_without_gpus_leave_queues_with_gpus_to_others() -> None:
    assert chosen((GPUS, CLUSTER)) == "cluster"
    assert chosen((GPUS,)) == "gpus"


def test_the_cheapest_site_takes_it_where_all_say_a_price_in_one_unit() -> None:
    dear, cheap = priced("dear", 2.0), priced("cheap", 1.0)
    assert chosen((dear, cheap)) == "cheap"
    assert chosen((dear, CLUSTER, cheap)) == "dear"
    assert chosen((dear, priced("hours", 0.1, "node hours"))) == "dear"
    assert place(Need(Resources()), (dear, cheap)).why == "at cheap (not dear: it costs more)"


def test_a_task_goes_where_its_data_need_not_travel() -> None:
    far = Offer(Site("far", executor="htcondor", staging=Staging.CAPSULE))
    cached = Offer(Site("cached", executor="x", staging=Staging.CAPSULE, caches=Caches(xrootd=("door",))))  # fmt: skip
    heavy = {"": 3 * GIB}
    assert chosen((far, CLUSTER), data=heavy) == "cluster"
    assert chosen((far, CLUSTER), data={"": GIB // 2}) == "far"
    assert chosen((far, cached), data={"root": 3 * GIB}) == "cached"
    assert chosen((far, cached), data=heavy) == "far"


def test_data_is_weighed_by_the_scheme_of_its_place(tmp_path: Path) -> None:
    inputs = {
        "a": [File("/data/x", size=5), File("/data/y", size=7)],
        "b": File("root://door//z", size=11),
        "unknown": File("/data/w"),
        "n": 3,
    }
    assert data_of(inputs) == {"": 12, "root": 11}  # type: ignore[arg-type]


# --- properties ------------------------------------------------------------------------------------

quantities = st.integers(0, 8)
queues = st.builds(
    Queue,
    st.sampled_from("pqr"),
    cpus=quantities.map(float),
    gpus=quantities,
    walltime_s=quantities.map(float),
    price=st.none() | st.builds(Price, hour=quantities.map(float)),
)
extents = st.builds(Extent, st.none() | queues, quantities.map(float))


@st.composite
def offer_lists(draw: st.DrawFn) -> list[Offer]:
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True))
    return [
        Offer(
            Site(
                name,
                executor="x",
                queues=tuple(draw(st.lists(queues, max_size=2))),
                staging=draw(st.sampled_from(Staging)),
                limits=Limits(jobs=draw(quantities)),
            ),
            draw(extents),
            draw(st.booleans()),
        )
        for name in names
    ]


counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3))
needs = st.builds(
    Need,
    st.builds(Resources, quantities.map(float), gpus=quantities, walltime_s=quantities.map(float)),
    st.sampled_from(["", "", "a", "z"]),
    st.dictionaries(st.sampled_from(["", "root"]), st.integers(0, 8 * GIB)),
    counts,
    st.dictionaries(st.sampled_from("abcdef"), st.just("no")),
)
loads = st.dictionaries(
    st.sampled_from("abcdef"), st.builds(Load, quantities, quantities.map(float))
)


def takes(offer: Offer, need: Need) -> bool:
    """Whether a task may go to a site at all."""
    return (
        isinstance(offer.queue_for(need.resources), Queue)
        and offer.site.name not in need.refusals
        and (need.site == offer.site.name if need.site else not offer.by_name)
    )


@given(offer_lists(), needs, loads)
def test_a_task_goes_to_a_site_that_takes_it_or_nowhere_if_there_is_none(
    offers: list[Offer], need: Need, under_way: dict[str, Load]
) -> None:
    able = {offer.site.name for offer in offers if takes(offer, need)}
    found = place(need, offers, under_way)
    assert (found.site in able) if able else (found.site == "")
    assert found.site not in dict(found.others)
    assert found.why


@given(offer_lists(), needs, loads)
def test_every_site_that_was_passed_over_has_a_reason(
    offers: list[Offer], need: Need, under_way: dict[str, Load]
) -> None:
    found = place(need, offers, under_way)
    meant = {o.site.name for o in offers if need.site or not o.by_name} - {found.site}
    assert meant <= {name for name, _ in found.others} | {need.site}
    assert all(reason for _, reason in found.others)


@given(offer_lists(), needs, loads)
def test_no_other_site_lost_it_less_often(
    offers: list[Offer], need: Need, under_way: dict[str, Load]
) -> None:
    found = place(need, offers, under_way).site
    if found:
        least = min(need.losses.get(o.site.name, 0) for o in offers if takes(o, need))
        assert need.losses.get(found, 0) == least


@given(offer_lists(), needs, loads, st.integers(0, 5))
def test_a_site_that_cannot_take_a_task_has_no_say_in_where_it_goes(
    offers: list[Offer], need: Need, under_way: dict[str, Load], at: int
) -> None:
    useless = Offer(Site("useless", executor="x", queues=(Queue("none", walltime_s=0.001),)))
    need = need._replace(resources=replace(need.resources, walltime_s=5.0))
    before = place(need, offers, under_way).site
    assert place(need, [*offers[:at], useless, *offers[at:]], under_way).site == before


@pytest.mark.parametrize("many", [1, 40])
def test_many_equal_tasks_are_shared_by_the_size_of_the_sites(many: int) -> None:
    offers = [
        Offer(Site(name, executor="local"), Extent(Queue("", cpus=cores), cores))
        for name, cores in (("one", 1.0), ("three", 3.0))
    ]
    under_way: dict[str, Load] = {}
    for _ in range(8 * many):
        site = place(Need(Resources()), offers, under_way).site
        before = under_way.get(site, Load())
        under_way[site] = Load(before.tasks + 1, before.cores + 1.0)
    assert under_way == {"one": Load(2 * many, 2.0 * many), "three": Load(6 * many, 6.0 * many)}
