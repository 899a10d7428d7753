"""What a head knows of large values that its workers have: what it sends, and what it need not send."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from hepflow.model.events import Finished
from hepflow.model.task import Attempt, Call, Outcome, Task
from hepflow.pilots import shelf as shelves
from hepflow.pilots.parcels import Apart, Gone, Parcel, apart, put_together, weight, whole
from hepflow.pilots.shelf import Shelf

LARGE = [float(n) for n in range(20_000)]
OTHER = [float(n) for n in range(20_001)]


class Workers:
    """An engine's workers: what they keep, by handle, and what was laid there by the head."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.laid = 0
        self.gone: set[object] = set()
        self.of: dict[int, int] = {}

    def lay(self, parcel: Parcel) -> object:
        self.laid += 1
        return self.keep(parcel)

    def keep(self, parcel: Parcel) -> str:
        self.parcels.append(parcel)
        return f"handle {len(self.parcels) - 1}"

    def left(self, number: int) -> object | None:
        return f"handle {self.of.pop(number)}" if number in self.of else None

    def has(self, handle: object) -> bool:
        return handle not in self.gone

    def made_of(self, attempts: list[Attempt], handles: list[object]) -> list[Any]:
        """The arguments as a worker puts them together."""
        brought = [self.parcels[int(str(handle).split()[1])] for handle in handles]
        return [arguments(attempt) for attempt in put_together(attempts, brought)]


def calling(**given: Any) -> Attempt:
    return Attempt("use#1", Task(Call("m:f", given)))


def arguments(attempt: Attempt) -> Any:
    assert isinstance(attempt.task.command, Call)
    return attempt.task.command.arguments


def ended(attempt: str, **outputs: Any) -> Finished:
    return Finished(attempt, Outcome(outputs=outputs))


def taken(workers: Workers, shelf: Shelf, *events: Finished, told: tuple[str, ...] = ()) -> Any:
    """The outputs in a bundle that came back, which stays with its worker."""
    parcel = apart(events)
    workers.of[0] = len(workers.parcels)
    workers.keep(parcel)
    names = {event.attempt for event in events} - {*told}
    found, stays = shelf.take(0, parcel, names)
    assert stays
    return [event.outcome.outputs for event in found]


def test_what_is_small_goes_as_it_is() -> None:
    workers = Workers()
    attempt = calling(x=1, text="a", listing=[1, 2], mapping={"a": [None]})
    light, handles = Shelf(workers).without([attempt])
    assert (light, handles, workers.laid) == ([attempt], [], 0)


def test_a_result_that_the_workers_have_is_not_sent_back_to_them() -> None:
    workers = Workers()
    shelf = Shelf(workers)
    (outputs,) = taken(workers, shelf, ended("make#1", value=LARGE, n=3))
    assert outputs == {"value": LARGE, "n": 3}, "the head has it as well"
    value, n = outputs["value"], outputs["n"]
    light, handles = shelf.without([calling(x=value, i=n), calling(x=value, i=4)])
    assert workers.laid == 0
    assert len(pickle.dumps(light)) < 1000
    assert handles == ["handle 0"]
    assert workers.made_of(light, handles) == [{"x": LARGE, "i": 3}, {"x": LARGE, "i": 4}]


def test_any_other_large_value_is_brought_there_once() -> None:
    workers = Workers()
    shelf = Shelf(workers)
    for i in range(3):
        light, handles = shelf.without([calling(x=LARGE, i=i)])
        assert workers.made_of(light, handles) == [{"x": LARGE, "i": i}]
    assert workers.laid == 1


def test_gathered_results_are_asked_for_one_by_one() -> None:
    workers = Workers()
    shelf = Shelf(workers)
    outputs = taken(workers, shelf, ended("a#1", v=LARGE), ended("b#1", v=OTHER))
    gathered = {"all": [found["v"] for found in outputs], "few": [1]}
    light, handles = shelf.without([calling(**gathered, mapping={"a": outputs[0]["v"], "n": 1})])
    assert (workers.laid, handles) == (0, ["handle 0"])
    expected = {"all": [LARGE, OTHER], "few": [1], "mapping": {"a": LARGE, "n": 1}}
    assert workers.made_of(light, handles) == [expected]


def test_a_value_told_before_its_bundle_ended_is_known_as_the_object_that_was_told() -> None:
    workers = Workers()
    shelf = Shelf(workers)
    early = ended("a#1", v=list(LARGE))
    shelf.told_early([early])
    taken(workers, shelf, ended("a#1", v=LARGE), ended("b#1", v=OTHER), told=("a#1",))
    shelf.without([calling(x=early.outcome.outputs["v"])])
    assert workers.laid == 0


def test_what_the_workers_have_lost_is_brought_there_again() -> None:
    workers = Workers()
    shelf = Shelf(workers)
    (outputs,) = taken(workers, shelf, ended("a#1", v=LARGE))
    value = outputs["v"]
    workers.gone.add("handle 0")
    light, handles = shelf.without([calling(x=value)])
    assert (workers.laid, handles) == (1, ["handle 1"])
    shelf.forget(handles)
    light, handles = shelf.without([calling(x=value)])
    assert (workers.laid, handles) == (2, ["handle 2"])
    assert workers.made_of(light, handles) == [{"x": LARGE}]


def test_a_value_that_no_parcel_has_is_told() -> None:
    light, handles = Shelf(Workers()).without([calling(x=LARGE)])
    assert handles
    with pytest.raises(Gone):
        put_together(light, [whole([])])


def test_the_longest_unused_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "MOST_BYTES", 3 * weight(LARGE))
    workers = Workers()
    shelf = Shelf(workers)
    values = [list(LARGE) for _ in range(4)]
    for value in [*values[:3], values[0], values[3]]:
        shelf.without([calling(x=value)])
    shelf.without([calling(x=values[0])])
    assert workers.laid == 4
    shelf.without([calling(x=values[1])])
    assert workers.laid == 5


def test_nothing_of_a_value_is_left_in_what_is_said_of_a_bundle() -> None:
    parcel = apart([ended("a#1", v=LARGE, n=1)])
    (event,) = pickle.loads(parcel.said)
    assert event.outcome.outputs == {"v": Apart("a#1/v"), "n": 1}
    assert len(parcel.said) < 1000
