"""How a run in progress is shown."""

from __future__ import annotations

import io
import time

from rich.console import Console

from hepflow import api
from hepflow.cli.display import Silent, display_for
from hepflow.cli.live import Live
from hepflow.cli.progress import Lines

STEP = api.StepStatus


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(*steps: api.StepStatus, news: tuple[str, ...] = (), at: float = 0.0) -> api.Progress:
    return api.Progress(3, "numbers", steps, news, at)


def test_a_step_is_told_once_when_it_finishes() -> None:
    told: list[str] = []
    clock = Clock()
    lines = Lines(told.append, clock)
    clock.now = 1.0
    lines(progress(STEP("a", 2, succeeded=1), STEP("b", -1)))
    clock.now = 2.0
    lines(progress(STEP("a", 2, succeeded=1, reused=1), STEP("b", -1), at=2.0))
    clock.now = 3.0
    lines(progress(STEP("a", 2, succeeded=1, reused=1), STEP("b", 1, failed=1), at=3.0))
    lines.close()
    assert told == [
        "[   2.0 s] a: 2 tasks done (1 run, 1 reused)",
        "[   3.0 s] b: 1 task done (1 failed)",
    ]
    assert lines.run == 3


def test_a_long_step_is_told_of_every_five_seconds_at_most() -> None:
    told: list[str] = []
    clock = Clock()
    lines = Lines(told.append, clock)
    for tenth in range(200):
        clock.now = tenth / 10
        lines(progress(STEP("a", 900, running=2, succeeded=tenth), at=clock.now))
    assert told == [
        "[   5.0 s] 50 of 900 tasks, 2 running (a 50/900)",
        "[    10 s] 100 of 900 tasks, 2 running (a 100/900)",
        "[    15 s] 150 of 900 tasks, 2 running (a 150/900)",
    ]


def test_no_more_tasks_are_done_than_are_known_of() -> None:
    told: list[str] = []
    clock = Clock()
    lines = Lines(told.append, clock)
    clock.now = 5.0
    lines(progress(STEP("a", 3, succeeded=2), STEP("b", -1, running=1, succeeded=40), at=5.0))
    assert told == ["[   5.0 s] 42 of 44 tasks, 1 running (b 40/?)"]


def test_news_come_at_once_and_never_as_a_flood() -> None:
    told: list[str] = []
    lines = Lines(told.append, Clock())
    lines(progress(news=("a[1] failed",)))
    lines(progress(news=tuple(f"retry {number}" for number in range(1000))))
    assert told[0].endswith("a[1] failed")
    assert len(told) == 22
    assert told[-1].endswith("and 980 more pieces of news")


def test_the_end_tells_what_finished_last() -> None:
    told: list[str] = []
    lines = Lines(told.append, Clock())
    lines(progress(STEP("a", 1, succeeded=1)))
    assert told == []
    lines.close()
    assert len(told) == 1


def test_a_reader_who_left_does_not_end_the_run() -> None:
    def gone(_: str) -> None:
        raise BrokenPipeError

    lines = Lines(gone, Clock())
    lines(progress(news=("x",)))
    lines(progress(news=("y",)))
    lines.close()


def test_the_display_suits_the_stream() -> None:
    assert isinstance(display_for(io.StringIO(), quiet=False), Lines)
    assert isinstance(display_for(io.StringIO(), quiet=True), Silent)


def drawn(live: Live, output: io.StringIO, *states: api.Progress) -> str:
    """What a display draws, once its drawing has begun."""
    live._timer.join()
    for state in states:
        live(state)
    live.close()
    return output.getvalue()


def terminal(height: int = 30) -> tuple[Console, io.StringIO]:
    output = io.StringIO()
    return Console(file=output, force_terminal=True, width=100, height=height), output


def test_a_terminal_gets_a_line_a_step() -> None:
    console, output = terminal()
    live = Live(console, after_s=0.0)
    text = drawn(
        live,
        output,
        progress(
            STEP("write", 500, running=2, succeeded=200, reused=20, failed=1),
            STEP("total", -1),
            news=("write[3]: retried",),
            at=12.0,
        ),
    )
    for words in ("numbers", "run 3", "221/500", "2 running", "20 reused", "1 failed", "0/?"):
        assert words in text
    assert "write[3]: retried" in text


def test_more_steps_than_lines_are_counted() -> None:
    console, output = terminal(height=15)
    live = Live(console, after_s=0.0)
    steps = [STEP(f"s{number}", 1, succeeded=1) for number in range(50)]
    steps[40] = STEP("busy", 1, running=1)
    text = drawn(live, output, progress(*steps))
    assert "busy" in text
    assert "more steps" in text
    assert max(frame.count("\n") for frame in text.split("\x1b[2K\x1b[1A")) < 15


def test_a_quick_run_draws_nothing() -> None:
    console, output = terminal()
    live = Live(console, after_s=30.0)
    live(progress(STEP("a", 1, succeeded=1)))
    live.close()
    assert output.getvalue() == ""


def test_drawing_is_rare_however_often_it_is_told() -> None:
    console, output = terminal()
    live = Live(console, after_s=0.0)
    live._timer.join()
    before = time.process_time()
    for number in range(5000):
        live(progress(STEP("a", 5000, succeeded=number)))
    assert time.process_time() - before < 2.0
    live.close()
    assert output.getvalue().count("of 5,000 tasks") < 50
