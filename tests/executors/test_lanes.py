"""Who may run now: attempts and resources in, lanes out; no process anywhere."""

from __future__ import annotations

import pytest

from hepflow.executors.lanes import PASSES, Entry, Lane, Ledger, last_entries
from hepflow.executors.machine import Machine
from hepflow.model.task import Attempt, Call, Resources, Shell, Task

SMALL = Resources(cpus=1)


def attempt(name: str, resources: Resources = SMALL, priority: int = 0) -> Attempt:
    return Attempt(name, Task(Shell("true"), (), resources), "", priority)


def call(name: str, path: tuple[str, ...] = ()) -> Attempt:
    return Attempt(name, Task(Call("m:f", {}, {}, path)))


class Site:
    """A ledger with a host for every lane, that can end attempts."""

    def __init__(self, cpus: float = 2, memory_mib: int = 1000, gpus: tuple[str, ...] = ()) -> None:
        self.ledger: Ledger[str] = Ledger(Machine(cpus, memory_mib, gpus))
        self.lanes: dict[str, Lane[str]] = {}

    def submit(self, *attempts: Attempt) -> list[str]:
        for each in attempts:
            assert not self.ledger.refusal(each)
            self.ledger.add(each)
        return self.assign()

    def assign(self) -> list[str]:
        sent = []
        for lane, entries in self.ledger.assign():
            lane.host = "host"
            for entry in entries:
                self.lanes[entry[2].id] = lane
                sent.append(entry[2].id)
        return sent

    def end(self, *names: str, seconds: float = 1.0) -> list[str]:
        for name in names:
            lane = self.lanes.pop(name)
            del lane.flight[name]
            lane.shape.measured(seconds)
        return self.assign()


def test_as_many_run_as_there_are_cores() -> None:
    site = Site(cpus=2)
    assert site.submit(*[attempt(f"a{n}") for n in range(5)]) == ["a0", "a1"]
    assert site.end("a1") == ["a2"]
    assert site.end("a0", "a2") == ["a3", "a4"]


def test_fractions_share_a_core() -> None:
    site = Site(cpus=1)
    half = Resources(cpus=0.5)
    assert site.submit(*[attempt(f"a{n}", half) for n in range(3)]) == ["a0", "a1"]


def test_memory_and_gpus_are_given_out_by_amount_and_by_name() -> None:
    site = Site(cpus=8, memory_mib=1000, gpus=("0", "3"))
    assert site.submit(*[attempt(f"m{n}", Resources(memory_mib=400)) for n in range(3)]) == [
        "m0",
        "m1",
    ]
    assert site.submit(*[attempt(f"g{n}", Resources(gpus=1)) for n in range(3)]) == ["g0", "g1"]
    assert [site.lanes[name].gpus for name in ("g0", "g1")] == [("0",), ("3",)]
    assert site.end("g1") == ["g2"]
    assert site.lanes["g2"].gpus == ("3",)


def test_greater_priority_goes_first_then_the_earlier() -> None:
    site = Site(cpus=1)
    site.submit(attempt("first"))
    site.submit(attempt("low"), attempt("high", priority=5), attempt("higher", priority=6))
    assert site.end("first") == ["higher"]
    assert site.end("higher") == ["high"]
    assert site.end("high") == ["low"]


def test_priority_holds_across_demands() -> None:
    site = Site(cpus=1)
    site.submit(attempt("first"))
    other = Resources(memory_mib=10)
    site.submit(attempt("low"), attempt("high", other, 5), attempt("middle", SMALL, 3))
    assert site.end("first") == ["high"]
    assert site.end("high") == ["middle"]
    assert site.end("middle") == ["low"]


def test_short_attempts_queue_in_their_lane_and_long_ones_never() -> None:
    site = Site(cpus=1)
    assert site.submit(*[attempt(f"a{n}") for n in range(100)]) == ["a0"]
    assert len(site.end("a0", seconds=0.001)) > 10
    long = Site(cpus=1)
    long.submit(*[attempt(f"a{n}") for n in range(100)])
    assert long.end("a0", seconds=0.06) == ["a1"]


def test_lanes_are_balanced_near_the_end() -> None:
    site = Site(cpus=2)
    site.submit(*[attempt(f"a{n}") for n in range(12)])
    site.end("a0", "a1", seconds=0.001)
    loads = {id(lane): len(lane.flight) for lane in site.lanes.values()}
    assert sorted(loads.values()) == [5, 5]


def test_a_large_attempt_does_not_starve_behind_small_ones() -> None:
    site = Site(cpus=2)
    site.submit(attempt("s0"), attempt("s1"))
    site.submit(attempt("large", Resources(cpus=2)), *[attempt(f"s{n}") for n in range(2, 200)])
    running, passed = ["s0", "s1"], 0
    for _ in range(300):
        started = site.end(running.pop(0))
        running += started
        if "large" in started:
            break
        passed += len(started)
    else:
        pytest.fail("the large attempt never ran")
    assert passed <= PASSES


def test_what_waits_for_a_gpu_does_not_idle_the_cores() -> None:
    site = Site(cpus=4, gpus=("0",))
    gpu = Resources(gpus=1)
    site.submit(attempt("g0", gpu), attempt("g1", gpu, 9))
    names = [f"s{n}" for n in range(200)]
    sent = site.submit(*[attempt(name) for name in names])
    assert len(sent) >= 2
    for _ in range(50):
        sent += site.end(next(name for name in sent if name in site.lanes))
    assert len(sent) > 40


def test_a_lane_of_the_same_size_is_given_up_for_a_better_rank() -> None:
    site = Site(cpus=1)
    site.submit(*[attempt(f"a{n}") for n in range(50)])
    site.end("a0", seconds=0.001)
    sent = list(site.lanes)
    other = Resources(memory_mib=10)
    assert site.submit(attempt("better", other, 9)) == []
    for name in sent[:-1]:
        assert site.end(name, seconds=0.001) == []
    assert site.end(sent[-1], seconds=0.001)[0] == "better"


def test_calls_of_different_paths_have_different_lanes() -> None:
    site = Site(cpus=2)
    assert site.submit(call("a"), call("b", ("x",))) == ["a", "b"]
    assert site.lanes["a"].shape is not site.lanes["b"].shape


def test_large_messages_are_not_piled_up() -> None:
    site = Site(cpus=1)
    site.submit(*[attempt(f"a{n}") for n in range(50)])
    site.lanes["a0"].shape.bytes_each = 1e6
    assert site.end("a0", seconds=0.001) == ["a1"]


def test_what_came_back_keeps_its_rank() -> None:
    site = Site(cpus=1)
    site.submit(*[attempt(f"a{n}") for n in range(10)])
    site.end("a0", seconds=0.001)
    lane = site.lanes["a1"]
    back: list[Entry] = last_entries(lane, 3)
    assert [entry[2].id for entry in back] == ["a9", "a8", "a7"]
    site.ledger.requeue(lane.shape, back)
    assert site.end(*list(lane.flight), seconds=1.0) == ["a7"]


def test_dropping_forgets_only_what_waits() -> None:
    site = Site(cpus=1)
    site.submit(*[attempt(f"a{n}") for n in range(4)])
    assert site.ledger.drop({"a0", "a2", "unknown"}) == ["a2"]
    assert site.end("a0") == ["a1"]
    assert site.end("a1") == ["a3"]
