"""The engine as a specification: events in, actions out, whatever the order they come in."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepflow.engine import Policy, Scheduler
from hepflow.engine.graph import CycleError
from hepflow.model.events import (
    Answered,
    Conclude,
    Expanded,
    Finished,
    Plan,
    Planned,
    Rejected,
    Submit,
)
from hepflow.model.task import Outcome, Reason, Resources, Shell, Task, Usage
from hepflow.model.values import UNKNOWN, Value
from hepflow.model.workflow import (
    Binding,
    Loop,
    Merge,
    Pick,
    Port,
    Ref,
    Retry,
    Scatter,
    Step,
    Workflow,
)
from tests.engine.world import OUT, Compute, Expr, World, reference

TASK = Task(Shell("true"))


def step(name: str, **inputs: Any) -> Step:
    """A step whose inputs are links ('other'), or constants."""
    bindings = {
        port: Binding((Ref(value, "out"),)) if isinstance(value, str) else Binding(default=value)
        for port, value in inputs.items()
    }
    return Step(name, Compute(name), bindings, OUT)


def scattered(name: str, over: str, source: Any, **more: Any) -> Step:
    made = step(name, **{over: source})
    return Step(name, made.run, made.inputs, OUT, scatter=(over,), **more)


def flow(*steps: Step, **outputs: str) -> Workflow:
    given_outputs = outputs or {"last": steps[-1].name}
    return Workflow(
        "test",
        (),
        steps,
        {name: Binding((Ref(source, "out"),)) for name, source in given_outputs.items()},
    )


def run(
    workflow: Workflow, policy: Policy = Policy(), seed: int = 0, **more: Any
) -> tuple[Conclude, World]:
    world = World(workflow, {}, policy, Random(seed), **more)
    return world.run(), world


# --- any workflow, any order -----------------------------------------------------------------


class Drawn:
    """A random sound workflow, and what a barrier engine makes of it."""

    def __init__(self, draw: st.DataObject) -> None:
        self.values: dict[str, Value] = {}
        self.steps: list[Step] = []
        self.ancestors: dict[str, set[str]] = {}
        for number in range(draw.draw(st.integers(1, 7), "steps")):
            self._add(draw, f"s{number}")
        outputs = {name: Binding((Ref(name, "out"),)) for name in self.values}
        self.workflow = Workflow("drawn", (), tuple(self.steps), outputs)

    def _add(self, draw: st.DataObject, name: str) -> None:
        bindings: dict[str, Binding] = {}
        bound: dict[str, Value] = {}
        above: set[str] = set()
        for port in draw.draw(st.sampled_from(["", "a", "ab", "abc"]), "ports"):
            source = draw.draw(st.sampled_from([None, *self.values]), "source")
            if source is None:
                bound[port] = draw.draw(
                    st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=4), "value"
                )
                bindings[port] = Binding(default=bound[port])
            else:
                bound[port] = self.values[source]
                bindings[port] = Binding((Ref(source, "out"),))
                above |= {source, *self.ancestors[source]}
        arrays = [port for port, value in bound.items() if isinstance(value, list)]
        scatter = (
            tuple(draw.draw(st.lists(st.sampled_from(arrays), unique=True), "scatter"))
            if arrays
            else ()
        )
        methods = [Scatter.NESTED, Scatter.FLAT]
        if len({len(bound[port]) for port in scatter}) == 1:  # type: ignore[arg-type]
            methods.append(Scatter.DOT)
        method = draw.draw(st.sampled_from(methods), "method")
        when = None
        if scatter and draw.draw(st.booleans(), "when"):
            when = Expr((scatter[0],), lambda **values: len(str(*values.values())) % 2)
        retry = Retry(times=draw.draw(st.integers(0, 2), "retries"))
        limit = draw.draw(st.sampled_from([0, 0, 1, 2]), "limit")
        made = Step(
            name, Compute(name), bindings, OUT, scatter, method, when, retry=retry, limit=limit
        )
        self.steps.append(made)
        self.values[name] = reference(made, bound)
        self.ancestors[name] = above


POLICIES = st.builds(
    Policy, in_flight=st.integers(1, 5), window=st.integers(1, 6), keep_going=st.booleans()
)


@given(st.data(), POLICIES, st.integers(0, 2**32))
def test_any_workflow_gives_what_a_barrier_engine_gives(
    draw: st.DataObject, policy: Policy, seed: int
) -> None:
    drawn = Drawn(draw)
    conclusion, world = run(drawn.workflow, policy, seed)
    assert conclusion.succeeded
    assert conclusion.outputs == drawn.values
    assert set(world.succeeded.values()) <= {1}, "each invocation succeeds exactly once"
    assert world.most_flying <= policy.in_flight


@given(st.data(), POLICIES, st.integers(0, 2**32))
def test_losses_never_change_the_result(draw: st.DataObject, policy: Policy, seed: int) -> None:
    drawn = Drawn(draw)
    fates = Random(seed)
    lost: Counter[str] = Counter()

    def fate(attempt: str) -> str:
        name = attempt.rpartition("#")[0]
        if fates.random() < 0.4 and lost[name] < 5:
            lost[name] += 1
            return "lost"
        return "ok"

    conclusion, world = run(drawn.workflow, policy, seed, fate=fate)
    assert conclusion.succeeded
    assert conclusion.outputs == drawn.values
    assert set(world.succeeded.values()) <= {1}


@given(st.data(), POLICIES, st.integers(0, 2**32))
def test_a_failure_stops_just_what_it_must(draw: st.DataObject, policy: Policy, seed: int) -> None:
    drawn = Drawn(draw)
    bad = draw.draw(st.sampled_from(drawn.steps), "bad").name
    conclusion, world = run(
        drawn.workflow,
        policy,
        seed,
        fate=lambda a: "fail" if a.partition("[")[0].partition("#")[0] == bad else "ok",
    )
    tried = Counter(a.rpartition("#")[0] for a in world.submitted)
    retries = {made.name: made.retry.times for made in drawn.steps}
    for name, count in tried.items():
        base = name.partition("[")[0]
        assert count <= (retries[base] + 1 if base == bad else 1)
    if not any(name.partition("[")[0] == bad for name in tried):
        assert conclusion.succeeded  # it had no invocation at all
        return
    assert not conclusion.succeeded
    if policy.keep_going:
        free = [
            made
            for made in drawn.steps
            if made.name != bad and bad not in drawn.ancestors[made.name]
        ]
        for made in free:
            ran = [name for name in world.succeeded if name.partition("[")[0] == made.name]
            assert len(ran) == _expected_runs(drawn.values[made.name])


def _expected_runs(value: Value) -> int:
    if isinstance(value, list):
        return sum(_expected_runs(item) for item in value)
    return value is not None


@given(st.data(), POLICIES, st.integers(0, 2**32), st.integers(1, 30))
def test_a_cancelled_run_comes_to_an_end(
    draw: st.DataObject, policy: Policy, seed: int, after: int
) -> None:
    drawn = Drawn(draw)
    conclusion, world = run(drawn.workflow, policy, seed, cancel_after=after)
    assert not world.flying
    assert conclusion.cancelled or conclusion.succeeded
    assert not (conclusion.cancelled and conclusion.succeeded)


# --- readiness --------------------------------------------------------------------------------


def test_a_chain_of_scatters_flows_element_by_element_without_a_barrier() -> None:
    workflow = flow(scattered("a", "x", list(range(3))), scattered("b", "y", "a"))
    scheduler = Scheduler(workflow, {}, Policy())
    plans = scheduler.handle((), 0)
    submits = scheduler.handle(
        [Planned(p.invocation, TASK) for p in plans if isinstance(p, Plan)], 0
    )
    first = next(s for s in submits if isinstance(s, Submit) and s.attempt == "a[1]#1")
    following = scheduler.handle([Finished(first.attempt, Outcome(outputs={"out": 7}))], 0)
    assert [(p.name, dict(p.inputs)) for p in following if isinstance(p, Plan)] == [
        ("b[1]", {"y": 7})
    ]


def test_deeper_invocations_go_first_so_that_chains_finish_early() -> None:
    workflow = flow(scattered("a", "x", list(range(8))), scattered("b", "y", "a"))
    order: list[str] = []

    def fate(attempt: str) -> str:
        order.append(attempt)
        return "ok"

    run(workflow, Policy(in_flight=1, window=1), fate=fate)
    assert order[:4] == ["a[0]#1", "b[0]#1", "a[1]#1", "b[1]#1"]


def test_a_million_wide_scatter_is_planned_a_window_at_a_time() -> None:
    wide = Step(
        "a",
        Compute("a"),
        {"x": Binding(expression=Expr((), lambda: range(1_000_000)))},
        OUT,
        ("x",),
    )
    actions = Scheduler(flow(wide), {}, Policy(window=10)).handle((), 0)
    assert len(actions) == 10


def test_a_scatter_over_nothing_gives_an_empty_array() -> None:
    conclusion, _ = run(flow(scattered("a", "x", []), scattered("b", "y", "a")))
    assert conclusion.outputs == {"last": []}


def test_a_long_chain_of_empty_scatters_does_not_exhaust_the_stack() -> None:
    steps = [scattered("s0", "x", [])] + [
        scattered(f"s{n}", "x", f"s{n - 1}") for n in range(1, 3000)
    ]
    conclusion, _ = run(flow(*steps))
    assert conclusion.outputs == {"last": []}


def test_a_skipped_step_gives_null_and_its_followers_see_it() -> None:
    skipped = Step(
        "a", Compute("a"), {"x": Binding(default=1)}, OUT, when=Expr(("x",), lambda x: x > 1)
    )
    conclusion, world = run(flow(skipped, step("b", y="a"), skipped="a", after="b"))
    assert conclusion.outputs["skipped"] is None
    assert set(world.succeeded) == {"b"}


def test_merge_and_pick_follow_the_common_workflow_language() -> None:
    a, b = (
        step("a", x=1),
        Step("b", Compute("b"), {"x": Binding(default=0)}, OUT, when=Expr(("x",), lambda x: x)),
    )
    refs = (Ref("a", "out"), Ref("b", "out"))
    workflow = Workflow(
        "w", (), (a, b),
        {
            "nested": Binding(refs, Merge.NESTED),
            "flat": Binding((Ref("a", "out"), Ref("a", "out")), Merge.FLATTENED),
            "first": Binding(tuple(reversed(refs)), pick=Pick.FIRST_NON_NULL),
            "all": Binding(refs, pick=Pick.ALL_NON_NULL),
            "default": Binding((Ref("b", "out"),), default=5),
        },
    )  # fmt: skip
    conclusion, _ = run(workflow)
    one = conclusion.outputs["first"]
    assert conclusion.outputs == {
        "nested": [one, None],
        "flat": [one, one],
        "first": one,
        "all": [one],
        "default": 5,
    }


def test_picking_the_only_value_among_two_fails_with_a_sentence() -> None:
    binding = Binding((Ref("a", "out"), Ref("a", "out")), pick=Pick.ONLY_NON_NULL)
    conclusion, world = run(Workflow("w", (), (step("a"),), {"x": binding}))
    assert not conclusion.succeeded
    assert "the_only_non_null: 2 sources are not null" in world.scheduler.failures[0].message


# --- growth while running ---------------------------------------------------------------------


def inner() -> Workflow:
    return Workflow(
        "inner", (Port("v"), Port("w", default=3)),
        (Step("t", Compute("t"), {"v": Binding((Ref("", "v"),)), "w": Binding((Ref("", "w"),))}, OUT),),
        {"out": Binding((Ref("t", "out"),))},
    )  # fmt: skip


def test_a_scatter_over_a_sub_workflow_names_its_tasks_by_their_place() -> None:
    sub = Step("fit", inner(), {"v": Binding(default=[1, 2])}, OUT, ("v",))
    conclusion, world = run(flow(sub))
    assert conclusion.succeeded
    assert set(world.succeeded) == {"fit[0]/t", "fit[1]/t"}
    assert len(conclusion.outputs["last"]) == 2  # type: ignore[arg-type]


def test_planning_may_answer_with_a_workflow_or_with_outputs() -> None:
    scheduler = Scheduler(flow(step("grow"), step("after", x="grow")), {}, Policy())
    (plan,) = scheduler.handle((), 0)
    assert isinstance(plan, Plan)
    (plan,) = scheduler.handle([Expanded(plan.invocation, inner(), {"v": 1})], 0)
    assert isinstance(plan, Plan)
    assert (plan.name, dict(plan.inputs)) == ("grow/t", {"v": 1, "w": 3})
    (plan,) = scheduler.handle([Answered(plan.invocation, {"out": 42})], 0)
    assert isinstance(plan, Plan)
    assert plan.inputs == {"x": 42}
    assert scheduler.handle([Answered(plan.invocation, {"out": 1})], 0) == [
        Conclude(True, False, {"last": 1})
    ]


def counting_loop(until: int, **more: Any) -> Step:
    loop = Loop(
        condition=Expr(("n",), lambda n: n < until),
        carry={
            "n": Expr(("n",), lambda n: n + 1),
            "x": Expr(("outputs",), lambda outputs: outputs["out"]),
        },
        **more,
    )
    return Step(
        "again",
        Compute("again"),
        {"n": Binding(default=0), "x": Binding(default=0)},
        OUT,
        loop=loop,
    )


def test_a_loop_carries_outputs_into_its_next_round() -> None:
    conclusion, world = run(flow(counting_loop(3)))
    assert set(world.succeeded) == {"again@0", "again@1", "again@2"}
    value: Value = 0
    for n in range(3):
        value = reference(Step("again", Compute("again")), {"n": n, "x": value})
    assert conclusion.outputs == {"last": value}


def test_a_loop_can_keep_all_its_rounds_and_may_have_none() -> None:
    kept, _ = run(flow(counting_loop(4, keep_all=True)))
    assert len(kept.outputs["last"]) == 4  # type: ignore[arg-type]
    none, _ = run(flow(counting_loop(0, keep_all=True)))
    assert none.outputs == {"last": []}


def test_a_loop_that_does_not_end_fails_at_its_limit() -> None:
    conclusion, world = run(flow(counting_loop(10**9, limit=5)))
    assert not conclusion.succeeded
    assert "limit of 5 rounds" in world.scheduler.failures[0].message


# --- attempts ---------------------------------------------------------------------------------


def test_a_task_that_takes_its_nodes_down_is_given_up_in_the_end() -> None:
    conclusion, world = run(flow(step("a")), fate=lambda _: "lost")
    assert not conclusion.succeeded
    assert 5 < sum(world.submitted.values()) < 20
    assert "the node is gone" in world.scheduler.failures[0].message


@pytest.mark.parametrize(("asked_mib", "seen_mib"), [(100, 90), (0, 100)])
def test_memory_is_raised_after_running_out_of_it(asked_mib: int, seen_mib: int) -> None:
    greedy = Step("a", Compute("a"), outputs=OUT, retry=Retry(times=1, memory_factor=2.0))
    scheduler = Scheduler(flow(greedy), {}, Policy())
    (plan,) = scheduler.handle((), 0)
    assert isinstance(plan, Plan)
    task = Task(Shell("true"), resources=Resources(memory_mib=asked_mib))
    (first,) = scheduler.handle([Planned(plan.invocation, task)], 0)
    assert isinstance(first, Submit)
    outcome = Outcome(Reason.MEMORY, "out of memory", usage=Usage(peak_bytes=seen_mib << 20))
    (second,) = scheduler.handle([Finished(first.attempt, outcome)], 0)
    assert isinstance(second, Submit)
    assert (second.attempt, second.task.resources.memory_mib) == ("a#2", 200)


def test_a_delayed_retry_waits_for_its_time() -> None:
    slow = Step("a", Compute("a"), outputs=OUT, retry=Retry(times=2, delay_s=10.0))
    scheduler = Scheduler(flow(slow), {}, Policy())
    (plan,) = scheduler.handle((), 0)
    assert isinstance(plan, Plan)
    scheduler.handle([Planned(plan.invocation, TASK)], 0)
    assert scheduler.handle([Finished("a#1", Outcome(Reason.PROGRAM, "no"))], 100.0) == []
    assert scheduler.next_wake == 110.0
    assert scheduler.handle((), 109.9) == []
    (again,) = scheduler.handle((), 110.0)
    assert isinstance(again, Submit)


def test_a_transient_rejection_is_tried_again_and_a_permanent_one_is_not() -> None:
    for transient in (True, False):
        scheduler = Scheduler(flow(step("a")), {}, Policy())
        (plan,) = scheduler.handle((), 0)
        assert isinstance(plan, Plan)
        scheduler.handle([Planned(plan.invocation, TASK)], 0)
        actions = scheduler.handle([Rejected("a#1", "queue is full", transient)], 0)
        assert bool(actions) is not transient
        assert (scheduler.next_wake is not None) is transient


def test_attempt_numbers_go_on_where_an_earlier_head_left_off() -> None:
    _, world = run(flow(step("a")), Policy(earlier={"a": 3}))
    assert list(world.submitted) == ["a#4"]


# --- faults of a workflow ---------------------------------------------------------------------


def test_a_cycle_is_named_in_its_order() -> None:
    with pytest.raises(CycleError, match=r"a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c"):
        Scheduler(flow(step("a", x="c"), step("b", x="a"), step("c", x="b")), {})


def test_a_link_to_a_step_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match="step 'b' takes a value from 'a', which is no step"):
        Scheduler(flow(step("b", x="a")), {})


@pytest.mark.parametrize(
    ("source", "words"),
    [(5, "needs an array, gets 5"), ("text", None)],
)
def test_a_scatter_over_what_is_no_array_fails_the_step(source: Any, words: str | None) -> None:
    steps = (step("text"), scattered("a", "x", source))
    conclusion, world = run(flow(*steps))
    assert not conclusion.succeeded
    assert "needs an array" in world.scheduler.failures[-1].message
    assert words is None or words in world.scheduler.failures[-1].message


def test_a_dot_product_of_unequal_arrays_fails_the_step() -> None:
    uneven = Step(
        "a",
        Compute("a"),
        {"x": Binding(default=[1]), "y": Binding(default=[1, 2])},
        OUT,
        ("x", "y"),
    )
    _, world = run(flow(uneven))
    assert "one length, not [1, 2]" in world.scheduler.failures[0].message


def test_a_failing_expression_fails_just_its_invocation() -> None:
    def odd(x: int) -> int:
        if x == 1:
            raise ValueError("division by zero in 'a'")
        return x

    bindings = {"x": Binding(default=[0, 1, 2]), "y": Binding(expression=Expr(("x",), odd))}
    workflow = flow(Step("a", Compute("a"), bindings, OUT, ("x",)))
    conclusion, world = run(workflow, Policy(keep_going=True))
    assert not conclusion.succeeded
    assert set(world.succeeded) == {"a[0]", "a[2]"}
    assert [(f.name, f.message) for f in world.scheduler.failures] == [
        ("a[1]", "division by zero in 'a'")
    ]


# --- planning ---------------------------------------------------------------------------------


def test_planning_goes_through_unknown_values() -> None:
    steps = (step("a"), scattered("b", "x", "a"), Step("c", Compute("c"), {"x": Binding((Ref("b", "out"),))}, OUT,
             when=Expr(("x",), lambda x: x[0] > 1)))  # fmt: skip
    scheduler = Scheduler(flow(*steps), {}, Policy(planning=True))
    names = []
    actions = scheduler.handle((), 0)
    while not isinstance(actions[-1], Conclude):
        names += [a.name for a in actions if isinstance(a, Plan)]
        actions = scheduler.handle(
            [Answered(a.invocation, {"out": UNKNOWN}) for a in actions if isinstance(a, Plan)], 0
        )
    assert names == ["a"], "only of what can be known there is something to find out"
    assert scheduler.counts["b"].guessed == 1
    assert [scheduler.counts[name].unknown for name in "abc"] == [0, 1, 1]
    assert [scheduler.counts[name].waits_for for name in "abc"] == ["", "x", "x"]


def test_an_unknown_array_is_planned_as_long_as_the_one_it_is_paired_with() -> None:
    ports = {"x": Binding((Ref("a", "out"),)), "y": Binding(default=[1, 2, 3])}
    pairs = Step("b", Compute("b"), ports, OUT, scatter=("x", "y"))
    scheduler = Scheduler(flow(step("a"), pairs), {}, Policy(planning=True))
    (ask,) = scheduler.handle((), 0)
    scheduler.handle([Answered(ask.invocation, {"out": UNKNOWN})], 0)
    assert not scheduler.failures
    counts = scheduler.counts["b"]
    assert (counts.width, counts.unknown, counts.guessed) == (3, 3, 0)


settings.register_profile("thorough", max_examples=2000, deadline=None)
