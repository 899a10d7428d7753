"""Runs in virtual time: what they take, what their tasks lose, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from hepflow.engine.simulation import ModelSite, SimulatedRun, simulate
from hepflow.model.site import Price
from hepflow.model.task import Outcome, Output, Read, Resources, Shell, Task
from hepflow.model.types import Type
from hepflow.model.values import Value, Values
from hepflow.model.workflow import Binding, PlanContext, Planning, Port, Ref, Step, Tool, Workflow
from tests.engine.world import Expr

N = (Port("n", Type("int")),)
SITE = ModelSite("here", 4)


@dataclass(frozen=True)
class Makes:
    """A tool whose task writes a file, or says a number that only running it would tell."""

    read: Read = Read.FILE
    cpus: float = 1.0

    def fingerprint(self, inputs: Values) -> str:
        return ""

    def plan(self, inputs: Values, context: PlanContext) -> Planning:
        return Task(
            Shell("true"), (Output("out", "out.txt", read=self.read),), Resources(self.cpus)
        )

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        return outcome.outputs


@dataclass(frozen=True)
class Knows:
    """What is known of tasks: their times by step, their outputs by name."""

    times: Mapping[str, float]
    left: Mapping[str, Values] = field(default_factory=dict)

    def seconds(self, task: str, tool: Tool) -> float:
        return self.times[task.partition("[")[0]]

    def outputs(self, task: str) -> Values | None:
        return self.left.get(task)


def counted(number: Value) -> list[Value]:
    if not isinstance(number, int):
        raise ValueError("there is no number")
    return list(range(number))


def workflow(width: str = "n", read: Read = Read.FILE) -> Workflow:
    """``first``, then as many ``many`` as ``width`` says, then ``last``."""
    of_first = Binding((Ref("first", "out"),))
    port = "n" if width == "n" else "each"
    source = Ref("", "n") if width == "n" else Ref("first", "out")
    numbers = Binding((source,), expression=Expr([port], lambda **given: counted(given[port])))
    return Workflow(
        "diamond",
        N,
        (
            Step("first", Makes(read), {}, (Port("out"),)),
            Step(
                "many", Makes(cpus=2.0), {port: numbers, "x": of_first}, (Port("out"),), scatter=(port,),
            ),
            Step("last", Makes(), {"all": Binding((Ref("many", "out"),))}, (Port("out"),)),
        ),
        {"out": Binding((Ref("last", "out"),))},
    )  # fmt: skip


TIMES = {"first": 5.0, "many": 10.0, "last": 2.0}


def simulated(*sites: ModelSite, n: int = 10, seed: int = 0) -> SimulatedRun:
    return simulate(workflow(), {"n": n}, sites or (SITE,), Knows(TIMES), Random(seed).expovariate)


def test_it_takes_as_many_rounds_as_its_slots_need() -> None:
    found = simulated()
    assert (found.tasks, found.makespan_s, found.failures) == (12, 5 + 3 * 10 + 2, ())
    assert found.work_s == 5 + 10 * 10 + 2
    assert found.use == pytest.approx(107 / (37 * 4))


def test_its_critical_path_is_what_it_takes_where_no_task_waits_for_a_slot() -> None:
    found = simulated()
    assert found.critical_s == 17.0
    assert (found.least_s, found.most_s) == (107 / 4, 17 + 107 / 4)


def test_slots_of_all_sites_are_used_the_first_named_before_the_others() -> None:
    found = simulated(ModelSite("near", 3), ModelSite("far", 7))
    assert found.makespan_s == 17.0
    assert [(use.name, use.attempts) for use in found.sites] == [("near", 5), ("far", 7)]


def test_a_task_waits_after_its_submission() -> None:
    assert simulated(replace(SITE, wait_s=60.0)).makespan_s == 37 + 5 * 60


def test_tasks_that_lose_their_slots_run_again_and_what_they_had_is_lost() -> None:
    site = replace(SITE, preemptions_per_h=200.0)
    found = simulated(site, n=100)
    (use,) = found.sites
    assert found.failures == ()
    assert (found.tasks, use.attempts) == (102, 102 + use.lost)
    assert use.lost > 10
    assert use.busy_s > found.work_s == pytest.approx(5 + 100 * 10 + 2)
    assert found.makespan_s > simulated(n=100).makespan_s


def test_tasks_that_are_longer_than_slots_last_end_the_run_as_they_would_a_real_one() -> None:
    found = simulated(replace(SITE, preemptions_per_h=100_000.0))
    assert found.given_up
    assert found.failures == ("first: it lost its slot (for the 11th time)",)


def test_the_same_seed_gives_the_same_run() -> None:
    site = replace(SITE, preemptions_per_h=200.0)
    assert simulated(site, n=50) == simulated(site, n=50)
    assert simulated(site, n=50) != simulated(site, n=50, seed=1)


def test_it_costs_what_the_prices_of_the_sites_say() -> None:
    site = replace(SITE, price=lambda asked: Price(hour=36.0, cpu_hour=3.6, unit="CHF"))
    (use,) = simulated(site).sites
    seconds, core_seconds = 107, 5 + 10 * 10 * 2 + 2
    assert use.cost == pytest.approx((36.0 * seconds + 3.6 * core_seconds) / 3600)
    assert use.unit == "CHF"


def test_without_a_price_or_with_prices_in_two_units_nobody_knows_what_it_costs() -> None:
    assert simulated().sites[0].cost is None
    priced = replace(SITE, price=lambda asked: Price(1.0, unit="EUR" if asked.cpus > 1 else "CHF"))
    assert simulated(priced).sites[0].cost is None


def test_a_value_that_a_task_makes_is_what_it_was_when_the_task_ran() -> None:
    flow = workflow("first", Read.JSON)
    known = Knows(TIMES, {"first": {"out": 8}})
    assert simulate(flow, {"n": 0}, (SITE,), known).tasks == 1 + 8 + 1


def test_without_it_what_depends_on_it_fails_and_says_so() -> None:
    found = simulate(workflow("first", Read.JSON), {"n": 0}, (SITE,), Knows(TIMES))
    assert len(found.failures) == 1
    assert found.failures[0].startswith("many: ")
    assert "there is no number" in found.failures[0]
