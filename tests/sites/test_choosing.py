"""Which queue a task goes to, and what is said when there is none."""

from __future__ import annotations

import pytest

from hepflow.model.site import (
    Container,
    Price,
    Queue,
    Runtime,
    Site,
    flag,
    number,
    text,
    words,
)
from hepflow.model.task import Resources

SHORT = Queue("short", cpus=8, memory_mib=16000, walltime_s=3600)
LONG = Queue("long", cpus=64, memory_mib=256000, walltime_s=172800)
GPU = Queue("gpu", cpus=32, gpus=4, gpu_kinds={"a100": "A100-SXM4"}, walltime_s=86400)


def site(*queues: Queue, queue: str = "") -> Site:
    return Site("mine", executor="slurm", queues=queues, queue=queue)


def chosen(place: Site, **asked: object) -> str:
    """The queue's name, or why there is none."""
    found = place.queue_for(Resources(**asked))  # type: ignore[arg-type]
    return found if isinstance(found, str) else found.name


def test_the_first_queue_that_suits_a_task_takes_it() -> None:
    place = site(SHORT, LONG, GPU)
    assert chosen(place, walltime_s=600) == "short"
    assert chosen(place, walltime_s=7200) == "long"
    assert chosen(place, cpus=16, walltime_s=600) == "long"
    assert chosen(place, memory_mib=20000, walltime_s=600) == "long"
    assert chosen(place, gpus=1) == "gpu"
    assert chosen(place, gpus=1, gpu_kind="a100") == "gpu"


def test_where_no_queue_suits_one_sentence_says_why() -> None:
    said = chosen(site(SHORT, LONG, GPU), cpus=48, gpus=2, walltime_s=60)
    assert said == (
        "no queue of site 'mine' takes a task of 48 cpus, 2 gpus, 60 s"
        " ('short': at most 8 cpus; 'long': no gpus; 'gpu': at most 32 cpus)"
    )
    assert "only gpus of kind a100" in chosen(site(GPU), gpus=1, gpu_kind="h100")
    many = site(*(Queue(f"q{number}", cpus=1) for number in range(9)))
    assert "('q0', 'q1', 'q2' and 6 more: at most 1 cpus)" in chosen(many, cpus=2)


def test_the_cheapest_takes_a_task_where_every_queue_has_a_price() -> None:
    dear = Queue("dear", gpus=1, price=Price(gpu_hour=0.4))
    cheap = Queue("cheap", gpus=1, price=Price(gpu_hour=0.1))
    unknown = Queue("unknown", gpus=1)
    other = Queue("other", gpus=1, price=Price(gpu_hour=0.01, unit="node hours"))
    assert chosen(site(dear, cheap), gpus=1) == "cheap"
    assert chosen(site(dear, cheap, unknown), gpus=1) == "dear"
    assert chosen(site(dear, cheap, other), gpus=1) == "dear"


def test_a_part_of_a_node_is_cheaper_than_the_whole_until_it_is_not() -> None:
    shared = Queue("shared", cpus=64, price=Price(cpu_hour=1 / 128))
    node = Queue("node", cpus=128, price=Price(hour=1))
    assert chosen(site(node, shared), cpus=4) == "shared"
    assert chosen(site(node, shared), cpus=100) == "node"


def test_a_task_without_gpus_leaves_gpus_to_others_where_it_can() -> None:
    free = Queue("free", gpus=4, price=Price(gpu_hour=1))
    paid = Queue("paid", price=Price(cpu_hour=1))
    assert chosen(site(free, paid)) == "paid"
    assert chosen(site(free)) == "free"


def test_a_queue_on_request_is_taken_only_when_named() -> None:
    debug = Queue("debug", automatic=False, walltime_s=1800)
    assert chosen(site(debug, LONG), walltime_s=60) == "long"
    assert chosen(site(debug, LONG, queue="debug"), walltime_s=60) == "debug"
    assert "'debug': at most 1800 s" in chosen(site(debug, LONG, queue="debug"), walltime_s=9999)


def test_a_task_that_does_not_say_its_time_is_not_squeezed_into_a_short_queue() -> None:
    espresso = Queue("espresso", walltime_s=1200, default_walltime_s=28800)
    workday = Queue("workday", walltime_s=28800, default_walltime_s=28800)
    assert chosen(site(espresso, workday)) == "workday"
    assert chosen(site(espresso, workday), walltime_s=600) == "espresso"
    assert workday.walltime(Resources(walltime_s=5)) == 5
    assert workday.walltime(Resources()) == 28800
    assert SHORT.walltime(Resources()) == 3600


def test_a_site_without_queues_refuses_nothing() -> None:
    assert chosen(site(), cpus=1000, gpus=16) == ""


def test_an_image_is_spelt_as_the_runtime_wants_it() -> None:
    shifter = Container(Runtime.SHIFTER, "docker:{image}")
    assert shifter.spell("python:3.11") == "docker:python:3.11"
    assert shifter.spell("oras://registry/image") == "oras://registry/image"
    assert shifter.spell("/images/a.sif") == "/images/a.sif"


def test_a_queues_settings_are_laid_over_the_sites() -> None:
    place = Site("x", executor="clouds", settings={"region": "a", "bucket": "b"})
    assert place.settings_for(Queue("q", settings={"region": "c"})) == {
        "region": "c",
        "bucket": "b",
    }


def test_a_setting_of_the_wrong_type_is_told_in_a_sentence() -> None:
    said: dict[str, object] = {"n": "many", "t": 1, "f": "yes", "w": "a b", "ids": [0, "1"]}
    with pytest.raises(ValueError, match="'n' takes a number, gets 'many'"):
        number(said, "n", 1)
    with pytest.raises(ValueError, match="'t' takes text, gets 1"):
        text(said, "t")
    with pytest.raises(ValueError, match="'f' takes true or false, gets 'yes'"):
        flag(said, "f")
    with pytest.raises(ValueError, match="'w' takes a list of words, gets 'a b'"):
        words(said, "w")
    assert words(said, "ids") == ("0", "1")
    assert (number(said, "other", 2.5), text(said, "other", "x"), flag(said, "other")) == (
        2.5,
        "x",
        False,
    )
