"""Progress on a terminal: a table that is redrawn in place, a line a step.

rich is imported when something is drawn, so that a quick run never pays for it; that is why its
types have no names here.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any, Final

from hepflow.cli.late import api
from hepflow.cli.progress import totals, width_words
from hepflow.cli.words import duration

QUIET_S: Final = 0.4
BETWEEN_S: Final = 0.25
NEWS: Final = 4
BAR: Final = 24
CHROME: Final = NEWS + 4


class Live:
    """Draws once a run has lasted a moment, then at most four times a second.

    rich's own thread redraws each second, so that the clock moves while nothing happens.
    """

    def __init__(self, console: Any = None, after_s: float = QUIET_S) -> None:
        self.run = 0
        self._console = console
        self._lock = threading.Lock()
        self._last: api.Progress | None = None
        self._taken = self._drawn = 0.0
        self._news: list[str] = []
        self._live: Any = None
        self._closed = False
        self._timer = threading.Timer(after_s, self._begin)
        self._timer.daemon = True
        self._timer.start()

    def __call__(self, progress: api.Progress) -> None:
        self.run = progress.run
        now = time.monotonic()
        self._last, self._taken = progress, now
        if progress.news:
            self._news = [*self._news, *progress.news][-NEWS:]
        if self._live is not None and now - self._drawn >= BETWEEN_S:
            self._drawn = now
            self._refresh()

    def close(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._live is not None:
                # Should the terminal be gone, the run's end is still told elsewhere.
                with suppress(OSError):
                    self._live.stop()

    def _begin(self) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        with self._lock:
            if self._closed:
                return
            console = self._console or Console(stderr=True)
            live = RichLive(
                console=console,
                get_renderable=lambda: self._table(console.size.height),
                refresh_per_second=1,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            live.start()
            self._live = live

    def _refresh(self) -> None:
        try:
            if self._live is not None:
                self._live.refresh()
        except OSError:
            self._live = None

    def _table(self, height: int) -> Any:
        from rich.console import Group
        from rich.text import Text

        progress = self._last
        if progress is None:
            return Text("starting")
        steps, rest = _visible(progress.steps, max(3, height - CHROME))
        parts: list[Any] = [_title(progress, self._elapsed(progress)), _steps(steps)]
        if rest:
            parts.append(Text(f"  … and {rest:,} more steps", style="dim"))
        parts += [Text(f"  {line}", style="yellow", overflow="ellipsis", no_wrap=True)
                  for line in self._news]  # fmt: skip
        return Group(*parts)

    def _elapsed(self, progress: api.Progress) -> float:
        """The run's own time, carried on to now; the last state is taken as it is."""
        return progress.elapsed_s + (0.0 if self._closed else time.monotonic() - self._taken)


def _title(progress: api.Progress, elapsed_s: float) -> Any:
    from rich.text import Text

    done, known, running, failed = totals(progress)
    text = Text(progress.name, style="bold")
    text.append(f"  run {progress.run}  {duration(elapsed_s)}", style="not bold")
    text.append(f"  {done:,} of {known:,} tasks", style="not bold")
    if running:
        text.append(f"  {running:,} running", style="not bold cyan")
    if failed:
        text.append(f"  {failed:,} failed", style="not bold red")
    return text


def _steps(steps: list[api.StepStatus]) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(max_width=40, no_wrap=True, overflow="ellipsis")
    table.add_column(width=BAR)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for step in steps:
        width = max(step.width, 0)
        over = 0 <= step.width <= step.finished
        colour = "red" if step.failed else "green" if over else "cyan"
        bar = ProgressBar(
            total=max(1, width),
            completed=step.finished if width else int(over),
            width=BAR,
            complete_style=colour,
            finished_style=colour,
        )
        words = Text()
        for number, word, style in (
            (step.running, "running", "cyan"),
            (step.reused, "reused", "dim"),
            (step.skipped, "skipped", "dim"),
            (step.failed, "failed", "red"),
        ):
            if number:
                words.append(f"{number:,} {word}  ", style=style)
        name = Text(f"  {step.path}", style="" if step.running or over else "dim")
        table.add_row(name, bar, f"{step.finished:,}/{width_words(step)}", words)
    return table


def _visible(steps: tuple[api.StepStatus, ...], room: int) -> tuple[list[api.StepStatus], int]:
    """The steps that fit, in their own order: those at work first, then the nearest to them."""
    if len(steps) <= room:
        return list(steps), 0

    def dullness(index: int) -> tuple[int, int]:
        step = steps[index]
        if step.running or step.failed:
            return 0, index
        over = 0 <= step.width <= step.finished
        return (2, -index) if over else (1, index)

    chosen = sorted(sorted(range(len(steps)), key=dullness)[: room - 1])
    return [steps[index] for index in chosen], len(steps) - len(chosen)
