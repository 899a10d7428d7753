"""Work that is put in from outside is scheduled like any other, and its giver is told of each end."""

from __future__ import annotations

from hepflow.engine import Feed, Policy, Scheduler
from hepflow.model.events import (
    Answered,
    CancelRequested,
    Conclude,
    Finished,
    Lost,
    Plan,
    Planned,
    Submit,
)
from hepflow.model.task import Outcome, Reason, Shell, Task
from hepflow.model.values import Values
from hepflow.model.workflow import PlanContext, Step, SubWorkflow, Workflow

TASK = Task(Shell("true"))


class Anything:
    """A tool nobody asks anything: the tests answer for the planner."""

    def fingerprint(self, inputs: Values) -> str:
        return ""

    def plan(self, inputs: Values, context: PlanContext) -> Task:
        return TASK

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        return {}


class World:
    """A scheduler with a feed, and what its giver was told."""

    def __init__(self, in_flight: int = 8) -> None:
        self.told: list[tuple[str, Values | None]] = []
        self.why: dict[str, str] = {}
        self.feed = Feed(self.tell)
        policy = Policy(in_flight=in_flight, keep_going=True)
        self.scheduler = Scheduler(self.feed, {}, policy)

    def tell(self, title: str, outputs: Values | None, message: str) -> None:
        self.told.append((title, outputs))
        self.why[title] = message

    def put(self, *titles: str) -> None:
        for title in titles:
            self.feed.put(title, Step(title.partition("[")[0], Anything()), {"n": title})

    def go(self, *events: object) -> list[object]:
        return list(self.scheduler.handle(events, 0.0))  # type: ignore[arg-type]

    def submitted(self) -> list[str]:
        """Plans all that is there; the attempts that are submitted then."""
        plans = [action for action in self.go() if isinstance(action, Plan)]
        actions = self.go(*(Planned(plan.invocation, TASK) for plan in plans))
        return [action.attempt for action in actions if isinstance(action, Submit)]


def test_an_empty_feed_that_is_open_waits_and_one_that_is_closed_ends_the_run() -> None:
    world = World()
    assert world.go() == []
    world.feed.close()
    assert world.go() == [Conclude(True, False, {})]


def test_pieces_are_submitted_in_the_order_in_which_they_came() -> None:
    world = World(in_flight=2)
    world.put("fit[0]", "plot[0]", "fit[1]")
    assert world.submitted() == ["fit[0]#1", "plot[0]#1"]
    assert [type(action) for action in world.go(Finished("fit[0]#1", Outcome()))] == [Submit]
    assert world.told == [("fit[0]", {})]
    assert world.feed.counts["fit"].width == 2


def test_work_put_in_later_is_planned_with_its_inputs() -> None:
    world = World()
    world.go()
    world.put("fit[0]")
    (plan,) = world.go()
    assert isinstance(plan, Plan)
    assert (plan.name, plan.inputs) == ("fit[0]", {"n": "fit[0]"})
    world.go(Answered(plan.invocation, {"o": 1}, reused=True))
    assert world.told == [("fit[0]", {"o": 1})]
    assert world.feed.counts["fit"].reused == 1


def test_a_lost_attempt_is_made_again_and_a_failed_one_is_told() -> None:
    world = World()
    world.put("fit[0]", "fit[1]")
    world.submitted()
    again = world.go(Lost("fit[0]#1", Reason.NODE, "gone"))
    assert [action.attempt for action in again if isinstance(action, Submit)] == ["fit[0]#2"]
    assert world.told == []
    world.go(Finished("fit[1]#1", Outcome(Reason.PROGRAM, "exit status 1")))
    assert world.told == [("fit[1]", None)]
    assert world.why["fit[1]"] == world.scheduler.failures[-1].message == "exit status 1"


def test_a_cancelled_run_ends_though_its_feed_is_open() -> None:
    world = World()
    world.put("fit[0]")
    world.submitted()
    world.go(CancelRequested())
    cancelled = Outcome(Reason.CANCELLED, "cancelled")
    assert world.go(Finished("fit[0]#1", cancelled)) == [Conclude(False, True, {})]
    assert world.told == [("fit[0]", None)]


def test_a_piece_that_turns_out_to_be_a_workflow_is_refused() -> None:
    from hepflow.model.events import Expanded

    world = World()
    world.put("fit[0]")
    (plan,) = world.go()
    assert isinstance(plan, Plan)
    inner = SubWorkflow(Workflow("inner"), {})
    world.go(Expanded(plan.invocation, inner.workflow, inner.inputs))
    assert "only a task will do" in world.scheduler.failures[-1].message
