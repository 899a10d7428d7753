"""What a tolerant step does with failures: of itself, of something in it, and of nobody else."""

from __future__ import annotations

from random import Random

import pytest

from hepflow.engine import Policy
from hepflow.model.events import Conclude
from hepflow.model.values import Values
from hepflow.model.workflow import Binding, Loop, Port, Ref, Step, Workflow
from tests.engine.world import OUT, Compute, Expr, World

FIRST, ALL = Policy(), Policy(keep_going=True)


def trials(count: int, run: object, *, tolerant: bool = True, loop: Loop | None = None) -> Workflow:
    """Steps ``trial[0]``, ``trial[1]``, ... that are one to a person, and one that reads them all."""
    steps = tuple(
        Step(f"trial[{n}]", run, {"n": Binding(default=n)}, OUT, tolerant=tolerant, loop=loop)  # type: ignore[arg-type]
        for n in range(count)
    )
    outputs = {f"out{n}": Binding((Ref(f"trial[{n}]", "out"),)) for n in range(count)}
    return Workflow("study", (), steps, outputs)


def ran(
    workflow: Workflow, *failing: str, policy: Policy = FIRST, inputs: Values | None = None
) -> tuple[Conclude, World]:
    """A run in which the attempts at these tasks fail."""

    def fate(attempt: str) -> str:
        return "fail" if attempt.partition("#")[0] in failing else "ok"

    world = World(workflow, inputs or {}, policy, Random(1), fate)
    return world.run(), world


@pytest.mark.parametrize("policy", [FIRST, ALL])
def test_a_tolerated_failure_leaves_null_and_the_run_succeeds(policy: Policy) -> None:
    end, world = ran(trials(4, Compute("t")), "trial[2]", policy=policy)
    assert end.succeeded
    assert end.outputs["out2"] is None
    assert all(end.outputs[f"out{n}"] is not None for n in (0, 1, 3))
    assert not world.scheduler.failures
    assert [failure.name for failure in world.scheduler.tolerated] == ["trial[2]"]


def test_steps_with_an_index_are_counted_as_one() -> None:
    _, world = ran(trials(4, Compute("t")), "trial[2]")
    assert list(world.scheduler.counts) == ["trial"]
    counts = world.scheduler.counts["trial"]
    assert (counts.known_width, counts.succeeded, counts.failed) == (4, 3, 1)


def test_without_tolerance_the_run_fails() -> None:
    end, world = ran(trials(4, Compute("t"), tolerant=False), "trial[2]", policy=ALL)
    assert not end.succeeded
    assert [failure.name for failure in world.scheduler.failures] == ["trial[2]"]


def chain() -> Workflow:
    """Two steps, one after the other."""
    link = {"x": Binding((Ref("first", "out"),))}
    steps = (Step("first", Compute("a"), {}, OUT), Step("second", Compute("b"), link, OUT))
    return Workflow("inner", (Port("n"),), steps, {"out": Binding((Ref("second", "out"),))})


@pytest.mark.parametrize("policy", [FIRST, ALL])
def test_a_failure_inside_is_tolerated_by_what_is_around(policy: Policy) -> None:
    end, world = ran(trials(3, chain()), "trial[1]/first", policy=policy)
    assert end.succeeded
    assert end.outputs["out1"] is None
    assert end.outputs["out2"] is not None
    assert world.submitted["trial[1]/second#1"] == 0


def test_two_failures_in_one_trial_are_one_null() -> None:
    wide = Workflow(
        "wide",
        (Port("n"),),
        tuple(Step(name, Compute(name), {}, OUT) for name in "ab"),
        {"out": Binding((Ref("a", "out"),))},
    )
    end, _ = ran(trials(3, wide), "trial[1]/a", "trial[1]/b")
    assert end.succeeded
    assert [end.outputs[f"out{n}"] is None for n in range(3)] == [False, True, False]


def test_what_is_around_the_tolerant_step_goes_on_as_if_it_were_done() -> None:
    after = Step("after", Compute("z"), {"x": Binding((Ref("study", "out1"),))}, OUT)
    study = Step("study", trials(3, chain()), {}, tuple(Port(f"out{n}") for n in range(3)))
    whole = Workflow("whole", (), (study, after), {"out": Binding((Ref("after", "out"),))})
    end, _ = ran(whole, "study/trial[1]/second")
    assert end.succeeded
    assert end.outputs["out"] is not None


def test_a_loop_that_fails_in_a_later_round_leaves_null() -> None:
    rounds = Loop(Expr(["n"], lambda n: n < 100), {"n": Expr(["n"], lambda n: n + 30)})  # type: ignore[operator]
    end, _ = ran(trials(2, Compute("t"), loop=rounds), "trial[1]@2")
    assert end.succeeded
    assert end.outputs["out1"] is None
    assert end.outputs["out0"] is not None


def test_what_cannot_even_be_opened_in_a_trial_is_tolerated_as_well() -> None:
    broken = Workflow(
        "broken",
        (Port("n"),),
        (Step("a", Compute("a"), {"x": Binding((Ref("", "n"),))}, OUT, scatter=("x",)),),
        {"out": Binding((Ref("a", "out"),))},
    )
    end, world = ran(trials(2, broken))
    assert end.succeeded
    assert end.outputs == {"out0": None, "out1": None}
    assert "scatter over 'x' needs an array" in world.scheduler.tolerated[0].message
