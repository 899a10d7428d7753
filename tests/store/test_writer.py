"""The store's writer: what is committed stays, what is not was never there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from hepflow.model.errors import UsageError
from hepflow.store import reader
from hepflow.store.database import Place, is_alive
from hepflow.store.records import RunState, TaskState, step_of
from hepflow.store.results import Results
from hepflow.store.writer import Batch, Ending, Intent, RunWriter, create_run, reopen_run


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def writer(place: Place) -> Iterator[RunWriter]:
    made = make(place)
    yield made
    made.close()


def make(place: Place, name: str = "test") -> RunWriter:
    return create_run(place, name=name, recipe="", options={}, inputs="{}", now=1.0)


def intent(writer: RunWriter, task: str, key: bytes, what: str = "a=1") -> Intent:
    return Intent(writer.new_id(), task, 1, TaskState.SUBMITTED.value, key, what, "", "true", 1.0)


def success(row: int, outputs: str = "{}") -> Ending:
    return Ending(
        TaskState.SUCCEEDED.value,
        1.0,
        0.5,
        0.4,
        100,
        0.0,
        0,
        0,
        "",
        "",
        outputs,
        "",
        "",
        "here",
        row,
    )


def test_a_result_is_found_by_its_key_only_once_it_succeeded(
    place: Place, writer: RunWriter
) -> None:
    begun = intent(writer, "a", b"k" * 16)
    writer.commit(Batch(intents=[begun]))
    assert Results.of(place).find([b"k" * 16]) == {}
    writer.commit(Batch(endings=[success(begun.id, '{"x":1}')]))
    (found,) = Results.of(place).find([b"k" * 16, b"other"])[b"k" * 16]
    assert (found.id, found.task, found.outputs, found.run) == (
        begun.id,
        "a",
        {"x": 1},
        writer.run,
    )


def test_a_forgotten_result_is_never_offered_again(place: Place, writer: RunWriter) -> None:
    begun = intent(writer, "a", b"k" * 16)
    writer.commit(Batch(intents=[begun]))
    writer.commit(Batch(endings=[success(begun.id)]))
    writer.forget([begun.id])
    assert Results.of(place).find([b"k" * 16]) == {}


def test_work_in_another_living_runs_hand_is_left_to_it(place: Place, writer: RunWriter) -> None:
    writer.commit(Batch(intents=[intent(writer, "a", b"k" * 16)]))
    other = make(place, "other")
    mine = [intent(other, "b", b"k" * 16), intent(other, "c", b"c" * 16)]
    assert other.commit(Batch(intents=mine)) == {b"k" * 16: writer.run}
    assert [task.id for task in reader.tasks(place, other.run)] == ["c#1"]
    assert other.in_hand(b"k" * 16, writer.run)
    other.close()


def test_work_of_a_dead_run_is_anybodys(place: Place) -> None:
    dead = make(place)
    dead.commit(Batch(intents=[intent(dead, "a", b"k" * 16)]))
    dead.close()
    other = make(place)
    assert other.commit(Batch(intents=[intent(other, "b", b"k" * 16)])) == {}
    assert not other.in_hand(b"k" * 16, dead.run)
    other.close()


def test_a_run_has_one_head_at_a_time(place: Place, writer: RunWriter) -> None:
    assert is_alive(place, writer.run)
    with pytest.raises(UsageError, match="run 1 is still running in another process"):
        reopen_run(place, writer.run, now=2.0)


def test_a_run_whose_head_is_gone_is_interrupted_and_can_be_taken_up(place: Place) -> None:
    first = make(place)
    begun = intent(first, "a[3]", b"k" * 16)
    first.commit(Batch(intents=[begun]))
    first.close()
    assert reader.find_run(place, 1).state is RunState.INTERRUPTED
    again = reopen_run(place, 1, now=2.0)
    assert [(left.id, left.task, left.number) for left in again.unfinished()] == [
        (begun.id, "a[3]", 1)
    ]
    assert again.attempts_so_far() == {"a[3]": 1}
    assert again.new_id() > begun.id
    again.close()


def test_ids_of_two_runs_never_meet(place: Place, writer: RunWriter) -> None:
    other = make(place)
    assert not {writer.new_id() for _ in range(100)} & {other.new_id() for _ in range(100)}
    other.close()


@pytest.mark.parametrize("writes", range(1, 8))
def test_a_process_killed_between_two_writes_leaves_a_whole_store(
    place: Place, writes: int
) -> None:
    """Each write is a commit; the process is killed in the middle of the one after ``writes``."""
    program = textwrap.dedent(f"""
        import os, signal, sqlite3
        from pathlib import Path
        from hepflow.store.database import Place
        from hepflow.store.writer import Batch, Ending, Intent, create_run
        writer = create_run(Place(Path({str(place.project)!r})), name="t", recipe="", options={{}}, inputs="{{}}", now=1.0)
        for number in range(100):
            row = writer.new_id()
            batch = Batch(intents=[Intent(row, f"a[{{number}}]", 1, 1, bytes([number]) * 16, "w", "", "", 1.0)])
            if number == {writes}:
                writer._database.set_trace_callback(lambda sql: sql.startswith("COMMIT") and os.kill(os.getpid(), signal.SIGKILL))
            writer.commit(batch)
    """)
    killed = subprocess.run([sys.executable, "-c", program], check=False, cwd=os.getcwd())
    assert killed.returncode == -signal.SIGKILL
    assert [task.id for task in reader.tasks(place, 1)] == [
        f"a[{number}]#1" for number in range(writes)
    ]
    taken_up = reopen_run(place, 1, now=2.0)
    taken_up.commit(Batch(intents=[intent(taken_up, "b", b"z" * 16)]))
    taken_up.close()


def test_questions_before_any_run_say_that_there_is_none(place: Place) -> None:
    assert reader.runs(place) == ()
    with pytest.raises(UsageError, match="there is no store here"):
        reader.find_run(place, None)


def test_an_unknown_run_is_told_with_those_there_are(place: Place, writer: RunWriter) -> None:
    with pytest.raises(UsageError, match="there is no run 7") as caught:
        reader.find_run(place, 7)
    assert f"1 to {writer.run}" in str(caught.value)


def test_a_step_is_a_task_name_without_indices_and_rounds() -> None:
    assert step_of("fit[3]/train[12]@4") == "fit/train"


def test_many_processes_may_make_the_store_at_once(place: Place) -> None:
    program = textwrap.dedent(f"""
        from pathlib import Path
        from hepflow.store.database import Place
        from hepflow.store.writer import create_run
        create_run(Place(Path({str(place.project)!r})), name="t", recipe="", options={{}}, inputs="{{}}", now=1.0).close()
    """)
    started = [
        subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(8)
    ]
    for process in started:
        _, said = process.communicate()
        assert process.returncode == 0, said.decode()
    assert len(reader.runs(place)) == 8


@pytest.mark.parametrize("moment", ["PRAGMA journal_mode", "BEGIN", "CREATE INDEX", "COMMIT"])
def test_a_process_killed_while_it_makes_the_store_has_made_none(place: Place, moment: str) -> None:
    program = textwrap.dedent(f"""
        import os, signal, sqlite3
        from pathlib import Path
        from hepflow.store.database import Place
        from hepflow.store.writer import create_run
        def deadly(sql):
            if sql.strip().startswith({moment!r}):
                os.kill(os.getpid(), signal.SIGKILL)
        connect = sqlite3.connect
        def watched(*arguments, **options):
            connection = connect(*arguments, **options)
            connection.set_trace_callback(deadly)
            return connection
        sqlite3.connect = watched
        create_run(Place(Path({str(place.project)!r})), name="t", recipe="", options={{}}, inputs="{{}}", now=1.0)
    """)
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert reader.runs(place) == ()
    make(place).close()
    assert [run.id for run in reader.runs(place)] == [1]
