"""Numbers, times and values as a person reads them, and tables of them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import click

from hepflow.model.values import Directory, File, Value, to_json

STATE_COLOURS: Final = {
    "succeeded": "green", "reused": "green", "skipped": "green", "running": "cyan",
    "submitted": "cyan", "failed": "red", "lost": "red", "cancelled": "yellow",
    "interrupted": "yellow",
}  # fmt: skip


def count(number: int, noun: str) -> str:
    """``1 task``, ``2,000 tasks``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """``40 ms``, ``0.4 s``, ``41 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 0.095:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(amount: float) -> str:
    """``312 B``, ``4.1 MB``: powers of ten."""
    unit = "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 999.5 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f} {unit}"


def moment(epoch_s: float) -> str:
    """A local time; the date too when it is not today's."""
    if not epoch_s:
        return ""
    then = time.localtime(epoch_s)
    today = time.localtime()[:3] == then[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M", then)


def state(word: str) -> str:
    """A state in its colour."""
    return click.style(word, fg=STATE_COLOURS.get(word))


def value(content: Value, limit: int = 0) -> str:
    """A value on one line: a file as its path, a text as it is, all else as JSON.

    Args:
        limit: characters after which it is cut; 0 for none.
    """
    if isinstance(content, (File, Directory)):
        text = content.location
    elif isinstance(content, str):
        text = content
    elif isinstance(content, (list, tuple)) and content and isinstance(content[0], File):
        text = " ".join(value(item) for item in content[: 1000 if limit else None])
    else:
        text = json.dumps(to_json(content), ensure_ascii=False)
    if limit and len(text) > limit:
        more = f" ({count(len(content), 'item')})" if isinstance(content, (list, tuple)) else ""
        return text[: limit - 1] + "…" + more
    return text


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> list[str]:
    """Aligned columns under a dim header; colour codes in the cells do not count as width.

    Args:
        right: the columns whose cells are set to the right.
    """
    bare = [[click.unstyle(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[index]) for row in bare) for index in range(len(header))]
    lines = []
    for at, row in enumerate([header, *rows]):
        cells = []
        for index, cell in enumerate(row):
            pad = " " * (widths[index] - len(bare[at][index]))
            shown = click.style(cell, dim=True) if at == 0 else cell
            cells.append(pad + shown if index in right else shown + pad)
        lines.append("  ".join(cells).rstrip())
    return lines


def pairs(items: Mapping[str, str], indent: str = "  ") -> list[str]:
    """``name  value`` lines with the values aligned."""
    width = max((len(name) for name in items), default=0)
    return [f"{indent}{name:<{width}}  {text}".rstrip() for name, text in items.items()]


def say(text: str = "", err: bool = False) -> None:
    """Prints; what the terminal's character set lacks is shown by its nearest in ASCII."""
    stream = sys.stderr if err else sys.stdout
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        from hepflow.report.text import PLAIN

        text = text.translate(PLAIN).encode("ascii", "replace").decode()
    click.echo(text, err=err)
